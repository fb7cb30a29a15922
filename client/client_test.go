package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

func fromPage() fakeweb.Options { return fakeweb.Options{Next: page(0)} }

func serverOptions() fakeweb.ServerOptions { return fakeweb.ServerOptions{} }

// ok fails the test unless status and error are those of a 200.
func ok(tb testing.TB, status int, body string, err error) {
	tb.Helper()
	if err != nil || status != 200 {
		tb.Errorf("status %d, %q, error %v", status, body, err)
	}
}

// The caller's transport is left as it is, and its connections are its own.
func TestTransportIsCloned(t *testing.T) {
	realm := start(t)
	h := fakeweb.New(realm, spn, fakeweb.Options{ConnectionBound: true})
	server := fakeweb.Serve(realm, h, serverOptions())
	var conns meter
	own := conns.on(server.Transport())
	defer own.CloseIdleConnections()
	o := kinit(t, realm)
	o.Transport = own
	o.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	o.Preemptive = preemptive.Always()

	var clients []*http.Client
	for range 2 {
		c := newClient(t, o)
		clients = append(clients, c)
		for range 2 {
			status, body, err := get(t, c, server.URL())
			ok(t, status, body, err)
		}
	}
	if own.Proxy != nil {
		t.Error("the caller's transport was given a proxy")
	}
	// The server lets whoever comes on a connection of alice's in. The caller's
	// own transport has none.
	status, _, err := get(t, &http.Client{Transport: own}, server.URL())
	if err != nil || status != 401 {
		t.Errorf("on the caller's transport: %d, %v", status, err)
	}
	var on []int
	for _, rec := range h.Requests() {
		on = append(on, rec.Conn)
	}
	if diff := cmp.Diff([]int{1, 1, 2, 2, 3}, on); diff != "" {
		t.Errorf("connections (-want +got):\n%s", diff)
	}

	// Idle connections are closed through the client.
	own.CloseIdleConnections()
	conns.drained(t, func() {
		for _, c := range clients {
			c.CloseIdleConnections()
		}
	})
}

