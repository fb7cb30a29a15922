package krb5conf

import "testing"

func TestWhere(t *testing.T) {
	for want, w := range map[string]Warning{
		"a:3": {File: "a", Line: 3, Text: "b: c"}, "a": {File: "a", Text: "b"}, "": {Text: "b: c"},
	} {
		if got := w.Where(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
