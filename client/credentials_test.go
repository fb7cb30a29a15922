package client

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/sspi"
)

// On Windows the user who is logged on signs, unless something names other
// credentials; elsewhere package kerberos does.
func TestCredentialsDefault(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	empty := file("krb5.ini", "[libdefaults]\n\tdefault_realm = R\n")
	for name, tc := range map[string]struct {
		o    Options
		env  map[string]string
		want bool
	}{
		"nothing":           {want: true},
		"names and modes":   {o: Options{Service: "http", Mutual: mutual.Optional, Delegation: kerberos.DelegationPolicy, AllowedHosts: []string{"a"}}, want: true},
		"own":               {o: Options{Credentials: CredentialsOwn}},
		"principal":         {o: Options{Principal: "alice@R"}},
		"password":          {o: Options{Principal: "alice@R", Password: kerberos.NewSecret("x")}},
		"keytab":            {o: Options{Keytab: "x"}},
		"cache":             {o: Options{CCache: "x"}},
		"krb5.conf":         {o: Options{Krb5ConfText: "[libdefaults]"}},
		"source":            {o: Options{Source: (*kerberos.Source)(nil)}},
		"initiator":         {o: Options{Initiator: middleware.InitiatorFunc(nil)}},
		"clock":             {o: Options{Now: time.Now}},
		"KRB5CCNAME":        {env: map[string]string{"KRB5CCNAME": `FILE:C:\x`}},
		"client keytab":     {env: map[string]string{"KRB5_CLIENT_KTNAME": `C:\x`}},
		"empty krb5.ini":    {env: map[string]string{"KRB5_CONFIG": empty}, want: true},
		"cache in it":       {env: map[string]string{"KRB5_CONFIG": file("cache.ini", "[libdefaults]\n\tdefault_ccache_name = FILE:x\n")}},
		"keytab in it":      {env: map[string]string{"KRB5_CONFIG": file("keytab.ini", "[libdefaults]\n\tdefault_client_keytab_name = x\n")}},
		"krb5.ini is none":  {env: map[string]string{"KRB5_CONFIG": file("broken.ini", "[libdefaults\n")}},
		"the client keytab": {env: map[string]string{"KRB5_CONFIG": empty, "WINDIR": filepath.Dir(file("krb5clientkt", ""))}, want: os.PathSeparator == '/'},
	} {
		t.Run(name, func(t *testing.T) {
			o := tc.o
			o.Getenv = func(name string) string { return tc.env[name] }
			if got := o.bySystem("windows"); got != tc.want {
				t.Errorf("by the system: %t", got)
			}
			if o.bySystem("linux") || o.bySystem("darwin") {
				t.Error("by another system than Windows")
			}
		})
	}
	// The variables of the process count where no others are given.
	t.Setenv("KRB5_CONFIG", empty)
	t.Setenv("KRB5_CLIENT_KTNAME", "")
	for value, want := range map[string]bool{"": true, "FILE:x": false} {
		t.Setenv("KRB5CCNAME", value)
		if got := (Options{}).bySystem("windows"); got != want {
			t.Errorf("KRB5CCNAME=%s: %t", value, got)
		}
	}
}

