// Package sign sends one signed request: a clone with one token for the origin
// server, one for a proxy, or both.
//
// A token is made before anyone knows which connection will carry it. The
// transport may take a connection with another certificate than the token is
// bound to (RFC 5929), and [http.Transport] resends a request by itself when a
// pooled connection turns out to be dead, which with the same token is a replay
// (RFC 4120 section 3.2.3). So an attempt watches the connections that its request
// is given to, through [httptrace.ClientTrace], and signs anew before a byte is
// written where the token at hand does not fit; a token for another proxy than the
// one that the request goes to is taken off. A transport that calls no such hooks
// sends the token that was made up front.
package sign

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

// A Token is what one peer is sent in one attempt.
type Token struct {
	// Context made the token. Its target says for whom it is: the origin
	// server, or with Proxy set a proxy.
	Context middleware.SecurityContext
	// Bytes is the token that Step returned, not encoded.
	Bytes []byte
	// Continued is set when this is not the first token of Context. It answers
	// what the peer said on one connection and cannot be made anew for another.
	Continued bool

	pending *pending // of a token that is still to be made; it has no Context
}

// Target returns for whom t is.
func (t Token) Target() middleware.Target {
	if t.pending != nil {
		return t.pending.target
	}
	return t.Context.Target()
}

func (t Token) field() string { return stage.Field(t.Target()) }
func (t Token) value() string { return stage.Value(t.Context, t.Bytes) }

// An Attempt is one request to send.
type Attempt struct {
	// Number counts the requests of the stage's call, from 1. It is for
	// [middleware.SendEvent].
	Number int
	// Tokens go with the request, one at most for each side. There is at least
	// one.
	Tokens []Token
	// Sending, when not nil, is told each connection that the request gets, with each
	// token that will go over it, before anything is written. One that was not made
	// has neither Bytes nor Context. It must not keep the connection alive.
	Sending func(net.Conn, Token)
}

// A Signer sends attempts for one stage. It is safe for concurrent use.
type Signer struct {
	Initiator middleware.Initiator
	Stage     string // for events and errors
	// AllowDowngrade signs for plain HTTP where a redirect led there from https.
	AllowDowngrade bool
	// Known is told what attempts find out about the transport; nil where nobody cares.
	Known *Known
}

// First starts a context for t and returns its first token. Errors are of type
// [*middleware.Error]: for whom no initiator is to be asked, they are around
// [middleware.ErrHost] and [middleware.ErrNotAllowed].
func (s Signer) First(ctx context.Context, t middleware.Target) (Token, error) {
	sc, err := s.initiate(ctx, t)
	if err != nil {
		return Token{}, err
	}
	b, err := sc.Step(ctx, nil)
	if err == nil && len(b) == 0 {
		err = errors.New("the mechanism made no first token")
	}
	if err != nil {
		return Token{}, s.wrap(t, err)
	}
	return Token{Context: sc, Bytes: b}, nil
}

// initiate starts a context for t.
func (s Signer) initiate(ctx context.Context, t middleware.Target) (middleware.SecurityContext, error) {
	if wrong := t.Check(); wrong != nil {
		wrong.Stage = s.Stage
		return nil, wrong
	}
	if t.Downgraded && !t.Proxy && !s.AllowDowngrade {
		return nil, &middleware.Error{
			Stage: s.Stage, Kind: middleware.ErrNotAllowed, Host: t.HostPort(),
			Err:  errors.New("a redirect led from https to plain http, where a token goes in clear"),
			Hint: "ask for the https URL, or set AllowDowngrade",
		}
	}
	sc, err := s.Initiator.Initiate(ctx, t)
	if err != nil {
		return nil, s.wrap(t, err)
	}
	return sc, nil
}

// wrap gives an error that is not an [*middleware.Error] yet that form.
func (s Signer) wrap(t middleware.Target, err error) error {
	if _, ok := errors.AsType[*middleware.Error](err); ok {
		return err
	}
	return &middleware.Error{Stage: s.Stage, Kind: middleware.ErrToken, Host: t.HostPort(), Err: err}
}

