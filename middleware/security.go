package middleware

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
)

type (
	originKey struct{}
	proxyKey  struct{}
	// A slot is what the request's context holds. The transport may take
	// another connection after a request was signed, and the stage that signed
	// it then replaces the context within; readers may be other goroutines.
	slot struct {
		sc    atomic.Pointer[SecurityContext]
		first SecurityContext      // what sc points to before it is replaced
		mark  *mark                // of the innermost call in which it was made
		taken atomic.Pointer[mark] // of the innermost call under way that came with it
	}
)

func slotOf(r *http.Request, key any) *slot {
	if r == nil {
		return nil
	}
	s, _ := r.Context().Value(key).(*slot)
	return s
}

func (s *slot) load() SecurityContext {
	if s == nil {
		return nil
	}
	if p := s.sc.Load(); p != nil {
		return *p
	}
	return nil
}

// WithSecurity returns a shallow copy of r that carries sc, in place of any
// context that r carried for the same side (origin or proxy). r is not changed.
// Headers are shared with r: clone them before setting one.
func WithSecurity(r *http.Request, sc SecurityContext) *http.Request {
	c, out := carry(r, sc.Target().Proxy)
	c.first = sc
	c.sc.Store(&c.first)
	return out
}

// A carrier is a context that holds a security context.
type carrier struct {
	context.Context
	proxy bool // for which side
	slot
}

// carry returns an empty carrier and a copy of r with it.
func carry(r *http.Request, proxy bool) (*carrier, *http.Request) {
	if !bodiless(r) {
		c := &carrier{Context: r.Context(), proxy: proxy, slot: slot{mark: markOf(r.Context())}}
		return c, r.WithContext(c)
	}
	one := new(struct {
		carrier
		request http.Request
	})
	one.carrier.Context, one.proxy, one.mark = r.Context(), proxy, markOf(r.Context())
	one.request = *r.WithContext(&one.carrier)
	return &one.carrier, &one.request
}

// bodiless reports whether a context of r can be in one piece of memory with the copy
// of r that bears it. It lives as long as any context that is made of it, and would
// keep a body as long.
func bodiless(r *http.Request) bool {
	return (r.Body == nil || r.Body == http.NoBody) && r.GetBody == nil
}

func (c *carrier) Value(key any) any {
	switch key.(type) {
	case originKey:
		if !c.proxy {
			return &c.slot
		}
	case proxyKey:
		if c.proxy {
			return &c.slot
		}
	}
	return c.Context.Value(key)
}

// Format keeps what a security context holds from whoever prints a request's.
func (c *carrier) Format(f fmt.State, _ rune) { io.WriteString(f, "[security context]") }

// ReserveSecurity returns a shallow copy of r with an empty place for the context of
// its origin server, or of an HTTP proxy, which [ReplaceSecurity] fills. It is for
// stages that sign a request once the transport has taken a connection.
func ReserveSecurity(r *http.Request, proxy bool) *http.Request {
	_, out := carry(r, proxy)
	return out
}

// ReplaceSecurity replaces the context that r carries for the same side (origin or
// proxy). All who hold r or a response to it see the new one. It reports false if r
// carried none and had no place reserved. It is for stages that sign a request again
// when the transport takes another connection.
func ReplaceSecurity(r *http.Request, sc SecurityContext) bool {
	var key any = originKey{}
	if sc.Target().Proxy {
		key = proxyKey{}
	}
	s := slotOf(r, key)
	if s == nil {
		return false
	}
	s.sc.Store(&sc)
	return true
}

// SecurityOf returns the context that signed r for its origin server, nil when none
// did or r is nil. Given resp.Request it tells an application whether the server
// proved itself.
func SecurityOf(r *http.Request) SecurityContext { return slotOf(r, originKey{}).load() }

// ProxySecurityOf returns the context that signed r for an HTTP proxy, nil when
// none did or r is nil.
func ProxySecurityOf(r *http.Request) SecurityContext { return slotOf(r, proxyKey{}).load() }

// PrincipalOf returns the client principal that signed r for its origin server, "" if
// none did or the context does not tell. Given resp.Request it tells an application
// who it was to the server.
func PrincipalOf(r *http.Request) string {
	if sc, ok := SecurityOf(r).(Identified); ok {
		return sc.Principal()
	}
	return ""
}
