package client

import (
	"fmt"
	"net/http"
	"reflect"
	"runtime"
	"slices"
	"strings"

	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
	"github.com/kerbchain/kerbchain/tunnel"
)

// ofSource are the options that say where tickets come from.
var ofSource = []string{
	"Credentials", "Principal", "Enterprise", "Password", "Keytab", "CCache", "ReadOnlyCache", "Armor", "ArmorOptional", "OTP",
	"NewPassword", "Krb5Conf", "Krb5ConfText", "AllowRC4", "Dial", "Resolver", "Getenv",
}

// ofInitiator are the options that say which tokens are made of tickets, and for which
// service.
var ofInitiator = []string{
	"Source", "Service", "HostOverride", "HostOverrides", "PortInSPN", "Canonicalize", "AllowedHosts", "ForProxy", "Delegation",
	"DelegateTo", "Bindings", "Now",
}

// check refuses options of which one would make another void.
func (o Options) check() error {
	if o.Initiator != nil {
		if err := replaced("Initiator", given(o, ofSource, ofInitiator)); err != nil {
			return err
		}
	}
	if o.Source != nil {
		if err := replaced("Source", given(o, ofSource)); err != nil {
			return err
		}
	}
	if o.Credentials < CredentialsDefault || o.Credentials > CredentialsSystem {
		return wrong("use one of the constants", "Credentials is %d", o.Credentials)
	}
	if err := o.checkSystem(runtime.GOOS); err != nil {
		return err
	}
	_, _, password := kerberos.SplitPassword(o.Principal)
	if password && !o.Password.IsZero() {
		return wrong("give one of them", "the principal already bears a password")
	}
	password = password || !o.Password.IsZero()
	if o.NewPassword != nil && !password {
		return wrong("set Password, or leave NewPassword out", "NewPassword takes the place of a password that has expired, and there is none")
	}
	logins := 0
	for _, set := range []bool{password || o.OTP != nil, o.Keytab != "", o.CCache != ""} {
		if set {
			logins++
		}
	}
	if logins > 1 {
		return wrong("give one of them", "password (or one-time passwords), keytab and credential cache exclude one another")
	}
	if o.Mutual == mutual.Disabled && (o.TrustConnection || o.TrustProxy) {
		return wrong("leave TrustConnection and TrustProxy out, or use mutual.Optional",
			"connections and proxies cannot be trusted where mutual authentication is disabled, since nobody proves anything then")
	}
	for _, p := range []struct {
		name   string
		policy preemptive.Policy
	}{{"Preemptive", o.Preemptive}, {"PreemptiveProxy", o.PreemptiveProxy}} {
		if c, ok := p.policy.(stage.Checker); ok {
			if err := c.Check(); err != nil {
				return wrong("", "%s: %w", p.name, err)
			}
		}
	}
	if _, ours := o.Transport.(*http.Transport); ours || o.Transport == nil {
		return nil
	}
	switch {
	case o.OneConnection:
		return wrong("give an *http.Transport, or leave OneConnection out", "a %T cannot be held to one connection for each host", o.Transport)
	case o.Tunnel != tunnel.Options{}:
		return wrong("give an *http.Transport, or leave Tunnel out", "a %T makes its tunnels itself, so Tunnel would have no effect", o.Transport)
	case o.PreemptiveProxy != nil && o.Proxy == nil:
		return wrong("set Proxy to what the transport uses, or leave PreemptiveProxy out", "which proxy a %T uses is not known, so PreemptiveProxy would have no effect", o.Transport)
	}
	return nil
}

// given returns the names of those fields of a struct that are set.
func given(options any, fields ...[]string) (set []string) {
	v := reflect.ValueOf(options)
	for _, name := range slices.Concat(fields...) {
		if !v.FieldByName(name).IsZero() {
			set = append(set, name)
		}
	}
	return set
}

// replaced refuses options that another option takes the place of.
func replaced(by string, set []string) error {
	if len(set) == 0 {
		return nil
	}
	return wrong("leave out one or the other", "%s takes the place of %s, which would have no effect", by, strings.Join(set, ", "))
}

func wrong(hint, format string, args ...any) error { return wrongFor("", hint, format, args...) }

// wrongFor is wrong for one host.
func wrongFor(host, hint, format string, args ...any) error {
	return &middleware.Error{Stage: "client", Kind: middleware.ErrConfiguration, Host: host, Err: fmt.Errorf(format, args...), Hint: hint}
}
