package client_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/client/clienttest"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/logging"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
	"github.com/kerbchain/kerbchain/tunnel"
)

// A setting gives one field a value.
type setting struct {
	field string
	value any
	needs string  // other settings without which it is refused
	fails []error // what it leads to here in place of a verified 200, one of them
}

func (s setting) of(o *client.Options) {
	reflect.ValueOf(o).Elem().FieldByName(s.field).Set(reflect.ValueOf(s.value))
}

// Each option, and each two of them, lead to a verified 200, or are refused by
// every constructor, with an error that says what is wrong. So no option is passed
// over without a word.
func TestOptionsTogether(t *testing.T) {
	realm := start(t, fakekdc.WithEtypes(fakekdc.AES128SHA1)) // of all types of AES, a password's key takes least
	h := fakeweb.New(realm, spn, fakeweb.Options{Next: page(0)})
	server := fakeweb.Serve(realm, h, fakeweb.ServerOptions{})
	conf := testmain.File(t, "krb5.conf", []byte(realm.Config()))
	cache := testmain.File(t, "krb5cc", realm.CCache("alice", spn))
	env := map[string]string{"KRB5CCNAME": cache, "KRB5_CONFIG": conf}
	for name, value := range env {
		t.Setenv(name, value)
	}
	os.Unsetenv("KRB5_CLIENT_KTNAME")
	in, err := kerberos.NewInitiator(clienttest.TicketSource(t, realm, "alice"), kerberos.InitiatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	alice := "alice@" + realm.Name()
	host, err := kerberos.FromKeytab(testmain.File(t, "host.keytab", realm.Keytab(spn)), kerberos.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]setting{
		"Optional":        {"Mutual", mutual.Optional, "", nil},
		"Disabled":        {"Mutual", mutual.Disabled, "", nil},
		"TrustConnection": {"TrustConnection", true, "", nil},
		"TrustProxy":      {"TrustProxy", true, "", nil},
		"KeepErrorBodies": {"KeepErrorBodies", true, "", nil},
		"KeepError":       {"KeepError", func(*http.Response) bool { return false }, "", nil},
		"Preemptive":      {"Preemptive", preemptive.Always(), "", nil},
		"AllowDowngrade":  {"AllowDowngrade", true, "", nil},
		"PreemptiveProxy": {"PreemptiveProxy", preemptive.Always(), "", nil},
		"ReturnChallenge": {"ReturnChallenge", true, "", nil},
		"BodyLimit":       {"BodyLimit", int64(10), "", nil},
		"SpillLimit":      {"SpillLimit", int64(10), "", nil},
		"SpillDir":        {"SpillDir", t.TempDir(), "", nil},
		"OneShot":         {"OneShot", negotiate.Probe, "", nil},
		"NoResend":        {"NoResend", true, "", nil},
		"own":             {"Credentials", client.CredentialsOwn, "", nil},
		"Principal":       {"Principal", alice, "", nil},
		"password in it":  {"Principal", alice + ":" + password, "", nil},
		"Enterprise":      {"Enterprise", true, "Principal", []error{middleware.ErrCredentials}},
		"Password":        {"Password", kerberos.NewSecret(password), "Principal", nil},
		"Keytab":          {"Keytab", testmain.File(t, "keytab", realm.Keytab("alice")), "", nil},
		"CCache":          {"CCache", cache, "", nil},
		"ReadOnlyCache":   {"ReadOnlyCache", true, "", nil},
		"Armor":           {"Armor", host, "", []error{middleware.ErrKDC}}, // this realm does not speak FAST
		"ArmorOptional":   {"ArmorOptional", true, "Armor", nil},
		"OTP": {"OTP", func(context.Context, kerberos.OTPChallenge) (kerberos.OTPAnswer, error) {
			return kerberos.OTPAnswer{Value: kerberos.NewSecret("123456")}, nil
		}, "Armor Principal", []error{middleware.ErrKDC, middleware.ErrCredentials}}, // the latter with ArmorOptional
		"NewPassword": {"NewPassword", func(context.Context, kerberos.NewPasswordRequest) (kerberos.Secret, error) {
			return kerberos.Secret{}, errors.New("nothing has expired")
		}, "Password Principal", nil},
		"Source":           {"Source", kerberos.TicketSource(clienttest.TicketSource(t, realm, "alice")), "", nil},
		"Service":          {"Service", "HTTP", "", nil},
		"HostOverride":     {"HostOverride", "localhost", "", nil},
		"HostOverrides":    {"HostOverrides", map[string]string{"localhost": "localhost"}, "", nil},
		"PortInSPN":        {"PortInSPN", true, "", []error{middleware.ErrKDC}},
		"Canonicalize":     {"Canonicalize", kerberos.CanonicalizeNever, "", nil},
		"AllowedHosts":     {"AllowedHosts", []string{"localhost"}, "", nil},
		"ForProxy":         {"ForProxy", &kerberos.InitiatorOptions{}, "", nil},
		"Delegation":       {"Delegation", kerberos.DelegationPolicy, "", nil},
		"DelegateTo":       {"DelegateTo", []string{"localhost"}, "Delegation", nil},
		"Bindings":         {"Bindings", kerberos.BindingsOff, "", nil},
		"Initiator":        {"Initiator", in, "", nil},
		"Krb5Conf":         {"Krb5Conf", []string{conf}, "", nil},
		"Krb5ConfText":     {"Krb5ConfText", realm.Config(), "", nil},
		"AllowRC4":         {"AllowRC4", true, "", nil},
		"Dial":             {"Dial", new(net.Dialer).DialContext, "", nil},
		"Resolver":         {"Resolver", kerberos.Resolver(net.DefaultResolver), "", nil},
		"Now":              {"Now", realm.Now, "", nil},
		"Getenv":           {"Getenv", func(name string) string { return env[name] }, "", nil},
		"Logging":          {"Logging", logging.Options{Handler: slog.DiscardHandler}, "", nil},
		"Transport":        {"Transport", http.RoundTripper(server.Transport()), "", nil},
		"other Transport":  {"Transport", http.RoundTripper(around{server.Transport()}), "", nil},
		"OneConnection":    {"OneConnection", true, "", nil},
		"Proxy":            {"Proxy", func(*http.Request) (*url.URL, error) { return nil, nil }, "", nil},
		"Tunnel":           {"Tunnel", tunnel.Options{Always: true}, "", nil},
		"Tunnel, no proof": {"Tunnel", tunnel.Options{Proof: tunnel.Proof(1)}, "", nil},
	}
	fields := map[string]bool{}
	for _, s := range settings {
		fields[s.field] = true
	}
	for field := range reflect.TypeFor[client.Options]().Fields() {
		if !fields[field.Name] {
			t.Errorf("%s has no row", field.Name)
		}
	}

	// Why two are refused together, by their names in the order of the alphabet.
	refused := map[[2]string]string{}
	refuse := func(why string, a string, with ...string) {
		for _, b := range with {
			refused[[2]string{min(a, b), max(a, b)}] = why
		}
	}
	if runtime.GOOS != "windows" {
		settings["system"] = setting{"Credentials", client.CredentialsSystem, "", nil}
	}
	credentials := []string{"own", "system", "Principal", "password in it", "Enterprise", "Password", "Keytab", "CCache", "ReadOnlyCache",
		"Armor", "ArmorOptional", "OTP", "NewPassword", "Krb5Conf", "Krb5ConfText", "AllowRC4", "Dial", "Resolver", "Getenv"}
	refuse("Source takes the place of", "Source", credentials...)
	refuse("Initiator takes the place of", "Initiator", credentials...)
	refuse("Initiator takes the place of", "Initiator", "Source", "Service", "HostOverride", "HostOverrides", "PortInSPN",
		"Canonicalize", "AllowedHosts", "ForProxy", "Delegation", "DelegateTo", "Bindings", "Now")
	refuse("exclude one another", "Keytab", "Password", "password in it", "CCache")
	refuse("exclude one another", "CCache", "Password", "password in it")
	refuse("exclude one another", "OTP", "Keytab", "CCache")
	refuse("already bears a password", "Password", "password in it")
	refuse("cannot be trusted", "Disabled", "TrustConnection", "TrustProxy")
	refuse("Krb5ConfText takes the place of", "Krb5Conf", "Krb5ConfText")
	refuse("cannot be held to one connection", "other Transport", "OneConnection")
	refuse("makes its tunnels itself", "other Transport", "Tunnel", "Tunnel, no proof")
	refuse("which proxy a", "other Transport", "PreemptiveProxy")
	alone := map[string]string{
		"ArmorOptional": "Armor may be left out", "OTP": "there is no Armor", "NewPassword": "and there is none",
		"Enterprise": "Principal is empty", "Password": "without a principal", "DelegateTo": "Delegation is off",
	}
	names := slices.Sorted(maps.Keys(settings))
	const foreign = "package gssapi on " + runtime.GOOS
	alone["system"] = foreign
	for _, name := range names {
		if name != "Source" && name != "Initiator" && name != "system" {
			refuse(foreign, "system", name)
		}
	}

	try := func(t *testing.T, want string, o client.Options, of ...setting) {
		t.Helper()
		_, serr := client.NewStack(o)
		_, gerr := client.NewSigner(o)
		_, terr := client.NewTransport(o)
		c, err := client.New(o)
		if want != "" {
			for constructor, err := range map[string]error{"NewStack": serr, "NewSigner": gerr, "NewTransport": terr, "New": err} {
				if !errors.Is(err, middleware.ErrConfiguration) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), password) {
					t.Errorf("%s: error %v, want one about %q", constructor, err, want)
				}
				if !t.Failed() {
					reads(t, err)
				}
			}
			return
		}
		status := 0
		if err = errors.Join(serr, gerr, terr, err); err == nil {
			status, _, err = get(t, c, server.URL()+"/200")
			c.CloseIdleConnections()
		}
		for _, s := range of {
			if s.fails != nil && (slices.ContainsFunc(s.fails, func(kind error) bool { return errors.Is(err, kind) }) || o.ReturnChallenge && err == nil && status == 401) {
				return
			}
		}
		if err != nil || status != 200 {
			t.Errorf("%d %v", status, err)
		}
	}
	for i, a := range names {
		t.Run(a, func(t *testing.T) {
			t.Parallel()
			s := settings[a]
			var o client.Options
			s.of(&o)
			try(t, alone[a], o, s)
			for _, b := range names[i+1:] {
				other := settings[b]
				if other.field == s.field {
					continue
				}
				// Those without which one is refused come along.
				var o client.Options
				whys := map[string]bool{}
				all := []string{a, b}
				for _, need := range strings.Fields(s.needs + " " + other.needs) {
					if settings[need].field != s.field && settings[need].field != other.field {
						all = append(all, need)
					}
				}
				slices.Sort(all)
				for i, x := range all {
					settings[x].of(&o)
					for _, y := range all[i+1:] {
						if why := refused[[2]string{x, y}]; why != "" {
							whys[why] = true
						}
					}
				}
				want := ""
				for why := range whys {
					want = why
				}
				t.Run("with "+b, func(t *testing.T) { try(t, want, o, s, other) })
			}
		})
	}
}

// around is a transport of somebody else's.
type around struct{ *http.Transport }
