package seal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/ended"
	"github.com/kerbchain/kerbchain/internal/replay"
	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/internal/winrm"
	"github.com/kerbchain/kerbchain/middleware"
)

// drainLimit is up to how many bytes of the answer to an empty request are read,
// so that its connection can be kept.
const drainLimit = 256 << 10

// A session is one wiring: a connection, and what is known of it.
type session struct {
	Options
	next   kerbchain.Next
	signed kerbchain.Next // next, behind the stages that authenticate
	turn   chan struct{}  // held by the call that goes on
	peer   peer           // for whoever holds turn
	bodies sync.Pool      // of *bytes.Buffer, wiped
}

// A peer is the other end of a connection that was authenticated; zero for none.
type peer struct {
	target middleware.Target
	conn   net.Conn // nil when nobody tells
	sc     middleware.SecurityContext
	sealer middleware.Sealer // sc
	used   time.Time         // when the last answer came
	opened bool              // an answer of it was opened
}

// A call is one request of the caller's and all that is sent for it.
type call struct {
	*session
	middleware.Call
	r      *http.Request
	target middleware.Target // that the URL of r names
	body   []byte
	sent   int
	why    error // of the last challenge to a message
}

func (s *session) roundTrip(r *http.Request) (*http.Response, error) {
	if !s.Mode.Seals(r) {
		return s.signed(r)
	}
	r = stage.DropUserInfo(r, name)
	if stage.Own(r, name, "Authorization") {
		stage.CloseRequest(r)
		return nil, &middleware.Error{
			Stage: name, Kind: middleware.ErrConfiguration, Host: stage.Host(r),
			Err:  errors.New("the request bears credentials of its own, and would have to be sent in clear"),
			Hint: "leave its Authorization header out",
		}
	}
	body, err := s.readBody(r)
	if err != nil {
		return nil, err
	}
	defer s.release(body)
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-r.Context().Done():
		return nil, ended.Because(r.Context(), "seal: waiting for the connection", nil)
	}
	r, opened := middleware.Begin(r)
	c := &call{session: s, Call: opened, r: r, target: middleware.TargetOfURL(r.URL), body: body.Bytes()}
	for last := false; ; last = true {
		resp, again, err := c.try()
		if !again || last {
			c.explain(resp)
			c.End(resp)
			return resp, err
		}
		// The answer, if there is one, has been read.
	}
}

// try sends the request on an authenticated connection. again says that it was
// not carried out because the connection is not authenticated, or not any more.
func (c *call) try() (resp *http.Response, again bool, err error) {
	if c.peer.target != c.target || c.Idle > 0 && time.Since(c.peer.used) >= c.Idle {
		c.peer = peer{}
	}
	if c.peer.sc == nil {
		if resp, err := c.establish(); resp != nil || err != nil {
			return resp, false, err
		}
	}
	resp, keep, again, err := c.send()
	c.peer.used, c.peer.opened = time.Now(), keep
	if !keep {
		c.peer = peer{}
	}
	return resp, again, err
}

// establish authenticates the connection with an empty request. What it returns
// is the answer to the caller if there is no context.
func (c *call) establish() (*http.Response, error) {
	w, resp, err := c.introduce()
	if w.lost(err) && c.r.Context().Err() == nil {
		// A server that was restarted, say, may have left a connection behind that
		// looks alive. The request carries nothing that must not be done twice.
		w, resp, err = c.introduce()
	}
	conn := w.end()
	if err != nil {
		return nil, err
	}
	sc := c.Security(resp)
	if sc == nil || !sc.Verified() {
		if resp.StatusCode >= 400 {
			return c.settle(resp)
		}
		stage.CloseResponse(resp)
		return nil, c.unproved(sc, resp.StatusCode)
	}
	sealer, ok := sc.(middleware.Sealer)
	if !ok || resp.ProtoMajor > 1 {
		stage.CloseResponse(resp)
		why := fmt.Errorf("security contexts of type %T cannot seal messages", sc)
		if ok {
			why = fmt.Errorf("a connection of HTTP/%d cannot be authenticated: switch HTTP/2 off in the transport", resp.ProtoMajor)
		}
		return nil, &middleware.Error{Stage: name, Kind: middleware.ErrConfiguration, Host: stage.Host(c.r), Err: why}
	}
	// What remains unread, or cannot be read, may cost the connection, which the
	// message then notices.
	if _, err := replay.Drain(resp, drainLimit, replay.DefaultDrainTime); c.r.Context().Err() != nil {
		return nil, ended.Because(c.r.Context(), "seal: reading the answer to the empty request", err)
	}
	c.peer = peer{target: c.target, conn: conn, sc: sc, sealer: sealer, used: time.Now()}
	return nil, nil
}

// introduce sends the empty request.
func (c *call) introduce() (*watch, *http.Response, error) {
	w := new(watch)
	out := w.on(c.r.Context(), c.r)
	out.Method, out.Body, out.GetBody, out.ContentLength = http.MethodPost, http.NoBody, nil, 0
	out.TransferEncoding, out.Trailer, out.Close = nil, nil, false
	out.Header = stage.CloneHeader(c.r.Header)
	out.Header.Set("Content-Type", winrm.SOAP)
	for _, field := range []string{"Connection", "Content-Length", "Expect"} {
		out.Header.Del(field)
	}
	resp, err := answered(c.signed, out)
	return w, resp, err
}

