package system

import (
	"context"
	"fmt"
	"runtime"

	"github.com/kerbchain/kerbchain/internal/ended"
	"github.com/kerbchain/kerbchain/internal/panics"
)

// Calls bounds how many calls into a library run at once. They cannot be interrupted, and
// each takes a thread of the system while it lasts.
type Calls struct {
	running chan struct{}
	into    string
}

// NewCalls returns a bound of n calls into a library, which errors name so.
func NewCalls(n int, into string) Calls { return Calls{make(chan struct{}, n), into} }

// defaultCalls is how many calls into a library run at once where no option says.
const defaultCalls = 64

// CallsOf returns the bound that the option of that name says.
func CallsOf(n int, into string) (calls Calls, err error) {
	if n < 0 {
		return calls, fmt.Errorf("%d calls at once: want one or more, or 0 for %d", n, defaultCalls)
	}
	if n == 0 {
		n = defaultCalls
	}
	return NewCalls(n, into), nil
}

// Run runs work beside the caller, who does not wait longer than ctx lasts. Where
// nobody waits any more, what work returned is given to drop.
//
// The goroutine keeps its thread, since libraries keep the texts of errors for each
// thread.
func Run[T any](ctx context.Context, c Calls, work func() T, drop func(T)) (result T, err error) {
	if err := c.Enter(ctx); err != nil {
		return result, err
	}
	return entered(ctx, c, work, drop)
}

// Enter waits until another call may begin.
func (c Calls) Enter(ctx context.Context) error {
	select {
	case c.running <- struct{}{}:
		return nil
	default:
	}
	select {
	case c.running <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ended.Because(ctx, "waiting for one of many calls into "+c.into+" to end", nil)
	}
}

// entered is [Run] for a caller that has entered; it leaves when work ends.
func entered[T any](ctx context.Context, c Calls, work func() T, drop func(T)) (result T, err error) {
	type outcome struct {
		result T
		panic  error
	}
	done, gone := make(chan outcome), make(chan struct{})
	go func() {
		defer func() { <-c.running }()
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
		return result, ended.Because(ctx, "waiting for "+c.into, nil)
	}
}
