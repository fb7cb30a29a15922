package sign

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

type exchangeKey struct{}

// An exchange is an attempt on its way, and the context of what is sent.
type exchange struct {
	stage.Traced
	signer  Signer
	ctx     context.Context // of the caller's request
	number  int
	sent    *http.Request
	cancel  context.CancelCauseFunc // ends the context of sent
	sending func(net.Conn, Token)   // nil for nobody
	outer   *exchange               // of the attempt that this one is part of
	sure    bool                    // the request will bear a token for its origin server
	over    atomic.Bool             // Send has returned

	mu     sync.Mutex
	tokens []sideToken  // at most one for each side
	room   [2]sideToken // for tokens
	taken  bool         // sent was given to a connection
	hop    string       // host:port that the transport goes to first; empty if it does not tell
	passed bool         // a proxy there would pass tokens on to another host: those that may be left out are
	landed bool
	err    error

	// Whose connections the request gets: a token that is made on one of them is
	// that user's, or is not sent. Unless told, nobody minds.
	told          bool
	origin, proxy string
}

// A sideToken is the token for one side of an attempt on its way: the one that its request
// bears now, if that is made, and the one that Send was given.
type sideToken struct {
	Token
	given Token
	state tokenState
}

type tokenState uint8

const (
	asGiven  tokenState = iota
	made                // on a connection
	takenOff            // again, for another connection
)

// Value returns x to those further in, beside what the contexts around it hold.
func (x *exchange) Value(key any) any {
	if key == (exchangeKey{}) {
		return x
	}
	return x.Traced.Value(key)
}

// Format keeps the tokens of x from whoever prints a request's context.
func (x *exchange) Format(f fmt.State, _ rune) { io.WriteString(f, "[attempt]") }

// land ends the watch over connections. It returns why signing anew failed, if it did.
func (x *exchange) land() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.landed = true
	return x.err
}

// end is called when Send returns. The request, and its body, are not to be kept by
// those who make another one of the response's.
func (x *exchange) end() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.over.Store(true)
	x.landed, x.sent, x.tokens, x.sending = true, nil, nil, nil
	x.room = [2]sideToken{}
}

// exchangeOf returns the innermost exchange that r was made of, nil if there is none.
func exchangeOf(r *http.Request) *exchange {
	x, _ := r.Context().Value(exchangeKey{}).(*exchange)
	return x
}

// around returns the exchange that an attempt of r is part of. Those that are over are of
// earlier requests, of whose context r was made.
func around(r *http.Request) *exchange {
	x := exchangeOf(r)
	for x != nil && x.over.Load() {
		x = x.outer
	}
	return x
}

// Within reports whether r is part of an attempt under way.
func Within(r *http.Request) bool { return around(r) != nil }

// carried reports whether r was made of what x sent.
func (x *exchange) carried(r *http.Request) bool {
	g := exchangeOf(r)
	for g != nil && g != x {
		g = g.outer
	}
	return g != nil
}

func (x *exchange) emit(again bool) {
	if !middleware.Tracing(x.ctx) {
		return
	}
	middleware.Emit(x.ctx, middleware.SendEvent{
		Stage:   x.signer.Stage,
		Host:    x.tokens[0].Target().HostPort(),
		Request: x.number,
		Again:   again,
	})
}
