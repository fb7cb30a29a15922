package sspi

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kerbchain/kerbchain/internal/policy"
	"github.com/kerbchain/kerbchain/internal/secret"
	"github.com/kerbchain/kerbchain/internal/system"
	"github.com/kerbchain/kerbchain/middleware"
)

const stage = "sspi"

// Bindings says whether tokens are bound to the TLS connection that carries
// them (tls-server-end-point, RFC 5929 section 4). All initiators of this module
// share the type.
type Bindings = policy.Bindings

// The modes of channel binding.
const (
	// BindingsAuto binds wherever there is a TLS connection whose certificate
	// defines bindings.
	BindingsAuto Bindings = policy.BindingsAuto
	// BindingsRequired makes it an error if there is nothing to bind to.
	BindingsRequired Bindings = policy.BindingsRequired
	// BindingsOff never binds. It is for servers behind a proxy that ends TLS.
	BindingsOff Bindings = policy.BindingsOff
)

// Delegation says when the user's credentials are forwarded to the server. All
// initiators of this module share the type.
type Delegation = policy.Delegation

// The modes of delegation. Windows forwards to services alone that the KDC marked
// ok-as-delegate ("trust this computer for delegation to any service").
const (
	// DelegationOff never forwards.
	DelegationOff Delegation = policy.DelegationOff
	// DelegationPolicy forwards where Windows does. Otherwise it forwards nothing,
	// which is no error.
	DelegationPolicy Delegation = policy.DelegationPolicy
	// DelegationAlways makes it an error where Windows does not forward.
	DelegationAlways Delegation = policy.DelegationAlways
)

// A Secret is a password. It does not print itself; Reveal returns what it holds. All
// initiators of this module share the type.
type Secret = secret.Text

// NewSecret wraps a password, in UTF-8.
func NewSecret(password string) Secret { return secret.NewText(password) }

// ErrNotForwardable is wrapped, along with [middleware.ErrCredentials], where
// credentials are to be delegated and Windows left them out.
var ErrNotForwardable = errors.New("credentials were not forwarded")

// Options adjust [New]. The zero value takes the user who is logged on, asks for mutual
// authentication with HTTP/host, binds to TLS and delegates nothing.
type Options struct {
	// Principal is another user than the one who is logged on, as name@REALM,
	// DOMAIN\name or, for a user principal name of Active Directory whose suffix is no
	// realm, name\@suffix. It needs Password.
	Principal string
	// Password is that of Principal. One that was refused is not sent again for a
	// minute by any initiator of the process, since accounts are locked after a few wrong
	// ones. Until it was accepted, one request of the account at a time tries it, of all
	// initiators: keep one for each user, not one for each call. An error of Windows that
	// stands for nothing else counts as a refusal.
	Password Secret

	// Service, HostOverride, HostOverrides, Realm and PortInSPN say which service
	// principal a host has, as in kerberos.InitiatorOptions.
	Service       string
	HostOverride  string
	HostOverrides map[string]string
	Realm         string
	PortInSPN     bool
	// AllowedHosts limits authentication to these hosts, as the URL names them, in
	// the notation of Chromium's AuthServerAllowlist. Others get no token. Empty
	// means all hosts.
	AllowedHosts []string
	// Proxy, when not nil, are the options for HTTP proxies: names, lists, NoMutual
	// and Bindings; its other fields must be zero. Nil means these options, without
	// overrides, AllowedHosts and delegation.
	Proxy *Options

	// NoMutual leaves out the request for mutual authentication. The server then
	// proves nothing.
	NoMutual bool
	// Bindings is the mode of channel binding.
	Bindings Bindings
	// Delegation is the mode of delegation. Proxies never get credentials.
	Delegation Delegation
	// DelegateTo limits delegation to these hosts, as in kerberos.InitiatorOptions.
	DelegateTo []string

	// Sealing makes contexts that can seal messages ([middleware.Sealer]), for WinRM.
	// They are freed once they are garbage; without Sealing once the server has proved
	// itself.
	Sealing bool
	// Calls bounds how many calls into Windows run at once, each on a thread of its
	// own; 0 means 64.
	Calls int
}

