package krb

import (
	"sync"
	"testing"
	"time"
)

type stamp struct {
	ctime time.Time
	cusec int
}

func (s stamp) time() time.Time { return s.ctime.Add(time.Duration(s.cusec) * time.Microsecond) }

func unique(now time.Time) stamp {
	ctime, cusec := UniqueTime(now)
	return stamp{ctime, cusec}
}

// notBefore fails when s is no legal authenticator time, or earlier than now.
func notBefore(t *testing.T, s stamp, now time.Time) {
	t.Helper()
	if s.ctime.Nanosecond() != 0 || s.ctime.Location() != time.UTC || s.cusec < 0 || s.cusec > 999999 {
		t.Fatalf("%v and %d microseconds", s.ctime, s.cusec)
	}
	if s.time().Before(now.Truncate(time.Microsecond)) {
		t.Fatalf("%v for the time %v", s.time(), now)
	}
}

func TestUniqueTimeOfAFrozenClock(t *testing.T) {
	now := time.Date(2031, 5, 6, 7, 8, 9, 123456789, time.FixedZone("", 7200))
	last := unique(now)
	notBefore(t, last, now)
	for range 10000 {
		s := unique(now)
		notBefore(t, s, now)
		if !s.time().After(last.time()) {
			t.Fatalf("%v after %v", s.time(), last.time())
		}
		last = s
	}
	if drift := last.time().Sub(now); drift > time.Second {
		t.Errorf("10001 stamps moved the clock by %v", drift)
	}
}

// A clock that goes back does not lead to a time given out before.
func TestUniqueTimeOfAClockSetBack(t *testing.T) {
	start := time.Date(2032, 1, 1, 0, 0, 0, 0, time.UTC)
	seen := map[stamp]bool{}
	for _, step := range []time.Duration{0, time.Minute, -time.Minute, 0, 30 * time.Second, time.Hour, 0, -time.Hour, time.Microsecond} {
		for range 100 {
			s := unique(start.Add(step))
			notBefore(t, s, start.Add(step))
			if seen[s] {
				t.Fatalf("%v twice", s.time())
			}
			seen[s] = true
		}
	}
}

func TestUniqueTimeOfTwoClocks(t *testing.T) {
	clocks := []time.Time{
		time.Date(2033, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2003, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(1969, 12, 31, 23, 59, 59, 999990000, time.UTC), // before Unix time
	}
	seen := map[stamp]bool{}
	for range 3000 {
		for _, now := range clocks {
			s := unique(now)
			notBefore(t, s, now)
			if seen[s] {
				t.Fatalf("%v twice", s.time())
			}
			if s.time().Sub(now) > time.Second {
				t.Fatalf("%v for a clock at %v: the clocks pull on one another", s.time(), now)
			}
			seen[s] = true
		}
	}
}

func TestUniqueTimeInParallel(t *testing.T) {
	const goroutines, each = 16, 5000
	now := time.Date(2034, 1, 1, 0, 0, 0, 0, time.UTC)
	got := make([][]stamp, goroutines)
	var wg sync.WaitGroup
	for i := range goroutines {
		wg.Go(func() {
			for range each {
				got[i] = append(got[i], unique(now))
			}
		})
	}
	wg.Wait()
	seen := make(map[stamp]bool, goroutines*each)
	for _, list := range got {
		for i, s := range list {
			notBefore(t, s, now)
			if i > 0 && !s.time().After(list[i-1].time()) {
				t.Fatalf("%v after %v", s.time(), list[i-1].time())
			}
			if seen[s] {
				t.Fatalf("%v twice", s.time())
			}
			seen[s] = true
		}
	}
	if len(seen) != goroutines*each {
		t.Errorf("%d stamps", len(seen))
	}
}

// A minute that is used up runs over into the next, which others have used too.
func TestUniqueTimeOverAMinutesEnd(t *testing.T) {
	for name, minute := range map[string]time.Time{
		"after Unix time":  time.Date(2035, 1, 1, 0, 0, 0, 0, time.UTC),
		"before Unix time": time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC),
		"around Unix time": time.Unix(0, 0).UTC(),
	} {
		t.Run(name, func(t *testing.T) {
			seen := map[stamp]bool{}
			take := func(now time.Time, n int) {
				t.Helper()
				for range n {
					s := unique(now)
					notBefore(t, s, now)
					if seen[s] {
						t.Fatalf("%v twice", s.time())
					}
					seen[s] = true
				}
			}
			take(minute, 50)                           // the second of two minutes
			take(minute.Add(-5*time.Microsecond), 100) // runs into it
			take(minute, 50)
			take(minute.Add(-time.Minute), 50)
			take(minute.Add(-time.Microsecond), 50)
		})
	}
}

// What is remembered is bounded, and what is in use is not forgotten.
func TestClockForgetsTheUnused(t *testing.T) {
	const minute = int64(time.Minute / time.Microsecond)
	var c clock
	frozen := 17 * minute
	seen := map[int64]bool{c.next(frozen): true}
	for i := range int64(3 * clockMinutes) {
		us := 1_000_000*minute + i*minute
		if got := c.next(us); got != us {
			t.Fatalf("minute %d: %d, want %d", i, got, us)
		}
		if got := c.next(us); got != us+1 {
			t.Fatalf("minute %d again: %d, want %d", i, got, us+1)
		}
		got := c.next(frozen)
		if seen[got] {
			t.Fatalf("after %d minutes the frozen clock gave %d twice", i, got)
		}
		seen[got] = true
		if len(c.last) > clockMinutes || len(c.order) != len(c.last) {
			t.Fatalf("%d minutes are remembered in an order of %d", len(c.last), len(c.order))
		}
	}
	if len(c.last) != clockMinutes {
		t.Errorf("%d minutes are remembered, want %d", len(c.last), clockMinutes)
	}
	for _, m := range c.order {
		if _, ok := c.last[m]; !ok {
			t.Errorf("minute %d is in the order alone", m)
		}
	}
}
