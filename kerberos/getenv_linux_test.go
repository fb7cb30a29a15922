package kerberos

import (
	"errors"
	"testing"
)

// TestElevated: the kernel says whether a program gained privileges, and without its word
// the ids do.
func TestElevated(t *testing.T) {
	const other = 6 // AT_PAGESZ
	for name, tc := range map[string]struct {
		entries [][2]uintptr
		err     error
		want    bool
	}{
		"gained":        {[][2]uintptr{{other, 0}, {atSecure, 1}}, nil, true},
		"not gained":    {[][2]uintptr{{other, 1}, {atSecure, 0}}, nil, false},
		"not told":      {[][2]uintptr{{other, 1}}, nil, idsDiffer()},
		"nothing told":  {nil, nil, idsDiffer()},
		"not to be had": {[][2]uintptr{{atSecure, 1}}, errors.New("no"), idsDiffer()},
	} {
		if got := elevatedBy(tc.entries, tc.err); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
