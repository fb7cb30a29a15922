package sign

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/kerbchain/kerbchain/middleware"
)

// Later returns a token for t that is made once the connection that will carry it is
// known, as for required channel bindings. A transport that does not report
// connections gets the request unsigned.
func (s Signer) Later(t middleware.Target) Token { return Token{pending: &pending{target: t}} }

// LaterIf returns a token that is made once the connection is known, if when returns
// true, and for the target that it returns. Otherwise, or if no token can be made or
// the transport does not report connections, the request is sent unsigned. when is
// called with each connection, before anything is written to it, until it returns
// true: a request that was signed for one connection is signed for the next one too,
// if possible.
func (s Signer) LaterIf(t middleware.Target, when func(net.Conn) (middleware.Target, bool)) Token {
	return Token{pending: &pending{target: t, when: when}}
}

// A Known is what is known of a transport: whether it reports a connection before it
// writes to it, and writes what is put into the header then, as [http.Transport] does
// if no stage copies the header. It is safe for concurrent use.
type Known struct{ tells atomic.Bool }

// Tells says that it does.
func (k *Known) Tells() { k.tells.Store(true) }

func (k *Known) learn(t middleware.Target, tells bool) {
	if k != nil && bindable(t) {
		k.tells.Store(tells)
	}
}

// heed finds out which tokens were sent with the request of resp: those that Send was
// given or those that were made on the connection. If a stage further in copied the
// header before there was a connection, the first ones were.
func (x *exchange) heed(resp *http.Response) {
	var header http.Header
	if resp.Request != nil {
		header = resp.Request.Header
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, t := range x.tokens {
		fresh, sent := t.state == made, header.Get(t.field())
		x.signer.Known.learn(t.given.Target(), fresh && sent == t.value())
		if fresh && t.given.pending == nil && sent == t.given.value() {
			middleware.ReplaceSecurity(x.sent, t.given.Context)
		}
	}
}

// Surely is First for a token that is made once the connection is known, if the
// transport is known to report it; else it is made at once, and over https a second
// time for the connection. Errors that need no connection are returned at once.
func (s Signer) Surely(ctx context.Context, t middleware.Target) (Token, error) {
	if s.Known == nil || !s.Known.tells.Load() || !bindable(t) {
		return s.First(ctx, t)
	}
	if _, err := s.initiate(ctx, t); err != nil {
		return Token{}, err
	}
	return Token{pending: &pending{target: t, sure: true}}, nil
}

// Sure reports whether r is the request of an attempt whose token for the origin server is
// made by [Signer.Surely], and so will bear one.
func Sure(r *http.Request) bool {
	x := exchangeOf(r)
	return x != nil && !x.over.Load() && x.sure
}

// pending is what is known of a token that is still to be made.
type pending struct {
	target middleware.Target
	when   func(net.Conn) (middleware.Target, bool) // nil: in any case
	sure   bool                                     // the transport is known to tell
}
