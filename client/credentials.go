package client

import (
	"os"
	"runtime"
	"strings"

	"github.com/kerbchain/kerbchain/internal/krb5conf"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/sspi"
)

// Credentials says who signs requests.
type Credentials int

const (
	// CredentialsDefault is, on Windows, CredentialsSystem where nothing names a cache,
	// keytab or password: no option, neither KRB5CCNAME nor KRB5_CLIENT_KTNAME, no
	// krb5.ini, and where there is no client keytab by default. Everywhere else it is
	// CredentialsOwn.
	CredentialsDefault Credentials = iota
	// CredentialsOwn is package kerberos, with the caches, keytabs and passwords that it
	// can read.
	CredentialsOwn
	// CredentialsSystem is Windows, by package sspi, with the credentials of the user who
	// is logged on or of Principal with Password. On other systems it is an error, since
	// programs would have to link what calls the system's library: there, pass what
	// New of package gssapi returns as Initiator.
	CredentialsSystem
)

const windows = "windows"

// initiator makes what signs requests. With sealing its contexts seal messages too.
func (o Options) initiator(sealing bool) (middleware.Initiator, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Initiator != nil {
		return o.Initiator, nil
	}
	if o.bySystem(runtime.GOOS) {
		return o.logon(sealing)
	}
	source, err := o.source()
	if err != nil {
		return nil, err
	}
	return o.own(source)
}

// bySystem reports whether the system's credentials sign.
func (o Options) bySystem(goos string) bool {
	if o.Credentials != CredentialsDefault || goos != windows {
		return o.Credentials == CredentialsSystem
	}
	getenv := o.Getenv
	if getenv == nil {
		getenv = kerberos.SecureGetenv
	}
	o.Getenv = nil // which decides, and says nothing of credentials
	others := o.Source != nil || o.Initiator != nil || o.Now != nil || len(given(o.credentials())) > 0
	return !others && !credentialsNamed(goos, getenv)
}

// credentialsNamed reports whether the environment or krb5.conf name a cache or keytab,
// or krb5.conf cannot be read.
func credentialsNamed(goos string, getenv func(string) string) bool {
	if getenv("KRB5CCNAME") != "" || getenv("KRB5_CLIENT_KTNAME") != "" {
		return true
	}
	conf, err := krb5conf.LoadDefault(krb5conf.Options{GOOS: goos, Getenv: getenv})
	if err != nil || conf.DefaultCCacheName != "" || conf.DefaultClientKeytabName != "" {
		return true // package kerberos says what is wrong with it
	}
	for _, name := range conf.ClientKeytabs() {
		if _, err := os.Stat(strings.TrimPrefix(name, "FILE:")); err == nil {
			return true
		}
	}
	return false
}

// checkSystem refuses what the system does not do.
func (o Options) checkSystem(goos string) error {
	if !o.bySystem(goos) {
		return nil
	}
	if goos != windows {
		return notHere(goos)
	}
	if o.Credentials == CredentialsDefault {
		o.Getenv = nil // it had its say
	}
	o.Principal, o.Password, o.Credentials = "", kerberos.Secret{}, 0
	void := given(append(o.credentials(), option{"Now", o.Now != nil}, option{"Canonicalize", o.Canonicalize == kerberos.CanonicalizeFallback}))
	if p := o.ForProxy; p != nil {
		void = append(void, given([]option{
			{"ForProxy.Canonicalize", p.Canonicalize == kerberos.CanonicalizeFallback},
			{"ForProxy.ClientAwareBindings", p.ClientAwareBindings}, {"ForProxy.Now", p.Now != nil},
		})...)
	}
	if len(void) > 0 {
		return wrong("leave out one or the other, or set Credentials to CredentialsOwn",
			"Windows signs, and has no use for %s", strings.Join(void, ", "))
	}
	return nil
}

// notHere is the error of who wants the system's credentials elsewhere than on Windows.
func notHere(goos string) error {
	return wrong("set Initiator to what New of package gssapi returns, in place of Credentials",
		"the system's credentials need package gssapi on %s, which package client does not link", goos)
}

// sspi returns the options for Windows.
func (o Options) sspi(sealing bool) sspi.Options {
	principal, password, ok := kerberos.SplitPassword(o.Principal)
	if ok {
		o.Password = password
	}
	return sspi.Options{
		Principal: principal, Password: o.Password,
		Service: o.Service, HostOverride: o.HostOverride, HostOverrides: o.HostOverrides, PortInSPN: o.PortInSPN,
		AllowedHosts: o.AllowedHosts, NoMutual: o.Mutual == mutual.Disabled, Bindings: o.Bindings,
		Delegation: o.Delegation, DelegateTo: o.DelegateTo, Sealing: sealing,
		Proxy: forProxy(o.ForProxy),
	}
}

func forProxy(p *kerberos.InitiatorOptions) *sspi.Options {
	if p == nil {
		return nil
	}
	return &sspi.Options{
		Service: p.Service, HostOverride: p.HostOverride, HostOverrides: p.HostOverrides, Realm: p.Realm, PortInSPN: p.PortInSPN,
		AllowedHosts: p.AllowedHosts, NoMutual: p.NoMutual, Bindings: p.Bindings, Delegation: p.Delegation, DelegateTo: p.DelegateTo,
		Proxy: forProxy(p.Proxy),
	}
}
