package middleware

import (
	"context"
	"time"
)

// An Event is what a stage or an initiator reports: one of the structs of this
// package, by value. New ones may be added, so a switch needs a default. Events hold
// names, sizes and durations, never tokens, keys or passwords.
type Event interface{ event() }

// ChallengeEvent: a response asked for authentication.
type ChallengeEvent struct {
	Host     string   // peer, host:port
	Status   int      // 401 or 407
	Schemes  []string // as offered, in order
	Requests int      // number of requests sent so far for this call
}

// CredentialsEvent: a request came with credentials that no stage set.
type CredentialsEvent struct {
	Stage string
	Host  string // of the URL, host:port
	Field string // "Authorization" or "Proxy-Authorization"
	// Dropped is set where net/http made the field of the user info in the URL; it is
	// not sent. Otherwise the caller set it, and the stage does not sign for that
	// peer.
	Dropped bool
}

// WithheldEvent: a request is sent without a token, because the options do not allow
// to authenticate to the peer.
type WithheldEvent struct {
	Stage string
	Host  string
	Err   error // around ErrNotAllowed, with what to set
}

// ConfigurationEvent: something in krb5.conf is ignored, or looks like a mistake. A
// ticket source reports it once, with the first ticket that it is asked for.
type ConfigurationEvent struct {
	Where string // file:line, where that is known
	Text  string
}

// String returns "file:line: text".
func (e ConfigurationEvent) String() string {
	if e.Where == "" {
		return e.Text
	}
	return e.Where + ": " + e.Text
}

// TicketEvent: a service ticket was found or fetched.
type TicketEvent struct {
	SPN      string        // service principal
	Client   string        // client principal
	Source   string        // where the credentials come from, such as "FILE:/tmp/krb5cc_1000"
	Cached   bool          // no KDC was asked
	Etype    int32         // encryption type of the session key (RFC 3961)
	Expires  time.Time     // end time of the ticket
	Duration time.Duration // time it took
}

// ExchangeEvent: a KDC was asked.
type ExchangeEvent struct {
	Kind     string // "AS" or "TGS"
	Realm    string
	Address  string        // host:port
	Network  string        // "udp" or "tcp"
	Duration time.Duration // time it took
	Err      error         // nil when the KDC answered, even with a KRB-ERROR
	Code     int32         // code of that KRB-ERROR (RFC 4120 section 7.5.9), else 0
	Armored  bool          // the request was sealed by FAST (RFC 6113)
	// Preauth is the pre-authentication that the request bore: "timestamp", "challenge"
	// (an encrypted one, within FAST), "SPAKE" or "OTP"; "" for none.
	Preauth string
}

// CacheEvent: a ticket was written to a credential cache, or that failed.
type CacheEvent struct {
	Cache  string // such as "FILE:/tmp/krb5cc_1000"
	Server string // principal that the ticket is for
	Err    error  // nil when it is there now
}

// ForeignCacheEvent: a credential cache of another user is read, because it was asked
// for by name.
type ForeignCacheEvent struct {
	Cache string // such as "FILE:/tmp/krb5cc_1000"
	Owner string // user id, and the user's name if it has one
}

// TokenEvent: a token was made.
type TokenEvent struct {
	Host     string // peer, host:port
	SPN      string
	Scheme   Scheme
	Bytes    int  // length of the token before base64
	Mutual   bool // the peer was asked to prove itself
	Bound    bool // channel bindings are in it
	Delegate bool // the user's credentials are in it
	Duration time.Duration
}

// SendEvent: a signed request is about to be sent.
type SendEvent struct {
	Stage   string // the stage that signed it
	Host    string
	Request int  // number of this request within the stage's call, from 1
	Again   bool // signed anew because the transport took another connection
}

// RefusedEvent: the server refused our token, or no token could be made for its
// challenge. Its response is returned as it is.
type RefusedEvent struct {
	Host   string
	Status int
	Reason Reason
	Bytes  int   // length of the token that was refused, before base64; 0 when there was none
	Err    error // what the server's token said, if anything
}

// DiscardEvent: the server cannot use the ticket. It is dropped, and the request
// signed with a fresh one.
type DiscardEvent struct {
	Host string
	SPN  string // if the security context tells
	Code int32  // of the server's KRB-ERROR
}

// FallbackEvent: the server does not authenticate over HTTP/2. The request is sent
// again over HTTP/1.1.
type FallbackEvent struct {
	Host string
	Err  error // the stream's error HTTP_1_1_REQUIRED; nil where the server refused a token
}

// A Mode is the rule by which a response was judged: one of the stage mutual, or that
// of seal.
type Mode string

// The modes.
const (
	ModeRequired Mode = "required" // without proof a response is an error
	ModeOptional Mode = "optional" // without a token a response passes
	ModeDisabled Mode = "disabled" // every response passes
	ModeSealed   Mode = "sealed"   // a response that does not open is an error
)

// VerdictEvent: the stage mutual judged a response, or the stage seal opened one.
type VerdictEvent struct {
	Host     string
	SPN      string
	Mode     Mode
	Status   int
	Verified bool
	Trusted  bool   // verified by its connection alone, on which SPN proved itself before
	Reason   Reason // why not, when not verified
	Err      error  // nil when the response was passed up
}

// SanitizedEvent: an error response of an unverified server was emptied.
type SanitizedEvent struct {
	Host   string
	Status int
}

func (ChallengeEvent) event()     {}
func (CredentialsEvent) event()   {}
func (WithheldEvent) event()      {}
func (ConfigurationEvent) event() {}
func (TicketEvent) event()        {}
func (ExchangeEvent) event()      {}
func (CacheEvent) event()         {}
func (ForeignCacheEvent) event()  {}
func (TokenEvent) event()         {}
func (SendEvent) event()          {}
func (RefusedEvent) event()       {}
func (DiscardEvent) event()       {}
func (FallbackEvent) event()      {}
func (VerdictEvent) event()       {}
func (SanitizedEvent) event()     {}

// A Trace receives events, in the goroutine in which they happen. It must be
// safe for concurrent use and should return soon.
type Trace func(Event)

type traceKey struct{}

// WithTrace returns a context that reports to t, and to every trace that ctx
// already reports to, the oldest first. A nil t changes nothing.
func WithTrace(ctx context.Context, t Trace) context.Context {
	if t == nil {
		return ctx
	}
	if old, ok := ctx.Value(traceKey{}).(Trace); ok {
		fresh := t
		t = func(e Event) {
			old(e)
			fresh(e)
		}
	}
	return context.WithValue(ctx, traceKey{}, t)
}

// Emit reports e to the traces of ctx; with none it does nothing. Where
// building an event costs something, ask [Tracing] first.
func Emit(ctx context.Context, e Event) {
	if t, ok := ctx.Value(traceKey{}).(Trace); ok {
		t(e)
	}
}

// Tracing reports whether ctx has a trace.
func Tracing(ctx context.Context) bool {
	_, ok := ctx.Value(traceKey{}).(Trace)
	return ok
}
