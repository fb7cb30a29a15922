package preemptive_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

func TestMain(m *testing.M) { testmain.Run(m) }

func without(int, middleware.Target) error {
	return &middleware.Error{Stage: "fake", Kind: middleware.ErrCredentials}
}

func TestConformance(t *testing.T) {
	for name, p := range map[string]preemptive.Policy{
		"always":  preemptive.Always(),
		"hosts":   preemptive.Hosts("origin.example"),
		"learned": preemptive.Learned(),
	} {
		t.Run(name, func(t *testing.T) {
			stagetest.Run(t, func() kerbchain.Middleware {
				return preemptive.New(new(stagetest.Initiator), p, preemptive.Options{})
			})
		})
	}
	t.Run("proxies", func(t *testing.T) {
		stagetest.Run(t, func() kerbchain.Middleware {
			return preemptive.New(new(stagetest.Initiator), preemptive.Always(), preemptive.Options{Proxies: preemptive.Always(), Proxy: via("http://proxy.example:3128")})
		})
	})
	t.Run("without credentials", func(t *testing.T) {
		stagetest.Run(t, func() kerbchain.Middleware {
			return preemptive.New(&stagetest.Initiator{Fail: without}, preemptive.Always(), preemptive.Options{})
		})
	})
	t.Run("before negotiate", func(t *testing.T) {
		stagetest.Run(t, func() kerbchain.Middleware {
			in := new(stagetest.Initiator)
			return kerbchain.Chain(
				preemptive.New(in, preemptive.Learned(), preemptive.Options{}),
				negotiate.New(in, negotiate.Options{}),
			)
		})
	})
}

// call sends a PUT and returns the status.
func call(t *testing.T, next kerbchain.Next, url string, header ...string) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "PUT", url, strings.NewReader("data"))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := next(r)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp, resp.Body.Close()
}

func auths(srv *stagetest.Server) []string {
	var out []string
	for _, r := range srv.Requests() {
		out = append(out, strings.TrimPrefix(r.Auth, "Negotiate "))
	}
	return out
}

func TestPolicies(t *testing.T) {
	for name, tc := range map[string]struct {
		policy preemptive.Policy
		url    string
		header []string
		want   string
	}{
		"always":             {preemptive.Always(), "http://a.example/", nil, "client-1"},
		"always, own header": {preemptive.Always(), "http://a.example/", []string{"Authorization", "Basic b3duOm93bg=="}, "Basic own:own"},
		"nil":                {nil, "http://a.example/", nil, ""},
		"no host":            {preemptive.Hosts(), "http://a.example/", nil, ""},
		"host":               {preemptive.Hosts("b.example", "a.example"), "https://a.example/", nil, "client-1"},
		"other host":         {preemptive.Hosts("b.example"), "http://a.example/", nil, ""},
		"learned, at first":  {preemptive.Learned(), "http://a.example/", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			srv := stagetest.NewServer()
			next := preemptive.New(new(stagetest.Initiator), tc.policy, preemptive.Options{})(srv.Next)
			if _, err := call(t, next, tc.url, tc.header...); err != nil {
				t.Fatal(err)
			}
			want := []stagetest.Request{{Method: "PUT", URL: tc.url, Auth: tc.want, Body: "data"}}
			if strings.HasPrefix(tc.want, "client") {
				want[0].Auth = "Negotiate " + tc.want
			}
			if d := cmp.Diff(want, srv.Requests()); d != "" {
				t.Errorf("sent (-want +got):\n%s", d)
			}
		})
	}
}

