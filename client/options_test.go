package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// Options that make no sense are refused before anything is sent.
func TestOptions(t *testing.T) {
	realm := start(t)
	secret := kerberos.NewSecret("hunter2")
	keytab := testmain.File(t, "keytab", realm.Keytab("alice"))
	cache := testmain.File(t, "krb5cc", realm.CCache("alice"))
	alice := "alice@" + realm.Name()
	for name, tc := range map[string]struct {
		change change
		want   string // in the error; empty for none
	}{
		"password and keytab":           {func(o *client.Options) { o.Principal, o.Password, o.Keytab = alice, secret, keytab }, "exclude one another"},
		"password and cache":            {func(o *client.Options) { o.Principal, o.Password, o.CCache = alice, secret, cache }, "exclude one another"},
		"keytab and cache":              {func(o *client.Options) { o.Keytab, o.CCache = keytab, cache }, "exclude one another"},
		"all three":                     {func(o *client.Options) { o.Principal, o.Password, o.Keytab, o.CCache = alice, secret, keytab, cache }, "exclude one another"},
		"password in principal, keytab": {func(o *client.Options) { o.Principal, o.Keytab = alice+":hunter2", keytab }, "exclude one another"},
		"password twice":                {func(o *client.Options) { o.Principal, o.Password = alice+":hunter2", secret }, "already bears a password"},
		"the same password twice":       {func(o *client.Options) { o.Principal, o.Password = alice+":hunter2", kerberos.NewSecret("hunter2") }, "already bears a password"},
		"password without principal":    {func(o *client.Options) { o.Password = secret }, "without a principal"},
		"empty password with a cache":   {func(o *client.Options) { o.Principal, o.Password, o.CCache = alice, kerberos.NewSecret(""), cache }, "exclude one another"},
		"malformed principal":           {func(o *client.Options) { o.Principal, o.CCache = "alice@A@B", cache }, "alice@A@B"},
		"no such keytab":                {func(o *client.Options) { o.Keytab = filepath.Join(t.TempDir(), "none") }, "exist"},
		"keytab of something else":      {func(o *client.Options) { o.Keytab = cache }, "not a keytab"},
		"keytab of someone else":        {func(o *client.Options) { o.Principal, o.Keytab = "bob@"+realm.Name(), keytab }, "bob@"},
		"service with a host":           {func(o *client.Options) { o.CCache, o.Service = cache, "HTTP/host" }, "HTTP/host"},
		"host override with a port":     {func(o *client.Options) { o.CCache, o.HostOverride = cache, "host:80" }, "host:80"},
		"hosts that are none": {func(o *client.Options) {
			o.CCache, o.Preemptive = cache, preemptive.Hosts("a.example", "https://b.example")
		}, `Preemptive: "https://b.example" is no host: write app.example`},
		"no hosts in the list":          {func(o *client.Options) { o.CCache, o.Preemptive = cache, preemptive.Hosts("") }, "Preemptive: there is no host in the list"},
		"no hosts at all":               {func(o *client.Options) { o.CCache, o.Preemptive = cache, preemptive.Hosts() }, ""},
		"proxies that are none":         {func(o *client.Options) { o.CCache, o.PreemptiveProxy = cache, preemptive.Hosts("proxy:x") }, `PreemptiveProxy: "proxy:x" is no host`},
		"unknown bindings":              {func(o *client.Options) { o.CCache, o.Bindings = cache, 17 }, "17"},
		"unknown delegation":            {func(o *client.Options) { o.CCache, o.Delegation = cache, 17 }, "17"},
		"delegation, source cannot":     {func(o *client.Options) { *o = client.Options{Source: source{}, Delegation: kerberos.DelegationAlways} }, "cannot delegate"},
		"delegation":                    {func(o *client.Options) { o.CCache, o.Delegation = cache, kerberos.DelegationAlways }, ""},
		"krb5.conf that is none":        {func(o *client.Options) { o.CCache, o.Krb5ConfText = cache, "[libdefaults\n" }, "krb5.conf"},
		"krb5.conf without the realm":   {func(o *client.Options) { o.CCache, o.Krb5ConfText = cache, "[libdefaults]\n" }, ""},
		"a cache of an unknown type":    {func(o *client.Options) { o.CCache = "API:1" }, "API:1"},
		"a cache that is not there yet": {func(o *client.Options) { o.CCache = filepath.Join(t.TempDir(), "none") }, ""},
		"a source":                      {func(o *client.Options) { *o = client.Options{Source: source{}, Now: o.Now} }, ""},
		"an initiator":                  {func(o *client.Options) { *o = client.Options{Initiator: stumbling{}} }, ""},
		"trust where nothing is proved": {func(o *client.Options) {
			o.CCache, o.Mutual, o.TrustConnection = cache, mutual.Disabled, true
		}, "cannot be trusted"},
		"one connection of a stranger": {func(o *client.Options) {
			o.CCache, o.OneConnection, o.Transport = cache, true, struct{ http.RoundTripper }{}
		}, "one connection for each host"},
		"unknown mode acts as required":  {func(o *client.Options) { o.CCache, o.Mutual = cache, mutual.Mode(9) }, ""},
		"principal with password":        {func(o *client.Options) { o.Principal = alice + ":hunter2" }, ""},
		"password of colons and at":      {func(o *client.Options) { o.Principal = alice + ":a:b@c" }, ""},
		"environment with nothing in it": {func(*client.Options) {}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := bare(realm)
			tc.change(&o)
			c, err := client.New(o)
			r, rerr := client.NewRetryable(o)
			rt, terr := client.NewTransport(o)
			stack, serr := client.NewStack(o)
			if tc.want == "" {
				if err != nil || rerr != nil || terr != nil || serr != nil {
					t.Error(err, rerr, terr, serr)
				}
				return
			}
			for _, err := range []error{err, rerr, terr, serr} {
				reads(t, err)
				kind := middleware.ErrConfiguration
				if strings.Contains(name, "keytab of") || strings.Contains(name, "such keytab") || strings.Contains(name, "a cache of") {
					kind = middleware.ErrCredentials // what is read is at fault
				}
				if !errors.Is(err, kind) || errors.Is(err, middleware.ErrNotVerified) || errors.Is(err, middleware.ErrToken) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("error %v, want one about %q", err, tc.want)
				}
			}
			if c != nil || r != nil || rt != nil || stack != nil {
				t.Error("something was returned beside the error")
			}
		})
	}
	if n := len(realm.Exchanges()); n != 0 {
		t.Errorf("the KDC was asked %d times", n)
	}
}