// Nil means the settings of the default transport, not its connections.
func TestNoTransport(t *testing.T) {
	realm := start(t)
	h := fakeweb.New(realm, spn, fromPage())
	server := fakeweb.Serve(realm, h, serverOptions())
	c := newClient(t, kinit(t, realm))
	status, body, err := get(t, c, server.URL()+"/200")
	ok(t, status, body, err)
	status, _, err = get(t, http.DefaultClient, server.URL()+"/200")
	if err != nil || status != 401 {
		t.Errorf("default client: %d, %v", status, err)
	}
	http.DefaultClient.CloseIdleConnections()
	if n := server.Connections(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

// Any other transport is used as it is.
func TestForeignTransport(t *testing.T) {
	realm := start(t)
	server := fakeweb.Serve(realm, fakeweb.New(realm, spn, fromPage()), serverOptions())
	tr := server.Transport()
	defer tr.CloseIdleConnections()
	n := 0
	o := kinit(t, realm)
	o.Transport = kerbchain.Next(func(r *http.Request) (*http.Response, error) {
		n++
		return tr.RoundTrip(r)
	})
	status, body, err := get(t, newClient(t, o), server.URL()+"/200")
	ok(t, status, body, err)
	if n != 2 {
		t.Errorf("%d requests", n)
	}
}

// A proxy on plain HTTP that authenticates, before a server that does.
func TestProxy(t *testing.T) {
	realm := start(t, fakekdc.WithService("HTTP/proxy.example"), fakekdc.WithService("HTTP/web.example"))
	web := fakeweb.New(realm, "HTTP/web.example", fromPage())
	origin := fakeweb.Serve(realm, web, fakeweb.ServerOptions{Host: "web.example"})
	for name, direct := range map[string]bool{"in the options": true, "of the transport": false} {
		t.Run(name, func(t *testing.T) {
			web.ResetRequests()
			front := fakeweb.New(realm, "HTTP/proxy.example", fakeweb.Options{Proxy: true, Next: fakeweb.ForwardProxy()})
			proxy := fakeweb.Serve(realm, front, fakeweb.ServerOptions{Host: "proxy.example"})
			address, err := url.Parse(proxy.URL())
			if err != nil {
				t.Fatal(err)
			}
			tr := proxy.Transport()
			o := kinit(t, realm)
			o.Transport = tr
			if direct {
				o.Proxy = http.ProxyURL(address)
			} else {
				tr.Proxy = http.ProxyURL(address)
			}
			c := newClient(t, o)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, origin.URL()+"/200", strings.NewReader("body"))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Upload", "4")
			resp, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil || string(b) != "page 200" {
				t.Errorf("%q, %v", b, err)
			}
			for side, sc := range map[string]middleware.SecurityContext{
				"web.example": middleware.SecurityOf(resp.Request), "proxy.example": middleware.ProxySecurityOf(resp.Request),
			} {
				if sc == nil || !sc.Verified() || sc.Target().Host != side {
					t.Errorf("%s is not verified", side)
				}
			}
			if diff := cmp.Diff([]int{407, 401, 200}, front.Statuses()); diff != "" {
				t.Errorf("proxy (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]int{401, 200}, web.Statuses()); diff != "" {
				t.Errorf("origin (-want +got):\n%s", diff)
			}
			for _, rec := range slices.Concat(front.Requests(), web.Requests()) {
				if rec.Reason != "" {
					t.Errorf("%v", rec)
				}
			}
		})
	}
}

// A host that asked once is told at once who calls: one request more than calls.
func TestLearned(t *testing.T) {
	realm := start(t)
	h := fakeweb.New(realm, spn, fromPage())
	server := fakeweb.Serve(realm, h, serverOptions())
	o := kinit(t, realm)
	o.Transport, o.Preemptive = server.Transport(), preemptive.Learned()
	c := newClient(t, o)
	want := []int{401}
	for range 5 {
		status, body, err := get(t, c, server.URL()+"/200")
		ok(t, status, body, err)
		want = append(want, 200)
	}
	if diff := cmp.Diff(want, h.Statuses()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := server.Connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
	// What one client learned is not another's.
	status, body, err := get(t, newClient(t, o), server.URL()+"/200")
	ok(t, status, body, err)
	if got := h.Statuses()[len(want):]; !slices.Equal(got, []int{401, 200}) {
		t.Errorf("another client: %v", got)
	}
}

// One client, many goroutines: every token is good once, and one ticket is
// fetched.
func TestParallel(t *testing.T) {
	for name, policy := range map[string]preemptive.Policy{"challenged": nil, "always": preemptive.Always(), "learned": preemptive.Learned()} {
		t.Run(name, func(t *testing.T) {
			realm := start(t)
			h := fakeweb.New(realm, spn, fakeweb.Options{Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(w, r.Body)
				if err != nil {
					t.Error(err)
				}
			})})
			server := fakeweb.Serve(realm, h, serverOptions())
			var conns meter
			o := kinit(t, realm)
			o.Transport, o.Preemptive = conns.on(server.Transport()), policy
			c := newClient(t, o)
			var wg sync.WaitGroup
			for i := range 64 {
				wg.Go(func() {
					text := strings.Repeat(fmt.Sprint("call ", i, " "), 200)
					r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL(), strings.NewReader(text))
					if err != nil {
						t.Error(err)
						return
					}
					status, body, err := do(t, c, r)
					ok(t, status, "", err)
					if body != text {
						t.Errorf("call %d: body of another", i)
					}
				})
			}
			wg.Wait()
			for _, rec := range h.Requests() {
				if rec.Reason != "" {
					t.Errorf("%v", rec)
				}
			}
			if n := realm.Count(fakekdc.TGS); n != 1 {
				t.Errorf("%d exchanges for one ticket", n)
			}
			conns.drained(t, c.CloseIdleConnections)
		})
	}
}

