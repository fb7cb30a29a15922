package fakekdc

import (
	"sync/atomic"
	"time"
)

// A Clock is the real time moved by an offset, so that a test can age tickets
// or put two clocks apart without waiting. The zero value shows the real time.
// It is safe for concurrent use.
type Clock struct{ offset atomic.Int64 }

// Now returns the clock's time. Give it to [WithClock].
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }

// Advance moves the clock by d, back if d is negative.
func (c *Clock) Advance(d time.Duration) { c.offset.Add(int64(d)) }
