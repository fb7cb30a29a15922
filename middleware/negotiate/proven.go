package negotiate

import (
	"net"
	"net/http"

	"github.com/kerbchain/kerbchain/internal/connmark"
	"github.com/kerbchain/kerbchain/internal/leg"
	"github.com/kerbchain/kerbchain/middleware"
)

// proven remembers over which connections of HTTP/1.1 signed requests went, and
// what signed the last on each. A server may authenticate the connection rather
// than the request, and then answers the next one as that user's and without a
// token, which nobody can verify. So what follows on a connection whose context
// did verify its response is signed at once: a server that authenticates requests
// saves us its challenge, and one that authenticates connections proves itself
// again.
type proven struct {
	table connmark.Table[signedFor]
}

// signedFor is an origin and the context that signed for it.
type signedFor struct {
	origin string
	sc     middleware.SecurityContext
}

// remember takes note of the tokens that went over conn with a request that resp
// answers.
func (p *proven) remember(conn net.Conn, tokens []leg.Token, resp *http.Response) {
	if conn == nil || resp.ProtoMajor != 1 {
		return // connections of HTTP/2 are shared, and never authenticated
	}
	for _, t := range tokens {
		target := t.Context.Target()
		if id, ok := connmark.Of(conn); ok && t.Bytes != nil && !target.Proxy {
			p.table.Put(id, signedFor{target.Origin(), t.Context})
		}
	}
}

// proved reports whether the server at an origin proved itself on conn, and with
// which scheme.
func (p *proven) proved(conn net.Conn, origin string) (middleware.Scheme, bool) {
	id, ok := connmark.Of(conn)
	if !ok {
		return "", false
	}
	last, ok := p.table.Get(id)
	if !ok || last.origin != origin || !last.sc.Verified() {
		return "", false
	}
	return last.sc.Target().Scheme, true
}

// unlessProven returns the token of a request that goes unsigned, unless the
// connection that it gets is one on which the server proved itself. Before that is
// known nothing can be said, not even of a first call: it may be given the connection
// of another.
func (c *call) unlessProven() leg.Token {
	target := middleware.TargetFor(c.r)
	origin := target.Origin()
	return c.signer.LaterIf(target, func(conn net.Conn) (middleware.Target, bool) {
		scheme, ok := c.proven.proved(conn, origin)
		target.Scheme = scheme
		return target, ok
	})
}
