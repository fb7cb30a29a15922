package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// The words of --credentials.
const (
	ownCredentials    = "own"
	systemCredentials = "system"
)

// systemTakes says what signs on a system with --credentials system, and which of the
// flags about credentials it has a use for.
func systemTakes(goos string) (signer string, flags []string) {
	if goos == "windows" {
		return "Windows", []string{"--password-file"}
	}
	return "the GSS-API library", []string{"--keytab", "--ccache", "--canonicalize fallback", "--gssapi-library"}
}

// checkCredentials refuses flags that contradict each other, or --credentials.
func (f *getFlags) checkCredentials(goos string) error {
	switch {
	case f.keytab != "" && f.ccache != "":
		return errors.New("--keytab and --ccache exclude each other")
	case f.armorKeytab != "" && f.armorCCache != "":
		return errors.New("--armor-keytab and --armor-ccache exclude each other")
	}
	switch f.credentials {
	case "", ownCredentials:
		if f.library != "" {
			return errors.New("--gssapi-library needs --credentials system")
		}
		return nil
	case systemCredentials:
	default:
		return fmt.Errorf("--credentials %q: want one of own, system", f.credentials)
	}
	signer, takes := systemTakes(goos)
	for _, flag := range []struct {
		name string
		set  bool
	}{
		{"--keytab", f.keytab != ""}, {"--ccache", f.ccache != ""}, {"--password-file", f.passwordFile != ""},
		{"--enterprise", f.enterprise}, {"--read-only-cache", f.readOnly}, {"--as-user", f.asUser != ""},
		{"--armor-ccache", f.armorCCache != ""}, {"--armor-keytab", f.armorKeytab != ""},
		{"--canonicalize fallback", f.canonicalize == "fallback"}, {"--gssapi-library", f.library != ""},
	} {
		if flag.set && !slices.Contains(takes, flag.name) {
			return fmt.Errorf("--credentials system: %s signs, and has no use for %s", signer, flag.name)
		}
	}
	return nil
}

// armored returns o with the source of the ticket that protects the login, if one is named.
func (f *getFlags) armored(o client.Options) (_ client.Options, err error) {
	so := kerberos.SourceOptions{ReadOnlyCache: f.readOnly || f.untouched, Getenv: o.Getenv}
	flag := ""
	switch {
	case f.armorCCache != "":
		flag = "--armor-ccache"
		o.Armor, err = kerberos.FromCCache(f.armorCCache, so)
	case f.armorKeytab != "":
		flag = "--armor-keytab"
		o.Armor, err = kerberos.FromKeytab(f.armorKeytab, so)
	}
	if e, ok := errors.AsType[*middleware.Error](err); ok && errors.Is(e, middleware.ErrCredentials) {
		of := *e
		of.Err = fmt.Errorf("%s: %w", flag, e.Err)
		err = &of
	}
	return o, err
}

// withCredentials returns o with what --credentials asks for.
func (f *getFlags) withCredentials(o client.Options) (client.Options, error) {
	switch f.credentials {
	case ownCredentials:
		o.Credentials = client.CredentialsOwn
	case systemCredentials:
		return f.bySystem(o)
	}
	return o, nil
}
