package client_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// seen tells in a few words what a caller sees of a call: the status or the
// reason of the refusal, how it was verified, and what is left of the body.
func seen(t *testing.T, c *http.Client, method, url, body string) string {
	t.Helper()
	var verdict middleware.VerdictEvent
	ctx := middleware.WithTrace(t.Context(), func(e middleware.Event) {
		if v, ok := e.(middleware.VerdictEvent); ok {
			verdict = v
		}
	})
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		var known *middleware.Error
		if !errors.As(err, &known) {
			return err.Error()
		}
		return known.Reason.String()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	out := fmt.Sprint(resp.StatusCode)
	sc := middleware.SecurityOf(resp.Request)
	switch proved, trusted := sc != nil && sc.Verified(), middleware.Trusted(resp.Request); {
	case proved && trusted:
		t.Error("both proved and trusted")
	case proved:
		out += " proved"
	case trusted:
		out += " trusted"
		if !verdict.Trusted || !verdict.Verified || !strings.HasPrefix(verdict.SPN, spn+"@") {
			t.Errorf("verdict %+v", verdict)
		}
	}
	if len(b) == 0 {
		out += " empty"
	}
	return out
}

// echo answers with the status of the path, and the length of the body.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		return
	}
	switch r.URL.Path {
	case "/fault":
		w.WriteHeader(http.StatusInternalServerError)
	case "/moved":
		w.Header().Set("Location", "/there")
		w.WriteHeader(http.StatusTemporaryRedirect)
	}
	caller, _ := fakeweb.CallerOf(r.Context())
	fmt.Fprintf(w, "%d bytes of %s", n, caller.Name)
})

