package gssapi

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/kerbchain/kerbchain/internal/policy"
	"github.com/kerbchain/kerbchain/internal/system"
	"github.com/kerbchain/kerbchain/middleware"
)

const stage = "gssapi"

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

// The modes of delegation.
const (
	// DelegationOff never forwards.
	DelegationOff Delegation = policy.DelegationOff
	// DelegationPolicy forwards where the KDC of the user's realm marked the service
	// ok-as-delegate (GSS_C_DELEG_POLICY_FLAG, RFC 5896) and the credentials can be
	// forwarded. Otherwise it forwards nothing, which is no error.
	DelegationPolicy Delegation = policy.DelegationPolicy
	// DelegationAlways forwards to every server that gets a token. It is an error if
	// the library does not.
	DelegationAlways Delegation = policy.DelegationAlways
)

// ErrNotForwardable is wrapped, along with [middleware.ErrCredentials], where
// credentials are to be delegated and the library left them out.
var ErrNotForwardable = errors.New("credentials were not forwarded")

// Options adjust [New]. The zero value takes the library that is found first, and the
// credentials that it has by itself, asks for mutual authentication with HTTP/host,
// binds to TLS and delegates nothing.
type Options struct {
	// Library is the file of the GSS-API library, a path or a name that the dynamic
	// linker finds. Empty means MIT's, else Heimdal's, and on macOS Apple's:
	// libgssapi_krb5.so.2, libgssapi.so.3, GSS.framework. Its code runs in the
	// process, so nobody else must be able to choose the file.
	Library string

	// Principal is the client principal wanted, name@REALM or a name in the default
	// realm. Empty means that the library chooses.
	Principal string
	// CCache names a credential cache, such as FILE:/tmp/x or KCM:, in place of
	// $KRB5CCNAME.
	CCache string
	// ClientKeytab names a keytab to log in with where the cache has no valid ticket,
	// in place of $KRB5_CLIENT_KTNAME. The library stores the tickets in the cache;
	// name one with CCache, such as MEMORY: for a private one.
	//
	// Both need gss_acquire_cred_from, which MIT's library has, and Heimdal's since
	// version 8. Without it New returns an error; set the variables then.
	ClientKeytab string

	// Service, HostOverride, HostOverrides, Realm and PortInSPN say which service
	// principal a host has, as in kerberos.InitiatorOptions. Heimdal's library asks the
	// KDC of the client's realm first, and takes its ticket where that has a service of
	// the name, whatever the realm.
	Service       string
	HostOverride  string
	HostOverrides map[string]string
	Realm         string
	PortInSPN     bool
	// Canonicalize lets the library look for another name of a service that the KDC
	// does not know by the host in the URL, which must be a name. It asks DNS as
	// krb5.conf says (dns_canonicalize_hostname, rdns). Anybody who can forge DNS then
	// chooses which server of the realm can prove itself.
	Canonicalize bool
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

	// Sealing makes contexts that can seal messages ([middleware.Sealer]), for WinRM;
	// it needs a library with gss_wrap_iov. They keep memory of the library until they are
	// garbage; without Sealing it is released once the server has proved itself.
	Sealing bool
	// Calls bounds how many calls into the library run at once, each on a thread of
	// its own; 0 means 64. With Heimdal's library it is one in the whole
	// process, except on macOS, unless $KRB5CCNAME names a cache of another type than
	// KCM and Principal is empty: that library's threads get each other's answers from
	// the daemon.
	Calls int
}

// New loads the library and returns an initiator that signs with it. The host in the
// service principal is the one in the URL. An error is of kind
// [middleware.ErrConfiguration]: no library is found, or it lacks what the options
// ask for, or they contradict one another.
//
// It is a [middleware.Identifier], and its contexts tell as whom they were made
// ([middleware.Identified]).
//
// The library stays loaded until the process ends.
func New(o Options) (middleware.Initiator, error) {
	in, err := newInitiator(o, open)
	if err != nil {
		return nil, system.Configuration(stage, err)
	}
	return in, nil
}

// newInitiator returns an initiator with options, and the library that open returns.
func newInitiator(o Options, open func(path string) (library, error)) (*initiator, error) {
	var proxy *system.Settings
	var beyond string
	if o.Proxy != nil {
		settings := o.Proxy.settings()
		proxy, beyond = &settings, o.Proxy.beyond()
	}
	peers, err := system.NewPeers(o.settings(), proxy, beyond)
	if err != nil {
		return nil, err
	}
	calls, err := system.CallsOf(o.Calls, theLibrary)
	if err != nil {
		return nil, err
	}
	if strings.ContainsRune(o.Principal+o.CCache+o.ClientKeytab+o.Library, 0) {
		return nil, errors.New("a name with a zero byte in it")
	}
	lib, err := open(o.Library)
	if err != nil {
		return nil, err
	}
	switch {
	case (o.CCache != "" || o.ClientKeytab != "") && !lib.stores():
		return nil, system.Advise(fmt.Sprintf("%s cannot be told of a cache or keytab, since it has no gss_acquire_cred_from", lib),
			"set KRB5CCNAME and KRB5_CLIENT_KTNAME in the environment instead, or use MIT's library")
	case o.Sealing && !lib.seals():
		return nil, system.Advise(fmt.Sprintf("%s cannot seal messages, since it has no gss_wrap_iov", lib),
			"use https, MIT's library, or package kerberos")
	}
	if lib.oneSocket() && mayBeKCM(o, os.Getenv("KRB5CCNAME")) {
		calls = oneCall
	}
	return &initiator{lib: lib, o: o, calls: calls, peers: peers}, nil
}

// beyond names an option that is set and has no meaning for proxies.
func (o *Options) beyond() string {
	for name, set := range map[string]bool{
		"Library": o.Library != "", "Principal": o.Principal != "", "CCache": o.CCache != "", "ClientKeytab": o.ClientKeytab != "",
		"Proxy": o.Proxy != nil, "Sealing": o.Sealing, "Calls": o.Calls != 0,
		"Delegation": o.Delegation != DelegationOff, "DelegateTo": o.DelegateTo != nil,
	} {
		if set {
			return name
		}
	}
	return ""
}

// settings are the options for one kind of peer.
func (o *Options) settings() system.Settings {
	return system.Settings{
		Names:        policy.Names{Service: o.Service, HostOverride: o.HostOverride, HostOverrides: o.HostOverrides, Realm: o.Realm, PortInSPN: o.PortInSPN},
		AllowedHosts: o.AllowedHosts, NoMutual: o.NoMutual, Bindings: o.Bindings, Delegation: o.Delegation, DelegateTo: o.DelegateTo,
	}
}

// canonicalize is Canonicalize of the options for a target.
func (o *Options) canonicalize(t middleware.Target) bool {
	if t.Proxy && o.Proxy != nil {
		return o.Proxy.Canonicalize
	}
	return o.Canonicalize
}
