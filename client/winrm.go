package client

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
	"github.com/kerbchain/kerbchain/middleware/seal"
)

// DefaultSessions is the default of [WinRMOptions].Sessions.
const DefaultSessions = 4

// WinRMOptions choose how [NewWinRM] works. The zero value takes the credentials of
// the environment, and encrypts messages that go over plain HTTP.
type WinRMOptions struct {
	// Options are those of [New]. An Initiator of yours must be a
	// [middleware.Identifier] where messages are encrypted, since a session is one
	// user's. Mutual must be mutual.Required, and Preemptive
	// and TrustConnection have no say. Service is HTTP as a rule; hosts register
	// WSMAN too, which helps where HTTP belongs to another account. Transport must
	// be an *http.Transport or one connection.
	Options
	// Encryption says which messages are encrypted: those over plain HTTP, all, or
	// none, which servers refuse unless told otherwise (AllowUnencrypted).
	Encryption seal.Mode
	// Sessions is how many connections with encryption there are to one server at
	// most, and so how many messages are under way; 0 and less mean
	// DefaultSessions. Each is one more log-on there. Further requests wait.
	Sessions int
	// MaxBody bounds encrypted messages, and Idle is how long a connection may be idle
	// before it is authenticated anew for the next one; see [seal.Options].
	MaxBody int64
	Idle    time.Duration
	// Resend sends a message once more that may have been carried out: an encrypted
	// one that was answered with 401, which nobody proves ([seal.Options]), and
	// another that was lost with its connection ([negotiate.Options]). Beside NoResend
	// it is an error.
	Resend bool
}

// Format writes what Options do, and the rest.
func (o WinRMOptions) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "{Options:%v Encryption:%v Sessions:%d MaxBody:%d Resend:%v Idle:%v}", o.Options, o.Encryption, o.Sessions, o.MaxBody, o.Resend, o.Idle)
}

// NewWinRM returns a client for WinRM (WS-Management) over HTTP/1.1: POST SOAP of type
// application/soap+xml to http://host:5985/wsman or https://host:5986/wsman.
//
// Over plain HTTP messages are encrypted (package seal): each connection is
// authenticated once, by an empty request, messages go sealed over that very
// connection, and an answer is verified when it opens. Faults, which come with
// status 500, are sealed as well, and whole. A connection that the server has
// closed, or that was idle for a minute, is authenticated anew before a message goes
// over it. A 401 to a message is the answer, and the message is not sent again unless
// Resend is set: it may have been carried out. Over https each request bears a token, and an
// answer without one is verified by its connection.
//
// Answers that were not verified are errors, and those of status 400 and above
// emptied. The client is safe for concurrent use, and keeps no goroutines but
// those of idle connections, until CloseIdleConnections.
func NewWinRM(o WinRMOptions) (*http.Client, error) {
	if o.Mutual != mutual.Required {
		return nil, &middleware.Error{Stage: "client", Kind: middleware.ErrConfiguration,
			Err:  fmt.Errorf("mutual authentication is %v", o.Mutual),
			Hint: "leave Mutual at mutual.Required: WinRM's encryption rests on it"}
	}
	if o.Resend && o.NoResend {
		return nil, wrong("leave out one or the other", "Resend and NoResend contradict each other")
	}
	in, err := o.initiator()
	if err != nil {
		return nil, err
	}
	o.NoResend = !o.Resend
	o.Preemptive, o.TrustConnection = preemptive.Always(), true
	var base http.RoundTripper
	base, o.Proxy = o.transport()
	t, ok := base.(*http.Transport)
	if ok {
		// The connections of HTTP/2 are shared.
		t = http1Only(t)
		t.DisableCompression = true // it would hide the length of what was sealed
		base = t
	} else {
		o.Sessions = 1
	}
	stack := o.stack(in, ok)
	o.TrustConnection = false // what is sealed proves itself
	o.NoResend = false        // the empty request does no harm twice
	strict := o.stack(in, ok)
	auth := strict.Without(Logging, Sanitize).Chain()
	sealing := seal.New(auth, seal.Options{Mode: seal.Always, MaxBody: o.MaxBody, Resend: o.Resend, Idle: o.Idle})
	tunneled := func(t *http.Transport) http.RoundTripper { return o.tunneled(in, t) }
	apart := o.connections(in, base, tunneled)
	pool := &sessions{max: o.Sessions, open: func() *session {
		rt := apart
		if ok {
			// Messages are as whoever would sign now: where that is another user than
			// before, the stage finds a connection that nobody authenticated.
			rt = o.connections(in, pinned(t), tunneled)
		}
		return &session{next: sealing(rt.RoundTrip), base: rt}
	}}
	if pool.max < 1 {
		pool.max = DefaultSessions
	}
	return &http.Client{Transport: &winrmTransport{
		mode:   o.Encryption,
		sealed: strict.Without(Preemptive, Negotiate).Chain()(pool.roundTrip),
		plain:  stack.Chain()(apart.RoundTrip),
		pool:   pool, direct: apart,
	}}, nil
}

// pinned returns a transport like t with one connection at a time.
func pinned(t *http.Transport) *http.Transport {
	t = t.Clone()
	t.MaxConnsPerHost, t.MaxIdleConnsPerHost, t.MaxIdleConns = 1, 1, 1
	t.DisableKeepAlives = false
	return t
}

// A winrmTransport sends what is encrypted one way and what is not another.
type winrmTransport struct {
	mode          seal.Mode
	sealed, plain kerbchain.Next
	pool          *sessions
	direct        http.RoundTripper
}

var errNoURL = errors.New("client: request without URL")

func (t *winrmTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return stage.ForCallers(t.roundTrip)(r)
}

func (t *winrmTransport) roundTrip(r *http.Request) (*http.Response, error) {
	switch {
	case r.URL == nil:
		if r.Body != nil {
			_ = r.Body.Close() // nothing of it is used
		}
		return nil, errNoURL
	case t.mode.Seals(r):
		return t.sealed(r)
	}
	return t.plain(r)
}

// CloseIdleConnections closes those without a request under way.
func (t *winrmTransport) CloseIdleConnections() {
	t.pool.closeIdle()
	closeIdle(t.direct)
}

// An idleCloser is what [http.Client] asks transports for.
type idleCloser interface{ CloseIdleConnections() }

func closeIdle(rt http.RoundTripper) {
	if c, ok := rt.(idleCloser); ok {
		c.CloseIdleConnections()
	}
}