// source has no tickets.
type source struct{ kerberos.TicketSource }

// The environment's credentials are those of MIT: a cache, else a client keytab.
func TestEnvironment(t *testing.T) {
	for name, tc := range map[string]struct {
		cache, keytab bool // that there is one where the environment says
		want          error
	}{
		"cache":                    {cache: true},
		"keytab where no cache is": {keytab: true},
		"neither":                  {want: middleware.ErrCredentials},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // the cache that is missing is waited for
				realm := start(t, fakekdc.WithoutSockets())
				server := fakeweb.Serve(realm, fakeweb.New(realm, spn, fromPage()), fakeweb.ServerOptions{InMemory: true})
				none := filepath.Join(t.TempDir(), "none")
				env := map[string]string{"KRB5CCNAME": none, "KRB5_CLIENT_KTNAME": none}
				if tc.cache {
					env = map[string]string{"KRB5CCNAME": "FILE:" + testmain.File(t, "krb5cc", realm.CCache("alice"))}
				}
				if tc.keytab {
					env["KRB5_CLIENT_KTNAME"] = testmain.File(t, "keytab", realm.Keytab("alice"))
				}
				o := bare(realm)
				o.Getenv = func(name string) string { return env[name] }
				o.Transport = server.Transport()
				status, _, err := get(t, newClient(t, o), server.URL()+"/200")
				if !errors.Is(err, tc.want) || err == nil && status != 200 {
					t.Errorf("status %d, error %v, want error %v", status, err, tc.want)
				}
			})
		})
	}
}

// A password is not printed, whatever prints it; the names beside it are.
func TestOptionsFormat(t *testing.T) {
	const canary = "canary-4711"
	for name, o := range map[string]client.Options{
		"in the principal": {Principal: "alice@EXAMPLE.COM:" + canary, Keytab: "/etc/a.keytab"},
		"beside it":        {Principal: "alice@EXAMPLE.COM", Password: kerberos.NewSecret(canary), Keytab: "/etc/a.keytab"},
	} {
		t.Run(name, func(t *testing.T) {
			inside := struct {
				Options client.Options
				hidden  client.Options
				pointer *client.Options
			}{o, o, &o}
			var log strings.Builder
			slog.New(slog.NewTextHandler(&log, nil)).Info("options", "o", o)
			texts := []string{log.String()}
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
				texts = append(texts, fmt.Sprintf(verb, o), fmt.Sprintf(verb, &o), fmt.Sprintf(verb, []client.Options{o}),
					fmt.Sprintf(verb, inside.Options), fmt.Sprintf(verb, map[string]client.Options{"a": o}))
			}
			for _, text := range texts {
				if strings.Contains(text, canary) {
					t.Errorf("the password is in %s", text)
				}
				if !strings.Contains(text, "alice@EXAMPLE.COM") || !strings.Contains(text, "/etc/a.keytab") {
					t.Errorf("the names are not in %s", text)
				}
			}
			if b, err := json.Marshal(o.Password); err != nil || strings.Contains(string(b), canary) {
				t.Errorf("%s, %v", b, err)
			}
		})
	}
	// That the canary would be found if it were there.
	if text := fmt.Sprintf("%v", struct{ Principal string }{"alice@EXAMPLE.COM:" + canary}); !strings.Contains(text, canary) {
		t.Error("the canary is deaf")
	}
}

