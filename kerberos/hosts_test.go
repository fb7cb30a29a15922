package kerberos_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// A host that is none is refused by every initiator of this package, proxies and
// configured names included, before the source is asked.
func TestNoHost(t *testing.T) {
	for name, o := range map[string]kerberos.InitiatorOptions{
		"plain":     {},
		"override":  {HostOverride: "inner.example"},
		"overrides": {HostOverrides: map[string]string{"*": "HTTP/inner.example"}},
		"allowed":   {AllowedHosts: []string{"*"}},
	} {
		for _, target := range []middleware.Target{
			{Host: "intranet.corp%.evil.test", Port: "80"}, {Host: "intranet.corp%", Port: "80"}, {Host: "intranet.corp@EVIL.REALM", Port: "80"},
			{Host: "intranet.corp/evil.test", Port: "80"}, {Host: "intranet.corp\\", Port: "80"}, {Host: "intranet.corp\x00", Port: "80"},
			{Host: "intranet.corp ", Port: "80"}, {Host: "intranet..corp", Port: "80"}, {Host: "intranet.corp:80"}, {Host: "intranet.corp", Port: "80/x"}, {Port: "80"},
		} {
			for _, proxy := range []bool{false, true} {
				target.Proxy = proxy
				r := &recorder{}
				in, err := kerberos.NewInitiator(r, o)
				if err != nil {
					t.Fatal(err)
				}
				_, err = in.Initiate(t.Context(), target)
				if e, ok := errors.AsType[*middleware.Error](err); !ok || e.Kind != middleware.ErrHost || e.Stage != "kerberos" || len(r.spns) > 0 {
					t.Errorf("%s: %+v: asked for %q, error %v", name, target, r.spns, err)
				}
			}
		}
	}
}

// Names that are configured are names, too, and no others.
func TestConfiguredNames(t *testing.T) {
	for value, want := range map[string]string{
		"inner.example":             "HTTP/inner.example",
		"Inner.Example.":            "HTTP/inner.example",
		"b\u00fccher.example":       "HTTP/xn--bcher-kva.example",
		"fe80::1%eth0":              "HTTP/fe80::1",
		"WSMAN/Inner.Example":       "WSMAN/Inner.Example",
		"azAZ09-._/inner":           "azAZ09-._/inner",
		"HTTP/inner.example@A.TEST": "HTTP/inner.example@A.TEST",
		"HTTP/inner.example:8443":   "HTTP/inner.example:8443",
		"HTTP/::1":                  "HTTP/::1",
		"HTTP/inner@O=A/C=B":        "HTTP/inner@O=A/C=B",
	} {
		r := &recorder{}
		in, err := kerberos.NewInitiator(r, kerberos.InitiatorOptions{HostOverrides: map[string]string{"app.example": value}, PortInSPN: true})
		if err != nil {
			t.Errorf("%q: %v", value, err)
			continue
		}
		_, _ = in.Initiate(t.Context(), middleware.Target{Host: "app.example", Port: "8443"}) // the recorder has no tickets
		if len(r.spns) != 1 || r.spns[0] != want {
			t.Errorf("%q: asked for %q, want %q", value, r.spns, want)
		}
	}
	for _, value := range []string{
		"", "/", "HTTP/", "/inner", "HTTP/inner@", "HTTP/@A.TEST", "inner@A.TEST", "HTTP/inner@A@B", "HTTP/inner@A B", "HTTP/inner@A\\@B", "HTTP/inner@A\x00", "HTTP/a/b",
		"HT TP/inner", "H\\/TP/inner", "HTTP/in%ner", "HTTP/inner\\", "HTTP/inner\n", "HTTP/inner:x", "HTTP/inner:", "in%ner", "inner:80", "http://inner",
	} {
		if _, err := kerberos.NewInitiator(&recorder{}, kerberos.InitiatorOptions{HostOverrides: map[string]string{"app.example": value}}); err == nil || !strings.Contains(err.Error(), "app.example") {
			t.Errorf("the override %q: %v", value, err)
		}
	}
	for _, value := range []string{"in%ner", "inner:80", "http://inner", "inner@A", "inner ", ".", "a..b", "inner\\"} {
		if _, err := kerberos.NewInitiator(&recorder{}, kerberos.InitiatorOptions{HostOverride: value}); err == nil {
			t.Errorf("the override %q was taken", value)
		}
	}
	for _, value := range []string{"HT/TP", "HTTP@A", "HT TP", "HTTP\\", "HTTP\n", "H%", "H:"} {
		if _, err := kerberos.NewInitiator(&recorder{}, kerberos.InitiatorOptions{Service: value}); err == nil {
			t.Errorf("the service class %q was taken", value)
		}
	}
	for _, value := range []string{"A@B", "A B", "A\\B", "A\x00", "A\x7f", " "} {
		if _, err := kerberos.NewInitiator(&recorder{}, kerberos.InitiatorOptions{Realm: value}); err == nil {
			t.Errorf("the realm %q was taken", value)
		}
	}
}

