// Package middleware holds what stages share: security contexts, trace events and
// errors. Applications need three things of it: [Error] and its sentinels,
// [SecurityOf] of resp.Request, which tells whether the server proved itself, and
// [WithTrace], which reports what stages do. The stages are the packages below this
// one.
//
// Stages never call one another. A stage that signs a request sends a clone that
// carries its [SecurityContext], and SecurityOf(resp.Request) finds that again. So
// each response names its own context, through retries, redirects and parallel calls.
// Stages do not rely on that alone but open a [Call], since the transport may name an
// older request.
package middleware

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
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

// A Target is the peer that a token is for, and the connection that carries it.
// Stages fill it from the request, and the [Initiator] derives the service principal
// from it.
type Target struct {
	// Scheme is the HTTP authentication scheme; empty means Negotiate.
	Scheme Scheme
	// Host is the host that is contacted, as [TargetOfURL] makes it of a URL: a name
	// in lower case and in the form that DNS has (A-labels, RFC 5890) without a dot
	// at the end, or an address without brackets. A host that is neither stays as the
	// URL has it, and fails [Target.Check].
	Host string
	// Port is the decimal port of the URL, or its scheme's default.
	Port string
	// RedirectedFrom is the host:port of the first request, where redirects led to
	// another; else empty. Overrides for that host do not apply to this one.
	RedirectedFrom string
	// Downgraded is set when a redirect led from https to this plain http.
	Downgraded bool
	// Proxy is set when the token is for an HTTP proxy (status 407).
	Proxy bool
	// Secure is set when the peer is reached over TLS.
	Secure bool
	// TLS is the state of the connection that will carry the token, from which
	// channel bindings are made (RFC 5929). It is nil over plain HTTP, and until the
	// connection is known.
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

// Origin returns scheme://host:port, the key under which stages remember a peer.
func (t Target) Origin() string {
	if t.Secure {
		return "https://" + t.HostPort()
	}
	return "http://" + t.HostPort()
}

// Check returns an error around [ErrHost] if the host is no address and no DNS name,
// or the port no number: nobody can tell then where the connection leads. Stages
// check before they ask an initiator, and initiators before they choose a principal.
// The caller sets Stage of the error.
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
// [http.Transport] dials for it, or asks a proxy for. The Host header does not
// matter.
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

// TargetOf returns the target of a request: [TargetOfURL] its URL, and RedirectedFrom
// and Downgraded where [http.Client] sent it because of a redirect. After more
// redirects than any client follows it stops looking for the first, and takes it for
// another host.
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
	// Step takes the peer's token, nil at first, and returns ours, nil when none is
	// owed. Tokens are raw bytes, not base64; the caller owns both. After an error
	// the context must not be used.
	Step(ctx context.Context, token []byte) ([]byte, error)
	// Verified reports whether the peer has proved who it is.
	Verified() bool
	// Target returns what the context was made for.
	Target() Target
}

// An Initiator starts security contexts. It is safe for concurrent use.
type Initiator interface {
	// Initiate finds credentials for t and returns a context whose first token is
	// still to be made by Step. It may wait for the network, and returns when ctx
	// ends. Its errors are of type [*Error].
	Initiate(ctx context.Context, t Target) (SecurityContext, error)
}

// InitiatorFunc makes a function an [Initiator].
type InitiatorFunc func(ctx context.Context, t Target) (SecurityContext, error)

// Initiate calls f.
func (f InitiatorFunc) Initiate(ctx context.Context, t Target) (SecurityContext, error) {
	return f(ctx, t)
}

// A Sealer is a [SecurityContext] that can also protect messages once it is
// established (RFC 2743 section 2.3), each a token in two parts: a header and data as
// long as the message, as EncryptMessage of Windows' SSPI makes them. The messages of
// each direction are numbered, and must be opened in the order in which the peer
// sealed them. It is safe for concurrent use.
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
	c, out := carry(r, sc.Target().Proxy)
	c.first = sc
	c.sc.Store(&c.first)
	return out
}

// A carrier is a context that holds a security context.
type carrier struct {
	context.Context
	proxy bool // for which side
	slot
}

// carry returns an empty carrier and a copy of r with it.
func carry(r *http.Request, proxy bool) (*carrier, *http.Request) {
	if !bodiless(r) {
		c := &carrier{Context: r.Context(), proxy: proxy, slot: slot{mark: markOf(r.Context())}}
		return c, r.WithContext(c)
	}
	one := new(struct {
		carrier
		request http.Request
	})
	one.carrier.Context, one.proxy, one.mark = r.Context(), proxy, markOf(r.Context())
	one.request = *r.WithContext(&one.carrier)
	return &one.carrier, &one.request
}

// bodiless reports whether a context of r can be in one piece of memory with the copy
// of r that bears it. It lives as long as any context that is made of it, and would
// keep a body as long.
func bodiless(r *http.Request) bool {
	return (r.Body == nil || r.Body == http.NoBody) && r.GetBody == nil
}

func (c *carrier) Value(key any) any {
	switch key.(type) {
	case originKey:
		if !c.proxy {
			return &c.slot
		}
	case proxyKey:
		if c.proxy {
			return &c.slot
		}
	}
	return c.Context.Value(key)
}

// Format keeps what a security context holds from whoever prints a request's.
func (c *carrier) Format(f fmt.State, _ rune) { io.WriteString(f, "[security context]") }

// ReserveSecurity returns a shallow copy of r with an empty place for the context of
// its origin server, or of an HTTP proxy, which [ReplaceSecurity] fills. It is for
// stages that sign a request once the transport has taken a connection.
func ReserveSecurity(r *http.Request, proxy bool) *http.Request {
	_, out := carry(r, proxy)
	return out
}

// ReplaceSecurity replaces the context that r carries for the same side (origin or
// proxy). All who hold r or a response to it see the new one. It reports false if r
// carried none and had no place reserved. It is for stages that sign a request again
// when the transport takes another connection.
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

// SecurityOf returns the context that signed r for its origin server, nil when none
// did or r is nil. Given resp.Request it tells an application whether the server
// proved itself.
func SecurityOf(r *http.Request) SecurityContext { return slotOf(r, originKey{}).load() }

// ProxySecurityOf returns the context that signed r for an HTTP proxy, nil when
// none did or r is nil.
func ProxySecurityOf(r *http.Request) SecurityContext { return slotOf(r, proxyKey{}).load() }