// An unreadable keytab names itself and says what to do.
func TestUnreadableKeytab(t *testing.T) {
	switch {
	case runtime.GOOS == "windows":
		t.Skip("no mode keeps a file from being read there")
	case os.Geteuid() == 0:
		t.Skip("root reads everything")
	}
	realm := start(t)
	path := testmain.File(t, "keytab", realm.Keytab("alice"))
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	o := bare(realm)
	o.Keytab = path
	if _, err := client.New(o); !errors.Is(err, middleware.ErrCredentials) || !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
}

// TestNewPassword: an expired password is changed for the one that the program gives, however
// the old one was given, and the program is asked once for several clients of one source.
func TestNewPassword(t *testing.T) {
	for name, set := range map[string]func(o *client.Options, principal string){
		"a password":                 func(o *client.Options, p string) { o.Principal, o.Password = p, kerberos.NewSecret(password) },
		"a password behind the name": func(o *client.Options, p string) { o.Principal = p + ":" + password },
	} {
		t.Run(name, func(t *testing.T) {
			realm := start(t, fakekdc.WithKpasswd(nil), fakekdc.WithUser("eve", password, fakekdc.Refuse(fakekdc.CodeKeyExpired)))
			server := fakeweb.Serve(realm, fakeweb.New(realm, spn, fakeweb.Options{}), fakeweb.ServerOptions{})
			o := bare(realm)
			o.Transport = server.Transport()
			set(&o, "eve@"+realm.Name())
			asked := 0
			o.NewPassword = func(_ context.Context, r kerberos.NewPasswordRequest) (kerberos.Secret, error) {
				if asked++; r.Principal != "eve@"+realm.Name() {
					t.Errorf("asked for a new password of %s", r.Principal)
				}
				return kerberos.NewSecret("a new one"), nil
			}
			shared, err := o.WithSource()
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				status, body, err := get(t, newClient(t, shared), server.URL())
				ok(t, status, body, err)
			}
			if asked != 1 {
				t.Errorf("asked for a new password %d times", asked)
			}
			o.Principal, o.Password = "eve@"+realm.Name(), kerberos.NewSecret("a new one")
			status, body, err := get(t, newClient(t, o), server.URL())
			ok(t, status, body, err)
			if asked != 1 {
				t.Error("asked for a new one in the place of the new one")
			}
		})
	}
}

// One source for several clients, and what signs for them.
func TestWithSource(t *testing.T) {
	realm := start(t)
	h := fakeweb.New(realm, spn, fakeweb.Options{})
	server := fakeweb.Serve(realm, h, fakeweb.ServerOptions{})
	o := kinit(t, realm, spn)
	o.Transport = server.Transport()
	o.Principal, o.CCache, o.Keytab, o.ReadOnlyCache = "alice", "", testmain.File(t, "keytab", realm.Keytab("alice")), true
	shared, err := o.WithSource()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c := newClient(t, shared)
		status, body, err := get(t, c, server.URL())
		ok(t, status, body, err)
	}
	if n := realm.Count(fakekdc.AS); n != 2 {
		t.Errorf("%d exchanges, want one login of two", n)
	}
	o.Armor, o.ArmorOptional, o.Credentials = shared.Source.(*kerberos.Source), true, client.CredentialsOwn
	if armored, err := o.WithSource(); err != nil {
		t.Error(err)
	} else if _, err := client.New(armored); err != nil {
		t.Errorf("credentials are left beside the source: %v", err)
	}
	if again, err := shared.WithSource(); err != nil || again.Source != shared.Source {
		t.Errorf("another source, %v", err)
	}
	in, err := client.NewInitiator(shared)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Initiate(t.Context(), middleware.Target{Host: "localhost", Port: "80"}); err != nil {
		t.Error(err)
	}
	for name, o := range map[string]client.Options{
		"an initiator":  {Initiator: in},
		"contradictory": {CCache: "a", Keytab: "b"},
		"no keytab":     {Keytab: "/nonexistent", Now: o.Now},
	} {
		var e *middleware.Error
		if _, err := o.WithSource(); !errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
