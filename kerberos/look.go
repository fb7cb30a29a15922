package kerberos

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// interval is how often a cache is looked at, at most.
	interval = time.Second
	// lookTime bounds one look, and how long others wait for it: what was seen last
	// is used meanwhile.
	lookTime = 250 * time.Millisecond
	// lookPause is how long nobody looks after a look that took too long, as at the
	// cache of a daemon that hangs.
	lookPause = 30 * time.Second
)

// A look is what is done once in a while by one of those who ask, while the others
// wait for what comes of it. The zero look is due.
type look struct {
	next atomic.Int64 // when the next one is due, in nanoseconds of the local clock
	last atomic.Int64 // when the last one ended: clocks may be set back

	mu      sync.Mutex
	running chan struct{} // closed at its end; nil if nobody looks
}

// due has see done if it is time to. clock is the local clock, and now what it showed a
// moment ago.
func (l *look) due(ctx context.Context, now time.Time, clock func() time.Time, see func(context.Context)) {
	if !l.fresh(now) {
		l.slowly(ctx, clock, see)
	}
}

// fresh reports whether somebody looked just now.
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
