package negotiate

import (
	"errors"
	"net/http"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/replay"
	"github.com/kerbchain/kerbchain/internal/sign"
	stages "github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

// A call is one request of the caller's and all that is sent for it.
type call struct {
	*stage
	middleware.Call
	next      kerbchain.Next
	r         *http.Request
	body      *replay.Body
	sent      int         // requests sent so far
	signed    int         // those among them that this stage signed
	discarded bool        // a ticket was dropped because a server could not use it
	http1     bool        // HTTP/1.1 is asked for
	resent    bool        // a request was sent again because its connection was lost
	fresh     bool        // the next request must not go over a connection of others, where the last left one that is spoilt
	sure      bool        // another stage signs the request on its connection
	proto     int         // major version of HTTP that the last challenge came by
	watch     *sign.Watch // follows the last request, nil where nothing depends on it
	origin    side
	proxy     side
	cookies   cookies
}

// A side is one of the two peers that a request may be signed for.
type side struct {
	sc    middleware.SecurityContext // which signed the last request for this peer, nil if none did
	bytes int                        // length of the token that went with it
	mine  bool                       // sc was started in this call, when the server had asked
	came  middleware.SecurityContext // with which the caller's request came signed, nil for none
	own   bool                       // the caller answers for this peer
}

func (s *stage) roundTrip(next kerbchain.Next, r *http.Request) (*http.Response, error) {
	r = stages.DropUserInfo(r, name)
	short := s.short(r)
	out, begun := middleware.Begin(r)
	var resp *http.Response
	var err error
	if short {
		resp, short, err = s.sendShort(next, out)
	}
	if !short || err != nil || resp != nil && resp.StatusCode >= http.StatusBadRequest {
		c := &call{stage: s, next: next, sure: sign.Sure(r), r: out, Call: begun}
		defer c.end()
		c.origin = sideOf(r, "Authorization", middleware.SecurityOf(r))
		c.proxy = sideOf(r, "Proxy-Authorization", middleware.ProxySecurityOf(r))
		if short {
			c.body, c.sent = replay.Without(out), 1
			resp, err = c.asked(resp, err)
		} else {
			resp, err = c.first()
		}
		resp, err = c.run(resp, err)
	}
	begun.End(resp)
	return resp, err
}

func (c *call) end() {
	if c.body != nil {
		_ = c.body.Close() // what this closes was never sent, and so there is an error already
	}
	c.watch.End()
}

// run goes on from what the first request led to, until no other is to follow.
func (c *call) run(resp *http.Response, err error) (*http.Response, error) {
	if c.sure {
		if n, ok := stages.SignedBytes(c.r, "Authorization", c.Security(resp)); ok {
			c.origin.bytes = n
		}
	}
	for err == nil && resp != nil {
		var tokens []sign.Token
		if tokens, err = c.answer(resp); err != nil {
			stages.CloseResponse(resp)
			return nil, err
		}
		if tokens == nil {
			c.explain(resp)
			return c.cookies.give(resp), nil
		}
		c.cookies.take(c.r, resp)
		// When its response is over, the transport lets go of the body.
		if err := c.drain(resp, tokens); err != nil {
			return nil, err
		}
		var again *http.Request
		if again, err = c.nextRequest(); err != nil {
			return nil, err
		}
		if c.OneShot == Expect && c.bare() && c.body.Once() { // a proxy asked, and the server behind it may ask too
			resp, err = c.heard(again, tokens)
		} else {
			resp, err = c.send(again, tokens)
		}
	}
	return resp, err
}

// send sends a request with tokens, nil for one that this stage does not sign.
func (c *call) send(r *http.Request, tokens []sign.Token) (*http.Response, error) {
	if tokens == nil {
		return c.sendBare(r)
	}
	for _, t := range tokens {
		if t.Target().Proxy {
			c.proxy.bytes = len(t.Bytes)
		} else {
			c.origin.bytes = len(t.Bytes)
		}
	}
	c.signed++
	resp, err := c.sendOnce(r, tokens, false)
	if err != nil && c.lost(err, tokens) {
		return c.resend(err, tokens)
	}
	return resp, err
}

// sendOnce sends a signed request, over a fresh connection or any.
func (c *call) sendOnce(r *http.Request, tokens []sign.Token, fresh bool) (*http.Response, error) {
	c.sent++
	r = c.cookies.on(r)
	if stages.HasBody(r) || !sentAgain(r.Method) {
		r = c.follow(r, fresh)
	}
	return c.signer.Send(c.next, r, c.attempt(tokens))
}

// attempt returns an attempt with tokens, whose connection is remembered.
func (c *call) attempt(tokens []sign.Token) sign.Attempt {
	a := sign.Attempt{Number: c.sent, Tokens: tokens}
	if !c.WaitForChallenge {
		a.Sending = c.sending
	}
	return a
}

// sideOf finds out who answers for a peer. A context in r counts if it signed r:
// r may as well be made of an older request's context.
func sideOf(r *http.Request, field string, sc middleware.SecurityContext) side {
	if n, ok := stages.SignedBytes(r, field, sc); ok {
		return side{sc: sc, came: sc, bytes: n}
	}
	return side{own: stages.Own(r, name, field)}
}

// nextRequest returns the request with a fresh body.
func (c *call) nextRequest() (*http.Request, error) {
	r, err := c.body.Next()
	switch {
	case errors.Is(err, replay.ErrNotReplayable):
		return nil, c.unrepeatable(err)
	case err != nil:
		return nil, err
	case c.http1:
		return stages.WantHTTP1(r), nil
	}
	return r, nil
}

func (c *call) unrepeatable(err error) error {
	return &middleware.Error{
		Stage: name, Kind: middleware.ErrBodyNotReplayable, Host: stages.Host(c.r), Err: err,
		Hint: "set Request.GetBody, raise Options.BodyLimit or SpillLimit, choose another Options.OneShot, or sign requests at once with the preemptive stage",
	}
}