func TestModesOfCanonicalNames(t *testing.T) {
	for mode, good := range map[kerberos.HostCanonicalization]bool{
		-1: false, kerberos.CanonicalizeAsConfigured: true, kerberos.CanonicalizeNever: true,
		kerberos.CanonicalizeFallback:     false, // the recorder knows no DNS
		kerberos.CanonicalizeFallback + 1: false,
	} {
		if _, err := kerberos.NewInitiator(&recorder{}, kerberos.InitiatorOptions{Canonicalize: mode}); (err == nil) != good {
			t.Errorf("mode %d: %v", mode, err)
		}
	}
}

// What DNS answers are bytes of strangers: no name, no ticket; and no override,
// which is for hosts in URLs.
func TestCanonicalNamesOfStrangers(t *testing.T) {
	for cname, want := range map[string]string{
		"Real.Example.":                    "HTTP/real.example",
		"real.example@EVIL.TEST.":          "",
		"real.example/evil.":               "",
		"real.example%.evil.test.":         "",
		"real.example\x00.evil.test.":      "",
		"real.example\\@.":                 "",
		"real..example.":                   "",
		".":                                "",
		"":                                 "",
		strings.Repeat("a", 300) + ".test": "",
		"app.example.":                     "HTTP/app.example", // as if it had no override
	} {
		realm := start(t, fakekdc.WithService("HTTP/real.example"), fakekdc.WithService("HTTP/secret.example"), fakekdc.WithService("HTTP/app.example"))
		o := environment(realm)
		o.Resolver = &hosts{canonical: map[string]string{"alias.example": cname}}
		source, err := kerberos.FromCCache(testmain.File(t, "cc", realm.CCache("alice")), o)
		if err != nil {
			t.Fatal(err)
		}
		in, err := kerberos.NewInitiator(source, kerberos.InitiatorOptions{
			Canonicalize: kerberos.CanonicalizeFallback, HostOverrides: map[string]string{"app.example": "HTTP/secret.example"}})
		if err != nil {
			t.Fatal(err)
		}
		sc, err := in.Initiate(t.Context(), middleware.Target{Host: "alias.example", Port: "80"})
		if want == "" {
			if !errors.Is(err, middleware.ErrKDC) || !strings.Contains(err.Error(), "HTTP/alias.example") || !strings.Contains(err.Error(), "canonical name") {
				t.Errorf("%q: %v", cname, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", cname, err)
			continue
		}
		if got := sc.(interface{ SPN() string }).SPN(); got != want+"@"+realm.Name() {
			t.Errorf("%q: a ticket for %s, want %s", cname, got, want)
		}
	}
	// Nor is DNS asked for what is none.
	realm := start(t)
	dns := &hosts{}
	o := environment(realm)
	o.Resolver = dns
	source, err := kerberos.FromCCache(testmain.File(t, "cc", realm.CCache("alice")), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"", "a%.test", "a b", "a..b"} {
		if name, err := source.CanonicalHost(t.Context(), host, false); err == nil || name != "" || len(dns.asked) > 0 {
			t.Errorf("%q: %q, %v, DNS was asked for %q", host, name, err, dns.asked)
		}
	}
}

// reverse is a DNS in which addresses lead back in odd ways.
type reverse struct {
	hosts
	addrs    []netip.Addr
	addrsErr error
	names    []string
	namesErr error
}

func (r *reverse) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return r.addrs, r.addrsErr
}

func (r *reverse) LookupAddr(context.Context, string) ([]string, error) { return r.names, r.namesErr }

// With rdns the name of the address counts where there is one, else the forward
// name, as with MIT.
func TestReverseNames(t *testing.T) {
	addrs, no := []netip.Addr{netip.MustParseAddr("::ffff:192.0.2.1")}, errors.New("no answer")
	for name, tc := range map[string]struct {
		dns  *reverse
		want string
	}{
		"a name":          {&reverse{addrs: addrs, names: []string{"Back.example."}}, "back.example"},
		"no name":         {&reverse{addrs: addrs}, "front.example"},
		"no answer":       {&reverse{addrs: addrs, namesErr: no}, "front.example"},
		"both":            {&reverse{addrs: addrs, names: []string{"back.example."}, namesErr: no}, "front.example"},
		"no address":      {&reverse{names: []string{"back.example."}}, "front.example"},
		"address unknown": {&reverse{addrs: addrs, names: []string{"back.example."}, addrsErr: no}, ""},
		"no host":         {&reverse{addrs: addrs, names: []string{"back.example@EVIL.TEST."}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			realm := start(t)
			o := environment(realm)
			tc.dns.canonical = map[string]string{"alias.example": "front.example."}
			o.Resolver = tc.dns
			o.Krb5ConfText = "[libdefaults]\nrdns = true\n" + strings.ReplaceAll(o.Krb5ConfText, "rdns", "#rdns")
			source, err := kerberos.FromCCache(testmain.File(t, "cc", realm.CCache("alice")), o)
			if err != nil {
				t.Fatal(err)
			}
			got, err := source.CanonicalHost(t.Context(), "alias.example", false)
			if got != tc.want || (err != nil) != (tc.want == "") {
				t.Errorf("%q, %v, want %q", got, err, tc.want)
			}
		})
	}
}

// A source that returns nothing at all is an error, not a panic.
func TestNoTicket(t *testing.T) {
	in, err := kerberos.NewInitiator(noTicket{}, kerberos.InitiatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Initiate(t.Context(), middleware.Target{Host: "a.example", Port: "80"}); !errors.Is(err, middleware.ErrCredentials) || !strings.Contains(err.Error(), "no ticket") {
		t.Errorf("%v", err)
	}
}

type noTicket struct{}

func (noTicket) ServiceTicket(context.Context, string) (kerberos.Ticket, error) {
	return kerberos.Ticket{}, nil
}

// DNS is asked where a KDC does not know the name in the URL: not for a name that
// was configured, and not for any other reason.
func TestDNSIsNotAsked(t *testing.T) {
	t.Parallel()
	realm := start(t)
	for name, tc := range map[string]struct {
		cache string
		o     kerberos.InitiatorOptions
	}{
		"override":       {testmain.File(t, "cc", realm.CCache("alice")), kerberos.InitiatorOptions{HostOverride: "alias.example"}},
		"overrides":      {testmain.File(t, "cc", realm.CCache("alice")), kerberos.InitiatorOptions{HostOverrides: map[string]string{"*": "alias.example"}}},
		"no credentials": {t.TempDir() + "/none", kerberos.InitiatorOptions{}},
	} {
		t.Run(name, func(t *testing.T) {
			dns := &hosts{canonical: map[string]string{"alias.example": "localhost."}}
			o := environment(realm)
			o.Resolver = dns
			source, err := kerberos.FromCCache(tc.cache, o)
			if err != nil {
				t.Fatal(err)
			}
			tc.o.Canonicalize = kerberos.CanonicalizeFallback
			in, err := kerberos.NewInitiator(source, tc.o)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := in.Initiate(t.Context(), middleware.Target{Host: "alias.example", Port: "80"}); err == nil || len(dns.asked) > 0 {
				t.Errorf("asked for %q, error %v", dns.asked, err)
			}
		})
	}
}
