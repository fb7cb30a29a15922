package tunnel

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kerbchain/kerbchain/middleware"
)

// maxConnects bounds the tries of one call: without a token, with one, and with
// a fresh ticket or another scheme.
const maxConnects = 3

// tokenTimeout bounds how long one token may take, since the transport opens
// connections independently of the end of any request. It is what net/http allows for
// CONNECT itself.
const tokenTimeout = time.Minute

// A callKey finds the call of one transport. A ticket source may go through another one,
// with a context of ours.
type callKey struct{ t *Transport }

// A call is one request of the caller's while it waits for a connection. It is
// found again in the context that the hooks get: the transport opens the
// connection in another goroutine and may go on with it when the call has ended.
type call struct {
	ctx   context.Context // of the caller's request
	proxy *url.URL        // nil where the transport is to ask
	tries int             // counted by the goroutine of the request alone

	done      atomic.Bool           // nobody waits any more
	connects  atomic.Int64          // sent so far
	discarded atomic.Bool           // a ticket was fetched anew
	forbidden atomic.Pointer[error] // why the proxy gets no token, where that is so
	// signed are the contexts of CONNECTs whose answer has not come, by the
	// header that only the one of them bears.
	signed sync.Map
}

func newCall(ctx context.Context) *call { return &call{ctx: ctx, tries: 1} }

// within returns ctx with a call to be found in it.
func (t *Transport) within(ctx context.Context, c *call) context.Context {
	return context.WithValue(ctx, callKey{t}, c)
}

// callOf returns the call that a connection is opened for, nil if unknown.
func (t *Transport) callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{t}).(*call)
	return c
}

// again reports whether err asks for one more try, and counts it.
func (c *call) again(err error) bool {
	var refused *ConnectError
	if !errors.As(err, &refused) || !refused.again || c.ctx.Err() != nil {
		return false
	}
	c.tries++
	return c.tries <= maxConnects
}

// bound returns the context of one connection with an end: that of the
// caller's request, or after some time.
func (c *call) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	stop := context.AfterFunc(c.ctx, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// discard drops the ticket of a context, once a call.
func (c *call) discard(sc middleware.SecurityContext) bool {
	d, ok := sc.(middleware.Discarder)
	return ok && c.discarded.CompareAndSwap(false, true) && d.Discard()
}

// emit reports an event as long as somebody waits for the connection.
func (c *call) emit(e middleware.Event) {
	if !c.done.Load() {
		middleware.Emit(c.ctx, e)
	}
}
