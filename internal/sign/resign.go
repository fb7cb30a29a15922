package sign

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"

	"golang.org/x/net/http/httpguts"

	"github.com/kerbchain/kerbchain/internal/hostname"
	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

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
		asked, ok := passedOn(x.sent, target)
		switch {
		case ok:
		case t.optional():
			x.passed = true
		default:
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
	second, state := x.taken, stateOf(info)
	x.taken = true
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
			Stage: x.signer.Stage, Kind: middleware.ErrConnection, Host: target.HostPort(), Err: errContinued,
			Hint: "send the request again, over one pinned connection if this happens often",
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
