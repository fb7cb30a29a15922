package client_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// users starts a realm with several of them, and returns options of each.
func users(t *testing.T, names ...string) (*fakekdc.Realm, map[string]client.Options) {
	t.Helper()
	var opts []fakekdc.Option
	for _, name := range names {
		if name != "alice" {
			opts = append(opts, fakekdc.WithUser(name, password))
		}
	}
	realm := start(t, opts...)
	all := map[string]client.Options{}
	for _, name := range names {
		o := bare(realm)
		o.CCache = testmain.File(t, "krb5cc", realm.CCache(name, spn))
		all[name] = o
	}
	return realm, all
}

// owners returns whose requests came over each connection, those without an
// identity included.
func owners(h *fakeweb.Handler) map[int][]string {
	out := map[int][]string{}
	for _, r := range h.Requests() {
		name, _, _ := strings.Cut(r.Caller.Name, "@")
		if name != "" && !slices.Contains(out[r.Conn], name) {
			out[r.Conn] = append(out[r.Conn], name)
		}
	}
	return out
}

// Two users never meet on a connection, even if their clients were given the
// same transport, and a server that authenticates connections would take the one
// for the other.
func TestIdentitiesShareNoConnection(t *testing.T) {
	t.Parallel()
	for name, so := range map[string]fakeweb.ServerOptions{
		"HTTP/1.1": {}, "TLS": {TLS: true}, "HTTP/2": {TLS: true, HTTP2: true},
	} {
		for _, at := range []preemptive.Policy{nil, preemptive.Always(), preemptive.Learned()} {
			t.Run(fmt.Sprintf("%s, %T", name, at), func(t *testing.T) {
				realm, all := users(t, "alice", "bob", "carol")
				h := fakeweb.New(realm, spn, fakeweb.Options{ConnectionBound: true, Next: echo})
				server := fakeweb.Serve(realm, h, so)
				var conns meter
				shared := conns.on(server.Transport())
				defer shared.CloseIdleConnections()
				clients := map[string]*http.Client{}
				for user, o := range all {
					// HTTP/2 is not trusted, and not the subject.
					o.Transport, o.TrustConnection, o.Preemptive = shared, so.TLS && !so.HTTP2, at
					if !o.TrustConnection {
						o.Mutual = mutual.Optional
					}
					clients[user] = newClient(t, o)
				}
				var wg sync.WaitGroup
				for user, c := range clients {
					for range 3 {
						wg.Go(func() {
							for range 4 {
								status, body, err := get(t, c, server.URL())
								if err != nil || status != 200 || body != "0 bytes of "+user+"@"+realm.Name() {
									t.Errorf("%s got %d, %q, %v", user, status, body, err)
								}
							}
						})
					}
				}
				wg.Wait()
				met := map[string]bool{}
				for conn, names := range owners(h) {
					if len(names) != 1 {
						t.Errorf("connection %d belongs to %v", conn, names)
					}
					met[names[0]] = true
				}
				if len(met) != len(all) {
					t.Errorf("of the users only %v were there", met)
				}
				conns.drained(t, func() {
					for _, c := range clients {
						c.CloseIdleConnections()
					}
				})
			})
		}
	}
}

