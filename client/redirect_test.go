package client_test

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// toLoopback dials whatever name at 127.0.0.1.
func toLoopback() *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	}}
}

// onePort dials each host, whatever its port, where the server of that name
// listens, so that hosts share a port.
func onePort(servers map[string]*fakeweb.Server) *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		u, err := url.Parse(servers[host].URL())
		if err != nil {
			return nil, err
		}
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", u.Port()))
	}}
}

// TestStrangers: what a host that a redirect led to gets of us, and what it does
// not.
func TestStrangers(t *testing.T) {
	realm := start(t, fakekdc.WithService("HTTP/a.example", fakekdc.OKAsDelegate()),
		fakekdc.WithService("HTTP/b.example", fakekdc.OKAsDelegate()), fakekdc.WithService("HTTP/inner.example"))
	type outcome struct {
		Status    int
		SPNs      []string // of tokens, in order
		Delegated []bool
	}
	for name, tc := range map[string]struct {
		change func(*client.Options)
		a      string // service of the first server
		want   outcome
	}{
		"each a token of its own": {
			a: "HTTP/a.example", want: outcome{200, []string{"HTTP/a.example", "HTTP/b.example"}, []bool{false, false}},
		},
		"the override stays": {
			change: func(o *client.Options) { o.HostOverride = "inner.example" },
			a:      "HTTP/inner.example", want: outcome{200, []string{"HTTP/inner.example", "HTTP/b.example"}, []bool{false, false}},
		},
		"an override for each": {
			change: func(o *client.Options) { o.HostOverrides = map[string]string{"*.example": "b.example"} },
			a:      "HTTP/b.example", want: outcome{200, []string{"HTTP/b.example", "HTTP/b.example"}, []bool{false, false}},
		},
		"not on the list": {
			change: func(o *client.Options) { o.AllowedHosts = []string{"a.example"} },
			a:      "HTTP/a.example", want: outcome{401, []string{"HTTP/a.example"}, []bool{false}},
		},
		"not on the list, preemptive": {
			change: func(o *client.Options) {
				o.AllowedHosts, o.Preemptive = []string{"a.example"}, preemptive.Always()
			},
			a: "HTTP/a.example", want: outcome{401, []string{"HTTP/a.example"}, []bool{false}},
		},
		"no credentials for strangers": {
			change: func(o *client.Options) { o.Delegation = kerberos.DelegationAlways },
			a:      "HTTP/a.example", want: outcome{200, []string{"HTTP/a.example", "HTTP/b.example"}, []bool{true, false}},
		},
		"nor by policy": {
			change: func(o *client.Options) { o.Delegation = kerberos.DelegationPolicy },
			a:      "HTTP/a.example", want: outcome{200, []string{"HTTP/a.example", "HTTP/b.example"}, []bool{true, false}},
		},
		"unless they are listed": {
			change: func(o *client.Options) {
				o.Delegation, o.DelegateTo = kerberos.DelegationAlways, []string{"*.example"}
			},
			a: "HTTP/a.example", want: outcome{200, []string{"HTTP/a.example", "HTTP/b.example"}, []bool{true, true}},
		},
	} {
		strangers := func(t *testing.T, onOnePort bool) {
			b := fakeweb.Serve(realm, fakeweb.New(realm, "HTTP/b.example", fakeweb.Options{}), fakeweb.ServerOptions{Host: "b.example"})
			to := b.URL()
			if onOnePort {
				to = "http://b.example:8080/"
			}
			ha := fakeweb.New(realm, tc.a, fakeweb.Options{Next: http.RedirectHandler(to, http.StatusFound)})
			a := fakeweb.Serve(realm, ha, fakeweb.ServerOptions{Host: "a.example"})
			from := a.URL()
			o := kinit(t, realm)
			o.Mutual, o.Transport = mutual.Optional, toLoopback()
			if onOnePort {
				from, o.Transport = "http://a.example:8080/", onePort(map[string]*fakeweb.Server{"a.example": a, "b.example": b})
			}
			if tc.change != nil {
				tc.change(&o)
			}
			var got outcome
			ctx := middleware.WithTrace(t.Context(), func(e middleware.Event) {
				if e, ok := e.(middleware.TokenEvent); ok {
					got.SPNs = append(got.SPNs, e.SPN[:len(e.SPN)-len("@"+realm.Name())])
					got.Delegated = append(got.Delegated, e.Delegate)
				}
			})
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := newClient(t, o).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := resp.Body.Close(); err != nil {
				t.Fatal(err)
			}
			got.Status = resp.StatusCode
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		t.Run(name, func(t *testing.T) { strangers(t, false) })
		t.Run(name+", on one port", func(t *testing.T) { strangers(t, true) })
	}
}
