package leg

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/net/http/httpguts"

	"github.com/kerbchain/kerbchain/internal/hostname"
	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

type flightKey struct{}

// A flight is a leg on its way.
type flight struct {
	signer  Signer
	ctx     context.Context // of the caller's request
	number  int
	sent    *http.Request
	trace   httptrace.ClientTrace
	cancel  context.CancelCauseFunc // ends the context of sent
	sending func(net.Conn, []Token) // nil for nobody
	outer   *flight                 // of the leg that this one is part of
	first   []Token                 // those that Send was given
	sure    bool                    // the request will bear a token for its origin server
	over    atomic.Bool             // Send has returned

	mu     sync.Mutex
	tokens []Token // those that sent bears now
	made   [2]bool // which of them were made on a connection
	undone [2]bool // which were, and then taken off for another one
	conns  int     // connections that sent was given to
	hop    string  // host:port that the transport goes to first; empty if it does not tell
	passed bool    // a proxy there would pass a token on to another host: none that may be left out is made
	landed bool
	err    error

	// Whose connections the request gets: a token that is made on one of them is
	// that user's, or is not sent. Unless told, nobody minds.
	told          bool
	origin, proxy string
}

// land ends the watch over connections. It returns why signing anew failed, if it did.
func (f *flight) land() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.landed = true
	return f.err
}

// end is called when Send returns. The request, and its body, are not to be kept by
// those who make another one of the response's.
func (f *flight) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over.Store(true)
	f.landed, f.sent, f.first, f.tokens, f.sending = true, nil, nil, nil, nil
}

// around returns the flight that a leg of r is part of. Those that are over are of
// earlier requests, of whose context r was made.
func around(r *http.Request) *flight {
	f, _ := r.Context().Value(flightKey{}).(*flight)
	for f != nil && f.over.Load() {
		f = f.outer
	}
	return f
}

// carried reports whether r was made of what f sent.
func (f *flight) carried(r *http.Request) bool {
	g, _ := r.Context().Value(flightKey{}).(*flight)
	for g != nil && g != f {
		g = g.outer
	}
	return g != nil
}

func (f *flight) emit(again bool) {
	if !middleware.Tracing(f.ctx) {
		return
	}
	middleware.Emit(f.ctx, middleware.SendEvent{
		Stage:   f.signer.Stage,
		Host:    f.tokens[0].Context.Target().HostPort(),
		Request: f.number,
		Again:   again,
	})
}

// getConn is called with the address, host:port, that the transport goes to, in
// the goroutine that called it. Where that is a proxy's and the scheme http, the
// proxy goes on to whatever host the request line names, which must be the one
// that the token is for.
func (f *flight) getConn(hop string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.landed || f.err != nil {
		return
	}
	f.hop, f.passed = hop, false
	for i, t := range f.tokens {
		target := t.Context.Target()
		if target.Proxy || target.Secure || hostname.Same(hop, target.Host, target.Port) {
			continue
		}
		if asked, ok := passedOn(f.sent, target); !ok && f.first[i].optional() != nil {
			f.passed = true
		} else if !ok {
			f.fail(&middleware.Error{
				Stage: f.signer.Stage, Kind: middleware.ErrHost, Host: target.HostPort(),
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

// astray reports whether t is for a proxy that the transport does not go to.
func (f *flight) astray(t Token) bool {
	target := t.Context.Target()
	return target.Proxy && f.hop != "" && !hostname.Same(f.hop, target.Host, target.Port)
}

// gotConn is called with the connection that sent is going to be written to,
// in the goroutine that called the transport and before anything is written.
// The transport has stopped reading the header for the connection before.
func (f *flight) gotConn(info httptrace.GotConnInfo) {
	f.mu.Lock()
	defer f.mu.Unlock()
	// A trace is handed down with the context, and may reach connections of
	// requests that are not ours once ours is through.
	if f.landed {
		return
	}
	if f.err != nil { // before there was a connection
		stage.Refuse(info.Conn)
		return
	}
	second := f.conns > 0
	f.conns++
	state := stateOf(info)
	fresh := slices.Clone(f.tokens)
	var changed []int
	for i, t := range fresh {
		if f.astray(t) {
			f.sent.Header.Del(field(t))
			continue
		}
		if !second && fits(t, state) {
			continue
		}
		target := t.Context.Target()
		when := f.first[i].optional()
		if when != nil {
			ok := !f.passed
			if ok && t.pending() {
				target, ok = when(info.Conn)
			}
			if !ok {
				fresh[i] = f.undo(i)
				continue
			}
		}
		again, err := f.again(t, target, state)
		if err != nil && when != nil || t.pending() && errors.Is(err, middleware.ErrNoBindings) {
			fresh[i] = f.undo(i) // the server is to ask, if it wants a token
			continue
		}
		if err == nil && f.minds(again.Context) {
			err = other(f.signer.Stage, target)
		}
		if err != nil {
			f.fail(err)
			stage.Refuse(info.Conn)
			return
		}
		fresh[i], changed = again, append(changed, i)
		f.made[i], f.undone[i] = true, false
	}
	first := len(changed) > 0 && f.tokens[changed[0]].pending()
	f.tokens = fresh
	if len(changed) > 0 {
		for _, i := range changed {
			f.sent.Header.Set(field(fresh[i]), value(fresh[i]))
			middleware.ReplaceSecurity(f.sent, fresh[i].Context)
		}
		f.emit(!first)
	}
	if f.sending != nil {
		f.sending(info.Conn, f.tokens)
	}
}

// undo takes a token that need not be off again, if it was made for the connection
// before, and returns what stands for it.
func (f *flight) undo(i int) Token {
	if t := f.tokens[i]; !t.pending() {
		f.sent.Header.Del(field(t))
		f.made[i], f.undone[i] = false, true
	}
	return f.first[i]
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
func (f *flight) again(t Token, target middleware.Target, state *tls.ConnectionState) (Token, error) {
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
