// Package middleware holds what the stages below it share: the security
// context that rides in a request, the hooks through which stages report what
// they see, and the errors they return. It holds no stage.
//
// Stages never call one another. A stage that signs a request sends a clone
// that carries its [SecurityContext]; whoever holds the response finds it again
// with SecurityOf(resp.Request). So each response names the context that earned
// it, through retries, redirects and parallel calls. A stage that rests on it asks
// the [Call] that it opened, since a response may name an older request.
package middleware

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/kerbchain/kerbchain/internal/hostname"
)

// Scheme is an HTTP authentication scheme that carries GSS-API tokens.
type Scheme string

// The schemes that stages understand.
const (
	// Negotiate carries SPNEGO tokens (RFC 4559, RFC 4178).
	Negotiate Scheme = "Negotiate"
	// Kerberos carries krb5 mechanism tokens without SPNEGO (RFC 4121
	// section 4.1), which some WinRM endpoints offer.
	Kerberos Scheme = "Kerberos"
)

// A Target says for whom, and over what, a token is wanted. It is a plain
// value; stages fill it from the request, and the [Initiator] decides from it
// which service principal to ask for.
type Target struct {
	// Scheme is the HTTP authentication scheme; empty means Negotiate.
	Scheme Scheme
	// Host is the host that is contacted, as [TargetOfURL] makes it of a URL: a name
	// in lower case and in the form that DNS has (A-labels, RFC 5890) without a
	// dot at the end, or an address without brackets. What is neither stays as
	// the URL has it, and [Target.Check] says so.
	Host string
	// Port is the decimal port of the URL, or its scheme's default.
	Port string
	// From is the host:port that the caller asked, where redirects led from
	// there to another one; else empty. What was configured for that host is
	// not meant for this one.
	RedirectedFrom string
	// Downgraded is set when a redirect led from https to this plain http.
	Downgraded bool
	// Proxy is set when the token is for an HTTP proxy (status 407).
	Proxy bool
	// Secure is set when the peer is reached over TLS.
	Secure bool
	// TLS is the state of the connection that will carry the token, from which
	// channel bindings are made (RFC 5929). It is nil over plain HTTP, and as
	// long as the connection is not known.
	TLS *tls.ConnectionState
}

// HostPort returns the target's address in the form host:port, with brackets
// around an IPv6 literal.
func (t Target) HostPort() string {
	if t.Port == "" {
		if strings.Contains(t.Host, ":") {
			return "[" + t.Host + "]"
		}
		return t.Host
	}
	return net.JoinHostPort(t.Host, t.Port)
}

// Origin returns scheme://host:port, under which stages remember what they know
// of a peer.
func (t Target) Origin() string {
	if t.Secure {
		return "https://" + t.HostPort()
	}
	return "http://" + t.HostPort()
}

// Check returns an error around [ErrHost] where the target's host is no address
// and no DNS name, or its port no number: the connection may lead anywhere then,
// whatever a part of the text looks like. Stages check before they ask an
// initiator, and initiators before they choose a principal. The Stage of the
// error is for the caller to set.
func (t Target) Check() *Error {
	_, err := hostname.Normal(t.Host)
	if err == nil && t.Port != "" {
		_, err = hostname.NormalPort(t.Port)
	}
	if err == nil {
		return nil
	}
	return &Error{Kind: ErrHost, Host: t.HostPort(), Err: err, Hint: "use a URL with a host name"}
}

// TargetOfURL returns the target that a URL names: the host and port that
// [http.Transport] dials for it without a proxy, and that a proxy is asked for. It
// does not look at the Host header.
func TargetOfURL(u *url.URL) Target {
	t := Target{Scheme: Negotiate, Host: u.Hostname(), Port: u.Port(), Secure: strings.EqualFold(u.Scheme, "https")}
	if host, err := hostname.Normal(t.Host); err == nil {
		t.Host = host
	}
	if t.Port == "" {
		t.Port = "80"
		if t.Secure {
			t.Port = "443"
		}
	} else if port, err := hostname.NormalPort(t.Port); err == nil {
		t.Port = port
	}
	return t
}

// maxRedirects bounds how far TargetOf looks back; net/http follows ten.
const maxRedirects = 64

// TargetOf returns the target of a request: [TargetOfURL] its URL, and RedirectedFrom and
// Downgraded where [http.Client] sent it because of a redirect. Of more redirects
// than anybody follows it does not look for the first, and takes them to have led
// from elsewhere.
func TargetOf(r *http.Request) Target {
	t := TargetOfURL(r.URL)
	hop := r
	for n := 0; hop.Response != nil && hop.Response.Request != nil && hop.Response.Request.URL != nil; n++ {
		hop = hop.Response.Request
		from := TargetOfURL(hop.URL)
		t.Downgraded = t.Downgraded || from.Secure && !t.Secure
		t.RedirectedFrom = ""
		if from.Host != t.Host || from.Port != t.Port {
			t.RedirectedFrom = from.HostPort()
		}
		if n == maxRedirects {
			t.RedirectedFrom, t.Downgraded = from.HostPort(), !t.Secure
			break
		}
	}
	return t
}

