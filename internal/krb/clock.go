package krb

import (
	"slices"
	"sync"
	"time"
)

// clock gives authenticators times of which no two are alike. A replayed AP-REP
// is told from a fresh one by the authenticator's time alone, and acceptors
// refuse the second of two equal ones, so one clock serves the whole process.
//
// It remembers the last time given out per minute of the caller's clock rather
// than one for all, since callers may run on clocks of their own that are apart.
type clock struct {
	mu    sync.Mutex
	last  map[int64]int64 // minute: microseconds
	order []int64         // minutes, longest unused first
}

// clockMinutes is how many minutes are remembered, over all callers' clocks.
const clockMinutes = 4096

var authenticators clock

// UniqueTime returns now in whole seconds and microseconds, moved forward as
// far as needed for the pair never to have been returned before in this
// process. It is safe for concurrent use.
func UniqueTime(now time.Time) (ctime time.Time, cusec int) {
	us := authenticators.next(now.UnixMicro())
	t := time.UnixMicro(us).UTC()
	return t.Truncate(time.Second), t.Nanosecond() / 1000
}

func (c *clock) next(us int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil {
		c.last = make(map[int64]int64)
	}
	const minute = int64(time.Minute / time.Microsecond)
	for {
		m := us / minute
		last, seen := c.last[m]
		if seen && us <= last {
			us = last + 1
			if us/minute != m {
				continue
			}
		}
		switch n := len(c.order); {
		case seen && c.order[n-1] != m: // another clock ran in between
			i := n - 2
			for c.order[i] != m {
				i--
			}
			c.order = append(slices.Delete(c.order, i, i+1), m)
		case !seen:
			if n == clockMinutes {
				delete(c.last, c.order[0])
				c.order = slices.Delete(c.order, 0, 1)
			}
			c.order = append(c.order, m)
		}
		c.last[m] = us
		return us
	}
}