func TestHosts(t *testing.T) {
	for name, tc := range map[string]struct {
		pattern string
		yes, no []string // URLs
	}{
		"name": {
			"App.Example",
			[]string{"http://app.example/", "https://APP.EXAMPLE:8443", "http://app.example./"},
			[]string{"http://a.app.example/", "http://example/", "http://app.example.evil/", "http://xapp.example/"},
		},
		"name with a dot": {"app.example.", []string{"http://app.example/", "http://app.example./"}, []string{"http://app.example../"}},
		"below": {
			"*.corp.example",
			[]string{"http://a.corp.example/", "http://a.b.CORP.example:81/"},
			[]string{"http://corp.example/", "http://evilcorp.example/", "http://corp.example.evil/", "http://.corp.example/"},
		},
		"ending": {
			"*corp.example",
			[]string{"http://a.corp.example/", "http://corp.example/", "http://evilcorp.example/"},
			[]string{"http://corp.example.evil/"},
		},
		"every":              {"*", []string{"http://a/", "https://10.0.0.1/", "http://[::1]/"}, []string{"http:///path"}},
		"list":               {" a.example , *.b.example", []string{"http://a.example/", "http://x.b.example/"}, []string{"http://c.example/"}},
		"port":               {"a.example:8080", []string{"http://a.example:8080/", "https://a.example:8080/"}, []string{"http://a.example/", "http://a.example:80/"}},
		"port implied":       {"*.example:443", []string{"https://a.example/"}, []string{"http://a.example/", "https://a.example:444/"}},
		"IPv4":               {"10.0.0.1", []string{"http://10.0.0.1/", "http://10.0.0.1:8080/"}, []string{"http://10.0.0.10/"}},
		"IPv6":               {"[2001:DB8:0::1]", []string{"http://[2001:db8::1]/", "https://[2001:db8::1]:444/"}, []string{"http://[2001:db8::2]/"}},
		"IPv6, bare":         {"2001:db8::1", []string{"http://[2001:db8::1]:80/"}, []string{"http://[2001:db8::2]/"}},
		"IPv6 with a port":   {"[::1]:8080", []string{"http://[0:0::1]:8080/"}, []string{"http://[::1]/"}},
		"empty":              {"", nil, []string{"http://a/", "http:///"}},
		"dot":                {".", nil, []string{"http://a/", "http://./"}},
		"star and dot":       {"*.", nil, []string{"http://a/", "http://a./"}},
		"star inside":        {"a.*.example", nil, []string{"http://a.b.example/", "http://a.*.example/"}},
		"URL":                {"http://a.example/", nil, []string{"http://a.example/"}},
		"bad port":           {"a.example:http", nil, []string{"http://a.example/"}},
		"no port":            {"a.example:", nil, []string{"http://a.example/"}},
		"too many digits":    {"a.example:000080", nil, []string{"http://a.example/"}},
		"bracket left open":  {"[::1", nil, []string{"http://[::1]/"}},
		"text after bracket": {"[::1]x", nil, []string{"http://[::1]/"}},
		"name in brackets":   {"[a.example]", nil, []string{"http://a.example/"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, url := range append(append([]string{}, tc.yes...), tc.no...) {
				srv := stagetest.NewServer()
				next := preemptive.New(new(stagetest.Initiator), preemptive.Hosts(tc.pattern), preemptive.Options{})(srv.Next)
				if _, err := call(t, next, url); err != nil {
					t.Fatal(err)
				}
				want := false
				for _, y := range tc.yes {
					want = want || y == url
				}
				if got := srv.Requests()[0].Auth != ""; got != want {
					t.Errorf("pattern %q, %s: signed %v, want %v", tc.pattern, url, got, want)
				}
			}
		})
	}
}

func FuzzHosts(f *testing.F) {
	seeds := []string{"", "*", "*.a", "a.b:80", "[::1]:80", "::1", "a,b", "*.", "[", "[::1]:", "fe80::1%eth0", "a:b:c"}
	if len(seeds) == 0 {
		f.Fatal("empty seed corpus")
	}
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		srv := stagetest.NewServer()
		next := preemptive.New(new(stagetest.Initiator), preemptive.Hosts(pattern), preemptive.Options{})(srv.Next)
		const host = "never.written.example"
		if _, err := call(t, next, "http://"+host+"/"); err != nil {
			t.Fatal(err)
		}
		// Whoever is signed for was named, by an ending at least.
		if srv.Requests()[0].Auth != "" && !strings.Contains(pattern, "*") && !strings.Contains(strings.ToLower(pattern), host) {
			t.Fatalf("pattern %q matches %s", pattern, host)
		}
	})
}

// stack is preemptive before negotiate, as clients have it.
func stack(in middleware.Initiator, p preemptive.Policy, o preemptive.Options) kerbchain.Middleware {
	return kerbchain.Chain(preemptive.New(in, p, o), negotiate.New(in, negotiate.Options{}))
}

