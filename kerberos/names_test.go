package kerberos_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// hosts is a DNS of names alone.
type hosts struct {
	dns
	canonical map[string]string
	back      map[string]string // by address; that of every name is 192.0.2.1
	asked     []string
}

func (h *hosts) LookupCNAME(_ context.Context, host string) (string, error) {
	h.asked = append(h.asked, host)
	if name, ok := h.canonical[strings.TrimSuffix(host, ".")]; ok {
		return name, nil
	}
	return "", &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (h *hosts) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
}

func (h *hosts) LookupAddr(_ context.Context, addr string) ([]string, error) {
	if name, ok := h.back[addr]; ok {
		return []string{name}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: addr, IsNotFound: true}
}

func TestCanonicalNames(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		mode  kerberos.HostCanonicalization
		conf  string
		host  string
		want  string // host in the ticket
		says  []string
		asked int // DNS
	}{
		"not set":             {host: "alias.example", says: []string{"HTTP/alias.example", "S_PRINCIPAL_UNKNOWN"}},
		"false":               {conf: "dns_canonicalize_hostname = false", host: "alias.example", says: []string{"HTTP/alias.example"}},
		"fallback":            {conf: "dns_canonicalize_hostname = fallback", host: "Alias.example.", want: "real.example", asked: 1},
		"true":                {conf: "dns_canonicalize_hostname = true", host: "alias.example", want: "real.example", asked: 1},
		"fallback, not never": {mode: kerberos.CanonicalizeNever, conf: "dns_canonicalize_hostname = fallback", host: "alias.example", says: []string{"HTTP/alias.example"}},
		"option":              {mode: kerberos.CanonicalizeFallback, conf: "dns_canonicalize_hostname = false", host: "alias.example", want: "real.example", asked: 1},
		"known as it is":      {mode: kerberos.CanonicalizeFallback, host: "real.example", want: "real.example"},
		"reverse":             {mode: kerberos.CanonicalizeFallback, conf: "rdns = true", host: "turned.example", want: "back.example", asked: 1},
		"reverse is not meant": {mode: kerberos.CanonicalizeFallback, conf: "rdns = false", host: "turned.example",
			says: []string{"HTTP/turned.example", "HTTP/front.example"}, asked: 1},
		"short":               {conf: "qualify_shortname = example", host: "Real", want: "real.example"},
		"short, unknown":      {conf: "qualify_shortname = example", host: "unreal", says: []string{"HTTP/unreal", "HTTP/unreal.example"}},
		"short, a whole name": {mode: kerberos.CanonicalizeFallback, conf: "qualify_shortname = example", host: "alias.example", want: "real.example", asked: 1},
		"short, not set":      {mode: kerberos.CanonicalizeFallback, host: "brief", want: "real.example", asked: 1},
		"nor the second":      {mode: kerberos.CanonicalizeFallback, host: "lost.example", says: []string{"HTTP/lost.example", "HTTP/nowhere.example"}, asked: 1},
		"not in DNS":          {mode: kerberos.CanonicalizeFallback, host: "none.example", says: []string{"HTTP/none.example", "no such host"}, asked: 1},
		"same in DNS":         {mode: kerberos.CanonicalizeFallback, host: "same.example", says: []string{"HTTP/same.example"}, asked: 1},
		"an address":          {mode: kerberos.CanonicalizeFallback, host: "192.0.2.7", says: []string{"HTTP/192.0.2.7"}},
		"an IPv6 address":     {mode: kerberos.CanonicalizeFallback, host: "2001:db8::7", says: []string{"HTTP/2001:db8::7"}},
	} {
		t.Run(name, func(t *testing.T) {
			realm := start(t, fakekdc.WithService("HTTP/real.example"), fakekdc.WithService("HTTP/back.example"))
			dns := &hosts{canonical: map[string]string{
				"alias.example": "Real.example.", "brief": "real.example.", "lost.example": "nowhere.example.", "same.example": "same.example.", "turned.example": "front.example.",
			}, back: map[string]string{"192.0.2.1": "back.example."}}
			o := environment(realm)
			o.Resolver = dns
			o.Krb5ConfText = "[libdefaults]\n" + tc.conf + "\n" + strings.ReplaceAll(strings.ReplaceAll(o.Krb5ConfText, "rdns", "#rdns"), "dns_canonicalize_hostname", "#dns")
			source, err := kerberos.FromCCache(testmain.File(t, "cc", realm.CCache("alice")), o)
			if err != nil {
				t.Fatal(err)
			}
			in, err := kerberos.NewInitiator(source, kerberos.InitiatorOptions{Canonicalize: tc.mode})
			if err != nil {
				t.Fatal(err)
			}
			sc, err := in.Initiate(t.Context(), middleware.Target{Host: tc.host, Port: "80"})
			if len(dns.asked) != tc.asked {
				t.Errorf("DNS was asked for %q", dns.asked)
			}
			if len(tc.says) > 0 {
				for _, part := range tc.says {
					if err == nil || !errors.Is(err, middleware.ErrKDC) || !strings.Contains(err.Error(), part) {
						t.Errorf("error %v does not say %s", err, part)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := sc.(interface{ SPN() string }).SPN(); got != "HTTP/"+tc.want+"@"+realm.Name() {
				t.Errorf("a ticket for %s, want that of %s", got, tc.want)
			}
		})
	}
}

// strangers is a source of KDCs that know no service, by the host of its name.
type strangers map[string]string

func (s strangers) ServiceTicket(_ context.Context, spn string) (kerberos.Ticket, error) {
	_, host, _ := strings.Cut(spn, "/")
	return kerberos.Ticket{}, &middleware.Error{Kind: middleware.ErrKDC, Code: fakekdc.CodeServerUnknown, SPN: spn, KDC: s[host], Err: errors.New("unknown at " + host)}
}

func (strangers) CanonicalHost(_ context.Context, host string, _ bool) (string, error) {
	if host == "odd.example" {
		return "real.example@B.TEST", nil
	}
	return "Real.Example.", nil
}

// TestSecondRefusal: the error of a host whose canonical name no KDC knows either has both
// refusals, and says which KDC gave the second where that was another.
func TestSecondRefusal(t *testing.T) {
	for kdc, want := range map[string]string{
		"A.TEST at 192.0.2.1:88/udp": "it does not know HTTP/real.example either",
		"A.TEST at 192.0.2.2:88/tcp": "it does not know HTTP/real.example either",
		"":                           "it does not know HTTP/real.example either",
		"B.TEST at 192.0.2.1:88/udp": "nor does the KDC of B.TEST know HTTP/real.example",
	} {
		in, err := kerberos.NewInitiator(strangers{"alias.example": "A.TEST at 192.0.2.1:88/udp", "real.example": kdc}, kerberos.InitiatorOptions{Canonicalize: kerberos.CanonicalizeFallback})
		if err != nil {
			t.Fatal(err)
		}
		_, err = in.Initiate(t.Context(), middleware.Target{Host: "alias.example", Port: "80"})
		if text := fmt.Sprint(err); !strings.Contains(text, "unknown at alias.example; "+want) || strings.Contains(text, "unknown at real.example") {
			t.Errorf("%q: %v", kdc, err)
		}
		spns := map[string]bool{}
		var walk func(error)
		walk = func(err error) {
			if e, ok := err.(*middleware.Error); ok {
				spns[e.SPN] = true
			}
			switch err := err.(type) {
			case interface{ Unwrap() error }:
				walk(err.Unwrap())
			case interface{ Unwrap() []error }:
				for _, err := range err.Unwrap() {
					walk(err)
				}
			}
		}
		walk(err)
		if !spns["HTTP/alias.example"] || !spns["HTTP/real.example"] {
			t.Errorf("%q: errors for %v", kdc, spns)
		}
	}
}

// TestCanonicalNameIsNone: what is no host name is asked of no KDC, wherever it comes from.
func TestCanonicalNameIsNone(t *testing.T) {
	in, err := kerberos.NewInitiator(strangers{}, kerberos.InitiatorOptions{Canonicalize: kerberos.CanonicalizeFallback})
	if err != nil {
		t.Fatal(err)
	}
	_, err = in.Initiate(t.Context(), middleware.Target{Host: "odd.example", Port: "80"})
	if text := fmt.Sprint(err); !strings.Contains(text, "is no host name") || strings.Contains(text, "HTTP/real.example") {
		t.Error(err)
	}
}

func TestUnknownServiceIsRemembered(t *testing.T) {
	clock := new(fakekdc.Clock)
	realm := start(t, fakekdc.WithClock(clock.Now))
	source, err := kerberos.FromCCache(testmain.File(t, "cc", realm.CCache("alice")), environment(realm))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(known bool) int {
		t.Helper()
		before := realm.Count(fakekdc.TGS)
		if _, err := source.ServiceTicket(t.Context(), "HTTP/new.example"); (err == nil) != known {
			t.Errorf("got %v", err)
		}
		return realm.Count(fakekdc.TGS) - before
	}
	if n := ask(false); n == 0 {
		t.Error("the KDC was not asked")
	}
	if n := ask(false); n != 0 {
		t.Errorf("the KDC was asked %d times more within a minute", n)
	}
	realm.AddService("HTTP/new.example")
	clock.Advance(61 * time.Second)
	if n := ask(true); n != 1 {
		t.Errorf("the KDC was asked %d times after a minute", n)
	}
}

func TestAllowedHosts(t *testing.T) {
	delegates, err := kerberos.FromEnvironment(environment(start(t)))
	if err != nil {
		t.Fatal(err)
	}
	for option, o := range map[string]kerberos.InitiatorOptions{
		"AllowedHosts": {AllowedHosts: []string{"http://app.example"}}, "DelegateTo": {Delegation: kerberos.DelegationAlways, DelegateTo: []string{"http://app.example"}},
		"options for proxies": {Proxy: &kerberos.InitiatorOptions{AllowedHosts: []string{"http://app.example"}}},
	} {
		_, err := kerberos.NewInitiator(delegates, o)
		if !errors.Is(err, middleware.ErrConfiguration) || !strings.Contains(err.Error(), option) || !strings.Contains(err.Error(), `"http://app.example" is no host`) {
			t.Errorf("%s: %v", option, err)
		}
	}
	r := &recorder{}
	in, err := kerberos.NewInitiator(r, kerberos.InitiatorOptions{AllowedHosts: []string{"*.corp.example", "app.example:8443"}})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{"a.corp.example": true, "app.example": true, "corp.example": false, "evil.example": false} {
		r.spns = nil
		_, err := in.Initiate(t.Context(), middleware.Target{Host: host, Port: "8443"})
		if errors.Is(err, middleware.ErrNotAllowed) == want || len(r.spns) > 0 != want {
			t.Errorf("%s: asked for %v, %v", host, r.spns, err)
		}
	}
}

func TestProxyOptions(t *testing.T) {
	proxy := middleware.Target{Host: "proxy.example", Port: "3128", Proxy: true}
	for name, tc := range map[string]struct {
		o    kerberos.InitiatorOptions
		want []string
	}{
		"as it is":                 {kerberos.InitiatorOptions{}, []string{"HTTP/proxy.example"}},
		"overrides are no proxy's": {kerberos.InitiatorOptions{HostOverride: "inner", AllowedHosts: []string{"app.example"}, Service: "WSMAN"}, []string{"WSMAN/proxy.example"}},
		"its own":                  {kerberos.InitiatorOptions{Proxy: &kerberos.InitiatorOptions{HostOverride: "squid.example"}}, []string{"HTTP/squid.example"}},
		"not allowed":              {kerberos.InitiatorOptions{Proxy: &kerberos.InitiatorOptions{AllowedHosts: []string{"other.example"}}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{}
			in, err := kerberos.NewInitiator(r, tc.o)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = in.Initiate(t.Context(), proxy) // the recorder has no tickets
			if diff := cmp.Diff(tc.want, r.spns); diff != "" {
				t.Errorf("asked for (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := kerberos.NewInitiator(&recorder{}, kerberos.InitiatorOptions{Proxy: &kerberos.InitiatorOptions{Service: "a b"}}); err == nil || !strings.Contains(err.Error(), "proxies") {
		t.Errorf("got %v", err)
	}
}

// TestTargetFor: what http.Client makes of redirects is seen.
func TestTargetFor(t *testing.T) {
	second := httptest.NewServer(http.NotFoundHandler())
	defer second.Close()
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/here", http.StatusFound)
			return
		}
		http.Redirect(w, r, second.URL, http.StatusFound)
	}))
	defer first.Close()
	var from []string
	c := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		from = append(from, middleware.TargetOf(r).RedirectedFrom)
		return http.DefaultTransport.RoundTrip(r)
	})}
	resp, err := c.Get(first.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if diff := cmp.Diff([]string{"", "", strings.TrimPrefix(first.URL, "http://")}, from); diff != "" {
		t.Errorf("From (-want +got):\n%s", diff)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestSourcesOfNobody: a source that no constructor made, as one is whose error nobody looked at,
// is an error and no panic, whatever takes it.
func TestSourcesOfNobody(t *testing.T) {
	for name, source := range map[string]kerberos.TicketSource{
		"nil": nil, "a nil Source": (*kerberos.Source)(nil), "a zero Source": new(kerberos.Source),
		"a nil Impersonator": (*kerberos.Impersonator)(nil), "a zero Impersonator": new(kerberos.Impersonator),
		"an Impersonator of nil": kerberos.NewImpersonator(nil), "an Impersonator of a zero Source": kerberos.NewImpersonator(new(kerberos.Source)),
	} {
		if in, err := kerberos.NewInitiator(source, kerberos.InitiatorOptions{}); in != nil || !errors.Is(err, middleware.ErrConfiguration) {
			t.Errorf("%s: %v, %v", name, in, err)
		}
		if i, ok := source.(*kerberos.Impersonator); ok {
			if _, err := i.ServiceTicket(kerberos.AsUser(t.Context(), "alice"), "HTTP/localhost"); !errors.Is(err, middleware.ErrConfiguration) {
				t.Errorf("%s: a ticket: %v", name, err)
			}
			if _, err := i.Identity(kerberos.AsUser(t.Context(), "alice"), "HTTP/localhost"); err == nil {
				t.Errorf("%s has an identity", name)
			}
		}
	}
	o := environment(start(t))
	o.Armor = new(kerberos.Source)
	if _, err := kerberos.FromEnvironment(o); !errors.Is(err, middleware.ErrConfiguration) || !strings.Contains(err.Error(), "Armor") {
		t.Errorf("armour of nobody: %v", err)
	}
}
