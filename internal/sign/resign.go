package sign

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"sync/atomic"

	"golang.org/x/net/http/httpguts"

	"github.com/kerbchain/kerbchain/internal/hostname"
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
	conns  int          // connections that sent was given to
	hop    string       // host:port that the transport goes to first; empty if it does not tell
	passed bool         // a proxy there would pass a token on to another host: none that may be left out is made
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

// getConn is called with the address, host:port, that the transport goes to, in the
// goroutine that called it. If that is a proxy's and the scheme http, the proxy goes
// on to the host that the request line names, which must be the one that the token is
// for.
func (x *exchange) getConn(hop string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.landed || x.err != nil {
		return
	}
	x.hop, x.passed = hop, false
	for _, t := range x.tokens {
		target := t.Target()
		if target.Proxy || target.Secure || hostname.Same(hop, target.Host, target.Port) {
			continue
		}
		if asked, ok := passedOn(x.sent, target); !ok && t.optional() {
			x.passed = true
		} else if !ok {
			x.fail(&middleware.Error{
				Stage: x.signer.Stage, Kind: middleware.ErrHost, Host: target.HostPort(),
				Err:  fmt.Errorf("%s on the way would be asked for %q, and pass the token on to it", hop, asked),
				Hint: "leave Request.Host and URL.Opaque empty, or let them name the host of the URL",
			})
			return
		}
	}
}

// passedOn reports whether a proxy that gets r goes on to target, and whom the
// request names if not. Of a request with a host of its own net/http makes the
// request line of that, and in another way than of the URL where it is not ASCII.
func passedOn(r *http.Request, target middleware.Target) (asked string, ok bool) {
	same := func(host string) bool {
		got := middleware.TargetOfURL(&url.URL{Scheme: "http", Host: host})
		return hostname.WithoutZone(got.Host) == hostname.WithoutZone(target.Host) && got.Port == target.Port
	}
	host := cmp.Or(r.Host, r.URL.Host)
	if ascii, err := httpguts.PunycodeHostPort(host); err != nil || !same(ascii) {
		return host, false
	}
	if r.URL.Opaque == "" {
		return "", true
	}
	line := r.URL.RequestURI()
	u, err := url.Parse(line)
	return line, err == nil && (u.Host == "" || same(u.Host))
}

// strays reports whether a token is for a proxy that the transport does not go to.
func (x *exchange) strays(target middleware.Target) bool {
	return target.Proxy && x.hop != "" && !hostname.Same(x.hop, target.Host, target.Port)
}

// gotConn is called with the connection that sent is going to be written to,
// in the goroutine that called the transport and before anything is written.
// The transport has stopped reading the header for the connection before.
func (x *exchange) gotConn(info httptrace.GotConnInfo) {
	x.mu.Lock()
	defer x.mu.Unlock()
	// A trace is passed on with the context, and may see connections of other
	// requests once ours is done.
	if x.landed {
		return
	}
	if x.err != nil { // before there was a connection
		stage.Refuse(info.Conn)
		return
	}
	second := x.conns > 0
	x.conns++
	state := stateOf(info)
	changed, again := false, false
	for i := range x.tokens {
		t := &x.tokens[i]
		if x.strays(t.Target()) {
			x.sent.Header.Del(t.field())
			continue
		}
		if !second && fits(t.Token, state) {
			continue
		}
		sent := t.pending == nil
		if err := x.renew(t, info.Conn, state); err != nil {
			x.fail(err)
			stage.Refuse(info.Conn)
			return
		}
		if t.pending == nil && !changed {
			changed, again = true, sent
		}
	}
	if changed {
		x.emit(again)
	}
	if x.sending != nil {
		for _, t := range x.tokens {
			x.sending(info.Conn, t.Token)
		}
	}
}

// optional reports whether the token may be left out.
func (t sideToken) optional() bool { return t.given.pending != nil && t.given.pending.when != nil }

// renew makes a token for a connection in the given state in the place of t, or takes off
// one that need not be.
func (x *exchange) renew(t *sideToken, conn net.Conn, state *tls.ConnectionState) error {
	target := t.Target()
	if t.optional() {
		wanted := !x.passed
		if wanted && t.pending != nil {
			target, wanted = t.pending.when(conn)
		}
		if !wanted {
			x.takeOff(t)
			return nil
		}
	}
	token, err := x.again(t.Token, target, state)
	switch {
	case err != nil && t.optional(), t.pending != nil && errors.Is(err, middleware.ErrNoBindings):
		x.takeOff(t) // the server is to ask, if it wants a token
		return nil
	case err != nil:
		return err
	case x.minds(token.Context):
		return other(x.signer.Stage, target)
	}
	t.Token, t.state = token, made
	x.sent.Header.Set(t.field(), t.value())
	middleware.ReplaceSecurity(x.sent, t.Context)
	return nil
}

// takeOff takes a token that need not be off again, if it was made for the connection
// before.
func (x *exchange) takeOff(t *sideToken) {
	if t.pending == nil {
		x.sent.Header.Del(t.field())
		t.Token, t.state = t.given, takenOff
	}
}

// fail gives up. A hook can return no error, only end the request.
func (x *exchange) fail(err error) {
	x.err = err
	for _, t := range x.tokens {
		x.sent.Header.Del(t.field())
	}
	x.cancel(err)
}

var errContinued = errors.New("the peer wants the exchange to go on over the connection on which it began")

// again makes a token in the place of t for a connection in the given state.
func (x *exchange) again(t Token, target middleware.Target, state *tls.ConnectionState) (Token, error) {
	if t.Continued {
		return Token{}, &middleware.Error{
			Stage: x.signer.Stage,
			Kind:  middleware.ErrConnection,
			Host:  target.HostPort(),
			Hint:  "send the request again, over one pinned connection if this happens often",
			Err:   errContinued,
		}
	}
	if bindable(target) && state != nil {
		target.TLS = state
	}
	return x.signer.First(x.ctx, target)
}

// bindable reports whether a token for t may be bound to the TLS connection
// that the transport shows: that ends at the origin server, never at a proxy.
func bindable(t middleware.Target) bool { return t.Secure && !t.Proxy }

// fits reports whether t, which was never sent, can be sent on a connection in
// the given state.
func fits(t Token, state *tls.ConnectionState) bool {
	if t.pending != nil {
		return false
	}
	target := t.Target()
	if !bindable(target) || state == nil || len(state.PeerCertificates) == 0 {
		return true
	}
	old := target.TLS
	return old != nil && len(old.PeerCertificates) > 0 &&
		bytes.Equal(old.PeerCertificates[0].Raw, state.PeerCertificates[0].Raw)
}

// stateOf returns the state of a TLS connection, nil if it is not one.
func stateOf(info httptrace.GotConnInfo) *tls.ConnectionState {
	c, ok := info.Conn.(stage.TLSConn)
	if !ok {
		return nil
	}
	state := c.ConnectionState()
	if !state.HandshakeComplete {
		return nil
	}
	return &state
}
