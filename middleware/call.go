package middleware

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"weak"
)

// A Call is one request on its way through one stage. It tells which security context
// counts for the response: one that signed a request within this call, or one that
// had signed the request when it came in, had verified nothing by then, and is not in
// use by another call. All others belong to another response: a request may be made
// with an earlier response's context, and a transport that caches responses may name
// an older request than the one that was sent.
//
// A Call is for the goroutine that runs the stage. The zero Call belongs to no
// request, and has no context.
type Call struct {
	mark          *mark
	origin, proxy came
}

// came is a context that the request of a call came with, zero for none that counts.
type came struct {
	slot   *slot
	held   *SecurityContext // what the slot held then
	before *mark            // of the call that had taken it
	signed bool             // the request bore its token
}

// Begin opens a call. It returns a shallow copy of r to pass down, and the call. r is
// not changed. [Call.End] must follow.
//
// A context of r that has already verified a response is not in the copy, and
// [Trusted] is false for the copy until a stage trusts the response within the call.
func Begin(r *http.Request) (*http.Request, Call) {
	if !bodiless(r) {
		m := new(mark)
		c := m.begin(r, markOf(r.Context()))
		return r.WithContext(m), c
	}
	outer := markOf(r.Context())
	one := outer.memory()
	c := one.begin(r, outer)
	one.request = *r.WithContext(&one.mark)
	return &one.request, c
}

// A piece is the mark of a call and its request, in one piece of memory.
type piece struct {
	mark
	request http.Request
}

// A room is memory for calls within another, as stages that follow on one another open
// them. No two calls share a piece, and none is used twice.
type room struct {
	used   atomic.Int32
	pieces [3]piece
}

// memory returns a piece for a call within that of m, which is nil where there is none.
func (m *mark) memory() *piece {
	if m == nil {
		return new(piece)
	}
	if m.room != nil {
		if i := m.room.used.Load(); int(i) < len(m.room.pieces) && m.room.used.CompareAndSwap(i, i+1) {
			p := &m.room.pieces[i]
			p.room = m.room
			return p
		}
	}
	r := new(room)
	r.used.Store(1)
	r.pieces[0].room = r
	return &r.pieces[0]
}

// begin makes m the mark of a call within outer's, which is nil where there is none.
func (m *mark) begin(r *http.Request, outer *mark) Call {
	m.Context = r.Context()
	m.outer = outer
	c := Call{mark: m}
	c.origin, m.origin = m.take(slotOf(r, originKey{}), r.Header["Authorization"])
	c.proxy, m.proxy = m.take(slotOf(r, proxyKey{}), r.Header["Proxy-Authorization"])
	return c
}

// take takes hold of the context that a request came with. It returns what the
// call knows of it, and whether those below are to see none.
func (m *mark) take(s *slot, fields []string) (c came, hide bool) {
	if s == nil {
		return came{}, false
	}
	before := s.taken.Load()
	if before != nil && !m.within(before) || !s.taken.CompareAndSwap(before, m) {
		return came{}, false // another call, which is not around this one, has it
	}
	// Looked at only once it is ours: another call may have verified it before.
	held := s.sc.Load()
	if held != nil && (*held).Verified() {
		s.taken.CompareAndSwap(m, before)
		return came{}, true
	}
	return came{s, held, before, held != nil && bears(fields, (*held).Target().Scheme)}, false
}

// bears reports whether a request with such header fields is signed in a scheme.
func bears(fields []string, s Scheme) bool {
	if s == "" {
		s = Negotiate
	}
	for _, f := range fields {
		if n := len(s); len(f) > n && f[n] == ' ' && strings.EqualFold(f[:n], string(s)) {
			return true
		}
	}
	return false
}

// End closes the call; resp is its response, nil after an error. It may replace
// resp.Request by a copy, which carries only a context that counts for resp, and for
// which [Trusted] is true only if a stage trusted resp within the call. So an
// application that asks [SecurityOf] never learns of another response, whatever
// request the transport named. The other methods can still be used.
func (c Call) End(resp *http.Response) {
	if c.mark == nil {
		return
	}
	defer c.mark.over.Store(true)
	if resp != nil && resp.Request != nil {
		c.settle(resp)
	}
	for _, came := range []came{c.origin, c.proxy} {
		if came.slot != nil {
			came.slot.taken.CompareAndSwap(c.mark, came.before)
		}
	}
}

// Over returns a function that reports whether c and every call around it have ended,
// so that all stages have judged the response. It does not keep the request alive.
func (c Call) Over() func() bool {
	m := c.mark
	for m != nil && m.outer != nil && !m.outer.over.Load() { // not an earlier response's
		m = m.outer
	}
	outermost := weak.Make(m)
	return func() bool {
		m := outermost.Value()
		return m == nil || m.over.Load()
	}
}

// settle hides what resp.Request carries and does not count for resp.
func (c Call) settle(resp *http.Response) {
	r := resp.Request
	origin, proxy := slotOf(r, originKey{}), slotOf(r, proxyKey{})
	trust, marked := trustOf(r)
	trusted := c.Trusted(resp)
	hideOrigin := origin.load() != nil && !c.counts(origin, c.origin)
	hideProxy := proxy.load() != nil && !c.counts(proxy, c.proxy)
	if !hideOrigin && !hideProxy && marked == trusted {
		return
	}
	out := &mark{Context: r.Context(), outer: c.mark.outer, origin: hideOrigin, proxy: hideProxy}
	var ctx context.Context = out
	if trusted {
		trust.at = out
		ctx = context.WithValue(out, trustKey{}, trust)
	}
	resp.Request = r.WithContext(ctx)
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

func (c Call) find(resp *http.Response, key any, came came) SecurityContext {
	if resp == nil || resp.Request == nil {
		return nil
	}
	if s := slotOf(resp.Request, key); s != nil && c.counts(s, came) {
		return s.load()
	}
	return nil
}

// counts reports whether the context in s counts for the response. One that came with
// the request and was replaced since signed it on its connection.
func (c Call) counts(s *slot, came came) bool {
	if s == came.slot {
		return came.signed || s.sc.Load() != came.held
	}
	return s.mark.within(c.mark)
}

// A mark is what a call puts into the request's context. It is a context itself,
// to save one more.
type mark struct {
	context.Context
	outer         *mark // of the call around this one
	room          *room // for calls within this one; nil where there is none yet
	over          atomic.Bool
	origin, proxy bool // whether contexts of that side are hidden
	none          slot // what is found in their place
}

type markKey struct{}

func (m *mark) Value(key any) any {
	switch key.(type) {
	case markKey:
		return m
	case originKey:
		if m.origin {
			return &m.none
		}
	case proxyKey:
		if m.proxy {
			return &m.none
		}
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
