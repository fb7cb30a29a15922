package ccache

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func seeds(tb testing.TB) [][]byte {
	var out [][]byte
	for version := 1; version <= 4; version++ {
		b := testFile(tb, version)
		out = append(out, b, b[:len(b)/2], b[:40])
	}
	out = append(out, nil, []byte("\x05\x04\x00\x0c\x00\x01\x00\x08"), []byte("\x05\x03\x00\x00\x00\x01\xff\xff\xff\xff"))
	return out
}

// recordSeeds returns single credentials and principals.
func recordSeeds(tb testing.TB) [][]byte {
	out := [][]byte{nil}
	c := parse(tb, testFile(tb, 4))
	for i := range c.Credentials {
		b, err := c.Credentials[i].Marshal()
		if err != nil {
			tb.Fatal(err)
		}
		p, err := MarshalPrincipal(c.Credentials[i].Server)
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, b, b[:len(b)/2], p, p[:len(p)/2])
	}
	return out
}

var primarySeeds = []string{"tkt\n", "tktA\n", "tkt/../x\n", "primary\n", "tkt\\\n"}

func TestSeeds(t *testing.T) {
	if len(seeds(t)) == 0 || len(recordSeeds(t)) == 0 || len(primarySeeds) == 0 {
		t.Fatal("no seeds")
	}
}

// What is accepted spells itself so that it reads back as the same.
func FuzzName(f *testing.F) {
	for _, s := range []string{"/tmp/cc", "FILE:/tmp/cc", "DIR::/tmp/tkt", `C:\cc`, "KCM:", "KEYRING:", "a/b:c", ":", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseName(s)
		if err != nil {
			if n != (Name{}) {
				t.Fatalf("%q: %v, error %v", s, n, err)
			}
			return
		}
		if again, err := ParseName(n.String()); err != nil || again != n {
			t.Fatalf("%q: %v, again %v, error %v", s, n, again, err)
		}
	})
}

func FuzzPrimary(f *testing.F) {
	for _, s := range primarySeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) { primaryIsAMember(t, b) })
}

// What is accepted can be written, and reads back as the same.
func FuzzRecord(f *testing.F) {
	for _, s := range recordSeeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := ParsePrincipal(b); err == nil {
			if out, err := MarshalPrincipal(p); err != nil || !bytes.Equal(out, b) {
				t.Fatalf("%x, %v", out, err)
			}
		} else if _, ok := errors.AsType[*ParseError](err); !ok {
			t.Fatal(err)
		}
		c := &Cache{Client: alice}
		if err := c.Append(b); err != nil {
			if _, ok := errors.AsType[*ParseError](err); !ok || len(c.Credentials)+len(c.Config) > 0 {
				t.Fatalf("%v, %v", c, err)
			}
			return
		}
		for i := range c.Credentials {
			out, err := c.Credentials[i].Marshal()
			if err != nil {
				t.Fatal(err)
			}
			again := &Cache{Client: alice}
			if err := again.Append(out); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c, again, append(compare, cmpopts.EquateEmpty())...); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

// What is accepted can be written, and reads back as the same.
func FuzzParse(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b)
		if err != nil {
			if _, ok := errors.AsType[*ParseError](err); !ok || c != nil {
				t.Fatalf("%v, %v", c, err)
			}
			return
		}
		_, _ = c.TGT(Query{Now: start})
		_, read, err := parseFile(b)
		if err != nil {
			t.Fatal(err)
		}
		if torn := c.Torn; torn != nil && (torn.Offset > len(b) || torn.Want == "" || !errors.Is(torn, ErrTruncated) && !errors.Is(torn, ErrMalformed)) {
			t.Fatal(torn)
		}
		c.Torn = nil // what is written is whole
		w := &writer{layout: read.layout}
		w.principal(c.Client)
		for i := range c.Credentials {
			w.credential(&c.Credentials[i])
		}
		p := newParser(w.b)
		p.layout = read.layout
		same := &Cache{Version: c.Version, Client: p.principal("client"), KDCOffset: c.KDCOffset, Config: c.Config, Header: c.Header}
		for p.off < len(p.b) {
			p.entry(same, false)
		}
		if w.err != nil || p.err != nil {
			t.Fatal(w.err, p.err)
		}
		if diff := cmp.Diff(c, same, append(compare, cmpopts.EquateEmpty())...); diff != "" {
			t.Fatal(diff)
		}
		out, err := c.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(out)
		if err != nil {
			t.Fatal(err)
		}
		again.Version = c.Version
		if diff := cmp.Diff(c, again, append(compare, cmpopts.EquateEmpty())...); diff != "" {
			t.Fatal(diff)
		}
	})
}
