package negotiate

import (
	"errors"
	"net/http"
	"slices"

	"github.com/kerbchain/kerbchain/internal/ended"
	"github.com/kerbchain/kerbchain/internal/replay"
	"github.com/kerbchain/kerbchain/internal/sign"
	stages "github.com/kerbchain/kerbchain/internal/stage"
)

// This file decides which connection the next request goes over: the one of the
// last, or another.

// follow returns r as one whose way is watched.
func (c *call) follow(r *http.Request, fresh bool) *http.Request {
	c.watch.End()
	c.watch = &sign.Watch{Fresh: fresh || c.fresh}
	c.fresh = false
	return c.watch.On(r)
}

// sentAgain reports whether net/http sends a request with that method and no body
// again by itself where the connection that it took was dead.
func sentAgain(method string) bool {
	return slices.Contains([]string{"", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace}, method)
}

// drain ends a response that another request follows, with these tokens, so that
// the request can take its connection, unless that is spoilt.
func (c *call) drain(resp *http.Response, tokens []sign.Token) error {
	c.proto = resp.ProtoMajor
	limit := c.DrainTime
	if slices.ContainsFunc(tokens, continued) {
		limit = 0 // on another connection the next request would fail
	} else if c.spoilt(resp) {
		c.fresh = c.watch.Drop(resp)
		return nil
	}
	// A body that is too long or slow, or breaks off, costs the connection at most:
	// the next request takes another.
	_, err := replay.Drain(resp, c.DrainLimit, limit)
	if c.r.Context().Err() != nil {
		return ended.Because(c.r.Context(), "negotiate: reading the body of a challenge", err)
	}
	return nil
}

func continued(t sign.Token) bool { return t.Continued }

// readAnyway is up to how long a body is that a server may be trusted to read
// after it has answered.
const readAnyway = 64<<10 - 1

// spoilt reports whether nothing must be sent any more on the connection of a
// challenge to a request with a body. Who answers while a long one is being sent
// may not read the rest, nor what comes behind it. That all was written does not
// say that it was read, since buffers on the way take megabytes. Servers do read
// on, or close, and neither does harm (see lost). Squid reads 64 KiB of a body that
// nobody wants, and is silent from then on, having said 407 and keep-alive: after a
// 407 the connection is given up whatever the size. And so it is after a request
// with Expect: 100-continue, whose body net/http sends after all to a server that
// may not wait for it any more.
func (c *call) spoilt(resp *http.Response) bool {
	if c.watch == nil || !stages.HasBody(c.r) {
		return false
	}
	long := c.r.ContentLength <= 0 || c.r.ContentLength > readAnyway
	return resp.StatusCode == http.StatusProxyAuthRequired || expects(c.r) || long && c.body.Cut()
}

// lost reports whether a signed request is to be sent once more after err. It
// followed an answer closely, and so may have met a server that closes after its
// 401 without saying so: a connection on which requests were answered before ended
// without a byte for this one. As a rule the server never saw it then. Who did, and
// died of it, sees it twice; curl takes the same risk.
func (c *call) lost(err error, tokens []sign.Token) bool {
	return !c.NoResend && !c.resent && c.proto == 1 && c.watch != nil && c.watch.Lost(err) && c.body.Repeatable() &&
		!slices.ContainsFunc(tokens, continued)
}

// resend sends a signed request once more, over a new connection and with new
// tokens: whoever got the old ones would take them for a replay.
func (c *call) resend(cause error, tokens []sign.Token) (*http.Response, error) {
	c.resent = true
	r, err := c.nextRequest()
	if err != nil {
		return nil, errors.Join(cause, err)
	}
	tokens = slices.Clone(tokens)
	for i, t := range tokens {
		if tokens[i], err = c.signer.First(c.r.Context(), t.Target()); err != nil {
			stages.CloseRequest(r)
			return nil, errors.Join(err, cause)
		}
	}
	return c.sendOnce(r, tokens, true)
}
