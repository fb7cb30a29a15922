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

// answer returns the tokens to answer resp with, nil if the caller gets resp. It does
// not touch the body. After an error resp is not used.
func (c *call) answer(resp *http.Response) ([]sign.Token, error) {
	var peer *side
	var lines []string
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		peer, lines = &c.origin, resp.Header.Values("WWW-Authenticate")
	case http.StatusProxyAuthRequired:
		peer, lines = &c.proxy, resp.Header.Values("Proxy-Authenticate")
	default:
		return nil, nil
	}
	if peer.own || !c.believable(resp) {
		return nil, nil
	}
	target, terr := c.target(resp)
	c.challenged(resp, target, lines)
	c.look(resp)
	ch, scheme, ok := stages.Choose(lines, peer.sc)
	switch {
	case peer.sc != nil && !peer.mine && sessionOver(resp, lines):
		scheme = stages.SchemeOf(peer.sc) // there is no challenge, and so no token
	case !ok && peer.sc != nil:
		c.refused(resp, target, offersNTLM(lines))
		return nil, nil
	case !ok:
		return nil, nil
	case terr != nil:
		c.emit(resp, target, middleware.ReasonNone, terr)
		return nil, nil
	}
	target.Scheme = scheme
	if c.signed >= c.MaxSigned {
		c.refused(resp, target, fmt.Errorf("%d signed requests were challenged again, the most for one call", c.signed))
		return nil, nil
	}
	token, err := c.token(resp, peer, target, ch)
	if token == nil {
		return nil, err
	}
	return c.complete(resp, peer, target, *token)
}

// token returns the token for the peer that resp comes from, nil if it refused.
func (c *call) token(resp *http.Response, peer *side, target middleware.Target, ch challenge.Challenge) (*sign.Token, error) {
	in, err := ch.Token()
	if err != nil {
		c.refused(resp, target, &middleware.Error{
			Stage: name, Kind: middleware.ErrToken, Host: target.HostPort(), Reason: middleware.ReasonMalformed, Err: err,
		})
		return nil, nil
	}
	if peer.sc == nil {
		// A token before ours is at best a hint (NegTokenInit2 of MS-SPNG): the
		// client starts.
		return c.fresh(resp, peer, target)
	}
	reason := error(nil)
	if in != nil {
		out, err := peer.sc.Step(c.r.Context(), in)
		if ctx := c.r.Context(); ctx.Err() != nil {
			return nil, ended.Because(ctx, "negotiate: answering the server's token", err)
		}
		if err == nil && len(out) > 0 {
			return &sign.Token{Context: peer.sc, Bytes: out, Continued: true}, nil
		}
		if e, ok := errors.AsType[*middleware.Error](err); err == nil || ok && e.Reason == middleware.ReasonNoToken && completed(in) {
			// The server knows the user, whether it proved itself or not, and does
			// not let that user in, as Jetty does.
			c.emit(resp, target, middleware.ReasonNotAuthorized, errKnown)
			return nil, nil
		}
		reason = err
	}
	stale := c.discard(peer, target, reason)
	switch {
	case stale, !peer.mine:
		// Another stage made it before the server was asked: connection, ticket or
		// scheme may have been wrong.
		return c.fresh(resp, peer, target)
	case reason == nil && !c.http1 && !target.Proxy && stages.HTTP1Offered(resp):
		// Refused without a word over HTTP/2, as by servers that authenticate
		// connections.
		c.http1 = true
		middleware.Emit(c.r.Context(), middleware.FallbackEvent{Host: target.HostPort()})
		return c.fresh(resp, peer, target)
	}
	c.refused(resp, target, reason)
	return nil, nil
}

// discard drops the ticket of a context that the server refused because of it, once
// in a call. It reports whether there is another ticket.
func (c *call) discard(peer *side, target middleware.Target, reason error) bool {
	e, ok := errors.AsType[*middleware.Error](reason)
	d, able := peer.sc.(middleware.Discarder)
	if !ok || !able || c.discarded || !krb.TicketUnusable(e.Code) {
		return false
	}
	c.discarded = true
	if !d.Discard() {
		return false
	}
	middleware.Emit(c.r.Context(), middleware.DiscardEvent{Host: target.HostPort(), SPN: e.SPN, Code: e.Code})
	return true
}

