// Package flight lets many callers wait for one piece of work. Unlike
// golang.org/x/sync/singleflight it has contexts: a caller leaves when its own ends, and
// the work is cancelled when the last has left.
package flight

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/kerbchain/kerbchain/internal/panics"
)

// errExited is what remains of work that ended its goroutine (runtime.Goexit).
var errExited = errors.New("the goroutine of the work ended before the work did")

// A Group is work under keys. The zero Group is ready; it is safe for concurrent use.
type Group[T any] struct {
	mu    sync.Mutex
	calls map[string]*call[T]
}

type call[T any] struct {
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

// Doing notes what the work is at until done is called, for those who give up on it:
// "reading credential cache FILE:/tmp/krb5cc_1000".
func Doing(ctx context.Context, what string) (done func()) {
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

// A GaveUpError is that of a caller whose context ended first.
type GaveUpError struct {
	Doing string // what the work was at, "" if nobody noted it
	Err   error  // the context's
}

// Unwrap returns the error of the context.
func (e *GaveUpError) Unwrap() error { return e.Err }

// Error says what the work was at.
func (e *GaveUpError) Error() string {
	if e.Doing == "" {
		return e.Err.Error()
	}
	return "gave up " + e.Doing + ": " + e.Err.Error()
}

// Do runs work, or joins the run under the same key. work gets the values of
// the first caller's context, but not its end. The error of a caller whose context
// ends first is a [*GaveUpError].
func (g *Group[T]) Do(ctx context.Context, key string, work func(context.Context) (T, error)) (T, error) {
	g.mu.Lock()
	c := g.calls[key]
	if c == nil {
		runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		c = &call[T]{at: new(waypoint), cancel: cancel, done: make(chan struct{})}
		runCtx = context.WithValue(runCtx, waypointKey{}, c.at)
		if g.calls == nil {
			g.calls = make(map[string]*call[T])
		}
		g.calls[key] = c
		go func() {
			defer cancel()
			defer close(c.done)
			defer g.forget(key, c)
			defer panics.Into(&c.err)
			c.err = errExited
			c.value, c.err = work(runCtx)
		}()
	}
	c.waiting++
	g.mu.Unlock()
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
	g.mu.Lock()
	c.waiting--
	last := c.waiting == 0
	if last && g.calls[key] == c {
		// Whoever comes now must not join work that is being cancelled.
		delete(g.calls, key)
	}
	g.mu.Unlock()
	if last {
		c.cancel()
	}
	var zero T
	return zero, &GaveUpError{at, context.Cause(ctx)}
}

func (g *Group[T]) forget(key string, c *call[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.calls[key] == c {
		delete(g.calls, key)
	}
}
