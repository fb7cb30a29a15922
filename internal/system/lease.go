package system

import (
	"context"
	"errors"
	"sync"
)

// ErrReleased is the error of a call that came too late.
var ErrReleased = errors.New("the security context is no longer there")

// A Lease lends handles of a library to one call at a time. It outlives the context of
// the handles if a call still uses them: a release while they are in use takes effect
// when that call ends.
type Lease struct {
	free, settle func()

	mu       sync.Mutex
	busy     bool
	unwanted bool
}

// Init says how all handles are freed, which may happen more than once, and how those
// that an established context no longer needs are.
func (l *Lease) Init(free, settle func()) { l.free, l.settle = free, settle }

// Use lends the handles for one call. It is false if they are released, or if a call that
// nobody waits for still uses them.
func (l *Lease) Use() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy || l.unwanted {
		return false
	}
	l.busy = true
	return true
}

// Used ends the use.
func (l *Lease) Used() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy = false
	if l.unwanted {
		l.free()
	}
}

// Change changes the handles. The caller must have them in use.
func (l *Lease) Change(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

// Release frees all handles.
func (l *Lease) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unwanted = true
	if !l.busy {
		l.free()
	}
}

// Settle frees what an established context no longer needs.
func (l *Lease) Settle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.busy && !l.unwanted {
		l.settle()
	}
}

// Call makes a call that may block, beside the caller. If the caller does not wait for
// its end, the handles are released then. after runs once, when the call has ended or
// will never begin.
func Call[T any](ctx context.Context, l *Lease, calls Calls, work func() T, after func()) (result T, err error) {
	if !l.Use() {
		after()
		return result, ErrReleased
	}
	if err := calls.Enter(ctx); err != nil {
		l.Used()
		after()
		return result, err
	}
	return entered(ctx, calls, func() T {
		defer l.Used()
		defer after()
		return work()
	}, func(T) { l.Release() })
}