// Redirects lead to other hosts: each gets a token for itself, and none gets
// another's.
func TestRedirects(t *testing.T) {
	realm := start(t, fakekdc.WithService("HTTP/a.example"), fakekdc.WithService("HTTP/b.example"))
	hb := fakeweb.New(realm, "HTTP/b.example", fromPage())
	b := fakeweb.Serve(realm, hb, fakeweb.ServerOptions{Host: "b.example"})
	ha := fakeweb.New(realm, "HTTP/a.example", fakeweb.Options{Next: http.RedirectHandler(b.URL()+"/200", http.StatusTemporaryRedirect)})
	a := fakeweb.Serve(realm, ha, fakeweb.ServerOptions{Host: "a.example"})
	for name, policy := range map[string]preemptive.Policy{
		"challenged": nil, "always": preemptive.Always(), "one host": preemptive.Hosts("a.example"),
	} {
		t.Run(name, func(t *testing.T) {
			ha.ResetRequests()
			hb.ResetRequests()
			tr := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				_, port, err := net.SplitHostPort(addr)
				if err != nil {
					return nil, err
				}
				return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
			}}
			o := kinit(t, realm)
			o.Transport, o.Preemptive = tr, policy
			c := newClient(t, o)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.URL(), strings.NewReader("body"))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Upload", "4")
			resp, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			sc := middleware.SecurityOf(resp.Request)
			if resp.StatusCode != 200 || sc == nil || !sc.Verified() || sc.Target().Host != "b.example" {
				t.Errorf("status %d, %v", resp.StatusCode, sc)
			}
			for host, h := range map[string]*fakeweb.Handler{"a.example": ha, "b.example": hb} {
				records := h.Requests()
				last := records[len(records)-1]
				if last.Caller.Service != "HTTP/"+host+"@"+realm.Name() {
					t.Errorf("%s: token for %q", host, last.Caller.Service)
				}
				for _, rec := range records {
					if rec.Reason != "" {
						t.Errorf("%s: %v", host, rec)
					}
				}
			}
		})
	}
	// A redirect in front of the server, by who knows whom.
	h := fakeweb.New(realm, spn, fakeweb.Options{Quirks: fakeweb.Quirks{Before: http.RedirectHandler(b.URL(), http.StatusFound)}})
	server := fakeweb.Serve(realm, h, serverOptions())
	o := kinit(t, realm)
	o.Transport = server.Transport()
	_, _, err := get(t, newClient(t, o), server.URL())
	var known *middleware.Error
	if !errors.As(err, &known) || known.Reason != middleware.ReasonUnverifiedRedirect || !errors.Is(err, middleware.ErrNotVerified) {
		t.Errorf("unverified redirect: %v", err)
	}
}

// endless starts contexts that always have one more token to send.
type endless struct{ stumble }

func (endless) Step(context.Context, []byte) ([]byte, error) { return []byte("again"), nil }

// A server and a mechanism that never come to an end: the last 401 is the
// answer, whoever sent the first token.
func TestLegsAreBounded(t *testing.T) {
	for name, tc := range map[string]struct {
		policy preemptive.Policy
		want   int
	}{
		"challenged": {nil, 5},
		"always":     {preemptive.Always(), 5},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			c, err := client.New(client.Options{
				Preemptive: tc.policy, KeepErrorBodies: true,
				Initiator: middleware.InitiatorFunc(func(_ context.Context, target middleware.Target) (middleware.SecurityContext, error) {
					return endless{stumble{target}}, nil
				}),
				Transport: kerbchain.Next(func(r *http.Request) (*http.Response, error) {
					n++
					return &http.Response{
						StatusCode: 401, Header: http.Header{"Www-Authenticate": {"Negotiate YWdhaW4="}},
						Body: io.NopCloser(strings.NewReader(fmt.Sprint("no ", n))), Request: r,
					}, nil
				}),
			})
			if err != nil {
				t.Fatal(err)
			}
			status, body, err := get(t, c, "http://localhost/")
			if err != nil || status != 401 || body != fmt.Sprint("no ", tc.want) || n != tc.want {
				t.Errorf("status %d, %q, %v after %d requests", status, body, err, n)
			}
		})
	}
}

