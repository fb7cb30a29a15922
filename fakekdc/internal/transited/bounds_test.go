package transited

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// TestBounds: a list is read up to each of its bounds, and not beyond.
func TestBounds(t *testing.T) {
	names := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprint("R", i))
		}
		return strings.Join(list, ",")
	}
	// A realm with n realms above it, so that a null subfield stands for n-1.
	deep := func(n int) string { return strings.Repeat("a.", n) + "Z" }
	for name, tc := range map[string]struct {
		text, client, server string
		realms               int // -1: too many
	}{
		"realms":               {names(maxTransited), "A", "B", maxTransited},
		"one more":             {names(maxTransited + 1), "A", "B", -1},
		"null subfields":       {strings.Repeat(",", maxTransited-1), "A", "B", 0},
		"one more of them":     {strings.Repeat(",", maxTransited), "A", "B", -1},
		"bytes":                {strings.Repeat("A", maxTransitedBytes), "A", "B", 1},
		"one more byte":        {strings.Repeat("A", maxTransitedBytes+1), "A", "B", -1},
		"hierarchy":            {",", deep(maxTransited), "Z", maxTransited - 1},
		"hierarchy twice":      {"Z,," + deep(40) + ",,Z", "A", "B", -1},
		"hierarchy, too deep":  {",", deep(maxTransited + 2), "Z", 0},
		"hierarchy and others": {names(30) + ",Z," + deep(20) + ",,Z", "A", "B", 30 + 2 + 19 + 1},
		"longer by joining":    {strings.Repeat("A", maxTransitedBytes/2) + "," + strings.Repeat("B", maxTransitedBytes/2-2) + ".", "A", "B", 2},
	} {
		got, err := Expand(tc.text, tc.client, tc.server)
		if (err != nil) != (tc.realms < 0) || err != nil && !errors.Is(err, krb.ErrMalformed) || err == nil && len(got) != tc.realms {
			t.Errorf("%s: %d realms, %v", name, len(got), err)
		}
	}
}

// TestWrittenAndRead: what is written of any names reads the same, however they lean on one
// another.
func TestWrittenAndRead(t *testing.T) {
	names := []string{"EDU", "A.EDU", ".EDU", "EDU.", "A.EDU.", "/COM", "/COM/HP", "/COM.EDU", "x/y", " X", "a,b", `a\b`, `a\`, "A. EDU", "..", "."}
	check := func(list ...string) {
		text := Compress(list)
		got, err := Expand(text, "", "")
		if err != nil || !slices.Equal(got, list) {
			t.Errorf("%q, written %q, reads %q, %v", list, text, got, err)
		}
	}
	for _, a := range names {
		check(a)
		for _, b := range names {
			check(a, b)
			for _, c := range names {
				check(a, b, c)
			}
		}
	}
}

// TestNothingToLeanOn: other readers may take an abbreviation that leans on nothing, or adds
// nothing, for something else.
func TestNothingToLeanOn(t *testing.T) {
	for want, list := range map[string][]string{`EDU\.`: {"EDU."}, "EDU,.EDU": {"EDU", ".EDU"}} {
		if got := Compress(list); got != want {
			t.Errorf("%q: %q, want %q", list, got, want)
		}
	}
}

// TestAncestors: the hierarchy ends at its root, which is a name.
func TestAncestors(t *testing.T) {
	for realm, want := range map[string][]string{
		"A.B.C": {"A.B.C", "B.C", "C"}, "A.": {"A."}, "A..B": {"A..B", ".B", "B"}, "": {""},
		"/COM/HP/X": {"/COM/HP/X", "/COM/HP", "/COM"}, "/": {"/"},
	} {
		if got := ancestors(realm); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", realm, got, want)
		}
	}
}
