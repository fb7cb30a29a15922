package transited

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/krb"
)

func TestExpand(t *testing.T) {
	for name, tc := range map[string]struct {
		text, client, server string
		want                 []string
	}{
		"none":  {"", "A", "B", nil},
		"plain": {"EDU,MIT.EDU", "A", "B", []string{"EDU", "MIT.EDU"}},
		// The examples of RFC 4120 section 3.3.3.2.
		"domains":            {"EDU,MIT.,ATHENA.,WASHINGTON.EDU,CS.", "A", "B", []string{"EDU", "MIT.EDU", "ATHENA.MIT.EDU", "WASHINGTON.EDU", "CS.WASHINGTON.EDU"}},
		"X.500":              {"/COM,/HP,/APOLLO, /COM/DEC", "A", "B", []string{"/COM", "/COM/HP", "/COM/HP/APOLLO", "/COM/DEC"}},
		"hierarchy":          {",EDU,", "ATHENA.MIT.EDU", "CS.WASHINGTON.EDU", []string{"MIT.EDU", "EDU", "WASHINGTON.EDU"}},
		"hierarchy, both":    {",EDU, /COM,", "MIT.EDU", "/COM/HP", []string{"EDU", "/COM"}},
		"everything between": {",", "EU.CORP.EXAMPLE", "SALES.US.CORP.EXAMPLE", []string{"CORP.EXAMPLE", "US.CORP.EXAMPLE"}},
		"down only":          {",", "EXAMPLE", "A.B.EXAMPLE", []string{"B.EXAMPLE"}},
		"up only":            {",", "A.B.EXAMPLE", "EXAMPLE", []string{"B.EXAMPLE"}},
		"strangers":          {",", "A", "B", nil},
		"quoted":             {`A\,B,\ C,D\\E,F\.`, "A", "B", []string{"A,B", " C", `D\E`, "F."}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Expand(tc.text, tc.client, tc.server)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	for name, text := range map[string]string{
		"backslash": `A\`,
		"many":      strings.Repeat("A,", maxTransited+1),
		"long":      strings.Repeat("A", maxTransitedBytes+1),
		"growing":   "A" + strings.Repeat(","+strings.Repeat("A", 500)+".", 60),
	} {
		if got, err := Expand(text, "A", "B"); !errors.Is(err, krb.ErrMalformed) {
			t.Errorf("%s: %d realms, %v", name, len(got), err)
		}
	}
}

func TestCompress(t *testing.T) {
	for want, list := range map[string][]string{
		"":                                    nil,
		"B.EXAMPLE":                           {"B.EXAMPLE"},
		"EDU,MIT.,ATHENA.,WASHINGTON.EDU,CS.": {"EDU", "MIT.EDU", "ATHENA.MIT.EDU", "WASHINGTON.EDU", "CS.WASHINGTON.EDU"},
		"/COM, /COM/HP":                       {"/COM", "/COM/HP"},
		`A\,B,\ C,D\\E,F\.`:                   {"A,B", " C", `D\E`, "F."},
	} {
		if got := Compress(list); got != want {
			t.Errorf("%q: got %q, want %q", list, got, want)
		}
	}
}

// FuzzTransited: what can be read at all reads the same when it is written anew.
func FuzzTransited(f *testing.F) {
	seeds := []string{"EDU,MIT.,ATHENA.,WASHINGTON.EDU,CS.", "/COM,/HP,/APOLLO, /COM/DEC", ",EDU, /COM,", `A\,B,\ C,D\\E,F\.`}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, s := range seeds {
		f.Add(s, "ATHENA.MIT.EDU", "/COM/HP")
	}
	f.Fuzz(func(t *testing.T, text, client, server string) {
		list, err := Expand(text, client, server)
		if err != nil {
			return
		}
		short := Compress(list)
		if len(short) > maxTransitedBytes {
			return
		}
		again, err := Expand(short, "", "")
		if err != nil || !slices.Equal(list, again) {
			t.Errorf("%q, written %q, reads %q, %v", list, short, again, err)
		}
	})
}
