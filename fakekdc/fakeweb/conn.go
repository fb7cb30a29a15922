package fakeweb

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"sync"

	"github.com/kerbchain/kerbchain/fakekdc"
)

// A conn is what services know of one connection.
type conn struct {
	number int
	cert   *x509.Certificate // of the server; nil if not known
	net    net.Conn          // nil if not known

	mu     sync.Mutex
	states map[*Handler]*connState
}

// A connState is what one service keeps of one connection.
type connState struct {
	session *session // of a connection that authenticated itself
	pending *pending
	kept    any // by what Next is
}

// pending is a security context between two legs.
type pending struct {
	sc    *fakekdc.SecurityContext // nil until the client's token has come
	mechs []byte                   // DER of MechTypeList, which MICs cover
	mic   bool                     // a mechListMIC is wanted
	early []byte                   // the client's, when it came with its token
}

type connKey struct{}

// ConnContext goes into [http.Server.ConnContext] of servers that are not made
// by this package, so that a [Handler] can tell connections apart. Without it
// they are told by their remote address.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, &conn{net: c})
}

// maxStrange bounds the connections that are told by their address.
const maxStrange = 1024

func (h *Handler) connOf(r *http.Request) *conn {
	if c, ok := r.Context().Value(connKey{}).(*conn); ok {
		return c
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.strange[r.RemoteAddr]
	if c == nil {
		c = &conn{}
		if h.strange == nil || len(h.strange) >= maxStrange {
			h.strange = make(map[string]*conn)
		}
		h.strange[r.RemoteAddr] = c
	}
	return c
}

// take returns the context that waits for another leg, and forgets it.
func (c *conn) take(h *Handler) *pending {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.state(h)
	p := s.pending
	s.pending = nil
	return p
}

func (c *conn) wait(h *Handler, p *pending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state(h).pending = p
}

func (c *conn) load(h *Handler) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state(h).kept
}

func (c *conn) store(h *Handler, v any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state(h).kept = v
}

// hangUp closes the connection of a request without an answer.
func (c *conn) hangUp() {
	if c.net != nil { // net/http would end a stream of HTTP/2 alone
		c.net.Close()
	}
	panic(http.ErrAbortHandler) // net/http closes the connection and logs nothing
}

// forget makes the connection one that nobody authenticated.
func (c *conn) forget(h *Handler) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*c.state(h) = connState{}
}

func (c *conn) state(h *Handler) *connState {
	s := c.states[h]
	if s == nil {
		s = &connState{}
		if c.states == nil {
			c.states = make(map[*Handler]*connState)
		}
		c.states[h] = s
	}
	return s
}

// endPointCert returns the certificate that channel bindings are about.
func (h *Handler) endPointCert(r *http.Request, c *conn) *x509.Certificate {
	switch {
	case r.TLS == nil:
		return nil
	case h.opts.Certificate != nil:
		return h.opts.Certificate
	}
	return c.cert
}