// A server in the manner of IIS, and a client that trusts its connections.
func TestTrustConnection(t *testing.T) {
	realm := start(t)
	type step struct{ does, want string }
	const (
		get     = "GET /"
		post    = "POST /"
		fault   = "GET /fault"
		moved   = "POST /moved"
		drop    = "drop"
		forget  = "forget"
		forge   = "forge"
		quiet   = "quiet" // no more tokens
		genuine = "genuine"
	)
	bound := fakeweb.Options{ConnectionBound: true, Next: echo}
	signals := bound
	signals.SignalPersistent = true
	limited := bound
	limited.SessionRequests = 1
	trusting := client.Options{TrustConnection: true}
	for name, tc := range map[string]struct {
		web      fakeweb.Options
		server   fakeweb.ServerOptions
		o        client.Options
		steps    []step
		requests int // that arrived
		conns    int
	}{
		"kept alive": {bound, fakeweb.ServerOptions{}, trusting, []step{
			{get, "200 proved"}, {get, "200 trusted"}, {post, "200 trusted"},
		}, 4, 1},
		"kept alive, TLS": {bound, fakeweb.ServerOptions{TLS: true}, trusting, []step{
			{get, "200 proved"}, {get, "200 trusted"}, {post, "200 trusted"},
		}, 4, 1},
		"says so": {signals, fakeweb.ServerOptions{TLS: true}, trusting, []step{
			{get, "200 proved"}, {get, "200 trusted"},
		}, 3, 1},
		"not asked for": {bound, fakeweb.ServerOptions{}, client.Options{}, []step{
			{get, "200 proved"}, {get, "200 proved"}, {quiet, ""}, {get, "no token on a reused connection"},
		}, 4, 1},
		"optional": {bound, fakeweb.ServerOptions{}, client.Options{TrustConnection: true, Mutual: mutual.Optional}, []step{
			{get, "200 proved"}, {fault, "500 trusted"},
		}, 3, 1},
		"faults are kept whole": {bound, fakeweb.ServerOptions{}, trusting, []step{
			{get, "200 proved"}, {fault, "500 trusted"},
		}, 3, 1},
		"faults are emptied otherwise": {bound, fakeweb.ServerOptions{}, client.Options{}, []step{
			{get, "200 proved"}, {fault, "500 proved"}, {quiet, ""}, {fault, "500 empty"},
		}, 4, 1},
		"signed at once": {bound, fakeweb.ServerOptions{TLS: true}, client.Options{TrustConnection: true, Preemptive: preemptive.Always()}, []step{
			{get, "200 proved"}, {get, "200 proved"}, {quiet, ""}, {get, "200 trusted"}, {fault, "500 trusted"},
		}, 4, 1},
		"learned": {bound, fakeweb.ServerOptions{}, client.Options{TrustConnection: true, Preemptive: preemptive.Learned()}, []step{
			{get, "200 proved"}, {get, "200 proved"}, {quiet, ""}, {get, "200 trusted"},
		}, 4, 1},
		"401 in the middle": {bound, fakeweb.ServerOptions{TLS: true}, trusting, []step{
			{get, "200 proved"}, {post, "200 trusted"}, {forget, ""}, {post, "200 proved"}, {get, "200 trusted"},
		}, 6, 1},
		"401 every other time": {limited, fakeweb.ServerOptions{}, trusting, []step{
			{post, "200 proved"}, {post, "200 trusted"}, {post, "200 proved"}, {post, "200 trusted"}, {fault, "500 proved"}, {fault, "500 trusted"},
		}, 9, 1},
		"401 in the middle, forged": {bound, fakeweb.ServerOptions{TLS: true}, trusting, []step{
			{get, "200 proved"}, {forget, ""}, {forge, ""}, {get, "wrong key"}, {genuine, ""}, {get, "200 proved"}, {get, "200 trusted"},
		}, 7, 2},
		"closed and opened again": {bound, fakeweb.ServerOptions{}, trusting, []step{
			{get, "200 proved"}, {get, "200 trusted"}, {drop, ""}, {get, "200 proved"}, {get, "200 trusted"},
		}, 6, 2},
		"redirects": {bound, fakeweb.ServerOptions{}, trusting, []step{
			{get, "200 proved"}, {moved, "200 trusted"}, {moved, "200 trusted"},
		}, 6, 1},
		"redirects first": {bound, fakeweb.ServerOptions{}, trusting, []step{
			{moved, "200 trusted"},
		}, 3, 1},
		"HTTP/2": {bound, fakeweb.ServerOptions{TLS: true, HTTP2: true}, trusting, []step{
			{get, "200 proved"}, {get, "no token on a reused connection"},
		}, 3, 1},
		"requests are authenticated": {fakeweb.Options{Next: echo}, fakeweb.ServerOptions{}, trusting, []step{
			{get, "200 proved"}, {get, "200 proved"},
		}, 4, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := fakeweb.New(realm, spn, tc.web)
			server := fakeweb.Serve(realm, h, tc.server)
			o := kinit(t, realm, spn)
			o.TrustConnection, o.Mutual, o.Preemptive, o.Transport = tc.o.TrustConnection, tc.o.Mutual, tc.o.Preemptive, server.Transport()
			c := newClient(t, o)
			var want, got []string
			for _, s := range tc.steps {
				switch s.does {
				case drop:
					c.CloseIdleConnections()
					server.DropConnections()
				case forget:
					h.ForgetConnections()
				case forge:
					h.SetQuirks(fakeweb.Quirks{Proof: fakeweb.ProofForged})
				case quiet:
					h.SetQuirks(fakeweb.Quirks{Proof: fakeweb.ProofNone})
				case genuine:
					h.SetQuirks(fakeweb.Quirks{})
				default:
					method, path, _ := strings.Cut(s.does, " ")
					body := ""
					if method == http.MethodPost {
						body = "something"
					}
					want, got = append(want, s.want), append(got, seen(t, c, method, server.URL()+path, body))
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if n := len(h.Requests()); n != tc.requests {
				t.Errorf("%d requests, want %d: %v", n, tc.requests, h.Requests())
			}
			if n := server.Connections(); n != tc.conns {
				t.Errorf("%d connections, want %d", n, tc.conns)
			}
		})
	}
}

// Through a proxy, a connection of plain HTTP is the proxy's, and a tunnel ends at
// the server.
func TestTrustThroughProxy(t *testing.T) {
	realm := start(t)
	for name, tc := range map[string]struct {
		server fakeweb.ServerOptions
		want   []string
	}{
		"plain HTTP": {fakeweb.ServerOptions{}, []string{"200 proved", "200 proved"}},
		"tunnel":     {fakeweb.ServerOptions{TLS: true}, []string{"200 proved", "200 trusted"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := fakeweb.New(realm, spn, fakeweb.Options{ConnectionBound: true, Next: echo})
			server := fakeweb.Serve(realm, h, tc.server)
			proxy := fakeweb.Serve(realm, fakeweb.ForwardProxy(), fakeweb.ServerOptions{})
			at, err := url.Parse(proxy.URL())
			if err != nil {
				t.Fatal(err)
			}
			o := kinit(t, realm, spn)
			o.TrustConnection = true
			tr := server.Transport()
			tr.DialContext, tr.Proxy = nil, http.ProxyURL(at)
			o.Transport = tr
			c := newClient(t, o)
			var got []string
			for range tc.want {
				got = append(got, seen(t, c, http.MethodGet, server.URL(), ""))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			c.CloseIdleConnections()
		})
	}
}

// A connection of one server says nothing about another, even where a redirect
// leads from one to the other and back.
func TestTrustIsPerServer(t *testing.T) {
	realm := start(t, fakekdc.WithService("HTTP/127.0.0.1"))
	open := fakeweb.Serve(realm, fakeweb.New(realm, "HTTP/127.0.0.1", fakeweb.Options{Quirks: fakeweb.Quirks{Before: page(200)}}), fakeweb.ServerOptions{Host: "127.0.0.1"})
	h := fakeweb.New(realm, spn, fakeweb.Options{ConnectionBound: true, Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, open.URL()+"/", http.StatusFound)
		}
	})})
	server := fakeweb.Serve(realm, h, fakeweb.ServerOptions{})
	o := kinit(t, realm, spn)
	o.TrustConnection = true
	c := newClient(t, o)
	var got []string
	for _, path := range []string{"/", "/", "/away", "/"} {
		got = append(got, seen(t, c, http.MethodGet, server.URL()+path, ""))
	}
	if diff := cmp.Diff([]string{"200 proved empty", "200 trusted empty", "no token", "200 trusted empty"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Parallel calls each go over a connection that proved itself, or prove it.
func TestTrustInParallel(t *testing.T) {
	realm := start(t)
	h := fakeweb.New(realm, spn, fakeweb.Options{ConnectionBound: true, SessionRequests: 3, Next: echo})
	server := fakeweb.Serve(realm, h, fakeweb.ServerOptions{TLS: true})
	o := kinit(t, realm, spn)
	o.TrustConnection = true
	tr := server.Transport()
	tr.MaxIdleConnsPerHost = 8
	o.Transport = tr
	c := newClient(t, o)
	var mu sync.Mutex
	count := map[string]int{}
	var wg sync.WaitGroup
	const callers, calls = 8, 25
	for range callers {
		wg.Go(func() {
			for range calls {
				what := seen(t, c, http.MethodPost, server.URL(), "something")
				mu.Lock()
				count[what]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if count["200 proved"]+count["200 trusted"] != callers*calls || count["200 proved"] == 0 || count["200 trusted"] == 0 {
		t.Errorf("%v", count)
	}
	// The service is of the same opinion: what it proved, it proved with a token.
	proved := 0
	for _, rec := range h.Requests() {
		if rec.Proved {
			proved++
		}
	}
	if proved != count["200 proved"] {
		t.Errorf("the service proved itself %d times, the client saw %d", proved, count["200 proved"])
	}
}

func TestTrustOptions(t *testing.T) {
	for name, tc := range map[string]struct {
		o  client.Options
		ok bool
	}{
		"required": {client.Options{TrustConnection: true}, true},
		"optional": {client.Options{TrustConnection: true, Mutual: mutual.Optional}, true},
		"disabled": {client.Options{TrustConnection: true, Mutual: mutual.Disabled}, false},
	} {
		o := bare(start(t))
		o.CCache, o.TrustConnection, o.Mutual = "FILE:/nowhere", tc.o.TrustConnection, tc.o.Mutual
		_, err := client.New(o)
		var known *middleware.Error
		if (err == nil) != tc.ok || !tc.ok && (!errors.As(err, &known) || known.Stage != "client" || !strings.Contains(err.Error(), "TrustConnection")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Retries sit outside, and find the connections trusted.
func TestTrustRetryable(t *testing.T) {
	realm := start(t)
	var mu sync.Mutex
	failures := 0
	h := fakeweb.New(realm, spn, fakeweb.Options{ConnectionBound: true, Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if failures++; failures == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		w.Write(bytes.ToUpper(b))
	})})
	server := fakeweb.Serve(realm, h, fakeweb.ServerOptions{})
	o := kinit(t, realm, spn)
	o.TrustConnection = true
	c, err := client.NewRetryable(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.HTTPClient.CloseIdleConnections()
	c.RetryWaitMin, c.RetryWaitMax = 1, 1
	resp, err := c.Post(server.URL(), "text/plain", []byte("body"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || string(b) != "BODY" || !middleware.Trusted(resp.Request) {
		t.Errorf("%q, %v, trusted %t", b, err, middleware.Trusted(resp.Request))
	}
	if diff := cmp.Diff([]int{401, 503, 200}, h.Statuses()); diff != "" || server.Connections() != 1 {
		t.Errorf("%d connections (-want +got):\n%s", server.Connections(), diff)
	}
}
