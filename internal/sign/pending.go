package sign

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/kerbchain/kerbchain/middleware"
)

// Later returns a token for t that is made when the connection is known which
// will carry it, as required channel bindings demand. A transport that does not
// tell gets the request unsigned.
func (s Signer) Later(t middleware.Target) Token { return Token{Context: pending{target: t}} }

// LaterIf returns a token that is made when the connection is known, if when says
// so and for the target that it returns. If it does not, if no token can be had, or
// if the transport does not tell, the request goes unsigned. when is called with
// each connection in turn, before anything is written to it, until it says so: a
// request that was signed for one connection is signed for the next one too, if a
// token can be had for that.
func (s Signer) LaterIf(t middleware.Target, when func(net.Conn) (middleware.Target, bool)) Token {
	return Token{Context: pending{target: t, when: when}}
}

// A Known is what is known of a transport: whether it tells of a connection before it
// writes to it, and writes what is put into the header then, as [http.Transport] does
// with nothing in between that copies the header. It is safe for concurrent use.
type Known struct{ tells atomic.Bool }

// Tells says so beforehand.
func (k *Known) Tells() { k.tells.Store(true) }

func (k *Known) learn(t middleware.Target, tells bool) {
	if k != nil && surely(t) {
		k.tells.Store(tells)
	}
}

// heed looks which tokens were sent with the request that resp answers, those that Send
// was given or those that were made on the connection. A stage below may have
// copied the header before there was one; then it is the first that signed.
func (x *exchange) heed(resp *http.Response) {
	var header http.Header
	if resp.Request != nil {
		header = resp.Request.Header
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for i, t := range x.first {
		last, sent := x.tokens[i], header.Get(field(t))
		x.signer.Known.learn(t.Context.Target(), x.made[i] && sent == value(last))
		if x.made[i] && sent == value(t) {
			middleware.ReplaceSecurity(x.sent, t.Context)
		}
	}
}

// surely reports whether a token for t waits for its connection where it can.
func surely(t middleware.Target) bool { return t.Secure && !t.Proxy }

// Surely is First, for a token that is made when the connection is known which will
// carry it, if the transport is known to tell; else it is made at once, and over https
// a second time for the connection. What can fail beforehand fails now.
func (s Signer) Surely(ctx context.Context, t middleware.Target) (Token, error) {
	if s.Known == nil || !s.Known.tells.Load() || !surely(t) {
		return s.First(ctx, t)
	}
	if _, err := s.initiate(ctx, t); err != nil {
		return Token{}, err
	}
	return Token{Context: pending{target: t, sure: true}}, nil
}

// Sure reports whether r is the request of an attempt whose token for the origin server is
// made by [Signer.Surely], and so will bear one.
func Sure(r *http.Request) bool {
	x, ok := r.Context().Value(exchangeKey{}).(*exchange)
	return ok && !x.over.Load() && x.sure
}

// pending stands for the context of a token that is still to be made.
type pending struct {
	target middleware.Target
	when   func(net.Conn) (middleware.Target, bool) // nil: in any case
	sure   bool                                     // the transport is known to tell
}

func (p pending) Target() middleware.Target { return p.target }
func (p pending) Verified() bool            { return false }

func (p pending) Step(context.Context, []byte) ([]byte, error) {
	return nil, errors.New("the request was not signed, since its connection was never known")
}

func (t Token) pending() bool {
	_, ok := t.Context.(pending)
	return ok
}

func (t Token) surely() bool {
	p, _ := t.Context.(pending)
	return p.sure
}

// optional returns what decides on a token that may be left out, nil for others.
func (t Token) optional() func(net.Conn) (middleware.Target, bool) {
	p, _ := t.Context.(pending)
	return p.when
}
