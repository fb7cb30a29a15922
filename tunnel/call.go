package tunnel

import (
	"context"
	"errors"
	"net/url"
	"sync"
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

	mu       sync.Mutex
	connects int // sent so far
	tries    int
	done     bool
	// signed are the contexts of CONNECTs whose answer has not come, by the
	// header that only the one of them bears.
	signed map[string]middleware.SecurityContext
	// forbidden is why the proxy gets no token, where that is so.
	forbidden error
	discarded bool // a ticket was fetched anew
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

// end is called when nobody waits any more.
func (c *call) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done = true
}

// again reports whether err asks for one more try, and counts it.
func (c *call) again(err error) bool {
	var refused *ConnectError
	if !errors.As(err, &refused) || !refused.again || c.ctx.Err() != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
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

// sign notes a CONNECT, and by whom it was signed if it was.
func (c *call) sign(value string, sc middleware.SecurityContext) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.connects++
	if sc == nil {
		return
	}
	if c.signed == nil {
		c.signed = make(map[string]middleware.SecurityContext)
	}
	c.signed[value] = sc
}

// take returns who signed the CONNECT with that header, once.
func (c *call) take(value string) middleware.SecurityContext {
	c.mu.Lock()
	defer c.mu.Unlock()
	sc := c.signed[value]
	delete(c.signed, value)
	return sc
}

func (c *call) forbid(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forbidden = err
}

func (c *call) isForbidden() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.forbidden
}

// discard drops the ticket of a context, once a call.
func (c *call) discard(sc middleware.SecurityContext) bool {
	d, ok := sc.(middleware.Discarder)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !ok || c.discarded {
		return false
	}
	c.discarded = true
	return d.Discard()
}

// sent returns how many CONNECTs there were.
func (c *call) sent() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.connects
}

// emit reports an event as long as somebody waits for the connection.
func (c *call) emit(e middleware.Event) {
	c.mu.Lock()
	done := c.done
	c.mu.Unlock()
	if !done {
		middleware.Emit(c.ctx, e)
	}
}
