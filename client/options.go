package client

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/logging"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
	"github.com/kerbchain/kerbchain/tunnel"
)

// Options choose credentials and behaviour. In parentheses stand the arguments of
// requests-kerberos that do the same. The zero value is safe: it requires mutual
// authentication, binds tokens to TLS, empties errors of unverified servers, signs
// nothing before the server asks, delegates nothing and logs nothing.
type Options struct {
	// Mutual says what happens to responses without proof of the server's identity
	// (mutual_authentication).
	Mutual mutual.Mode
	// TrustConnection takes a response without a token for verified if it came over a
	// connection of HTTP/1.1 on which the server proved itself before. It is for IIS,
	// WinRM and others that authenticate connections; see [mutual.Options]. With
	// mutual.Disabled it is an error, as is TrustProxy.
	TrustConnection bool
	// TrustProxy takes a response over plain HTTP for verified if the proxy asked for
	// authentication and proved itself, and the server did not ask. The proxy then
	// vouches for every server behind it; see [mutual.Options].
	TrustProxy bool
	// KeepErrorBodies passes on error responses of unverified servers as they
	// are (sanitize_mutual_error_response=False).
	KeepErrorBodies bool
	// KeepError returns true for error responses to pass as they are, while the
	// others are emptied; see [sanitize.KeepWSMan].
	KeepError func(*http.Response) bool
	// Preemptive says which requests are signed before the server asks
	// (force_preemptive): nil for none, [preemptive.Always], [preemptive.Learned]
	// or [preemptive.Hosts].
	Preemptive preemptive.Policy
	// AllowDowngrade sends tokens over plain HTTP where a redirect led there from
	// https; see [negotiate.Options]. Without it the 401 is the response.
	AllowDowngrade bool
	// PreemptiveProxy says which proxies get a token before they ask for one, with
	// requests over plain http (--proxy-negotiate of curl): [preemptive.Always],
	// [preemptive.Learned] or [preemptive.Hosts]. Nil means Learned, so that a proxy
	// asks once rather than for each connection, or Always if Tunnel.Always is set.
	// For https, Tunnel says so.
	PreemptiveProxy preemptive.Policy
	// ReturnChallenge returns the 401 where there are no credentials to answer it, or
	// the KDC does not know the service, for chains with another scheme outside; see
	// [negotiate.Options]. Without it, that is an error.
	ReturnChallenge bool
	// BodyLimit is how many bytes of a request body without GetBody are kept to
	// send it again; 0 means 1 MiB, negative none.
	BodyLimit int64
	// SpillLimit, SpillDir and OneShot are those of [negotiate.Options], for
	// longer bodies.
	SpillLimit int64
	SpillDir   string
	OneShot    negotiate.OneShot
	// NoResend makes it an error if a signed request is lost with its connection, in
	// place of sending it once more; see [negotiate.Options].
	NoResend bool

	// Credentials says whether package kerberos signs, with the fields from Principal to
	// NewPassword, or the system.
	Credentials Credentials
	// Principal is the client principal wanted (principal): name@REALM, or with a
	// password name@REALM:password. Empty means that of the credentials.
	Principal string
	// Enterprise says that Principal is an alias, such as the user principal
	// name of an Active Directory account; see [kerberos.SourceOptions].
	Enterprise bool
	// Password logs in as Principal (password).
	Password kerberos.Secret
	// Keytab names a keytab file to log in with, as Principal or as the first
	// principal in it.
	Keytab string
	// CCache names a credential cache, in place of $KRB5CCNAME.
	CCache string
	// ReadOnlyCache leaves credential caches as they are; see
	// [kerberos.SourceOptions].
	ReadOnlyCache bool
	// Armor protects the login by a ticket of another principal (FAST), and ArmorOptional
	// lets it go without where the KDC does not offer that; see [kerberos.SourceOptions].
	Armor         *kerberos.Source
	ArmorOptional bool
	// OTP is asked for one-time passwords, with Armor; see [kerberos.SourceOptions].
	// Password may be left out then.
	OTP func(ctx context.Context, c kerberos.OTPChallenge) (kerberos.OTPAnswer, error)
	// NewPassword is asked for a new password in the place of one that has expired, and
	// the new one is set at the realm's server; see [kerberos.SourceOptions].
	NewPassword func(ctx context.Context, r kerberos.NewPasswordRequest) (kerberos.Secret, error)
	// Source, when not nil, is where tickets come from. It takes the place of the
	// fields from Credentials to NewPassword and from Krb5Conf to Getenv, except Now;
	// it is an error to set one of them too.
	Source kerberos.TicketSource

	// Service is the service class of the SPN (service); empty means HTTP.
	Service string
	// HostOverride is the host in the SPN in place of the URL's
	// (hostname_override).
	HostOverride string
	// HostOverrides, PortInSPN, Canonicalize and AllowedHosts are those of
	// [kerberos.InitiatorOptions].
	HostOverrides map[string]string
	PortInSPN     bool
	Canonicalize  kerberos.HostCanonicalization
	AllowedHosts  []string
	// ForProxy, when not nil, are the options for proxies that ask for
	// authentication, in place of these.
	ForProxy *kerberos.InitiatorOptions
	// Delegation says when credentials are forwarded (delegate). With a password or
	// keytab, a forwardable ticket is requested then.
	Delegation kerberos.Delegation
	// DelegateTo limits delegation to these hosts; see
	// [kerberos.InitiatorOptions].
	DelegateTo []string
	// Bindings is the mode of channel binding (send_cbt).
	Bindings kerberos.Bindings
	// Initiator, when not nil, makes the security contexts. It takes the place of
	// Source and of all fields about credentials, names, delegation and bindings; it
	// is an error to set one of them too.
	Initiator middleware.Initiator

	// Krb5Conf and the next six are those of [kerberos.SourceOptions].
	Krb5Conf     []string
	Krb5ConfText string
	AllowRC4     bool
	Dial         func(ctx context.Context, network, address string) (net.Conn, error)
	Resolver     kerberos.Resolver
	Now          func() time.Time
	Getenv       func(string) string

	// Logging is the logging stage; its zero value writes nothing.
	Logging logging.Options

	// Transport sends the requests; nil means one of
	// [github.com/kerbchain/kerbchain.NewTransport]. An *http.Transport is cloned,
	// since a connection that a server authenticated for one user must not carry
	// another's requests, and cloned once more for servers that do not authenticate
	// over HTTP/2. Any other type is used as it is, and must not be shared between
	// users.
	Transport http.RoundTripper
	// OneConnection uses one HTTP/1.1 connection for each host, for which parallel
	// requests wait. It is for servers that want more than one token, all on the
	// connection of the first. Transport must be nil or an *http.Transport.
	OneConnection bool
	// Proxy says which proxy a request goes through. Nil leaves that to an
	// *http.Transport. With any other transport, and in the stages of [NewStack], nil
	// means that a proxy's 407 to plain http is not answered.
	Proxy func(*http.Request) (*url.URL, error)
	// Tunnel says how to authenticate to the proxies that https goes through, with an
	// *http.Transport; ForProxy has the names. Its zero value sends a proxy a token
	// once it asked for one, and verifies the proxy's own if it sends one. That
	// proves nothing of the server behind the proxy, which Mutual is about.
	Tunnel tunnel.Options
}

// Format writes which credentials are set, never a password.
func (o Options) Format(f fmt.State, _ rune) {
	principal, _, _ := kerberos.SplitPassword(o.Principal)
	fmt.Fprintf(f, "{Principal:%s Password:%v Keytab:%s CCache:%s Service:%s HostOverride:%s Mutual:%v}",
		principal, o.Password, o.Keytab, o.CCache, o.Service, o.HostOverride, o.Mutual)
}
