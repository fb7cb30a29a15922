package leg

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync"

	"github.com/kerbchain/kerbchain/middleware"
)

type flightKey struct{}

// A flight is a leg on its way.
type flight struct {
	signer Signer
	ctx    context.Context // of the caller's request
	number int
	sent   *http.Request
	cancel context.CancelCauseFunc // ends the context of sent

	mu     sync.Mutex
	tokens []Token // those that sent bears now
	conns  int     // connections that sent was given to
	landed bool
	err    error
}

// land ends the watch over connections. It returns why signing anew failed, if
// it did.
func (f *flight) land() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.landed = true
	return f.err
}

func (f *flight) emit(again bool) {
	middleware.Emit(f.ctx, middleware.SendEvent{
		Stage: f.signer.Stage,
		Host:  f.tokens[0].Context.Target().HostPort(),
		Leg:   f.number,
		Again: again,
	})
}

// gotConn is called with the connection that sent is going to be written to,
// in the goroutine that called the transport and before anything is written.
// The transport has stopped reading the header for the connection before.
func (f *flight) gotConn(info httptrace.GotConnInfo) {
	f.mu.Lock()
	defer f.mu.Unlock()
	// A trace is handed down with the context, and may reach connections of
	// requests that are not ours once ours is through.
	if f.landed || f.err != nil {
		return
	}
	second := f.conns > 0
	f.conns++
	state := stateOf(info)
	fresh := slices.Clone(f.tokens)
	var changed []int
	for i, t := range fresh {
		if !second && fits(t, state) {
			continue
		}
		again, err := f.again(t, state)
		if t.pending() && errors.Is(err, middleware.ErrNoBindings) {
			continue // nothing to bind to after all: the server is to ask
		}
		if err != nil {
			f.fail(err)
			return
		}
		fresh[i], changed = again, append(changed, i)
	}
	if len(changed) == 0 {
		return
	}
	for _, i := range changed {
		f.sent.Header.Set(field(fresh[i]), value(fresh[i]))
		middleware.ReplaceSecurity(f.sent, fresh[i].Context)
	}
	first := f.tokens[changed[0]].pending()
	f.tokens = fresh
	f.emit(!first)
}

// fail gives up: a hook has no way to return an error but to end the request.
func (f *flight) fail(err error) {
	f.err = err
	for _, t := range f.tokens {
		f.sent.Header.Del(field(t))
	}
	f.cancel(err)
}

var errContinued = errors.New("the peer wants to go on with the exchange where it began")

// again makes a token in the place of t for a connection in the given state.
func (f *flight) again(t Token, state *tls.ConnectionState) (Token, error) {
	target := t.Context.Target()
	if t.Continued {
		return Token{}, &middleware.Error{
			Stage: f.signer.Stage,
			Kind:  middleware.ErrConnection,
			Host:  target.HostPort(),
			Hint:  "send the request again, over one pinned connection if this happens often",
			Err:   errContinued,
		}
	}
	if bindable(target) && state != nil {
		target.TLS = state
	}
	return f.signer.First(f.ctx, target)
}

// bindable reports whether a token for t may be bound to the TLS connection
// that the transport shows: that ends at the origin server, never at a proxy.
func bindable(t middleware.Target) bool { return t.Secure && !t.Proxy }

// fits reports whether t, which was never sent, can be sent on a connection in
// the given state.
func fits(t Token, state *tls.ConnectionState) bool {
	if t.pending() {
		return false
	}
	target := t.Context.Target()
	if !bindable(target) || state == nil || len(state.PeerCertificates) == 0 {
		return true
	}
	old := target.TLS
	return old != nil && len(old.PeerCertificates) > 0 &&
		bytes.Equal(old.PeerCertificates[0].Raw, state.PeerCertificates[0].Raw)
}

// stateOf returns the state of a TLS connection, nil if it is not one.
func stateOf(info httptrace.GotConnInfo) *tls.ConnectionState {
	c, ok := info.Conn.(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return nil
	}
	state := c.ConnectionState()
	if !state.HandshakeComplete {
		return nil
	}
	return &state
}
