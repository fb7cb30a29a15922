package middleware

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kerbchain/kerbchain/internal/printable"
)

// The sentinels that an [*Error] wraps; branch on them with [errors.Is].
var (
	// ErrCredentials: there are no usable credentials, as with a missing or
	// unreadable cache, an expired ticket, a wrong password or an unknown principal.
	ErrCredentials = errors.New("no usable Kerberos credentials")
	// ErrKDC: the key distribution centre could not be reached or refused a
	// request for a reason other than the client's credentials.
	ErrKDC = errors.New("key distribution centre failed")
	// ErrToken: a token could not be made or taken apart.
	ErrToken = errors.New("bad security token")
	// ErrNotVerified is the MutualAuthenticationError: a server's answer did
	// not prove that it is the server that was asked for.
	ErrNotVerified = errors.New("server did not prove its identity")
	// ErrBodyNotReplayable: a request must be sent again, and its body cannot be.
	ErrBodyNotReplayable = errors.New("request body cannot be sent again")
	// ErrNoBindings: channel bindings are required, and the connection that will
	// carry the token is not known yet. It is wrapped along with [ErrToken]. A stage
	// that gets it sends the request unsigned first.
	ErrNoBindings = errors.New("no channel bindings")
	// ErrConfiguration: options contradict one another, the request or the transport,
	// or ask for what cannot be done. Nothing was sent.
	ErrConfiguration = errors.New("wrong configuration")
	// ErrConnection: a connection ended, and with it an exchange of several requests,
	// or a session.
	ErrConnection = errors.New("connection is gone")
	// ErrNotAllowed: the options do not allow to authenticate to this host. A stage
	// that gets it sends no token, and returns the server's response.
	ErrNotAllowed = errors.New("host is not to be authenticated to")
	// ErrHost: the host of a URL is no address and no DNS name, or its port no
	// number, so no token can be made for it. Nothing was signed.
	ErrHost = errors.New("host cannot be authenticated to by this name")
)

// Reason says why a server's answer was not taken for verified.
type Reason int

// The reasons. The zero value means that none applies.
const (
	ReasonNone Reason = iota
	// ReasonNoToken: the response has no token.
	ReasonNoToken
	// ReasonMalformed: the token cannot be decoded.
	ReasonMalformed
	// ReasonWrongKey: the token does not open under the ticket's session key.
	ReasonWrongKey
	// ReasonWrongTime: the token answers another authenticator.
	ReasonWrongTime
	// ReasonKRBError: the peer sent a KRB-ERROR; see [Error.Code].
	ReasonKRBError
	// ReasonUnverifiedRedirect: a redirect without a token.
	ReasonUnverifiedRedirect
	// ReasonReusedConnection: no token on a connection that was used before, as from
	// servers that authenticate connections rather than requests.
	ReasonReusedConnection
	// ReasonWrongMechanism: the server chose another mechanism, such as NTLM.
	ReasonWrongMechanism
	// ReasonRefused: the server rejected the token without saying why.
	ReasonRefused
	// ReasonUnsealed: the response is in clear where it must be encrypted.
	ReasonUnsealed
	// ReasonTampered: an encrypted message is not what the peer sealed.
	ReasonTampered
	// ReasonReplayed: an encrypted message was received before.
	ReasonReplayed
	// ReasonOutOfOrder: an encrypted message is not the next one.
	ReasonOutOfOrder
	// ReasonReflected: an encrypted message is one of ours.
	ReasonReflected
	// ReasonTokenTooLarge: the server refuses a request with so large a token.
	ReasonTokenTooLarge
	// ReasonNotAuthorized: the server knows the user, and refuses that user.
	ReasonNotAuthorized
)

var reasons = [...]struct{ text, hint string }{
	ReasonNone:               {"none", ""},
	ReasonNoToken:            {"no token", "the server sends no mutual token; if that cannot be mended there, use mutual.Optional over a trusted TLS connection"},
	ReasonMalformed:          {"malformed token", "something between client and server changes the WWW-Authenticate header, or the peer does not speak Kerberos"},
	ReasonWrongKey:           {"wrong key", "the answer was not made by the holder of the service's key: check the keytab of the server and the SPN, and who else may answer at that address"},
	ReasonWrongTime:          {"wrong time", "the answer belongs to another request: it is replayed, or answers of parallel requests were swapped on the way"},
	ReasonKRBError:           {"KRB-ERROR", ""},
	ReasonUnverifiedRedirect: {"unverified redirect", "the redirect is not from a server that proved itself: ask for the final URL, or use mutual.Optional over a trusted TLS connection"},
	ReasonReusedConnection:   {"no token on a reused connection", "the server authenticates connections, not requests: sign every request (preemptive), or trust a verified connection"},
	ReasonWrongMechanism:     {"wrong mechanism", "the server went on without Kerberos, most often because its SPN is not registered or belongs to another account than the service runs as, or because the URL has its address in place of its name"},
	ReasonRefused:            {"refused", "the server rejected the token without a reason: check the SPN, the server's keytab, the clocks, and whether it demands channel bindings"},
	ReasonUnsealed:           {"not encrypted", "the answer is not from the server that was authenticated, or something before it answers in its place: look at the status, and for a proxy on the way"},
	ReasonTampered:           {"tampered with", "something between client and server changes messages, or mixes connections: go round it, or use https"},
	ReasonReplayed:           {"replayed message", "something between client and server repeats messages or mixes connections: go round it, or use https"},
	ReasonOutOfOrder:         {"message out of order", "a message before this one was lost on the way: something between client and server drops messages or mixes connections"},
	ReasonReflected:          {"message of our own", "something between client and server sends our messages back to us"},
	ReasonTokenTooLarge: {"token too large", "the server's limit for a header field is most likely too small for a user in so many groups: raise it there " +
		"(Apache LimitRequestFieldSize, nginx large_client_header_buffers, IIS MaxFieldLength and MaxRequestBytes, Tomcat maxHttpHeaderSize), " +
		"and in what stands before it, or take groups out of the ticket"},
	ReasonNotAuthorized: {"known, but not authorized", "the server took the token and refuses its user: look there for who is allowed in, or ask as another user"},
}

