package keyring

import (
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/internal/ccache"
)

// FuzzEntry: the payload of any key.
func FuzzEntry(f *testing.F) {
	seeds := captured(f)
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, s := range seeds {
		f.Add(s.name, s.payload)
		f.Add(s.name, s.payload[:len(s.payload)/2])
	}
	f.Fuzz(func(t *testing.T, name string, b []byte) { parseAny(t, name, b) })
}

func FuzzDescription(f *testing.F) {
	for _, s := range []string{"user;1000;-1;3f010000;a;b\x00", "keyring;0;0;3f010000;tkt", ";;;;", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := parseDescription(b)
		if err != nil {
			if d != (description{}) {
				t.Fatalf("%+v, error %v", d, err)
			}
			return
		}
		if !strings.HasPrefix(string(b), d.kind+";") || !strings.HasSuffix(strings.TrimSuffix(string(b), "\x00"), ";"+d.name) {
			t.Fatalf("%q: %+v", b, d)
		}
	})
}

// FuzzName: what is accepted spells itself so that it reads back as the same.
func FuzzName(f *testing.F) {
	for _, s := range []string{"session:lab", "lab", "persistent:1000:tkt", "user::a:b", "x:y", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parseName(ccache.Name{Type: "KEYRING", Residual: s})
		if err != nil {
			return
		}
		again, err := parseName(ccache.Name{Type: "KEYRING", Residual: strings.TrimPrefix(r.String(), "KEYRING:")})
		if err != nil || again != r {
			t.Fatalf("%q: %+v, again %+v, error %v", s, r, again, err)
		}
	})
}
