package doctor

import (
	"testing"
	"time"
)

// A Date of this very second is up to a second old.
func TestAheadByDate(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                        "has the time of this machine",
		-999 * time.Millisecond:  "has the time of this machine",
		-1499 * time.Millisecond: "has the time of this machine",
		-1500 * time.Millisecond: "is 2s behind this machine",
		400 * time.Millisecond:   "has the time of this machine",
		600 * time.Millisecond:   "is 1s ahead of this machine",
		-301 * time.Second:       "is 5m1s behind this machine",
	} {
		if got := aheadByDate(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
