package preemptive_test

import (
	"errors"
	"net/http"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

func via(proxy string) func(*http.Request) (*url.URL, error) {
	return func(*http.Request) (*url.URL, error) { return url.Parse(proxy) }
}

// Which requests bear a token for a proxy, and for which.
func TestProxies(t *testing.T) {
	const proxy = "http://proxy.example:3128"
	at := middleware.Target{Scheme: middleware.Negotiate, Host: "proxy.example", Port: "3128", Proxy: true}
	origin := middleware.Target{Scheme: middleware.Negotiate, Host: "origin.example", Port: "80"}
	always, none := preemptive.Always(), preemptive.Hosts()
	direct := func(*http.Request) (*url.URL, error) { return nil, nil }
	failing := func(*http.Request) (*url.URL, error) { return nil, errors.New("no idea") }
	unsure := func(*http.Request) (*url.URL, error) {
		return &url.URL{Scheme: "http", Host: "proxy.example:3128"}, errors.New("no idea")
	}
	for name, tc := range map[string]struct {
		origins preemptive.Policy
		o       preemptive.Options
		url     string
		header  []string
		want    stagetest.Request
		targets []middleware.Target
	}{
		"chosen":            {nil, preemptive.Options{Proxies: always, Proxy: via(proxy)}, "http://origin.example/", nil, stagetest.Request{Proxy: "Negotiate client-1"}, []middleware.Target{at}},
		"listed":            {nil, preemptive.Options{Proxies: preemptive.Hosts("proxy.example:3128"), Proxy: via(proxy)}, "http://origin.example/", nil, stagetest.Request{Proxy: "Negotiate client-1"}, []middleware.Target{at}},
		"the server listed": {nil, preemptive.Options{Proxies: preemptive.Hosts("origin.example"), Proxy: via(proxy)}, "http://origin.example/", nil, stagetest.Request{}, nil},
		"the server too":    {always, preemptive.Options{Proxies: always, Proxy: via(proxy)}, "http://origin.example/", nil, stagetest.Request{Auth: "Negotiate client-1", Proxy: "Negotiate client-2"}, []middleware.Target{origin, at}},
		"the server alone":  {always, preemptive.Options{Proxies: none, Proxy: via(proxy)}, "http://origin.example/", nil, stagetest.Request{Auth: "Negotiate client-1"}, []middleware.Target{origin}},
		"no policy":         {nil, preemptive.Options{Proxy: via(proxy)}, "http://origin.example/", nil, stagetest.Request{}, nil},
		"no function":       {nil, preemptive.Options{Proxies: always}, "http://origin.example/", nil, stagetest.Request{}, nil},
		"direct":            {nil, preemptive.Options{Proxies: always, Proxy: direct}, "http://origin.example/", nil, stagetest.Request{}, nil},
		"not known":         {nil, preemptive.Options{Proxies: always, Proxy: failing}, "http://origin.example/", nil, stagetest.Request{}, nil},
		"not sure":          {nil, preemptive.Options{Proxies: always, Proxy: unsure}, "http://origin.example/", nil, stagetest.Request{}, nil},
		"https":             {nil, preemptive.Options{Proxies: always, Proxy: via(proxy)}, "https://origin.example/", nil, stagetest.Request{}, nil},
		"https, a proxy of https": {nil, preemptive.Options{Proxies: always, Proxy: via("https://proxy.example")}, "http://origin.example/", nil, stagetest.Request{Proxy: "Negotiate client-1"}, []middleware.Target{
			{Scheme: middleware.Negotiate, Host: "proxy.example", Port: "443", Secure: true, Proxy: true},
		}},
		"SOCKS":        {nil, preemptive.Options{Proxies: always, Proxy: via("socks5://proxy.example")}, "http://origin.example/", nil, stagetest.Request{}, nil},
		"a user":       {nil, preemptive.Options{Proxies: always, Proxy: via("http://alice:pw@proxy.example")}, "http://origin.example/", nil, stagetest.Request{}, nil},
		"own":          {always, preemptive.Options{Proxies: always, Proxy: via(proxy)}, "http://origin.example/", []string{"Proxy-Authorization", "Basic b3du"}, stagetest.Request{Auth: "Negotiate client-1", Proxy: "Basic own"}, []middleware.Target{origin}},
		"own, server":  {always, preemptive.Options{Proxies: always, Proxy: via(proxy)}, "http://origin.example/", []string{"Authorization", "Basic b3du"}, stagetest.Request{Auth: "Basic own", Proxy: "Negotiate client-1"}, []middleware.Target{at}},
		"upper scheme": {nil, preemptive.Options{Proxies: always, Proxy: via(proxy)}, "HTTPS://origin.example/", nil, stagetest.Request{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			in, srv := new(stagetest.Initiator), stagetest.NewServer()
			if _, err := call(t, preemptive.New(in, tc.origins, tc.o)(srv.Next), tc.url, tc.header...); err != nil {
				t.Fatal(err)
			}
			got := srv.Requests()[0]
			if d := cmp.Diff(tc.want, stagetest.Request{Auth: got.Auth, Proxy: got.Proxy}); d != "" {
				t.Errorf("fields (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tc.targets, in.Targets()); d != "" {
				t.Errorf("targets (-want +got):\n%s", d)
			}
			if got.Body != "data" {
				t.Errorf("body %q", got.Body)
			}
		})
	}
}

// gate is a proxy that wants a token, before a server that wants one too.
func gate(open *bool) *stagetest.Server {
	ask := stagetest.Challenge(http.StatusProxyAuthRequired, "Negotiate")
	askToo := stagetest.Challenge(http.StatusUnauthorized, "Negotiate")
	ok := stagetest.Respond(http.StatusOK, "ok")
	return stagetest.NewServer(func(r *http.Request) (*http.Response, error) {
		switch {
		case !*open && r.Header.Get("Proxy-Authorization") == "":
			return ask(r)
		case r.Header.Get("Authorization") == "":
			return askToo(r)
		}
		return ok(r)
	})
}

// A proxy that asked once is remembered, and apart from servers.
func TestProxiesLearned(t *testing.T) {
	in, open := new(stagetest.Initiator), false
	srv := gate(&open)
	o := preemptive.Options{Proxies: preemptive.Learned(), Proxy: via("http://proxy.example:3128")}
	next := kerbchain.Chain(
		preemptive.New(in, nil, o), negotiate.New(in, negotiate.Options{Proxy: o.Proxy}),
	)(srv.Next)
	for range 3 {
		if resp, err := call(t, next, "http://origin.example/"); err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
	}
	if _, err := call(t, next, "http://proxy.example:3128/"); err != nil { // a server of that name
		t.Fatal(err)
	}
	var got []stagetest.Request
	for _, r := range srv.Requests() {
		got = append(got, stagetest.Request{Auth: r.Auth, Proxy: r.Proxy})
	}
	want := []stagetest.Request{
		{}, {Proxy: "Negotiate client-1"}, {Auth: "Negotiate client-2", Proxy: "Negotiate client-3"},
		{Proxy: "Negotiate client-4"}, {Auth: "Negotiate client-5", Proxy: "Negotiate client-6"},
		{Proxy: "Negotiate client-7"}, {Auth: "Negotiate client-8", Proxy: "Negotiate client-9"},
		{Proxy: "Negotiate client-10"}, {Auth: "Negotiate client-11", Proxy: "Negotiate client-12"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("requests (-want +got):\n%s", d)
	}
}

// A proxy that refuses is forgotten, and one that never asked is not learned,
// whatever a request was made of.
func TestProxiesForgotten(t *testing.T) {
	in := new(stagetest.Initiator)
	refuse := stagetest.Challenge(http.StatusProxyAuthRequired, "Negotiate")
	ok := stagetest.Respond(http.StatusOK, "ok")
	srv := stagetest.NewServer(refuse, ok, refuse, refuse, ok)
	o := preemptive.Options{Proxies: preemptive.Learned(), Proxy: via("http://proxy.example:3128")}
	next := kerbchain.Chain(
		preemptive.New(in, nil, o), negotiate.New(in, negotiate.Options{Proxy: o.Proxy, MaxSigned: 1}),
	)(srv.Next)
	var proxies []string
	for range 3 {
		if _, err := call(t, next, "http://origin.example/"); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range srv.Requests() {
		proxies = append(proxies, r.Proxy)
	}
	// Asked and answered; sent at once, refused, once more, refused; forgotten.
	if d := cmp.Diff([]string{"", "Negotiate client-1", "Negotiate client-2", "Negotiate client-3", ""}, proxies); d != "" {
		t.Errorf("tokens (-want +got):\n%s", d)
	}
}

// Without credentials: an error where the proxy was chosen, the proxy's own words
// where it was learned.
func TestProxiesWithoutCredentials(t *testing.T) {
	for name, tc := range map[string]struct {
		p    preemptive.Policy
		kind error
		fail error
	}{
		"always":      {preemptive.Always(), middleware.ErrCredentials, nil},
		"not allowed": {preemptive.Always(), nil, middleware.ErrNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			in := &stagetest.Initiator{Fail: func(_ int, target middleware.Target) error {
				kind := middleware.ErrCredentials
				if tc.fail != nil {
					kind = tc.fail
				}
				return &middleware.Error{Stage: "fake", Kind: kind, Host: target.HostPort()}
			}}
			srv := stagetest.NewServer()
			next := preemptive.New(in, nil, preemptive.Options{Proxies: tc.p, Proxy: via("http://proxy.example:3128")})(srv.Next)
			_, err := call(t, next, "http://origin.example/")
			if !errors.Is(err, tc.kind) || (err == nil) != (tc.kind == nil) {
				t.Errorf("error %v", err)
			}
			if e, ok := errors.AsType[*middleware.Error](err); ok && e.Host != "proxy.example:3128" {
				t.Errorf("of host %q", e.Host)
			}
			if n := len(srv.Requests()); (n == 0) != (tc.kind != nil) {
				t.Errorf("%d requests", n)
			}
		})
	}
}
