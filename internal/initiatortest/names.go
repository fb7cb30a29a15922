package initiatortest

import (
	"errors"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/policy"
	"github.com/kerbchain/kerbchain/middleware"
)

// principals: which service a host is, as the error of one that no KDC knows tells.
func (k kit) principals(t *testing.T) {
	overrides := policy.Names{HostOverrides: map[string]string{
		"outer.example":     "Inner.local.",
		"*.cluster.example": "balancer.example",
		"win.example":       "WSMAN/win",
		"far.example":       "HTTP/far@FAR.TEST",
		"app.example:8443":  "admin.example",
		"app.example:443":   "user.example",
	}}
	for name, tc := range map[string]struct {
		o    policy.Names
		host string
		from string
		want string // "" for none
	}{
		"host":                    {host: "web.example.org", want: "HTTP/web.example.org"},
		"upper case":              {host: "Web.Example.ORG", want: "HTTP/web.example.org"},
		"dot at the end":          {host: "web.example.org.", want: "HTTP/web.example.org"},
		"short":                   {host: "web", want: "HTTP/web"},
		"IDN":                     {host: "Bücher.example", want: "HTTP/xn--bcher-kva.example"},
		"no IDN":                  {host: "a\u200fb.example"},
		"IPv4":                    {host: "127.0.0.1", want: "HTTP/127.0.0.1"},
		"IPv6":                    {host: "::1", want: "HTTP/::1"},
		"IPv6 with a zone":        {host: "fe80::1%eth0", want: "HTTP/fe80::1"},
		"no host":                 {},
		"slash":                   {host: "a/b"},
		"at":                      {host: "a@b"},
		"service":                 {o: policy.Names{Service: "WSMAN"}, host: "win", want: "WSMAN/win"},
		"realm":                   {o: policy.Names{Realm: "OTHER.EXAMPLE"}, host: "web", want: "HTTP/web@OTHER.EXAMPLE"},
		"port":                    {o: policy.Names{PortInSPN: true}, host: "web", want: "HTTP/web:8443"},
		"override":                {o: policy.Names{HostOverride: "Inner.local"}, host: "outer.example", want: "HTTP/inner.local"},
		"override of another":     {o: policy.Names{HostOverride: "inner.local"}, host: "stranger.example", from: "outer.example:443", want: "HTTP/stranger.example"},
		"override without port":   {o: policy.Names{PortInSPN: true, HostOverride: "inner"}, host: "web", want: "HTTP/inner"},
		"override for the host":   {o: overrides, host: "outer.example", want: "HTTP/inner.local"},
		"override by wildcard":    {o: overrides, host: "a.cluster.example", want: "HTTP/balancer.example"},
		"override with a service": {o: overrides, host: "win.example", want: "WSMAN/win"},
		"override with a realm":   {o: overrides, host: "far.example", want: "HTTP/far@FAR.TEST"},
		"override for the port":   {o: overrides, host: "app.example", want: "HTTP/admin.example"},
		"overrides for others":    {o: overrides, host: "web.example", want: "HTTP/web.example"},
	} {
		t.Run(name, func(t *testing.T) {
			in := k.make(t, Options{Names: tc.o})
			sc, err := in.Initiate(t.Context(), middleware.Target{Host: tc.host, Port: "8443", RedirectedFrom: tc.from})
			if err == nil {
				_, err = sc.Step(t.Context(), nil)
			}
			var e *middleware.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v", err)
			}
			told, _, _ := strings.Cut(e.SPN, "@")
			if e.SPN != tc.want && told != tc.want || e.Host == "" && tc.host != "" {
				t.Errorf("asked for %q, want %q: %v", e.SPN, tc.want, err)
			}
		})
	}
}

// proxy: what is for origin servers is not for proxies, which get no credentials, and
// to which nothing is bound.
func (k kit) proxy(t *testing.T) {
	h := fakeweb.New(k.realm, SPN, fakeweb.Options{})
	c := k.call(t, h, fakeweb.ServerOptions{}, middleware.Negotiate)
	c.target.Proxy = true
	sc, _, err := c.exchange(k.make(t, Options{
		Names: policy.Names{HostOverride: "plain.example"}, AllowedHosts: []string{"other.example"}, Delegation: policy.DelegationAlways,
	}))
	if err != nil || !sc.Verified() {
		t.Fatal(err)
	}
	if all := h.Requests(); !k.MarksIgnored && !all[len(all)-1].Caller.Delegated.IsZero() {
		t.Error("credentials were delegated to a proxy")
	}
	if _, _, err := c.exchange(k.make(t, Options{Bindings: policy.BindingsRequired})); !errors.Is(err, middleware.ErrToken) {
		t.Errorf("bindings required: %v", err)
	}
}

// identity: an initiator tells as whom it would sign, where it would.
func (k kit) identity(t *testing.T) {
	in, ok := k.make(t, Options{AllowedHosts: []string{"localhost"}}).(middleware.Identifier)
	if !ok {
		t.Fatal("it is no Identifier")
	}
	for host, want := range map[string]string{"localhost": k.alice(), "other.example": ""} {
		if who, err := in.Identity(t.Context(), middleware.Target{Host: host, Port: "80"}); err != nil || who != want {
			t.Errorf("%s: %q, %v, want %q", host, who, err, want)
		}
	}
}
