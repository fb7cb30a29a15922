package gssapi

import (
	"context"
	"runtime"

	"github.com/kerbchain/kerbchain/internal/ended"
	"github.com/kerbchain/kerbchain/internal/panics"
)

// threads bounds how many calls run at once. A call in C takes a thread of the system
// while it lasts.
type threads chan struct{}

// beside runs work, which calls C, beside the caller, who does not wait longer than
// ctx lasts. Where nobody waits any more, what work returned is given to drop.
//
// The goroutine keeps its thread, since the texts of errors are kept for each thread.
func beside[T any](ctx context.Context, t threads, work func() T, drop func(T)) (result T, err error) {
	if err := t.enter(ctx); err != nil {
		return result, err
	}
	return entered(ctx, t, work, drop)
}

// enter waits until another call may begin.
func (t threads) enter(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	default:
	}
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ended.Because(ctx, "waiting for one of many calls into the GSS-API library to end", nil)
	}
}

// entered is beside for a caller that has entered; it leaves when work ends.
func entered[T any](ctx context.Context, t threads, work func() T, drop func(T)) (result T, err error) {
	type outcome struct {
		result T
		panic  error
	}
	done, gone := make(chan outcome), make(chan struct{})
	go func() {
		defer func() { <-t }()
		var o outcome
		func() {
			defer panics.Into(&o.panic)
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			o.result = work()
		}()
		select {
		case done <- o:
		case <-gone:
			if o.panic == nil {
				drop(o.result)
			}
		}
	}()
	select {
	case o := <-done:
		return o.result, o.panic
	case <-ctx.Done():
		close(gone)
		return result, ended.Because(ctx, "waiting for the GSS-API library", nil)
	}
}