// answered returns what next makes of r, which is an error if it is nothing.
func answered(next kerbchain.Next, r *http.Request) (*http.Response, error) {
	resp, err := next(r)
	if resp == nil && err == nil {
		err = errors.New("seal: the transport returned neither a response nor an error")
	}
	return resp, err
}

// explain tells of a message that was answered with a challenge.
func (c *call) explain(resp *http.Response) {
	if c.sent > 0 && resp != nil && challenges(resp.StatusCode) {
		middleware.Emit(c.r.Context(), middleware.RefusedEvent{Host: stage.Host(c.r), Status: resp.StatusCode, Reason: middleware.ReasonRefused, Err: c.why})
	}
}

func challenges(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusProxyAuthRequired
}

var (
	errForgotten = errors.New("it answered an encrypted message so, without proof: it has forgotten the session, or somebody on the way answers in its place")
	errNoSession = errors.New("it took the token, and asks for another one with the encrypted message that came next on the connection: " +
		"it authenticates each request and keeps no session, as WinRM does, or somebody on the way answers in its place")
)

// unknown is the error of a server that answers a message with a challenge. One that
// never opened any may have no sessions at all.
func (c *call) unknown(status int) *middleware.Error {
	e := c.fail(middleware.ReasonRefused, errForgotten)
	e.Hint = "see whether the message was carried out, and send it again if it was not: that sets up a new session"
	if !c.peer.opened && status == http.StatusUnauthorized {
		e.Err, e.Hint = errNoSession, "see whether WinRM listens at this URL, whose path is /wsman: other servers take no encrypted messages; if it does, nothing before it may spread connections over several servers"
	}
	return e
}

// unproved is the error of a server that took the empty request and did not
// prove itself.
func (c *call) unproved(sc middleware.SecurityContext, status int) error {
	e := c.fail(middleware.ReasonNoToken, fmt.Errorf("status %d to the request that sets up a session", status))
	e.SPN = stage.SPN(sc)
	if sc == nil {
		e.Hint = "the server asked for no authentication, or no stage answered it: " +
			"put preemptive or negotiate, and mutual outside them, into the first argument of seal.New"
	}
	return e
}

// send sends the request on the connection that was authenticated. keep says that
// the next one can go there too.
func (c *call) send() (resp *http.Response, keep, again bool, err error) {
	ctx, cancel := context.WithCancelCause(c.r.Context())
	defer cancel(nil)
	w := &watch{want: c.peer.conn, cancel: cancel}
	out := w.on(ctx, c.r)
	if err := c.pack(out, w); err != nil {
		return nil, false, false, err
	}
	c.sent++
	if middleware.Tracing(c.r.Context()) {
		middleware.Emit(c.r.Context(), middleware.SendEvent{Stage: name, Host: stage.Host(c.r), Request: c.sent, Again: c.sent > 1})
	}
	resp, err = answered(c.next, out)
	if w.gone() {
		stage.CloseResponse(resp)
		if ctx := c.r.Context(); ctx.Err() != nil {
			return nil, false, false, ended.Because(ctx, "seal: sending the message", err)
		}
		return nil, false, true, &middleware.Error{
			Stage: name, Kind: middleware.ErrConnection, Host: stage.Host(c.r), IsTemporary: true, Err: errMoved,
			Hint: "the server, or a proxy on the way, does not keep connections open, without which there is no session",
		}
	}
	if err != nil {
		return nil, false, false, err
	}
	if challenges(resp.StatusCode) {
		if resp, err = c.settle(resp); err != nil {
			return nil, false, false, err
		}
		resp.Request, c.why = c.r, c.unknown(resp.StatusCode)
		return resp, false, c.Resend, nil
	}
	status, closes := resp.StatusCode, resp.Close || c.r.Close
	resp, err = c.open(resp)
	c.report(status, resp, err)
	return resp, err == nil && !closes, false, err
}

// settle reads an answer that goes up as it came, so that the connection is
// free.
func (c *call) settle(resp *http.Response) (*http.Response, error) {
	b, err := readAnswer(resp, c.MaxBody)
	if err != nil {
		return nil, c.broken(err)
	}
	resp.Body = newReader(b)
	return resp, nil
}

// broken is the error of an answer that cannot be read.
func (c *call) broken(err error) error {
	if errors.Is(err, errTooLong) {
		e := c.fail(middleware.ReasonMalformed, fmt.Errorf("answer of more than %d bytes", c.MaxBody))
		e.Hint = "raise Options.MaxBody"
		return e
	}
	return fmt.Errorf("seal: reading the answer: %w", err)
}

// fail makes the error of an answer that is not trusted.
func (c *call) fail(reason middleware.Reason, err error) *middleware.Error {
	return &middleware.Error{
		Stage: name, Kind: middleware.ErrNotVerified, Host: stage.Host(c.r), SPN: stage.SPN(c.peer.sc), Reason: reason, Err: err,
	}
}