// sessionOver reports whether resp is what servers that authenticate connections send
// when a session has ended: a bare 401.
func sessionOver(resp *http.Response, lines []string) bool {
	return len(lines) == 0 && resp.StatusCode == http.StatusUnauthorized && (resp.ContentLength == 0 || resp.Body == nil || resp.Body == http.NoBody)
}

// fresh starts a context.
func (c *call) fresh(resp *http.Response, peer *side, target middleware.Target) (*sign.Token, error) {
	token, err := c.signer.First(c.r.Context(), target)
	if err != nil {
		return nil, c.unlessLeft(resp, target, err)
	}
	peer.sc, peer.mine = token.Context, true
	return &token, nil
}

// unlessLeft returns err, why there is no token for target, or nil if the challenge is
// left to the caller for that reason.
func (c *call) unlessLeft(resp *http.Response, target middleware.Target, err error) error {
	left := errors.Is(err, middleware.ErrNotAllowed) ||
		c.ReturnChallenge && (errors.Is(err, middleware.ErrCredentials) || unknownService(err))
	if !left {
		return err
	}
	c.emit(resp, target, middleware.ReasonNone, err)
	return nil
}

// unknownService reports whether a KDC said that there is no such service.
func unknownService(err error) bool {
	e, ok := errors.AsType[*middleware.Error](err)
	return ok && e.Code == krb.CodeServerUnknown
}

// complete adds to the token for the peer that asked a fresh one for the other, if the
// last request bore one: what was sent before would be a replay.
func (c *call) complete(resp *http.Response, peer *side, target middleware.Target, token sign.Token) ([]sign.Token, error) {
	tokens := []sign.Token{token}
	other := &c.proxy
	if peer == other {
		other = &c.origin
	}
	if other.sc == nil {
		return tokens, nil
	}
	again, err := c.signer.First(c.r.Context(), other.sc.Target())
	if err != nil {
		return nil, c.unlessLeft(resp, target, err)
	}
	other.sc = again.Context
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

// believable reports whether resp can come from the peer that its status suggests. A
// proxy's 407 to CONNECT is an error of the transport. As a response over TLS it
// comes from the origin, which must not get a token for the proxy.
func (c *call) believable(resp *http.Response) bool {
	return resp.StatusCode != http.StatusProxyAuthRequired || !middleware.TargetOfURL(c.r.URL).Secure
}

var errNoProxy = errors.New("no HTTP proxy is known for this request, and an origin server gets no token for one: " +
	"set Options.Proxy to the function that the transport uses")

// errOwnProxy: net/http sends such credentials in place of any token.
var errOwnProxy = errors.New("the URL of the proxy bears a user, whose credentials net/http sends in place of a token: leave them out")

// target returns the peer that resp comes from.
func (c *call) target(resp *http.Response) (middleware.Target, error) {
	if resp.StatusCode != http.StatusProxyAuthRequired {
		t := middleware.TargetOf(c.r)
		if t.Secure {
			t.TLS = resp.TLS
		}
		return t, nil
	}
	if c.Proxy == nil {
		return middleware.Target{Proxy: true}, errNoProxy
	}
	u, err := c.Proxy(c.r)
	if err == nil && (u == nil || u.Scheme != "http" && u.Scheme != "https") {
		err = errNoProxy
	}
	if err == nil && u.User != nil {
		err = errOwnProxy
	}
	if err != nil {
		return middleware.Target{Proxy: true}, err
	}
	t := middleware.TargetOfURL(u)
	t.Proxy = true
	return t, nil
}

func (c *call) challenged(resp *http.Response, t middleware.Target, lines []string) {
	ctx := c.r.Context()
	if !middleware.Tracing(ctx) {
		return
	}
	middleware.Emit(ctx, middleware.ChallengeEvent{
		Host:     t.HostPort(),
		Status:   resp.StatusCode,
		Schemes:  challenge.Schemes(lines),
		Requests: c.sent,
	})
}
