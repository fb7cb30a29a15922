package negotiate

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/kerbchain/kerbchain/internal/challenge"
	"github.com/kerbchain/kerbchain/internal/ended"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/sign"
	stages "github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

// A demand is a response that asks for a token, and the peer that sent it.
type demand struct {
	*call
	resp   *http.Response
	peer   *side
	other  *side // the peer that did not ask
	target middleware.Target
}

// answer returns the tokens to answer resp with, nil if the caller gets resp. It does
// not touch the body. After an error resp is not used.
func (c *call) answer(resp *http.Response) ([]sign.Token, error) {
	d := demand{call: c, resp: resp}
	var lines []string
	var unknown error
	switch status := resp.StatusCode; {
	case status == http.StatusUnauthorized && !c.origin.own:
		d.peer, d.other, lines = &c.origin, &c.proxy, resp.Header.Values("WWW-Authenticate")
		if d.target = middleware.TargetOf(c.r); d.target.Secure {
			d.target.TLS = resp.TLS
		}
	// A proxy's 407 to CONNECT is an error of the transport. As a response over TLS it
	// comes from the origin, which must not get a token for the proxy.
	case status == http.StatusProxyAuthRequired && !c.proxy.own && !middleware.TargetOfURL(c.r.URL).Secure:
		d.peer, d.other, lines = &c.proxy, &c.origin, resp.Header.Values("Proxy-Authenticate")
		d.target, unknown = stages.ProxyOf(c.r, c.Proxy)
	default:
		return nil, nil
	}
	d.challenged(lines)
	c.look(resp)
	ch, scheme, ok := stages.Choose(lines, d.peer.sc)
	switch {
	case d.peer.sc != nil && !d.peer.mine && sessionOver(resp, lines):
		scheme = stages.SchemeOf(d.peer.sc) // there is no challenge, and so no token
	case !ok && d.peer.sc != nil:
		d.refused(offersNTLM(lines))
		return nil, nil
	case !ok:
		return nil, nil
	case unknown != nil:
		d.emit(middleware.ReasonNone, unknown)
		return nil, nil
	}
	d.target.Scheme = scheme
	if c.signed >= c.MaxSigned {
		d.refused(fmt.Errorf("%d signed requests were challenged again, the most for one call", c.signed))
		return nil, nil
	}
	token, err := d.token(ch)
	if token == nil {
		return nil, err
	}
	return d.complete(*token)
}

// token returns the token for the peer, nil if it refused.
func (d *demand) token(ch challenge.Challenge) (*sign.Token, error) {
	in, err := ch.Token()
	if err != nil {
		d.refused(&middleware.Error{
			Stage: name, Kind: middleware.ErrToken, Host: d.target.HostPort(), Reason: middleware.ReasonMalformed, Err: err,
		})
		return nil, nil
	}
	if d.peer.sc == nil {
		// A token before ours is at best a hint (NegTokenInit2 of MS-SPNG): the
		// client starts.
		return d.fresh()
	}
	reason := error(nil)
	if in != nil {
		ctx := d.r.Context()
		out, err := d.peer.sc.Step(ctx, in)
		if ctx.Err() != nil {
			return nil, ended.Because(ctx, "negotiate: answering the server's token", err)
		}
		if err == nil && len(out) > 0 {
			return &sign.Token{Context: d.peer.sc, Bytes: out, Continued: true}, nil
		}
		if e, ok := errors.AsType[*middleware.Error](err); err == nil || ok && e.Reason == middleware.ReasonNoToken && completed(in) {
			// The server knows the user, whether it proved itself or not, and does
			// not let that user in, as Jetty does.
			d.emit(middleware.ReasonNotAuthorized, errKnown)
			return nil, nil
		}
		reason = err
	}
	stale := d.discard(reason)
	switch {
	case stale, !d.peer.mine:
		// Another stage made it before the server was asked: connection, ticket or
		// scheme may have been wrong.
		return d.fresh()
	case reason == nil && !d.http1 && !d.target.Proxy && stages.HTTP1Offered(d.resp):
		// Refused without a word over HTTP/2, as by servers that authenticate
		// connections.
		d.http1 = true
		middleware.Emit(d.r.Context(), middleware.FallbackEvent{Host: d.target.HostPort()})
		return d.fresh()
	}
	d.refused(reason)
	return nil, nil
}

// discard drops the ticket of a context that the server refused because of it, once
// in a call. It reports whether there is another ticket.
func (d *demand) discard(reason error) bool {
	e, ok := errors.AsType[*middleware.Error](reason)
	ticket, able := d.peer.sc.(middleware.Discarder)
	if !ok || !able || d.discarded || !krb.TicketUnusable(e.Code) {
		return false
	}
	d.discarded = true
	if !ticket.Discard() {
		return false
	}
	middleware.Emit(d.r.Context(), middleware.DiscardEvent{Host: d.target.HostPort(), SPN: e.SPN, Code: e.Code})
	return true
}

// sessionOver reports whether resp is what servers that authenticate connections send
// when a session has ended: a bare 401.
func sessionOver(resp *http.Response, lines []string) bool {
	return len(lines) == 0 && resp.StatusCode == http.StatusUnauthorized && (resp.ContentLength == 0 || resp.Body == nil || resp.Body == http.NoBody)
}

// fresh starts a context.
func (d *demand) fresh() (*sign.Token, error) {
	token, err := d.signer.First(d.r.Context(), d.target)
	if err != nil {
		return nil, d.unlessLeft(err)
	}
	d.peer.sc, d.peer.mine = token.Context, true
	return &token, nil
}

// unlessLeft returns err, why there is no token, or nil if the challenge is left to the
// caller for that reason.
func (d *demand) unlessLeft(err error) error {
	e, ok := errors.AsType[*middleware.Error](err)
	unknownService := ok && e.Code == krb.CodeServerUnknown
	left := errors.Is(err, middleware.ErrNotAllowed) ||
		d.ReturnChallenge && (errors.Is(err, middleware.ErrCredentials) || unknownService)
	if !left {
		return err
	}
	d.emit(middleware.ReasonNone, err)
	return nil
}

// complete adds to the token for the peer that asked a fresh one for the other, if the
// last request bore one: what was sent before would be a replay.
func (d *demand) complete(token sign.Token) ([]sign.Token, error) {
	tokens := []sign.Token{token}
	if d.other.sc == nil {
		return tokens, nil
	}
	again, err := d.signer.First(d.r.Context(), d.other.sc.Target())
	if err != nil {
		return nil, d.unlessLeft(err)
	}
	d.other.sc = again.Context
	return append(tokens, again), nil
}

// look notes which context signed the request of resp: a stage further in may have,
// and a request is signed again when the transport takes another connection.
func (c *call) look(resp *http.Response) {
	c.origin.look(c.Security(resp))
	c.proxy.look(c.ProxySecurity(resp))
}

// look is given the context that signed for the peer, if the response tells.
func (s *side) look(sc middleware.SecurityContext) {
	switch {
	case sc != nil:
		s.sc = sc
	case !s.mine:
		s.sc = s.came
	}
}

func (d *demand) challenged(lines []string) {
	ctx := d.r.Context()
	if !middleware.Tracing(ctx) {
		return
	}
	middleware.Emit(ctx, middleware.ChallengeEvent{
		Host:     d.target.HostPort(),
		Status:   d.resp.StatusCode,
		Schemes:  challenge.Schemes(lines),
		Requests: d.sent,
	})
}
