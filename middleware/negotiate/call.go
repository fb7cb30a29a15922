package negotiate

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/leg"
	"github.com/kerbchain/kerbchain/internal/replay"
	"github.com/kerbchain/kerbchain/middleware"
)

// A call is one request of the caller's and all that is sent for it.
type call struct {
	*stage
	r      *http.Request
	body   *replay.Body
	sent   int // requests sent so far
	signed int // those among them that this stage signed
	origin side
	proxy  side
}

// A side is one of the two peers that a request may be signed for.
type side struct {
	// sc is the context that signed the last request for this peer, nil if
	// none did.
	sc middleware.SecurityContext
	// mine is set when sc was started in this call, rather than by another
	// stage before it was known what the server would say.
	mine bool
	// signed is set when the caller's request came signed for this peer.
	signed bool
	// own is set when the caller answers for this peer.
	own bool
}

func (s *stage) roundTrip(next kerbchain.Next, r *http.Request) (*http.Response, error) {
	body, err := replay.New(r, s.BodyLimit)
	if err != nil {
		return nil, err
	}
	// What this closes was never sent, and so there is an error already.
	defer func() { _ = body.Close() }()
	c := &call{stage: s, r: r, body: body}
	c.origin = sideOf(r, "Authorization", middleware.SecurityOf(r))
	c.proxy = sideOf(r, "Proxy-Authorization", middleware.ProxySecurityOf(r))
	first, err := c.nextBody()
	if err != nil {
		return nil, err
	}
	c.sent++
	resp, err := next(withBody(r, first))
	for err == nil && resp != nil {
		var tokens []leg.Token
		if tokens, err = c.answer(resp); err != nil {
			closeBody(resp)
			return nil, err
		}
		if tokens == nil {
			return resp, nil
		}
		var fresh io.ReadCloser
		if fresh, err = c.nextBody(); err != nil {
			closeBody(resp)
			return nil, err
		}
		if err := s.drain(r, resp); err != nil {
			if fresh != nil {
				_ = fresh.Close() // it was never sent
			}
			return nil, err
		}
		c.sent++
		c.signed++
		resp, err = s.signer.Send(next, r, leg.Leg{Number: c.sent, Body: fresh, Tokens: tokens})
	}
	return resp, err
}

// sideOf finds out who answers for a peer. A context in r counts if it signed r:
// r may as well be made of an older request's context.
func sideOf(r *http.Request, field string, sc middleware.SecurityContext) side {
	value := r.Header.Get(field)
	if sc != nil {
		scheme := cmp.Or(sc.Target().Scheme, middleware.Negotiate)
		if strings.HasPrefix(value, string(scheme)+" ") {
			return side{sc: sc, signed: true}
		}
	}
	return side{own: value != ""}
}

// withBody returns r with another body.
func withBody(r *http.Request, body io.ReadCloser) *http.Request {
	if r.Body == nil || r.Body == http.NoBody {
		return r
	}
	out := *r
	out.Body = body
	return &out
}

// nextBody returns the body of the next request, nil if there is none.
func (c *call) nextBody() (io.ReadCloser, error) {
	b, err := c.body.Next()
	switch {
	case errors.Is(err, replay.ErrNotReplayable):
		return nil, &middleware.Error{
			Stage: name,
			Kind:  middleware.ErrBodyNotReplayable,
			Host:  middleware.TargetOf(c.r.URL).HostPort(),
			Hint:  "set Request.GetBody, raise Options.BodyLimit, or sign requests at once with the preemptive stage",
			Err:   err,
		}
	case err != nil:
		return nil, err
	case c.r.Body == nil:
		return nil, nil
	}
	return b, nil
}

// drain ends a response that another request follows.
func (s *stage) drain(r *http.Request, resp *http.Response) error {
	// A body that is too long or breaks off costs the connection and no more:
	// the next request takes another.
	_, err := replay.Drain(resp.Body, s.DrainLimit)
	if end := r.Context().Err(); end != nil {
		return fmt.Errorf("negotiate: reading the body of a challenge: %w", errors.Join(end, err))
	}
	return nil
}

// closeBody closes a response's body where what matters is decided already.
func closeBody(resp *http.Response) {
	if resp != nil && resp.Body != nil {
		_ = resp.Body.Close()
	}
}
