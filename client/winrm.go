package client

import (
	"fmt"
	"net/http"
	"time"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/internal/turns"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
	"github.com/kerbchain/kerbchain/middleware/seal"
	"github.com/kerbchain/kerbchain/tunnel"
)

// WinRMOptions choose how [NewWinRM] works. The zero value takes the credentials of
// the environment, and encrypts messages that go over plain HTTP.
type WinRMOptions struct {
	// Options are those of [New]. Where messages are encrypted, an Initiator must be
	// a [middleware.Identifier], since a session is one user's. Mutual must be
	// mutual.Required; Preemptive and TrustConnection are ignored. Service is usually
	// HTTP; hosts register WSMAN too, which helps where HTTP belongs to another
	// account. Transport must be an *http.Transport or one connection.
	Options
	// Encryption says which messages are encrypted: those over plain HTTP, all, or
	// none. Servers refuse messages in clear unless AllowUnencrypted is set there.
	Encryption seal.Mode
	// Sessions is the largest number of encrypted connections to one server, and so
	// of messages under way; 0 and less mean 4. Each is a log-on there.
	// Further requests wait.
	Sessions int
	// MaxBody bounds encrypted messages. Idle is how long a connection may be idle
	// before it must be authenticated again. See [seal.Options].
	MaxBody int64
	Idle    time.Duration
	// Resend sends a message once more that may have been carried out: an encrypted
	// one if its response is 401, which bears no proof ([seal.Options]), another one
	// if it was lost with its connection ([negotiate.Options]). It contradicts
	// NoResend.
	Resend bool
}

// Format writes what Options do, and the rest.
func (o WinRMOptions) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "{Options:%v Encryption:%v Sessions:%d MaxBody:%d Resend:%v Idle:%v}", o.Options, o.Encryption, o.Sessions, o.MaxBody, o.Resend, o.Idle)
}

// NewWinRM returns a client for WinRM (WS-Management) over HTTP/1.1: POST SOAP of type
// application/soap+xml to http://host:5985/wsman or https://host:5986/wsman.
//
// Over plain HTTP messages are encrypted (package seal). Each connection is
// authenticated once, by an empty request; messages are sealed for it, and a response
// that opens is verified. Faults, which have status 500, are sealed too, and arrive
// whole. After a connection was closed, or idle for a minute, the next message
// authenticates again first. If the response to a message is 401, the message may
// have been carried out: it is not sent again unless Resend is set. Over https each
// request has a token, and a response without one is verified by its connection.
//
// Responses that are not verified are errors, or emptied if their status is 400 or
// above. The client is safe for concurrent use. CloseIdleConnections ends the
// goroutines of idle connections; it has no others.
func NewWinRM(o WinRMOptions) (*http.Client, error) {
	if o.Mutual != mutual.Required {
		return nil, wrong("leave Mutual at mutual.Required: WinRM's encryption rests on it", "mutual authentication is %v", o.Mutual)
	}
	if o.Resend && o.NoResend {
		return nil, wrong("leave out one or the other", "Resend and NoResend contradict each other")
	}
	in, err := o.initiator(true)
	if err != nil {
		return nil, err
	}
	o.NoResend = !o.Resend
	o.Preemptive, o.TrustConnection = preemptive.Always(), true
	var base http.RoundTripper
	base, o.Proxy = o.transport()
	t, ok := base.(*http.Transport)
	if ok {
		// Connections of HTTP/2 carry several requests at once.
		t = http1Only(t)
		t.DisableCompression = true // the transport would remove Content-Length, which sealing needs
		base = t
	} else {
		o.Sessions = 1
	}
	if o.Sessions < 1 {
		o.Sessions = 4
	}
	stack := o.stack(in, ok)
	o.TrustConnection = false // sealed messages prove themselves
	o.NoResend = false        // the empty request may be sent twice
	strict := o.stack(in, ok)
	auth := strict.Without(Logging, Sanitize).Chain()
	sealing := seal.New(auth, seal.Options{Mode: seal.Always, MaxBody: o.MaxBody, Resend: o.Resend, Idle: o.Idle})
	tunneled := func(t *http.Transport) http.RoundTripper { return tunnel.New(in, t, o.Tunnel) }
	apart := o.connections(in, base, tunneled)
	pool := &sessions{turns: turns.Turns{Most: o.Sessions}, idle: make(map[string][]*session), open: func() *session {
		rt := apart
		if ok {
			// A message is sent as the user who would sign now. If the user changed, the
			// stage gets a connection that is not authenticated yet.
			rt = o.connections(in, pinned(t), tunneled)
		}
		return &session{next: sealing(rt.RoundTrip), base: rt}
	}}
	return &http.Client{Transport: &winrmTransport{
		mode:   o.Encryption,
		sealed: strict.Without(Preemptive, Negotiate).Chain()(pool.roundTrip),
		plain:  stack.Chain()(apart.RoundTrip),
		pool:   pool, direct: apart,
	}}, nil
}

// A winrmTransport sends messages that are encrypted, and others, through a chain each.
type winrmTransport struct {
	mode          seal.Mode
	sealed, plain kerbchain.Next
	pool          *sessions
	direct        http.RoundTripper
}

func (t *winrmTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	next := t.plain
	if t.mode.Seals(r) {
		next = t.sealed
	}
	return stage.ForCallers(next)(r)
}

// CloseIdleConnections closes those without a request under way.
func (t *winrmTransport) CloseIdleConnections() {
	t.pool.closeIdle()
	closeIdle(t.direct)
}