func TestLearned(t *testing.T) {
	bare := stagetest.Challenge(401, "Negotiate")
	ok := stagetest.Respond(200, "ok")
	const a, b = "http://a.example/", "http://b.example/"
	for name, tc := range map[string]struct {
		replies []stagetest.Reply
		urls    []string
		want    []string // tokens, in the order of arrival
	}{
		"second call is signed at once": {
			[]stagetest.Reply{bare, ok}, []string{a, a, a},
			[]string{"", "client-1", "client-2", "client-3"},
		},
		"same origin, written otherwise": {
			[]stagetest.Reply{bare, ok}, []string{a, "HTTP://A.example.:80/other"},
			[]string{"", "client-1", "client-2"},
		},
		"another port": {
			[]stagetest.Reply{bare, ok}, []string{a, "http://a.example:81/"},
			[]string{"", "client-1", ""},
		},
		"another scheme": {
			[]stagetest.Reply{bare, ok}, []string{a, "https://a.example:80/"},
			[]string{"", "client-1", ""},
		},
		"another host": {
			[]stagetest.Reply{bare, ok}, []string{a, b},
			[]string{"", "client-1", ""},
		},
		"failed elsewhere": {
			[]stagetest.Reply{bare, stagetest.Respond(503, ""), ok}, []string{a, a},
			[]string{"", "client-1", "client-2"},
		},
		"refused": {
			[]stagetest.Reply{bare, bare, ok}, []string{a, a},
			[]string{"", "client-1", ""},
		},
		"forgotten when refused": {
			[]stagetest.Reply{bare, ok, bare, bare, ok}, []string{a, a, a},
			[]string{"", "client-1", "client-2", "client-3", ""},
		},
		"kept when a fresh token does it": {
			[]stagetest.Reply{bare, ok, bare, ok}, []string{a, a, a},
			[]string{"", "client-1", "client-2", "client-3", "client-4"},
		},
		"kept when a proxy comes in between": {
			[]stagetest.Reply{bare, ok, stagetest.Challenge(407, "Basic realm=x"), ok}, []string{a, a, a},
			[]string{"", "client-1", "client-2", "client-3"},
		},
		"nothing learned without a token": {
			[]stagetest.Reply{ok}, []string{a, a},
			[]string{"", ""},
		},
		"scheme is remembered": {
			[]stagetest.Reply{stagetest.Challenge(401, "Kerberos"), ok}, []string{a, a},
			[]string{"", "Kerberos client-1", "Kerberos client-2"},
		},
		"another scheme takes its place": {
			[]stagetest.Reply{stagetest.Challenge(401, "Kerberos"), ok, bare, ok}, []string{a, a, a},
			[]string{"", "Kerberos client-1", "Kerberos client-2", "client-3", "client-4"},
		},
		"a proxy's 407 tells nothing of the server": {
			[]stagetest.Reply{bare, stagetest.Challenge(407, "Basic realm=x"), ok}, []string{a, a},
			[]string{"", "client-1", ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv := stagetest.NewServer(tc.replies...)
			next := stack(new(stagetest.Initiator), preemptive.Learned(), preemptive.Options{})(srv.Next)
			for _, url := range tc.urls {
				if _, err := call(t, next, url); err != nil {
					t.Fatal(err)
				}
			}
			if d := cmp.Diff(tc.want, auths(srv)); d != "" {
				t.Errorf("tokens (-want +got):\n%s", d)
			}
		})
	}
}