// The end of the context ends the call, wherever it is.
func TestCancel(t *testing.T) {
	for name, tc := range map[string]struct {
		arrange func(t *testing.T, realm *fakekdc.Realm, reached func(), release <-chan struct{}) fakeweb.Options
		sent    int // requests that arrive at the server
	}{
		"while the KDC is silent": {func(_ *testing.T, realm *fakekdc.Realm, reached func(), release <-chan struct{}) fakeweb.Options {
			realm.FailNext(fakekdc.TGS, fakekdc.Repeat(8, fakekdc.HoldUntil(release))...)
			return fakeweb.Options{QuirksFor: func(*http.Request) *fakeweb.Quirks { defer reached(); return nil }}
		}, 1},
		"in the second leg": {func(_ *testing.T, _ *fakekdc.Realm, reached func(), release <-chan struct{}) fakeweb.Options {
			return fakeweb.Options{Next: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				reached()
				<-release
			})}
		}, 2},
		"while a challenge's body comes in": {func(_ *testing.T, _ *fakekdc.Realm, reached func(), release <-chan struct{}) fakeweb.Options {
			return quirk(fakeweb.Quirks{Before: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("WWW-Authenticate", "Negotiate")
				w.WriteHeader(401)
				fmt.Fprint(w, "unauthorized")
				if err := http.NewResponseController(w).Flush(); err != nil {
					return
				}
				reached()
				<-release
			})})
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			realm := start(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			release := make(chan struct{})
			h := fakeweb.New(realm, spn, tc.arrange(t, realm, func() { cancel(nil) }, release))
			server := fakeweb.Serve(realm, h, serverOptions())
			var conns meter
			o := kinit(t, realm)
			o.Transport = conns.on(server.Transport())
			c := newClient(t, o)
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL(), nil)
			if err != nil {
				t.Fatal(err)
			}
			// What is held back is let go after the call has returned, so a call
			// that does not end by itself never ends.
			if _, _, err := do(t, c, r); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			close(release)
			conns.drained(t, c.CloseIdleConnections)
			if n := len(h.Requests()); n > tc.sent {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// http.Client's own timeout covers the legs and the body.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := start(t, fakekdc.WithoutSockets())
		release := make(chan struct{})
		defer close(release)
		h := fakeweb.New(realm, spn, fakeweb.Options{Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/body" {
				fmt.Fprint(w, "half")
				if err := http.NewResponseController(w).Flush(); err != nil {
					return
				}
			}
			<-release
		})})
		server := fakeweb.Serve(realm, h, fakeweb.ServerOptions{InMemory: true})
		var conns meter
		o := kinit(t, realm)
		o.Transport = conns.on(server.Transport())
		c := newClient(t, o)
		c.Timeout = 100 * time.Millisecond

		_, _, err := get(t, c, server.URL()+"/head")
		var timeout interface{ Timeout() bool }
		if !errors.As(err, &timeout) || !timeout.Timeout() || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		c.Timeout = 3 * time.Second
		resp, err := c.Get(server.URL() + "/body")
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); !errors.As(err, &timeout) || !timeout.Timeout() || string(b) != "half" {
			t.Errorf("%q, %v", b, err)
		}
		resp.Body.Close()
		conns.drained(t, c.CloseIdleConnections)
	})
}

// A body arrives whole or not at all.
func TestBodies(t *testing.T) {
	t.Parallel()
	realm := start(t)
	big := bytes.Repeat([]byte("0123456789abcdef"), 5<<20/16)
	// unknown hides what http.NewRequest would find out about a reader.
	unknown := func(b []byte) io.Reader { return struct{ io.Reader }{bytes.NewReader(b)} }
	for name, tc := range map[string]struct {
		body   func() io.Reader
		length int64 // to say so; 0 for what NewRequest says
		change change
		want   []byte // nil for an error
		served []int
	}{
		"5 MiB with GetBody":           {func() io.Reader { return bytes.NewReader(big) }, 0, nil, big, []int{401, 200}},
		"1 MiB from a stream":          {func() io.Reader { return unknown(big[:1<<20]) }, 0, nil, big[:1<<20], []int{401, 200}},
		"1 MiB and a byte":             {func() io.Reader { return unknown(big[:1<<20+1]) }, 0, nil, nil, []int{401}},
		"5 MiB from a stream":          {func() io.Reader { return unknown(big) }, 0, nil, nil, []int{401}},
		"5 MiB of known length":        {func() io.Reader { return unknown(big) }, int64(len(big)), nil, nil, []int{401}},
		"5 MiB, signed at once":        {func() io.Reader { return unknown(big) }, 0, force, big, []int{200}},
		"5 MiB with a limit":           {func() io.Reader { return unknown(big) }, 0, func(o *client.Options) { o.BodyLimit = 5 << 20 }, big, []int{401, 200}},
		"a byte, nothing is kept":      {func() io.Reader { return unknown(big[:1]) }, 0, func(o *client.Options) { o.BodyLimit = -1 }, nil, []int{401}},
		"empty from a stream":          {func() io.Reader { return unknown(nil) }, 0, nil, []byte{}, []int{401, 200}},
		"short of what was said":       {func() io.Reader { return unknown(big[:100]) }, 101, nil, nil, nil},
		"a reader that fails midway":   {func() io.Reader { return io.MultiReader(unknown(big[:100]), failing{}) }, 0, nil, nil, nil},
		"5 MiB, 401 before it is read": {func() io.Reader { return bytes.NewReader(big) }, 0, nil, big, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var bodies [][]byte
			web := fakeweb.Options{Next: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				b, err := io.ReadAll(r.Body)
				if err != nil {
					return // broken off, so not taken for whole
				}
				mu.Lock()
				defer mu.Unlock()
				bodies = append(bodies, b)
			})}
			early := strings.Contains(name, "before it is read")
			web.Quirks.EarlyChallenge = early
			h := fakeweb.New(realm, spn, web)
			server := fakeweb.Serve(realm, h, serverOptions())
			var conns meter
			o := kinit(t, realm, spn)
			o.Transport = conns.on(server.Transport())
			if tc.change != nil {
				tc.change(&o)
			}
			c := newClient(t, o)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL(), tc.body())
			if err != nil {
				t.Fatal(err)
			}
			if tc.length > 0 {
				r.ContentLength = tc.length
			}
			status, _, err := do(t, c, r)
			conns.drained(t, c.CloseIdleConnections)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case early && err != nil:
				// The connection's end may overtake the 401.
				if len(bodies) != 0 {
					t.Errorf("error %v, and %d bodies", err, len(bodies))
				}
				return
			case tc.want != nil:
				if err != nil || status != 200 || len(bodies) != 1 || !bytes.Equal(bodies[0], tc.want) {
					t.Errorf("status %d, error %v, %d bodies", status, err, len(bodies))
				}
			default:
				var known *middleware.Error
				if tc.served != nil && (!errors.Is(err, middleware.ErrBodyNotReplayable) || !errors.As(err, &known) || known.Stage != "negotiate") {
					t.Errorf("status %d, error %v", status, err)
				}
				if err == nil || len(bodies) != 0 {
					t.Errorf("status %d, error %v, and %d bodies", status, err, len(bodies))
				}
			}
			if tc.served != nil && !slices.Equal(h.Statuses(), tc.served) {
				t.Errorf("statuses %v, want %v", h.Statuses(), tc.served)
			}
		})
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the reader failed") }

