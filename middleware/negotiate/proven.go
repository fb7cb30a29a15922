package negotiate

import (
	"net"

	"github.com/kerbchain/kerbchain/internal/sign"
	stages "github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

// proven remembers over which connections of HTTP/1.1 signed requests went, and
// what signed the last on each. A server may authenticate the connection rather
// than the request, and then answers the next one as that user's and without a
// token, which nobody can verify. So what follows on a connection whose context
// did verify its response is signed at once: a server that authenticates requests
// saves us its challenge, and one that authenticates connections proves itself
// again.
type proven struct{ table stages.Marks[signedFor] }

// signedFor is an origin and the context that signed for it.
type signedFor struct {
	origin string
	sc     middleware.SecurityContext
	// judged reports whether it is known if the server proved itself. When an answer
	// has no body, another request may get the connection before that.
	judged func() bool
}

// sending takes note of a token that goes over conn.
func (c *call) sending(conn net.Conn, t sign.Token) {
	target := t.Target()
	id, ok := stages.ConnIDOf(conn)
	// Connections of HTTP/2 are never authenticated. One without TLS does not tell what it
	// is, and the challenge that came over it does.
	if !ok || t.Bytes == nil || target.Proxy || stages.Shared(conn) || c.proto > 1 && !c.http1 {
		return
	}
	c.proven.table.Put(id, signedFor{target.Origin(), t.Context, c.Over()})
}

// proved reports whether the server at an origin proved itself on conn, or may be
// about to, and with which scheme.
func (p *proven) proved(conn net.Conn, origin string) (middleware.Scheme, bool) {
	id, ok := stages.ConnIDOf(conn)
	if !ok {
		return "", false
	}
	last, ok := p.table.Get(id)
	if !ok || last.origin != origin || last.judged() && !last.sc.Verified() {
		return "", false
	}
	return last.sc.Target().Scheme, true
}

// unlessProven returns the token of a request that goes unsigned, unless the
// connection that it gets is one on which the server proved itself. That is decided when
// the connection is known: even a first call may get one of another's.
func (c *call) unlessProven() sign.Token {
	target := middleware.TargetOf(c.r)
	origin := target.Origin()
	return c.signer.LaterIf(target, func(conn net.Conn) (middleware.Target, bool) {
		scheme, ok := c.proven.proved(conn, origin)
		target.Scheme = scheme
		return target, ok
	})
}
