package client

import (
	"os"
	"reflect"
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

// NewInitiator returns what signs the requests of a client with these options, for
// stages that a program puts together itself. Only credentials, names, delegation,
// bindings, AllowedHosts and Mutual of o count. Errors are of type
// [*middleware.Error]. Where Windows signs, its contexts seal no messages; those of
// package sspi do, with Sealing.
func NewInitiator(o Options) (middleware.Initiator, error) { return o.initiator(false) }

// WithSource returns o with Source in the place of the credentials that it names, for
// a program that uses the same tickets in another way too: for several clients, say, or
// in a [kerberos.Impersonator]. An o with a Source is returned as it is. Errors are of
// type [*middleware.Error].
func (o Options) WithSource() (Options, error) {
	if err := o.check(); err != nil {
		return o, err
	}
	if o.Source != nil {
		return o, nil
	}
	if o.Initiator != nil {
		return o, wrong("leave out Initiator", "an Initiator has tickets of its own")
	}
	if o.bySystem(runtime.GOOS) {
		return o, wrong("name a cache, keytab or password, or set CredentialsOwn", "Windows signs, and hands out no tickets")
	}
	source, err := o.source()
	if err != nil {
		return o, err
	}
	for _, name := range ofSource {
		reflect.ValueOf(&o).Elem().FieldByName(name).SetZero()
	}
	o.Source = source
	return o, nil
}

// initiator makes what signs requests. With sealing its contexts seal messages too.
func (o Options) initiator(sealing bool) (middleware.Initiator, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Initiator != nil {
		return o.Initiator, nil
	}
	// Elsewhere check refused it, and nothing of package sspi is linked.
	if runtime.GOOS == windows && o.bySystem(windows) {
		return sspi.New(o.sspi(sealing))
	}
	source, err := o.source()
	if err != nil {
		return nil, err
	}
	return kerberos.NewInitiator(source, o.signing())
}

// signing returns the options of package kerberos for what is signed, and how.
func (o Options) signing() kerberos.InitiatorOptions {
	return kerberos.InitiatorOptions{
		Service:      o.Service,
		HostOverride: o.HostOverride, HostOverrides: o.HostOverrides, PortInSPN: o.PortInSPN,
		Canonicalize: o.Canonicalize, AllowedHosts: o.AllowedHosts, Proxy: o.ForProxy,
		NoMutual:   o.Mutual == mutual.Disabled,
		Bindings:   o.Bindings,
		Delegation: o.Delegation,
		DelegateTo: o.DelegateTo,
		Now:        o.Now,
	}
}

// source returns where tickets come from, other than the system.
func (o Options) source() (kerberos.TicketSource, error) {
	if o.Source != nil {
		return o.Source, nil
	}
	principal, password := o.login()
	ko := kerberos.SourceOptions{
		Principal: principal, Enterprise: o.Enterprise, ReadOnlyCache: o.ReadOnlyCache, Krb5Conf: o.Krb5Conf, Krb5ConfText: o.Krb5ConfText, AllowRC4: o.AllowRC4,
		Armor: o.Armor, ArmorOptional: o.ArmorOptional, OTP: o.OTP, NewPassword: o.NewPassword,
		Forwardable: o.Delegation != kerberos.DelegationOff, Dial: o.Dial, Resolver: o.Resolver, Now: o.Now, Getenv: o.Getenv,
	}
	switch {
	case !password.IsZero(), o.OTP != nil:
		return kerberos.FromPassword(password, ko)
	case o.Keytab != "":
		return kerberos.FromKeytab(o.Keytab, ko)
	case o.CCache != "":
		return kerberos.FromCCache(o.CCache, ko)
	}
	return kerberos.FromEnvironment(ko)
}

// login returns the principal, and its password wherever it is given.
func (o Options) login() (principal string, password kerberos.Secret) {
	principal, password, ok := kerberos.SplitPassword(o.Principal)
	if !ok {
		password = o.Password
	}
	return principal, password
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
	return len(given(o, ofSource, []string{"Source", "Initiator", "Now"})) == 0 && !credentialsNamed(goos, getenv)
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
		return wrong("set Initiator to what New of package gssapi returns, in place of Credentials",
			"the system's credentials need package gssapi on %s, which package client does not link", goos)
	}
	if o.Credentials == CredentialsDefault {
		o.Getenv = nil // it had its say
	}
	o.Principal, o.Password, o.Credentials = "", kerberos.Secret{}, 0
	void := given(o, ofSource, []string{"Now"})
	if o.Canonicalize == kerberos.CanonicalizeFallback {
		void = append(void, "Canonicalize")
	}
	if p := o.ForProxy; p != nil {
		if p.Canonicalize == kerberos.CanonicalizeFallback {
			void = append(void, "ForProxy.Canonicalize")
		}
		for _, name := range given(*p, []string{"ClientAwareBindings", "Now"}) {
			void = append(void, "ForProxy."+name)
		}
	}
	if len(void) > 0 {
		return wrong("leave out one or the other, or set Credentials to CredentialsOwn",
			"Windows signs, and has no use for %s", strings.Join(void, ", "))
	}
	return nil
}

// sspi returns the options for Windows.
func (o Options) sspi(sealing bool) sspi.Options {
	out := forWindows(o.signing())
	out.Principal, out.Password = o.login()
	out.Sealing = sealing
	return out
}

// forWindows returns what package sspi has of the options of package kerberos.
func forWindows(o kerberos.InitiatorOptions) sspi.Options {
	out := sspi.Options{
		Service: o.Service, HostOverride: o.HostOverride, HostOverrides: o.HostOverrides, Realm: o.Realm, PortInSPN: o.PortInSPN,
		AllowedHosts: o.AllowedHosts, NoMutual: o.NoMutual, Bindings: o.Bindings, Delegation: o.Delegation, DelegateTo: o.DelegateTo,
	}
	if o.Proxy != nil {
		out.Proxy = new(forWindows(*o.Proxy))
	}
	return out
}