// Neither do two clients of one user, however they are made, nor the program's
// own requests over the transport that it handed in.
func TestClientsShareNoConnection(t *testing.T) {
	realm, all := users(t, "alice")
	h := fakeweb.New(realm, spn, fakeweb.Options{ConnectionBound: true})
	server := fakeweb.Serve(realm, h, serverOptions())
	shared := server.Transport()
	defer shared.CloseIdleConnections()
	o := all["alice"]
	o.Transport, o.TrustConnection = shared, true
	first, second := newClient(t, o), newClient(t, o)
	rt, err := client.NewTransport(o)
	if err != nil {
		t.Fatal(err)
	}
	third := &http.Client{Transport: rt}
	t.Cleanup(third.CloseIdleConnections)
	retrying, err := client.NewRetryable(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(retrying.HTTPClient.CloseIdleConnections)
	for range 2 {
		for _, c := range []*http.Client{first, second, third, retrying.HTTPClient} {
			status, body, err := get(t, c, server.URL())
			ok(t, status, body, err)
		}
		// No name is left behind in what the program goes on using.
		if status, _, err := get(t, &http.Client{Transport: shared}, server.URL()); err != nil || status != 401 {
			t.Errorf("without a name: %d, %v", status, err)
		}
	}
	var on []int
	for _, r := range h.Requests() {
		on = append(on, r.Conn)
	}
	if diff := cmp.Diff([]int{1, 1, 2, 2, 3, 3, 4, 4, 5, 1, 2, 3, 4, 5}, on); diff != "" {
		t.Errorf("connections (-want +got):\n%s", diff)
	}
}

// What is done to a transport after it was handed in is nothing to the client,
// and the other way round.
func TestTransportIsTheCallersOwn(t *testing.T) {
	realm, all := users(t, "alice")
	server := fakeweb.Serve(realm, fakeweb.New(realm, spn, fakeweb.Options{}), serverOptions())
	own := server.Transport()
	defer own.CloseIdleConnections()
	o := all["alice"]
	o.Transport = own
	c := newClient(t, o)
	own.DialContext = nil
	own.Proxy = func(*http.Request) (*url.URL, error) { return nil, fmt.Errorf("asked for a proxy") }
	own.DisableKeepAlives = true
	for range 2 {
		status, body, err := get(t, c, server.URL())
		ok(t, status, body, err)
	}
	if n := server.Connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// The process's transport serves as a model, and stays as it was.
func TestDefaultTransportIsCloned(t *testing.T) {
	realm, all := users(t, "alice", "bob")
	h := fakeweb.New(realm, spn, fakeweb.Options{ConnectionBound: true, Next: echo})
	server := fakeweb.Serve(realm, h, serverOptions())
	model, isTransport := http.DefaultTransport.(*http.Transport)
	if !isTransport {
		t.Fatalf("the default transport is a %T", http.DefaultTransport)
	}
	before := []any{model.MaxIdleConns, model.MaxIdleConnsPerHost, model.IdleConnTimeout, model.Proxy == nil, model.OnProxyConnectResponse == nil, model.GetProxyConnectHeader == nil}
	for range 2 {
		for _, user := range []string{"alice", "bob"} {
			o := all[user]
			o.TrustConnection = true
			status, body, err := get(t, newClient(t, o), server.URL())
			if ok(t, status, body, err); body != "0 bytes of "+user+"@"+realm.Name() {
				t.Errorf("%s got %q", user, body)
			}
		}
		defer http.DefaultClient.CloseIdleConnections()
		if status, _, err := get(t, http.DefaultClient, server.URL()); err != nil || status != 401 {
			t.Errorf("the default client: %d, %v", status, err)
		}
	}
	after := []any{model.MaxIdleConns, model.MaxIdleConnsPerHost, model.IdleConnTimeout, model.Proxy == nil, model.OnProxyConnectResponse == nil, model.GetProxyConnectHeader == nil}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the default transport changed (-before +after):\n%s", diff)
	}
	for conn, names := range owners(h) {
		if len(names) != 1 {
			t.Errorf("connection %d belongs to %v", conn, names)
		}
	}
}

// A cookie is kept where the caller says, and nowhere else.
func TestCookiesAreTheCallers(t *testing.T) {
	realm, all := users(t, "alice", "bob")
	h := fakeweb.New(realm, spn, fakeweb.Options{Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, _ := fakeweb.CallerOf(r.Context())
		http.SetCookie(w, &http.Cookie{Name: "session", Value: caller.Name})
		io.WriteString(w, r.Header.Get("Cookie"))
	})})
	server := fakeweb.Serve(realm, h, serverOptions())
	jar := func() http.CookieJar {
		j, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	shared := server.Transport()
	defer shared.CloseIdleConnections()
	jars := map[string]http.CookieJar{"alice": jar(), "bob": nil}
	clients := map[string]*http.Client{}
	for user, j := range jars {
		o := all[user]
		o.Transport = shared
		if clients[user] = newClient(t, o); clients[user].Jar != nil {
			t.Error("a client has a jar that nobody gave it")
		}
		clients[user].Jar = j
	}
	for round := range 3 {
		for user, c := range clients {
			want := ""
			if jars[user] != nil && round > 0 {
				want = "session=" + user + "@" + realm.Name()
			}
			status, body, err := get(t, c, server.URL())
			if ok(t, status, body, err); body != want {
				t.Errorf("round %d: %s sent the cookie %q, want %q", round, user, body, want)
			}
		}
	}
	// Who does not prove itself plants none.
	evil := fakeweb.Serve(realm, fakeweb.New(realm, spn, fakeweb.Options{Quirks: fakeweb.Quirks{Before: page(500)}}), serverOptions())
	o := all["alice"]
	c := newClient(t, o)
	c.Jar = jar()
	if status, _, err := get(t, c, evil.URL()); err != nil || status != 500 {
		t.Fatal(status, err)
	}
	at, err := url.Parse(evil.URL())
	if err != nil || len(c.Jar.Cookies(at)) != 0 {
		t.Errorf("cookies of a server that proved nothing: %v, %v", c.Jar.Cookies(at), err)
	}
}