// What Windows has no use for is refused.
func TestCredentialsSystem(t *testing.T) {
	none := func(string) string { return "" }
	for name, tc := range map[string]struct {
		o    Options
		goos string
		want string // "" for no error
	}{
		"logged on":        {Options{Credentials: CredentialsSystem}, "windows", ""},
		"with a password":  {Options{Credentials: CredentialsSystem, Principal: "alice@R", Password: kerberos.NewSecret("x")}, "windows", ""},
		"never by DNS":     {Options{Credentials: CredentialsSystem, Canonicalize: kerberos.CanonicalizeNever}, "windows", ""},
		"by default":       {Options{Getenv: none}, "windows", ""},
		"a keytab":         {Options{Credentials: CredentialsSystem, Keytab: "x"}, "windows", "no use for Keytab"},
		"environment":      {Options{Credentials: CredentialsSystem, Getenv: none}, "windows", "no use for Getenv"},
		"clock":            {Options{Credentials: CredentialsSystem, Now: time.Now}, "windows", "no use for Now"},
		"by DNS":           {Options{Credentials: CredentialsSystem, Canonicalize: kerberos.CanonicalizeFallback}, "windows", "no use for Canonicalize"},
		"by DNS, default":  {Options{Getenv: none, Canonicalize: kerberos.CanonicalizeFallback}, "windows", "no use for Canonicalize"},
		"proxies":          {Options{Getenv: none, ForProxy: &kerberos.InitiatorOptions{Now: time.Now, ClientAwareBindings: true, Canonicalize: kerberos.CanonicalizeFallback}}, "windows", "ForProxy.Canonicalize, ForProxy.ClientAwareBindings, ForProxy.Now"},
		"proxies, by name": {Options{Getenv: none, ForProxy: &kerberos.InitiatorOptions{Service: "http"}}, "windows", ""},
		"Linux":            {Options{Credentials: CredentialsSystem}, "linux", "package gssapi on linux"},
		"macOS":            {Options{Credentials: CredentialsSystem}, "darwin", "package gssapi on darwin"},
		"Linux, own":       {Options{Credentials: CredentialsOwn}, "linux", ""},
	} {
		err := tc.o.checkSystem(tc.goos)
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tc.want != "" && (!errors.Is(err, middleware.ErrConfiguration) || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	for _, c := range []Credentials{-1, 3} {
		if _, err := New(Options{Credentials: c}); !errors.Is(err, middleware.ErrConfiguration) {
			t.Errorf("%d: %v", c, err)
		}
	}
	if runtime.GOOS == windows {
		return
	}
	_, err := New(Options{Credentials: CredentialsSystem})
	var e *middleware.Error
	if !errors.As(err, &e) || !strings.Contains(e.Hint, "Initiator") {
		t.Errorf("%v", err)
	}
}

// Each option that sspi has is passed on, and means the same there.
func TestSSPIOptions(t *testing.T) {
	proxy := &kerberos.InitiatorOptions{Service: "p", HostOverride: "h", HostOverrides: map[string]string{"a": "b"}, Realm: "PR",
		PortInSPN: true, AllowedHosts: []string{"p"}, NoMutual: true, Bindings: kerberos.BindingsOff,
		Delegation: kerberos.DelegationPolicy, DelegateTo: []string{"d"}, Proxy: &kerberos.InitiatorOptions{Service: "q"}}
	o := Options{Principal: "alice@R", Password: kerberos.NewSecret("x"), Service: "s", HostOverride: "o", HostOverrides: map[string]string{"c": "d"},
		PortInSPN: true, AllowedHosts: []string{"h"}, Mutual: mutual.Disabled, Bindings: kerberos.BindingsRequired,
		Delegation: kerberos.DelegationAlways, DelegateTo: []string{"t"}, ForProxy: proxy}
	want := sspi.Options{Principal: "alice@R", Service: "s", HostOverride: "o", HostOverrides: map[string]string{"c": "d"},
		PortInSPN: true, AllowedHosts: []string{"h"}, NoMutual: true, Bindings: sspi.BindingsRequired,
		Delegation: sspi.DelegationAlways, DelegateTo: []string{"t"}, Sealing: true,
		Proxy: &sspi.Options{Service: "p", HostOverride: "h", HostOverrides: map[string]string{"a": "b"}, Realm: "PR",
			PortInSPN: true, AllowedHosts: []string{"p"}, NoMutual: true, Bindings: sspi.BindingsOff,
			Delegation: sspi.DelegationPolicy, DelegateTo: []string{"d"}, Proxy: &sspi.Options{Service: "q"}}}
	secrets := cmp.Transformer("reveal", sspi.Secret.Reveal)
	want.Password = sspi.NewSecret("x")
	if d := cmp.Diff(want, o.sspi(true), secrets); d != "" {
		t.Error(d)
	}
	o.Principal, o.Password = "alice@R:x", kerberos.Secret{}
	if d := cmp.Diff(want, o.sspi(true), secrets); d != "" {
		t.Errorf("the password in the principal: %s", d)
	}
	if o.sspi(false).Sealing || (Options{}).sspi(false).Proxy != nil {
		t.Error("sealing or options for proxies that nobody asked for")
	}
	// What is left out here is named: a field that sspi gets must be thought about.
	mapped := reflect.ValueOf(want)
	for i, f := range reflect.VisibleFields(mapped.Type()) {
		if mapped.Field(i).IsZero() && f.Name != "Realm" && f.Name != "Calls" {
			t.Errorf("sspi.Options.%s is passed on by nobody", f.Name)
		}
	}
}
