// Package stage holds what several stages have to do alike.
package stage

import (
	"context"
	"fmt"
	"net/http"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/middleware"
)

// ForCallers returns next as callers know transports of net/http, for a stage that
// waits for more than the one below it:
//
//   - Request.Cancel ends what waits for the request's context;
//   - an error because of a deadline is a timeout by its own method, which is all
//     that [url.Error.Timeout] and os.IsTimeout look at.
func ForCallers(next kerbchain.Next) kerbchain.Next {
	return func(r *http.Request) (*http.Response, error) {
		resp, err := cancelable(next, r)
		return resp, timed(err)
	}
}

type lentKey struct{}

// errCancel is why the context of a request ends that is cancelled the old way.
var errCancel = fmt.Errorf("Request.Cancel was closed: %w", context.Canceled)

// cancelable sends r with a context that ends with its Cancel, too, until the
// response's body is closed.
func cancelable(next kerbchain.Next, r *http.Request) (*http.Response, error) {
	//lint:ignore SA1019 callers still set it, and http.Client does where it has a timeout
	ch := r.Cancel
	if ch == nil {
		return next(r)
	}
	ctx, end := context.WithCancelCause(r.Context())
	lent := &ctx
	ctx = context.WithValue(ctx, lentKey{}, lent)
	out := r.WithContext(ctx)
	//lint:ignore SA1019 see above
	out.Cancel = nil
	go func() {
		select {
		case <-ch:
			end(errCancel)
		case <-ctx.Done():
		}
	}()
	resp, err := next(out)
	if resp == nil || err != nil {
		end(nil)
		return resp, err
	}
	if resp.Request != nil {
		keep := r.Context()
		if resp.Request.Context().Value(lentKey{}) == lent {
			keep = Outlive(keep, resp.Request.Context())
		} // else the transport named a request of somebody else's
		named := resp.Request.WithContext(keep)
		//lint:ignore SA1019 see above
		named.Cancel = ch
		resp.Request = named
	}
	OnClose(resp, HasBody(r), func() { end(nil) })
	return resp, nil
}

// timed returns err as one that tells by itself that it is a timeout, if it wraps
// one that is.
func timed(err error) error {
	if err == nil || !middleware.IsTimeout(err) {
		return err
	}
	if _, ok := err.(interface{ Timeout() bool }); ok {
		return err
	}
	return timeout{err}
}

type timeout struct{ error }

func (t timeout) Unwrap() error { return t.error }
func (timeout) Timeout() bool   { return true }