// New returns an initiator that signs by SSPI. The host in the service principal is the
// one in the URL. An error is of kind [middleware.ErrConfiguration]: the system is not
// Windows, or has no package Kerberos, or the options contradict one another. Whether
// there are credentials shows when a token is made.
//
// It is a [middleware.Identifier], and its contexts tell as whom they were made
// ([middleware.Identified]): as Principal, else as Windows names the user, which may be
// DOMAIN\name.
func New(o Options) (middleware.Initiator, error) {
	in, err := newInitiator(o, open)
	if err != nil {
		return nil, system.Configuration(stage, err)
	}
	return in, nil
}

// beyond names an option that is set and means nothing for proxies alone.
func (o *Options) beyond() string {
	for name, set := range map[string]bool{
		"Principal": o.Principal != "", "Password": !o.Password.IsZero(), "Proxy": o.Proxy != nil, "Sealing": o.Sealing, "Calls": o.Calls != 0,
		"Delegation": o.Delegation != DelegationOff, "DelegateTo": o.DelegateTo != nil,
	} {
		if set {
			return name
		}
	}
	return ""
}

// peers returns how origin servers and proxies are authenticated to.
func (o *Options) peers() (system.Peers, error) {
	if o.Proxy == nil {
		return system.NewPeers(o.settings(), nil, "")
	}
	proxy := o.Proxy.settings()
	return system.NewPeers(o.settings(), &proxy, o.Proxy.beyond())
}

// settings are the options for one kind of peer.
func (o *Options) settings() system.Settings {
	return system.Settings{
		Names:        policy.Names{Service: o.Service, HostOverride: o.HostOverride, HostOverrides: o.HostOverrides, Realm: o.Realm, PortInSPN: o.PortInSPN},
		AllowedHosts: o.AllowedHosts, NoMutual: o.NoMutual, Bindings: o.Bindings, Delegation: o.Delegation, DelegateTo: o.DelegateTo,
	}
}

// An identity is a user with a password, as Windows is told of one.
type identity struct {
	principal    string // as the options have it
	user, domain string
	password     Secret
}

// identity returns whom the options name, nil for the user who is logged on.
func (o *Options) identity() (*identity, error) {
	switch {
	case o.Principal == "" && o.Password.IsZero():
		return nil, nil
	case o.Password.IsZero():
		return nil, system.Advise("there is a Principal, and no Password", "only the user who is logged on needs none: leave Principal out, or use package kerberos with a keytab or cache")
	case o.Principal == "":
		return nil, errors.New("there is a Password, and no Principal that it is of")
	case strings.ContainsRune(o.Principal+o.Password.Reveal(), 0):
		return nil, errors.New("a zero byte in Principal or Password")
	}
	user, domain := splitPrincipal(o.Principal)
	if user == "" || len(utf16z(user)) > maxName || len(utf16z(domain)) > maxName || len(utf16z(o.Password.Reveal())) > maxName {
		return nil, fmt.Errorf("%q is no user, or a name or the password is too long", o.Principal)
	}
	return &identity{o.Principal, user, domain, o.Password}, nil
}

// maxName bounds names and passwords, in UTF-16 units. Windows takes no longer ones
// (UNLEN and PWLEN are 256, those of domains 255).
const maxName = 512

// splitPrincipal takes name@REALM and DOMAIN\name apart. A user principal name, in
// which the @ is escaped, has no domain.
func splitPrincipal(principal string) (user, domain string) {
	var name strings.Builder
	for i := 0; i < len(principal); i++ {
		switch c := principal[i]; {
		case c == '@':
			return name.String(), principal[i+1:]
		case c == '\\' && i+1 < len(principal) && (principal[i+1] == '@' || principal[i+1] == '\\'):
			i++
			name.WriteByte(principal[i])
		case c == '\\' && domain == "":
			domain = name.String()
			name.Reset()
		default:
			name.WriteByte(c)
		}
	}
	return name.String(), domain
}
