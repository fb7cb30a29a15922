package negotiate

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/kerbchain/kerbchain/internal/replay"
	"github.com/kerbchain/kerbchain/internal/sign"
	stages "github.com/kerbchain/kerbchain/internal/stage"
)

// bare reports whether the caller's request bears no token for the server, and
// will be asked for one if the server wants it.
func (c *call) bare() bool { return c.origin.sc == nil && !c.origin.own && !c.sure }

func expects(r *http.Request) bool {
	for _, v := range r.Header["Expect"] {
		if strings.EqualFold(strings.TrimSpace(v), "100-continue") {
			return true
		}
	}
	return false
}

// first sends the request as the caller made it, and returns what that or what
// had to be sent in its place led to.
func (c *call) first() (*http.Response, error) {
	body, err := replay.New(c.r, replay.Options{
		Limit: c.BodyLimit, SpillLimit: c.SpillLimit, SpillDir: c.SpillDir,
		// Whether there is more of it than is kept is to be known first. But a
		// body that the server may not want is not touched.
		Ahead: c.bare() && c.OneShot != SendOnce && !expects(c.r),
	})
	if err != nil {
		return nil, err
	}
	c.body = body
	r, err := c.nextRequest()
	if err != nil {
		return nil, err
	}
	if c.bare() && c.body.Once() {
		switch c.OneShot {
		case Refuse:
			stages.CloseRequest(r)
			return nil, c.unrepeatable(errors.New("it can be sent once only, and the server may ask for it twice"))
		case Probe:
			tokens, err := c.probe()
			if err != nil {
				stages.CloseRequest(r)
				return nil, err
			}
			if tokens != nil {
				return c.send(r, tokens)
			}
		case Expect:
			return c.heard(r, nil)
		}
	}
	if !c.body.Repeatable() && expects(r) {
		// net/http sends a body that the server did not want, so as to keep the
		// connection, but for a request that ends it.
		r = closing(r)
	}
	return c.asked(c.sendBare(r))
}

// asked returns what came of a first request, or of another one if the connection broke
// while its body was being sent: the server may have said 401 and hung up, and its answer
// been lost in the noise. So the second time it is heard first.
func (c *call) asked(resp *http.Response, err error) (*http.Response, error) {
	if err == nil || !c.bare() || !c.brokeOff(err) || !c.body.Replayable() {
		return resp, err
	}
	r, cannot := c.nextRequest()
	if cannot != nil {
		return nil, errors.Join(err, cannot)
	}
	return c.heard(r, nil)
}

// heard sends r with Expect: 100-continue, and with tokens for a proxy, nil for none. A
// server that knows no such field says 417, and is sent r without it (RFC 9110 section
// 10.1.1), if the body can still be sent; a field of the caller's is the caller's to
// take back.
func (c *call) heard(r *http.Request, tokens []sign.Token) (*http.Response, error) {
	resp, err := c.send(expecting(r), tokens)
	if err != nil || resp == nil || resp.StatusCode != http.StatusExpectationFailed || expects(c.r) || !c.body.Replayable() {
		return resp, err
	}
	if err := c.drain(resp, nil); err != nil {
		return nil, err
	}
	again, err := c.nextRequest()
	if err != nil {
		return nil, err
	}
	if tokens != nil {
		if tokens, err = c.proxyToken(); err != nil {
			stages.CloseRequest(again)
			return nil, err
		}
	}
	return c.send(again, tokens)
}

// expecting returns r with Expect: 100-continue.
func expecting(r *http.Request) *http.Request {
	r = closing(r)
	r.Header = stages.CloneHeader(r.Header)
	r.Header.Set("Expect", "100-continue")
	return r
}

// closing returns r as one that ends its connection.
func closing(r *http.Request) *http.Request {
	out := *r
	out.Close = true
	return &out
}

// sendBare sends a request that this stage did not sign yet, and follows one with a
// body.
func (c *call) sendBare(r *http.Request) (*http.Response, error) {
	c.sent++
	sent := r
	if stages.HasBody(r) {
		sent = c.follow(r, false)
	}
	var tokens []sign.Token
	// One that is pending another stage signs when it has a connection.
	if pending, _ := sign.Pending(r); c.bare() && !pending && !c.WaitForChallenge {
		tokens = append(tokens, c.unlessProven())
	}
	// A token that the request came with is sent once, by the attempt of the stage that
	// made it or in one of ours.
	if c.proxy.came != nil && (c.sent > 1 || len(tokens) > 0) {
		t, err := c.proxyToken()
		if err != nil {
			stages.CloseRequest(r)
			return nil, err
		}
		tokens = append(tokens, t...)
	}
	if len(tokens) > 0 {
		return c.signer.Send(c.next, sent, c.attempt(tokens))
	}
	resp, err := c.next(sent)
	if resp != nil && resp.Request == sent {
		resp.Request = r
	}
	return resp, err
}

// proxyToken returns the token for the proxy that the request came with, or when
// a request was sent before a fresh one.
func (c *call) proxyToken() ([]sign.Token, error) {
	if token, ok := stages.Signed(c.r, "Proxy-Authorization", c.proxy.sc); ok && c.sent == 1 {
		return []sign.Token{{Context: c.proxy.sc, Bytes: token}}, nil
	}
	t, err := c.signer.First(c.r.Context(), c.proxy.sc.Target())
	if err == nil {
		c.proxy.sc = t.Context
	}
	return []sign.Token{t}, err
}

// brokeOff reports whether a connection broke before the whole request was
// written to it.
func (c *call) brokeOff(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	switch {
	case c.r.Context().Err() != nil, ok && op.Timeout():
		return false
	case ok && (op.Op == "write" || op.Op == "readfrom"):
		return true
	}
	// The end of a connection may be met by its reader first.
	return (ok && op.Op == "read" || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) && c.body.Cut()
}

// overrides are fields that turn a HEAD into another method.
var overrides = []string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"}

// probe finds out by a HEAD without a body what the server wants, and returns
// the tokens for it, nil if it asked for none. A proxy that asks first is given its
// token with another HEAD, since the server behind it may ask too.
func (c *call) probe() ([]sign.Token, error) {
	r := c.r.WithContext(c.r.Context())
	r.Method, r.Body, r.GetBody, r.ContentLength, r.TransferEncoding, r.Trailer = http.MethodHead, nil, nil, 0, nil, nil
	r.Header = r.Header.Clone()
	for name := range r.Header {
		if strings.HasPrefix(name, "Content-") || strings.HasPrefix(name, "If-") || name == "Expect" {
			delete(r.Header, name)
		}
	}
	for _, name := range overrides {
		r.Header.Del(name)
	}
	c.sent++
	resp, err := c.next(r)
	for err == nil && resp != nil {
		var tokens []sign.Token
		if tokens, err = c.answer(resp); err != nil {
			stages.CloseResponse(resp)
			return nil, err
		}
		if tokens != nil {
			c.cookies.take(r, resp)
		}
		if err := c.drain(resp, tokens); err != nil {
			return nil, err
		}
		switch {
		case tokens == nil && c.proxy.mine && resp.StatusCode != http.StatusProxyAuthRequired:
			return c.proxyToken()
		case tokens == nil || !c.bare():
			return tokens, nil
		}
		c.signed++
		resp, err = c.sendOnce(r, tokens, false)
	}
	return nil, err
}