// A SecurityContext is one GSS-API context (RFC 2743 section 2.2) being set up
// with one peer for one request. It is driven by the goroutine that runs the
// request and is not safe for concurrent use, save Verified and Target. One that can
// tell or do more is a [Named], [Identified], [Bound], [Discarder] or [Sealer] too.
type SecurityContext interface {
	// Step takes the peer's token, nil at first, and returns ours, nil when
	// none is owed. Tokens are raw bytes, not base64; the caller owns both.
	// An error means that the context is of no more use.
	Step(ctx context.Context, token []byte) ([]byte, error)
	// Verified reports whether the peer has proved who it is.
	Verified() bool
	// Target returns what the context was made for.
	Target() Target
}

// An Initiator starts security contexts. It is safe for concurrent use.
type Initiator interface {
	// Initiate finds credentials for t and returns a context whose first token
	// is still to be made by Step. It may wait for the network, and returns
	// when ctx ends. Its errors are of type [*Error].
	Initiate(ctx context.Context, t Target) (SecurityContext, error)
}

// InitiatorFunc makes a function an [Initiator].
type InitiatorFunc func(ctx context.Context, t Target) (SecurityContext, error)

// Initiate calls f.
func (f InitiatorFunc) Initiate(ctx context.Context, t Target) (SecurityContext, error) {
	return f(ctx, t)
}

// A Sealer is a [SecurityContext] that can also protect messages once it is
// established (RFC 2743 section 2.3), each a token in two parts: a header and
// data as long as the message, as EncryptMessage of Windows' SSPI makes them.
// Messages of one direction are numbered, and opened in the order in which the
// peer sealed them. It is safe for concurrent use.
type Sealer interface {
	// Seal appends to dst a token with integrity and confidentiality, of which
	// the first header bytes are the header. It does not keep or change plain,
	// which must not overlap dst.
	Seal(dst, plain []byte) (out []byte, header int, err error)
	// Open verifies and decrypts what the peer sealed, and returns it, in the
	// memory of data if it can; with an error data holds no plaintext. Errors
	// are of type [*Error], with a Reason such as [ReasonTampered] or [ReasonReplayed].
	// Padding, which RC4 may have, stays.
	Open(header, data []byte) (plain []byte, err error)
}

type (
	originKey struct{}
	proxyKey  struct{}
	// A slot is what the request's context holds. The transport may take
	// another connection after a request was signed, and the stage that signed
	// it then replaces the context within; readers may be other goroutines.
	slot struct {
		sc    atomic.Pointer[SecurityContext]
		first SecurityContext      // what sc points to before it is replaced
		mark  *mark                // of the innermost call in which it was made
		taken atomic.Pointer[mark] // of the innermost call under way that came with it
	}
)

func slotOf(r *http.Request, key any) *slot {
	if r == nil {
		return nil
	}
	s, _ := r.Context().Value(key).(*slot)
	return s
}

func (s *slot) load() SecurityContext {
	if s == nil {
		return nil
	}
	if p := s.sc.Load(); p != nil {
		return *p
	}
	return nil
}

// WithSecurity returns a shallow copy of r that carries sc, in place of any
// context that r carried for the same side (origin or proxy). r is not changed.
// Headers are shared with r: clone them before setting one.
func WithSecurity(r *http.Request, sc SecurityContext) *http.Request {
	s := &slot{mark: markOf(r.Context()), first: sc}
	s.sc.Store(&s.first)
	var key any = originKey{}
	if sc.Target().Proxy {
		key = proxyKey{}
	}
	return r.WithContext(context.WithValue(r.Context(), key, s))
}

// ReserveSecurity returns a shallow copy of r that carries no context for its
// origin server, or for an HTTP proxy, until [ReplaceSecurity] puts one there. It is
// for stages that sign a request when the transport has taken a connection.
func ReserveSecurity(r *http.Request, proxy bool) *http.Request {
	var key any = originKey{}
	if proxy {
		key = proxyKey{}
	}
	return r.WithContext(context.WithValue(r.Context(), key, &slot{mark: markOf(r.Context())}))
}

// ReplaceSecurity puts sc in the place of the context that r carries for the
// same side, for everyone who holds r or a response to it. It reports whether r
// carried one, or had the place reserved. It is for stages that sign a request
// anew when the transport takes another connection.
func ReplaceSecurity(r *http.Request, sc SecurityContext) bool {
	var key any = originKey{}
	if sc.Target().Proxy {
		key = proxyKey{}
	}
	s := slotOf(r, key)
	if s == nil {
		return false
	}
	s.sc.Store(&sc)
	return true
}

// SecurityOf returns the context that signed r for its origin server, nil when
// none did or r is nil. Given resp.Request it tells an application who signed
// and whether the server proved itself.
func SecurityOf(r *http.Request) SecurityContext { return slotOf(r, originKey{}).load() }

// ProxySecurityOf returns the context that signed r for an HTTP proxy, nil when
// none did or r is nil.
func ProxySecurityOf(r *http.Request) SecurityContext { return slotOf(r, proxyKey{}).load() }