// The origin that was used longest ago is forgotten first: signed for, whatever came
// of it. One that refused counts for nothing.
func TestLearnedIsCapped(t *testing.T) {
	type step struct {
		host, fate string
		want       int // two requests for an origin that is new or forgotten, else one
	}
	for name, tc := range map[string]struct {
		max   int
		steps []step
	}{
		"one":     {1, []step{{"a", "", 2}, {"a", "", 1}, {"b", "", 2}, {"b", "", 1}, {"a", "", 2}}},
		"two":     {2, []step{{"a", "", 2}, {"b", "", 2}, {"a", "", 1}, {"c", "", 2}, {"a", "", 1}, {"b", "", 2}, {"c", "", 2}}},
		"lost":    {2, []step{{"a", "", 2}, {"b", "", 2}, {"a", "lost", 1}, {"c", "", 2}, {"a", "", 1}, {"b", "", 2}}},
		"refused": {2, []step{{"a", "", 2}, {"a", "refused", 2}, {"b", "", 2}, {"a", "", 2}, {"a", "", 1}, {"b", "", 1}}},
		"default": {0, []step{{"a", "", 2}, {"b", "", 2}, {"c", "", 2}, {"a", "", 1}, {"b", "", 1}, {"c", "", 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			lost, fate := errors.New("lost"), ""
			ok, ask := stagetest.NewNegotiating(), stagetest.Challenge(401, "Negotiate")
			srv := stagetest.NewServer(func(r *http.Request) (*http.Response, error) {
				switch fate {
				case "lost":
					return nil, lost
				case "refused":
					return ask(r)
				}
				r = r.Clone(r.Context())
				r.Body = nil
				return ok.Next(r)
			})
			next := stack(new(stagetest.Initiator), preemptive.Learned(), preemptive.Options{MaxOrigins: tc.max})(srv.Next)
			for i, step := range tc.steps {
				before := len(srv.Requests())
				fate = step.fate
				if _, err := call(t, next, "http://"+step.host+".example/"); err != nil && !errors.Is(err, lost) {
					t.Fatal(err)
				}
				if got := len(srv.Requests()) - before; got != step.want {
					t.Errorf("step %d, %s: %d requests, want %d", i+1, step.host, got, step.want)
				}
			}
		})
	}
}

// What was signed for another origin, as behind a stage that goes elsewhere, tells
// nothing of the one that was asked.
func TestLearnedElsewhere(t *testing.T) {
	in, srv := new(stagetest.Initiator), stagetest.NewNegotiating()
	next := kerbchain.Chain(preemptive.New(in, preemptive.Learned(), preemptive.Options{}), func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) {
			there := r.Clone(r.Context())
			there.URL.Host = "b.example"
			return next(there)
		}
	}, negotiate.New(in, negotiate.Options{}))(srv.Next)
	for range 2 {
		if _, err := call(t, next, "http://a.example/"); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff([]string{"", "client-1", "", "client-2"}, auths(srv)); d != "" {
		t.Errorf("tokens (-want +got):\n%s", d)
	}
}

// What is no request, and what is no response, are left to those who made them.
func TestNothingThere(t *testing.T) {
	for name, p := range map[string]preemptive.Policy{"always": preemptive.Always(), "learned": preemptive.Learned(), "nil": nil} {
		reached := 0
		next := preemptive.New(new(stagetest.Initiator), p, preemptive.Options{Proxies: p, Proxy: via("http://proxy.example:3128")})(func(*http.Request) (*http.Response, error) {
			reached++
			return nil, nil
		})
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://a.example/", nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if resp, err := next(r); resp != nil || err != nil {
				t.Errorf("%s: %v, %v", name, resp, err)
			}
			r = r.Clone(r.Context())
			r.URL = nil
		}
		if reached != 2 {
			t.Errorf("%s: the transport was asked %d times", name, reached)
		}
	}
}

// An older context that the transport names does not speak for a response.
func TestOldContext(t *testing.T) {
	next := stack(new(stagetest.Initiator), preemptive.Always(), preemptive.Options{})(stagetest.NewNegotiating().Next)
	old, err := call(t, next, "http://a.example/")
	if err != nil || middleware.SecurityOf(old.Request) == nil {
		t.Fatal(old, err)
	}
	for name, p := range map[string]preemptive.Policy{"learned": preemptive.Learned(), "nil": nil} {
		resp, err := call(t, preemptive.New(new(stagetest.Initiator), p, preemptive.Options{})(func(r *http.Request) (*http.Response, error) {
			return stagetest.Respond(200, "ok")(old.Request)
		}), "http://a.example/")
		if err != nil || middleware.SecurityOf(resp.Request) != nil {
			t.Errorf("%s: error %v, signed by %v", name, err, middleware.SecurityOf(resp.Request))
		}
	}
}

// What one wiring learned is not known to another.
func TestLearnedPerWiring(t *testing.T) {
	srv := stagetest.NewNegotiating()
	m := stack(new(stagetest.Initiator), preemptive.Learned(), preemptive.Options{})
	for range 2 {
		if _, err := call(t, m(srv.Next), "http://a.example/"); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff([]string{"", "client-1", "", "client-2"}, auths(srv)); d != "" {
		t.Errorf("tokens (-want +got):\n%s", d)
	}
}

func TestLearnedInParallel(t *testing.T) {
	srv := stagetest.NewNegotiating()
	next := stack(new(stagetest.Initiator), preemptive.Learned(), preemptive.Options{MaxOrigins: 3})(srv.Next)
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			host := string(rune('a' + i%5))
			resp, err := call(t, next, "http://"+host+".example/")
			if err != nil || resp.StatusCode != 200 || middleware.SecurityOf(resp.Request).Target().Host != host+".example" {
				t.Errorf("%s: %v", host, err)
			}
		})
	}
	all.Wait()
}

