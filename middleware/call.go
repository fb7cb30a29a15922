package middleware

import (
	"context"
	"net/http"
)

// A Call is one request on its way through one stage. It tells which security
// context may speak for the response: one that signed a request within this very
// call, or that had signed the request when it came in and had verified nothing
// by then. All others verified another response: a request may be made of an
// earlier response's context, and a transport that keeps responses may name an
// older request than the one that was sent.
//
// A Call is for the goroutine that runs the stage. The zero Call belongs to no
// request, and knows of nothing.
type Call struct {
	mark *mark
	// Slots that the request came with, nil where there was none, or one whose
	// context had verified a response already.
	origin, proxy *slot
}

// Begin opens a call: it returns a shallow copy of r to pass down, and what tells
// later whose the response is. r is not changed.
//
// [Trusted] is false for the copy and for what is made of it, until a stage says
// otherwise within the call.
func Begin(r *http.Request) (*http.Request, Call) {
	ctx := r.Context()
	c := Call{
		mark:   &mark{Context: ctx, outer: markOf(ctx)},
		origin: slotOf(r, originKey{}).fresh(),
		proxy:  slotOf(r, proxyKey{}).fresh(),
	}
	return r.WithContext(c.mark), c
}

// Security returns the context that signed the request for its origin server, to
// which resp is the answer, nil if none did within the call.
func (c Call) Security(resp *http.Response) SecurityContext {
	return c.find(resp, originKey{}, c.origin)
}

// ProxySecurity is Security for an HTTP proxy.
func (c Call) ProxySecurity(resp *http.Response) SecurityContext {
	return c.find(resp, proxyKey{}, c.proxy)
}

func (c Call) find(resp *http.Response, key any, atHand *slot) SecurityContext {
	if resp == nil || resp.Request == nil {
		return nil
	}
	s := slotOf(resp.Request, key)
	if s == nil || s != atHand && !s.mark.within(c.mark) {
		return nil
	}
	return s.load()
}

// Trust marks resp as one that counts as verified although the context that
// signed its request verified nothing: the server proved who it is on the same
// connection before, in a response to another request, or a proxy that is trusted
// to speak for it proved itself. It is for the stage that verifies. resp.Request
// is replaced by a copy; it must not be nil.
func (c Call) Trust(resp *http.Response) {
	ctx := resp.Request.Context()
	resp.Request = resp.Request.WithContext(context.WithValue(ctx, trustKey{}, trust{by: c.mark, at: markOf(ctx)}))
}

// Trusted reports whether a stage marked resp within the call; see [Trusted].
func (c Call) Trusted(resp *http.Response) bool {
	if resp == nil {
		return false
	}
	t, ok := trustOf(resp.Request)
	return ok && t.by.within(c.mark)
}

// A mark is what a call puts into the request's context. It is a context itself,
// to save one more.
type mark struct {
	context.Context
	outer *mark // of the call around this one
}

type markKey struct{}

func (m *mark) Value(key any) any {
	if _, ok := key.(markKey); ok {
		return m
	}
	return m.Context.Value(key)
}

func markOf(ctx context.Context) *mark {
	m, _ := ctx.Value(markKey{}).(*mark)
	return m
}

// within reports whether m is the mark of that call, or of one inside it.
func (m *mark) within(call *mark) bool {
	for ; m != nil; m = m.outer {
		if m == call {
			return true
		}
	}
	return false
}
