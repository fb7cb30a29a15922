package challenge

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// seeds are the header values, lines parted by line feeds.
func seeds() []string {
	return []string{
		"Negotiate", "negotiate\nNTLM", "Negotiate YII=", `Basic realm="x", Negotiate`,
		`Basic realm="a, Negotiate b", Negotiate`, `Digest a = "q\"\\", b=c , Negotiate oRQw==,,`,
		`Basic realm="x`, `Negotiate "a, b", c`, "a=b, =, \"x, y\" z\nBasic\nrealm=x", "Negotiate @, a/b,c:d",
		strings.Repeat("a,", 70), "a b=c" + strings.Repeat(",d=e", 70),
	}
}

// render writes challenges in one line.
func render(cs []Challenge) string {
	var parts []string
	for _, c := range cs {
		s := c.Scheme
		if c.Token68 != "" {
			s += " " + c.Token68
		}
		for i, p := range c.Params {
			s += []string{" ", ", "}[min(i, 1)] + p.Name + "=" + `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(p.Value) + `"`
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}

// FuzzParse holds that what was read, written anew, reads the same; and that
// nothing comes out of a quoted string but its own text.
func FuzzParse(f *testing.F) {
	if len(seeds()) == 0 {
		f.Fatal("empty seed corpus")
	}
	for _, s := range seeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Split(text, "\n")
		first := Parse(lines)
		again := Parse([]string{render(first)})
		if d := cmp.Diff(first, again, cmpopts.IgnoreFields(Challenge{}, "Malformed"), cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("%q reads otherwise when rendered as %q (-first +again)\n%s", lines, render(first), d)
		}
		for _, c := range again {
			if c.Malformed {
				t.Fatalf("rendered as %q, %v is malformed", render(first), c)
			}
		}
		for _, c := range first {
			if c.Scheme == "" || tokenLen(c.Scheme) != len(c.Scheme) {
				t.Fatalf("scheme %q", c.Scheme)
			}
			if b, err := c.Token(); err == nil && len(b) > MaxToken {
				t.Fatalf("token of %d bytes", len(b))
			}
		}
		quoted := `a b="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
		if got := Parse([]string{quoted}); len(got) != 1 || len(got[0].Params) != 1 || got[0].Params[0].Value != text {
			t.Fatalf("%q reads as %q", quoted, Schemes([]string{quoted}))
		}
	})
}