// A caller's own header neither is touched nor teaches anything.
func TestOwnHeader(t *testing.T) {
	srv := stagetest.NewServer(stagetest.Challenge(401, "Negotiate"), stagetest.Respond(200, ""), stagetest.Challenge(401, "Basic"), stagetest.Respond(200, ""))
	next := stack(new(stagetest.Initiator), preemptive.Learned(), preemptive.Options{})(srv.Next)
	const own = "Basic b3duOm93bg=="
	for _, header := range [][]string{nil, {"Authorization", own}, nil} {
		if _, err := call(t, next, "http://a.example/", header...); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff([]string{"", "client-1", "Basic own:own", "client-2"}, auths(srv)); d != "" {
		t.Errorf("tokens (-want +got):\n%s", d)
	}
}

// A context that an older request left behind does not make a request signed.
func TestStaleContext(t *testing.T) {
	in := new(stagetest.Initiator)
	srv := stagetest.NewServer()
	next := preemptive.New(in, preemptive.Always(), preemptive.Options{})(srv.Next)
	first, err := call(t, next, "http://a.example/")
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(first.Request.Context(), "GET", "http://b.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := next(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if got := middleware.SecurityOf(resp.Request).Target().Host; got != "b.example" {
		t.Errorf("signed for %s", got)
	}
	if d := cmp.Diff([]string{"client-1", "client-2"}, auths(srv)); d != "" {
		t.Errorf("tokens (-want +got):\n%s", d)
	}
}

// A stage that signs further out is left to it.
func TestTwice(t *testing.T) {
	in := new(stagetest.Initiator)
	srv := stagetest.NewServer()
	m := preemptive.New(in, preemptive.Always(), preemptive.Options{})
	resp, err := call(t, kerbchain.Chain(m, m)(srv.Next), "http://a.example/")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"client-1"}, auths(srv)); d != "" {
		t.Errorf("tokens (-want +got):\n%s", d)
	}
	if len(resp.Request.Header["Authorization"]) > 0 {
		t.Error("resp.Request shows a token")
	}
}

func TestNoToken(t *testing.T) {
	for name, tc := range map[string]struct {
		policy preemptive.Policy
		want   error
		sent   []string // by two calls
	}{
		"always":  {preemptive.Always(), middleware.ErrCredentials, nil},
		"hosts":   {preemptive.Hosts("*"), middleware.ErrCredentials, nil},
		"learned": {preemptive.Learned(), nil, []string{"", "client-1", "", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			in := &stagetest.Initiator{Fail: func(n int, target middleware.Target) error {
				if n == 1 && tc.want == nil {
					return nil // learn first
				}
				return without(n, target)
			}}
			srv := stagetest.NewServer(stagetest.Challenge(401, "Negotiate"), stagetest.Respond(200, "ok"))
			var learned *http.Response
			next := stack(in, tc.policy, preemptive.Options{})(srv.Next)
			for range 3 {
				resp, err := call(t, next, "http://a.example/")
				if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
					t.Errorf("error %v, want %v", err, tc.want)
				}
				learned = resp
			}
			if d := cmp.Diff(tc.sent, auths(srv)); d != "" {
				t.Errorf("tokens (-want +got):\n%s", d)
			}
			if tc.want == nil && learned.StatusCode != 200 {
				t.Errorf("status %d", learned.StatusCode)
			}
		})
	}
}

// TestNoBindings: a token that must be bound to a connection that is not known
// yet is left to the stage that answers challenges.
func TestNoBindings(t *testing.T) {
	in := &stagetest.Initiator{Fail: func(n int, _ middleware.Target) error {
		return &middleware.Error{Stage: "fake", Kind: middleware.ErrToken, Err: middleware.ErrNoBindings}
	}}
	srv := stagetest.NewServer(stagetest.Respond(200, "ok"))
	next := preemptive.New(in, preemptive.Always(), preemptive.Options{})(srv.Next)
	if resp, err := call(t, next, "https://a.example/"); err != nil || resp.StatusCode != 200 {
		t.Fatalf("response %v, error %v", resp, err)
	}
	if d := cmp.Diff([]string{""}, auths(srv)); d != "" {
		t.Errorf("tokens (-want +got):\n%s", d)
	}
}
