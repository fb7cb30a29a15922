package kerberos

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// interval is the least time between two looks at a cache.
	interval = time.Second
	// lookTime bounds one look, as at the cache of a daemon that hangs. A look at a file
	// takes as long as the system does.
	lookTime = 250 * time.Millisecond
	// lookWait is how long others wait for a look. After that the result of the last one
	// counts.
	lookWait = time.Second
	// lookPause is how long nobody looks after a look that saw nothing in its time.
	lookPause = 30 * time.Second
	// lookShare is how many times as long as a look took, at least, nobody looks again.
	lookShare = 4
)

// A look is an action that one of several callers carries out once in a while, and whose
// result the others wait for. The zero look is due.
type look struct {
	next atomic.Int64 // when the next one is due, in ns of the local clock
	last atomic.Int64 // when the last one ended, since clocks may be set back

	mu      sync.Mutex
	running chan struct{} // closed at the end of a look; nil if nobody looks
}

// due calls see, which reports whether it saw anything, if it is time to. clock is the
// local clock, and now a recent reading of it.
func (l *look) due(ctx context.Context, now time.Time, clock func() time.Time, see func(context.Context) bool) {
	if !l.fresh(now) {
		l.slowly(ctx, clock, see)
	}
}

// fresh reports whether the last look was within the interval.
func (l *look) fresh(now time.Time) bool {
	n := now.UnixNano()
	return n < l.next.Load() && n >= l.last.Load()
}

func (l *look) slowly(ctx context.Context, clock func() time.Time, see func(context.Context) bool) {
	l.mu.Lock()
	if running := l.running; running != nil {
		l.mu.Unlock()
		late := time.NewTimer(lookWait)
		defer late.Stop()
		select {
		case <-running:
		case <-late.C:
		case <-ctx.Done():
		}
		return
	}
	if l.fresh(clock()) {
		l.mu.Unlock()
		return
	}
	running := make(chan struct{})
	l.running = running
	l.mu.Unlock()

	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
	defer cancel()
	began, saw := time.Now(), false
	defer func() {
		pause := min(max(interval, lookShare*time.Since(began)), lookPause)
		if !saw && bounded.Err() != nil {
			pause = lookPause
		}
		end := clock()
		l.last.Store(end.UnixNano())
		l.next.Store(end.Add(pause).UnixNano())
		l.mu.Lock()
		l.running = nil
		l.mu.Unlock()
		close(running)
	}()
	saw = see(bounded)
}
