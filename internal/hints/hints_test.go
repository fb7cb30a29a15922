package hints_test

import (
	"testing"

	"github.com/kerbchain/kerbchain/internal/hints"
)

func TestJoin(t *testing.T) {
	for want, all := range map[string][]string{
		"":        nil,
		"a":       {"a"},
		"b":       {"", "b", ""},
		"a; b; c": {"a", "b", "", "c"},
	} {
		if got := hints.Join(all...); got != want {
			t.Errorf("%q: got %q, want %q", all, got, want)
		}
	}
}
