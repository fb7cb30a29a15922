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
	// lookTime bounds one look, and how long others wait for it. Meanwhile the result of
	// the last look counts.
	lookTime = 250 * time.Millisecond
	// lookPause is how long nobody looks after a look that took too long, as at the cache
	// of a daemon that hangs.
	lookPause = 30 * time.Second
)

// A look is an action that one of several callers carries out once in a while, and whose
// result the others wait for. The zero look is due.
type look struct {
	next atomic.Int64 // when the next one is due, in ns of the local clock
	last atomic.Int64 // when the last one ended, since clocks may be set back

	mu      sync.Mutex
	running chan struct{} // closed at the end of a look; nil if nobody looks
}

// due calls see if it is time to. clock is the local clock, and now a recent reading of
// it.
func (l *look) due(ctx context.Context, now time.Time, clock func() time.Time, see func(context.Context)) {
	if !l.fresh(now) {
		l.slowly(ctx, clock, see)
	}
}

// fresh reports whether the last look was within the interval.
func (l *look) fresh(now time.Time) bool {
	n := now.UnixNano()
	return n < l.next.Load() && n >= l.last.Load()
}

func (l *look) slowly(ctx context.Context, clock func() time.Time, see func(context.Context)) {
	l.mu.Lock()
	if running := l.running; running != nil {
		l.mu.Unlock()
		late := time.NewTimer(lookTime)
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
	defer func() {
		pause := interval
		if bounded.Err() != nil {
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
	see(bounded)
}
