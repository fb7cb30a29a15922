package kerberos

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/kerbchain/kerbchain/internal/panics"
)

// errExited is what remains of work that ended its goroutine (runtime.Goexit).
var errExited = errors.New("the goroutine of the work ended before the work did")

// flights lets many callers wait for one piece of work. Unlike
// golang.org/x/sync/singleflight it has contexts: a caller leaves when its own
// ends, and the work is cancelled when the last has left.
type flights[T any] struct {
	mu    sync.Mutex
	calls map[string]*flight[T]
}

type flight[T any] struct {
	waiting int
	at      *waypoint
	cancel  context.CancelFunc
	done    chan struct{}
	value   T
	err     error
}

// A waypoint tells what a piece of work is at: something of its own, or another piece
// that it waits for.
type waypoint struct {
	doing  atomic.Pointer[string]
	behind atomic.Pointer[waypoint]
}

type waypointKey struct{}

// doing notes what the work is at until done is called, for those who give up on it:
// "reading credential cache FILE:/tmp/krb5cc_1000".
func doing(ctx context.Context, what string) (done func()) {
	at, ok := ctx.Value(waypointKey{}).(*waypoint)
	if !ok {
		return func() {}
	}
	at.doing.Store(&what)
	return func() { at.doing.Store(nil) }
}

// String returns what the work is at, "" if nobody noted it.
func (w *waypoint) String() string {
	for ; w != nil; w = w.behind.Load() {
		if what := w.doing.Load(); what != nil {
			return *what
		}
	}
	return ""
}

// A gaveUpError is that of a caller whose context ended first.
type gaveUpError struct {
	doing string // what the work was at, "" if nobody noted it
	err   error  // the context's
}

func (e *gaveUpError) Unwrap() error { return e.err }

func (e *gaveUpError) Error() string {
	if e.doing == "" {
		return e.err.Error()
	}
	return "gave up " + e.doing + ": " + e.err.Error()
}

// do runs work, or joins the run under the same key. work gets the values of
// the first caller's context, but not its end. The error of a caller whose context
// ends first is a [*gaveUpError].
func (f *flights[T]) do(ctx context.Context, key string, work func(context.Context) (T, error)) (T, error) {
	f.mu.Lock()
	c := f.calls[key]
	if c == nil {
		runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		c = &flight[T]{at: new(waypoint), cancel: cancel, done: make(chan struct{})}
		runCtx = context.WithValue(runCtx, waypointKey{}, c.at)
		if f.calls == nil {
			f.calls = make(map[string]*flight[T])
		}
		f.calls[key] = c
		go func() {
			defer cancel()
			defer close(c.done)
			defer f.forget(key, c)
			defer panics.Into(&c.err)
			c.err = errExited
			c.value, c.err = work(runCtx)
		}()
	}
	c.waiting++
	f.mu.Unlock()
	if outer, ok := ctx.Value(waypointKey{}).(*waypoint); ok {
		outer.behind.Store(c.at)
		defer outer.behind.Store(nil)
	}

	select {
	case <-c.done:
		return c.value, c.err
	case <-ctx.Done():
	}
	at := c.at.String() // before it is cancelled
	f.mu.Lock()
	c.waiting--
	last := c.waiting == 0
	if last && f.calls[key] == c {
		// Whoever comes now must not join work that is being cancelled.
		delete(f.calls, key)
	}
	f.mu.Unlock()
	if last {
		c.cancel()
	}
	var zero T
	return zero, &gaveUpError{at, context.Cause(ctx)}
}

func (f *flights[T]) forget(key string, c *flight[T]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls[key] == c {
		delete(f.calls, key)
	}
}
