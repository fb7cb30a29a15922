package kerberos

import (
	"context"
	"errors"
	"sync"

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
	cancel  context.CancelFunc
	done    chan struct{}
	value   T
	err     error
}

// do runs work, or joins the run under the same key. work gets the values of
// the first caller's context, but not its end.
func (f *flights[T]) do(ctx context.Context, key string, work func(context.Context) (T, error)) (T, error) {
	f.mu.Lock()
	c := f.calls[key]
	if c == nil {
		runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		c = &flight[T]{cancel: cancel, done: make(chan struct{})}
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

	select {
	case <-c.done:
		return c.value, c.err
	case <-ctx.Done():
	}
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
	return zero, context.Cause(ctx)
}

func (f *flights[T]) forget(key string, c *flight[T]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls[key] == c {
		delete(f.calls, key)
	}
}
