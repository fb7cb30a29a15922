package alloctest_test

import (
	"testing"

	"github.com/kerbchain/kerbchain/internal/alloctest"
)

var kept []byte

// What f allocates is counted, and what is allocated beside it once is not.
func TestCounts(t *testing.T) {
	const size, runs = 1 << 20, 10
	for name, tc := range map[string]struct {
		count func(most int, f func()) int
		runs  int
		unit  int // what one piece of memory counts
	}{
		"Allocations": {func(most int, f func()) int { return alloctest.Allocations(runs, most, f) }, runs, 1},
		"Bytes":       {func(most int, f func()) int { return alloctest.Bytes(runs, most, f) }, runs, size},
		"Announced":   {alloctest.Announced, 1, size},
	} {
		t.Run(name, func(t *testing.T) {
			allocate := func() { kept = make([]byte, size) }
			if n := tc.count(0, allocate); n < tc.unit || n > tc.unit+tc.unit/8 {
				t.Errorf("counted %d, want %d", n, tc.unit)
			}
			beside := tc.runs + 2 // the first measurement, and part of the second
			if n := tc.count(tc.unit/2, func() {
				if beside--; beside >= 0 {
					allocate()
				}
			}); n > tc.unit/2 {
				t.Errorf("counted %d of what ran beside", n)
			}
		})
	}
}