// A body of unknown length goes out in chunks, each time.
func TestChunked(t *testing.T) {
	realm := start(t)
	var lengths []int64
	h := fakeweb.New(realm, spn, fakeweb.Options{Next: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		lengths = append(lengths, r.ContentLength)
		if b, err := io.ReadAll(r.Body); err != nil || string(b) != "one two" {
			t.Errorf("%q, %v", b, err)
		}
		if got := r.Trailer.Get("Sum"); got != "7" {
			t.Errorf("trailer %q", got)
		}
	})})
	server := fakeweb.Serve(realm, h, serverOptions())
	o := kinit(t, realm)
	o.Transport = server.Transport()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL(), io.MultiReader(strings.NewReader("one "), strings.NewReader("two")))
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = -1
	r.Trailer = http.Header{"Sum": {"7"}}
	status, body, err := do(t, newClient(t, o), r)
	ok(t, status, body, err)
	if diff := cmp.Diff([]int64{-1}, lengths); diff != "" {
		t.Errorf("lengths (-want +got):\n%s", diff)
	}
}

// A server that authenticates connections is trusted for as long as it proves
// itself, which is once; whoever signs every request gets a proof for each.
func TestConnectionBound(t *testing.T) {
	realm := start(t)
	for name, tc := range map[string]struct {
		o    client.Options
		want []string // per call
	}{
		"challenged":           {client.Options{}, []string{"200", "200", "200"}},
		"challenged, optional": {client.Options{Mutual: mutual.Optional}, []string{"200", "200", "200"}},
		"signed at once":       {client.Options{Preemptive: preemptive.Always()}, []string{"200", "200", "200"}},
		"learned":              {client.Options{Preemptive: preemptive.Learned()}, []string{"200", "200", "200"}},
	} {
		t.Run(name, func(t *testing.T) {
			server := fakeweb.Serve(realm, fakeweb.New(realm, spn, fakeweb.Options{ConnectionBound: true}), serverOptions())
			o := kinit(t, realm, spn)
			o.Mutual, o.Preemptive, o.Transport = tc.o.Mutual, tc.o.Preemptive, server.Transport()
			c := newClient(t, o)
			var got []string
			for range tc.want {
				status, _, err := get(t, c, server.URL())
				text := fmt.Sprint(status)
				var known *middleware.Error
				if errors.As(err, &known) {
					text = known.Reason.String()
				}
				got = append(got, text)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