// String returns a short name such as "no token".
func (r Reason) String() string {
	if r < 0 || int(r) >= len(reasons) {
		return fmt.Sprintf("reason %d", int(r))
	}
	return reasons[r].text
}

// Hint returns what to try, empty where nothing general can be said.
func (r Reason) Hint() string {
	if r < 0 || int(r) >= len(reasons) {
		return ""
	}
	return reasons[r].hint
}

// Error is the error of every stage and initiator. Its text is for people and
// may change; it holds no token, key, password or query string.
type Error struct {
	// Stage is the package that returned the error, such as "mutual" or "kerberos".
	Stage string
	// Kind is one of the sentinels. Every error of this module has one.
	Kind error
	// Host is the peer as host:port; empty when no peer was involved.
	Host string
	// SPN is the service principal that was asked for, if one was.
	SPN string
	// Principal is the client principal, if one is known.
	Principal string
	// KDC names the realm and the addresses that were tried, if any were.
	KDC string
	// Code is the error code of a KRB-ERROR (RFC 4120 section 7.5.9), 0 when
	// there was none.
	Code int32
	// Reason says why an answer was not trusted.
	Reason Reason
	// Hint says what to try. When empty, the hint of Reason is used.
	Hint string
	// IsTemporary is set where trying again could help: an unreachable or busy
	// KDC. [Error.Temporary] tells it.
	IsTemporary bool
	// Err is the cause, nil when Kind and Reason say it all.
	Err error
}

// Error returns one line: stage, kind, host and principals, cause, hint.
func (e *Error) Error() string {
	text := "failed"
	if e.Kind != nil {
		text = e.Kind.Error()
	}
	if e.Stage != "" {
		text = e.Stage + ": " + text
	}
	var whom []string
	add := func(name, value string) {
		if value != "" {
			whom = append(whom, name+" "+value)
		}
	}
	add("host", e.Host)
	add("SPN", e.SPN)
	add("principal", e.Principal)
	add("KDC", e.KDC)
	if e.Code != 0 {
		add("code", fmt.Sprint(e.Code))
	}
	if e.Reason != ReasonNone {
		add("reason", e.Reason.String())
	}
	if len(whom) > 0 {
		text += " (" + strings.Join(whom, ", ") + ")"
	}
	cause := ""
	if e.Err != nil {
		// Joined errors come on a line each.
		cause = strings.ReplaceAll(e.Err.Error(), "\n", "; ")
		if e.Kind != nil {
			cause = strings.TrimPrefix(cause, e.Kind.Error()+": ") // said already
		}
		text += ": " + cause
	}
	if hint := cmp.Or(e.Hint, e.Reason.Hint()); !advises(cause, hint) {
		text += "; " + hint
	}
	// Names in errors come from peers, too.
	return printable.Text(text)
}

// advises reports whether a cause already says what to try, in the words in which
// hint begins, or there is no hint.
func advises(cause, hint string) bool {
	first := hint
	if i := strings.IndexAny(hint, ",;:"); i >= 0 {
		first = hint[:i]
	}
	return strings.Contains(cause, first)
}

// Unwrap gives the sentinel and the cause to [errors.Is] and [errors.As].
func (e *Error) Unwrap() []error {
	return slices.DeleteFunc([]error{e.Kind, e.Err}, func(err error) bool { return err == nil })
}

// Temporary reports whether trying again could help. [*url.Error] asks it of what it
// wraps, and so do the retry loops of other libraries.
func (e *Error) Temporary() bool { return e.IsTemporary }

// Timeout reports whether the cause is that time ran out, as the errors of package
// net do: the request's deadline, a connection's, or a KDC's that did not answer.
func (e *Error) Timeout() bool { return IsTimeout(e.Err) }

// IsTimeout reports whether err is, or wraps, an error that says so by a method
// Timeout() bool. If several do, the outermost counts.
func IsTimeout(err error) bool {
	switch x := err.(type) {
	case interface{ Timeout() bool }:
		return x.Timeout()
	case interface{ Unwrap() error }:
		return IsTimeout(x.Unwrap())
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(x.Unwrap(), IsTimeout)
	}
	return false
}
