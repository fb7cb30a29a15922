package middleware

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"strings"

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
	return strings.TrimSuffix(net.JoinHostPort(t.Host, t.Port), ":") // without a port no colon either
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