// Send sends a clone of r with the tokens of a through next, and takes over the body.
// r is not changed.
// The clone carries the contexts of the tokens ([middleware.WithSecurity]); a
// token that is made anew takes the place of the old one there too.
//
// The response's Request carries whatever context signed last, here or further
// down, and the headers that were sent but for the tokens of a: those fields
// are what they were in r. The response's body must be closed, which also ends
// the context of the request that was sent; that of resp.Request lives as long
// as the one of r.
//
// When a token was to be made anew and could not be, the result is that error,
// of type [*middleware.Error]. Every other error is next's own.
func (s Signer) Send(next kerbchain.Next, r *http.Request, a Attempt) (*http.Response, error) {
	// One transport call at a time: the request of an attempt around this one has
	// been answered, or never will be, and is not to be signed any more.
	outer := around(r)
	if outer != nil {
		outer.land() // its own Send returns the error
	}
	x := &exchange{signer: s, ctx: r.Context(), number: a.Number, sending: a.Sending, outer: outer}
	x.tokens = x.room[:0]
	signed := r
	for _, t := range a.Tokens {
		x.tokens = append(x.tokens, sideToken{Token: t, given: t})
		if t.pending != nil {
			x.sure = x.sure || t.pending.sure
			signed = middleware.ReserveSecurity(signed, t.Target().Proxy)
		} else {
			signed = middleware.WithSecurity(signed, t.Context)
		}
	}
	ctx, cancel := context.WithCancelCause(signed.Context())
	x.cancel = cancel
	defer x.end()
	x.On(ctx, httptrace.ClientTrace{GetConn: x.getConn, GotConn: x.gotConn})

	// Not Clone: a caller fills in Trailer while its body is read, and must
	// not fill in another map than the one that is sent.
	sent := signed.WithContext(x)
	sent.Header = stage.CloneHeader(r.Header)
	x.sent = sent
	for _, t := range a.Tokens {
		if t.pending == nil {
			sent.Header.Set(t.field(), t.value())
		}
	}
	if a.Tokens[0].pending == nil {
		x.emit(false)
	}

	resp, err := next(sent)
	ferr := x.land()
	if ferr != nil {
		err = ferr
	}
	if resp == nil || err != nil {
		stage.CloseResponse(resp)
		cancel(nil)
		return nil, err
	}
	x.heed(resp)
	resp.Request = x.answered(resp.Request, r, signed)
	// Until then ending the context would tear the body.
	stage.OnClose(resp, stage.HasBody(sent), func() { cancel(nil) })
	return resp, nil
}

// answered returns what a response to signed should name as its request: a copy
// of what it does name, with the values of its context, but without our tokens
// and without the end of our context. Where that is nothing that was made of what
// we sent, such as an older request of a transport that keeps responses, its
// context tells of another exchange than this one, and is left out.
func (x *exchange) answered(named, r, signed *http.Request) *http.Request {
	var out *http.Request
	if named != nil && x.carried(named) {
		out = named.WithContext(stage.Outlive(signed.Context(), named.Context()))
	} else {
		// What has verified a response by now, further down, verified another one:
		// nobody there could tell who signed for this one.
		if sc := middleware.SecurityOf(signed); sc != nil && sc.Verified() {
			signed = middleware.ReserveSecurity(signed, false)
		}
		if sc := middleware.ProxySecurityOf(signed); sc != nil && sc.Verified() {
			signed = middleware.ReserveSecurity(signed, true)
		}
		if named == nil {
			named = signed
		}
		out = named.WithContext(signed.Context())
	}
	out.Header = named.Header.Clone()
	for _, t := range x.tokens {
		if t.state == takenOff { // then it did not sign what was sent
			out = middleware.ReserveSecurity(out, t.Target().Proxy)
		}
		name := t.field()
		if own, ok := r.Header[name]; ok && out.Header != nil {
			out.Header[name] = append([]string(nil), own...)
		} else {
			out.Header.Del(name)
		}
	}
	return out
}
