package client_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
	"github.com/kerbchain/kerbchain/tunnel"
)

// hops are a proxy and a server behind it, each of which authenticates.
type hops struct {
	realm  *fakekdc.Realm
	proxy  *fakeweb.Proxy
	web    *fakeweb.Handler
	origin *fakeweb.Server
}

func startHops(t *testing.T, proxyWeb, originWeb fakeweb.Options, so fakeweb.ServerOptions) *hops {
	t.Helper()
	h := &hops{realm: start(t, fakekdc.WithService("HTTP/proxy.example"), fakekdc.WithService("HTTP/app.example"))}
	h.proxy = fakeweb.ServeProxy(h.realm, "HTTP/proxy.example", proxyWeb, fakeweb.ServerOptions{Host: "proxy.example"})
	h.web = fakeweb.New(h.realm, "HTTP/app.example", originWeb)
	so.Host = "app.example"
	h.origin = fakeweb.Serve(h.realm, h.web, so)
	return h
}

// options lead through the proxy, with a cache of alice's.
func (h *hops) options(t *testing.T) client.Options {
	t.Helper()
	o := kinit(t, h.realm)
	o.Transport = h.proxy.Transport(h.origin)
	return o
}

// statuses are what proxy and server answered, and all records must be free of
// refusals: a token sent twice would be one.
func (h *hops) statuses(t *testing.T) string {
	t.Helper()
	for _, rec := range append(h.proxy.Requests(), h.web.Requests()...) {
		if rec.Reason != "" {
			t.Errorf("%v", rec)
		}
	}
	return fmt.Sprint(h.proxy.Statuses(), h.web.Statuses())
}

var overEach = map[string]fakeweb.ServerOptions{
	"http": {}, "https": {TLS: true}, "h2": {TLS: true, HTTP2: true},
}

// A proxy asks once, whatever connections follow, and a body goes once from then
// on. Without connections that are kept each call cost it two transfers.
func TestProxyAsksOnce(t *testing.T) {
	h := startHops(t, fakeweb.Options{}, fromPage(), fakeweb.ServerOptions{})
	o := h.options(t)
	o.Preemptive = preemptive.Always()
	o.Transport.(*http.Transport).DisableKeepAlives = true
	c := newClient(t, o)
	const calls, size = 5, 1 << 20
	for range calls {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.origin.URL()+"/200", strings.NewReader(strings.Repeat("x", size)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Upload", fmt.Sprint(size))
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil || resp.StatusCode != 200 {
			t.Error(resp.Status, err)
		}
		if sc := middleware.ProxySecurityOf(resp.Request); sc == nil || !sc.Verified() {
			t.Error("the proxy is not verified")
		}
	}
	if got, want := h.statuses(t), "[407 200 200 200 200 200] [200 200 200 200 200]"; got != want {
		t.Errorf("answers %s, want %s", got, want)
	}
}

// Both hops are authenticated to within one call, and both prove themselves.
func TestBothHops(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*client.Options)
		http   string // what both answer: over plain HTTP, where the proxy sees each request
		tls    string // and through a tunnel
		h2     string // where that differs for HTTP/2, which knows no authenticated connections
	}{
		"as asked": {
			func(*client.Options) {},
			"[407 401 200 200] [401 200 200]", "[407 200] [401 200 200]", "[407 200] [401 200 401 200]",
		},
		"the server's learned": {
			func(o *client.Options) { o.Preemptive = preemptive.Learned() },
			"[407 401 200 200] [401 200 200]", "[407 200] [401 200 200]", "",
		},
		"both at once": {
			func(o *client.Options) { o.Preemptive, o.Tunnel.Always = preemptive.Always(), true },
			"[200 200] [200 200]", "[200] [200 200]", "",
		},
		"both required": {
			func(o *client.Options) { o.Preemptive, o.Tunnel.Proof = preemptive.Always(), tunnel.ProofRequired },
			"[407 200 200] [200 200]", "[200] [200 200]", "",
		},
		"by a function": {
			func(o *client.Options) {
				tr := o.Transport.(*http.Transport)
				o.Proxy, tr.Proxy = tr.Proxy, nil
			},
			"[407 401 200 200] [401 200 200]", "[407 200] [401 200 200]", "[407 200] [401 200 401 200]",
		},
		"the proxy's at once": {
			func(o *client.Options) { o.PreemptiveProxy = preemptive.Always() },
			"[401 200 200] [401 200 200]", "[407 200] [401 200 200]", "[407 200] [401 200 401 200]",
		},
		"the proxy's listed": {
			func(o *client.Options) { o.PreemptiveProxy = preemptive.Hosts("proxy.example") },
			"[401 200 200] [401 200 200]", "[407 200] [401 200 200]", "[407 200] [401 200 401 200]",
		},
		"the proxy's as asked": {
			func(o *client.Options) { o.PreemptiveProxy = preemptive.Hosts() },
			"[407 401 200 407 200] [401 200 200]", "[407 200] [401 200 200]", "[407 200] [401 200 401 200]",
		},
	} {
		for kind, so := range overEach {
			t.Run(name+" over "+kind, func(t *testing.T) {
				var h *hops
				var base *http.Transport
				for tries := 1; h == nil || tries < 4 && h.connections(so) > 1; tries++ {
					h = startHops(t, fakeweb.Options{}, fromPage(), so)
					o := h.options(t)
					tc.change(&o)
					base = o.Transport.(*http.Transport)
					twice(t, h, newClient(t, o), so)
				}
				want := tc.http
				if so.TLS {
					want = tc.tls
				}
				if so.HTTP2 && tc.h2 != "" {
					want = tc.h2
				}
				if got := h.statuses(t); got != want {
					t.Errorf("answers %s, want %s", got, want)
				}
				if so.TLS && (h.proxy.Tunnels() != 1 || h.origin.Connections() != 1) {
					t.Errorf("%d tunnels, %d connections", h.proxy.Tunnels(), h.origin.Connections())
				}
				for _, rec := range h.proxy.Requests() {
					if rec.Status == 200 && (!rec.Proved || rec.Caller.Service != "HTTP/proxy.example@"+h.realm.Name() || rec.Caller.Bound) {
						t.Errorf("proxy: %v, %+v", rec, rec.Caller)
					}
				}
				for _, rec := range h.web.Requests() {
					if rec.Status == 200 && (!rec.Proved || rec.Caller.Service != "HTTP/app.example@"+h.realm.Name() || rec.Caller.Bound != so.TLS) {
						t.Errorf("server: %v, %+v", rec, rec.Caller)
					}
				}
				if base.GetProxyConnectHeader != nil || base.OnProxyConnectResponse != nil {
					t.Error("the caller's transport was changed")
				}
			})
		}
	}
}

// twice makes the same request two times.
func twice(t *testing.T, h *hops, c *http.Client, so fakeweb.ServerOptions) {
	t.Helper()
	for range 2 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.origin.URL()+"/200", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Upload", "4")
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(b) != "page 200" {
			t.Errorf("%q, %v", b, err)
		}
		if sc := middleware.SecurityOf(resp.Request); sc == nil || !sc.Verified() || sc.Target().Host != "app.example" {
			t.Errorf("the server is not verified")
		}
		// Of a tunnel's proxy the response says nothing.
		if sc := middleware.ProxySecurityOf(resp.Request); so.TLS != (sc == nil) || sc != nil && !sc.Verified() {
			t.Errorf("the proxy's context: %v", sc)
		}
	}
}

// connections is how many there were on the way to the server: more than one, too, where net/http
// gives one up because it has not heard of its writer for 50 ms, as on a machine with much to do.
func (h *hops) connections(so fakeweb.ServerOptions) int {
	if so.TLS {
		return max(h.proxy.Tunnels(), h.origin.Connections())
	}
	return h.proxy.Server.Connections()
}

// Many at once, and again after every connection was cut: nothing is replayed.
func TestBothHopsParallel(t *testing.T) {
	t.Parallel()
	const calls = 30
	for kind, so := range overEach {
		t.Run(kind, func(t *testing.T) {
			h := startHops(t, fakeweb.Options{}, fromPage(), so)
			o := h.options(t)
			o.Preemptive = preemptive.Learned()
			conns := new(meter)
			tr := conns.on(o.Transport.(*http.Transport))
			tr.MaxIdleConnsPerHost = calls
			c := newClient(t, o)
			round := func() {
				t.Helper()
				var wg sync.WaitGroup
				for range calls {
					wg.Go(func() {
						if status, body, err := get(t, c, h.origin.URL()+"/200"); err != nil || status != 200 || body != "page 200" {
							t.Errorf("%d, %q, %v", status, body, err)
						}
					})
				}
				wg.Wait()
			}
			round()
			if so.TLS {
				h.proxy.DropTunnels()
			} else {
				h.proxy.Server.DropConnections()
			}
			conns.drained(t, c.CloseIdleConnections) // HTTP/2 fails what it gave a dead connection
			round()
			conns.drained(t, c.CloseIdleConnections)
			h.statuses(t)
			connects := func() (signed int) {
				for _, rec := range h.proxy.Connects() {
					if rec.Status == 200 {
						signed++
					}
				}
				return signed
			}
			signed := connects()
			// The proxy may still be opening one that nobody needed.
			for end := time.Now().Add(10 * time.Second); signed != h.proxy.Tunnels() && time.Now().Before(end); signed = connects() {
				time.Sleep(time.Millisecond)
			}
			if signed != h.proxy.Tunnels() || so.TLS && signed == 0 {
				t.Errorf("%d CONNECTs signed for %d tunnels", signed, h.proxy.Tunnels())
			}
			if n := h.realm.Count(fakekdc.TGS, 0); n != 2 {
				t.Errorf("%d tickets fetched, want one for each hop", n)
			}
		})
	}
}

// What a proxy proves counts for no server behind it, neither for the caller nor
// in the log.
func TestProxyIsNotTheServer(t *testing.T) {
	h := startHops(t, fakeweb.Options{}, fakeweb.Options{Quirks: fakeweb.Quirks{
		Before: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			// A server that passes its proxy's token off as its own has none.
			w.Header().Set("Proxy-Authenticate", "Negotiate oQcwBaADCgEA")
			fmt.Fprint(w, "trust me")
		}),
	}}, fakeweb.ServerOptions{TLS: true})
	for name, m := range map[string]mutual.Mode{"required": mutual.Required, "optional": mutual.Optional, "disabled": mutual.Disabled} {
		t.Run(name, func(t *testing.T) {
			h.proxy.ResetRequests()
			var log bytes.Buffer
			o := h.options(t)
			o.Mutual = m
			o.Logging.Handler = slog.NewJSONHandler(&log, nil)
			c := newClient(t, o)
			_, body, err := get(t, c, h.origin.URL())
			e, ok := errors.AsType[*middleware.Error](err)
			switch {
			case m != mutual.Required && (err != nil || body != "trust me"):
				t.Errorf("%q, %v", body, err)
			case m == mutual.Required && (!ok || e.Stage != "mutual" || e.Reason != middleware.ReasonNoToken || !strings.HasPrefix(e.Host, "app.example:")):
				t.Errorf("%v", err)
			}
			recs := h.proxy.Connects()
			if len(recs) != 2 || recs[1].Proved != (m != mutual.Disabled) {
				t.Errorf("the proxy proved nothing: %v", recs)
			}
			calls := 0
			for line := range strings.Lines(log.String()) {
				var rec map[string]any
				if err := json.Unmarshal([]byte(line), &rec); err != nil {
					t.Fatal(err)
				}
				if rec["msg"] == "call" {
					calls++
					if rec["verified"] != false {
						t.Errorf("logged as verified: %s", line)
					}
				}
			}
			if calls != 1 {
				t.Errorf("%d calls logged:\n%s", calls, &log)
			}
		})
	}
	t.Run("without mutual", func(t *testing.T) {
		var log bytes.Buffer
		o := h.options(t)
		o.Logging.Handler = slog.NewJSONHandler(&log, nil)
		stack, err := client.NewStack(o)
		if err != nil {
			t.Fatal(err)
		}
		source, err := kerberos.FromCCache(o.CCache, kerberos.SourceOptions{Krb5ConfText: o.Krb5ConfText, Now: o.Now})
		if err != nil {
			t.Fatal(err)
		}
		in, err := kerberos.NewInitiator(source, kerberos.InitiatorOptions{})
		if err != nil {
			t.Fatal(err)
		}
		base := tunnel.New(in, o.Transport.(*http.Transport), tunnel.Options{})
		defer base.CloseIdleConnections()
		c := &http.Client{Transport: stack.Without(client.Mutual, client.Sanitize).Wrap(base)}
		if _, body, err := get(t, c, h.origin.URL()); err != nil || body != "trust me" {
			t.Errorf("%q, %v", body, err)
		}
		if !strings.Contains(log.String(), `"verified":false`) || strings.Contains(log.String(), `"verified":true`) {
			t.Errorf("log: %s", &log)
		}
	})
}

// Refusals at the proxy, by options; the server hears of none.
func TestTunnelOptions(t *testing.T) {
	for name, tc := range map[string]struct {
		web    fakeweb.Options
		change func(*client.Options)
		kind   error // nil where the call succeeds
		want   []int // answers to CONNECT
	}{
		"a proof is not demanded": {quirk(fakeweb.Quirks{Proof: fakeweb.ProofNone}), func(*client.Options) {}, nil, []int{407, 200}},
		"a proof is demanded": {
			quirk(fakeweb.Quirks{Proof: fakeweb.ProofNone}), func(o *client.Options) { o.Tunnel.Proof = tunnel.ProofRequired },
			middleware.ErrNotVerified, []int{200},
		},
		"a forged proof": {
			quirk(fakeweb.Quirks{Proof: fakeweb.ProofForged}), func(o *client.Options) { o.Mutual = mutual.Optional },
			middleware.ErrNotVerified, []int{407, 200},
		},
		"a forged proof, not looked at": {
			quirk(fakeweb.Quirks{Proof: fakeweb.ProofForged}), func(o *client.Options) { o.Tunnel.Proof = tunnel.ProofDisabled }, nil, []int{407, 200},
		},
		"no proof is asked for": {
			fakeweb.Options{}, func(o *client.Options) { o.ForProxy = &kerberos.InitiatorOptions{NoMutual: true} }, nil, []int{407, 200},
		},
		"no proof is asked for, and demanded": {
			fakeweb.Options{}, func(o *client.Options) {
				o.ForProxy, o.Tunnel.Proof = &kerberos.InitiatorOptions{NoMutual: true}, tunnel.ProofRequired
			}, middleware.ErrNotVerified, []int{200},
		},
		"the server's list is not the proxy's": {fakeweb.Options{}, func(o *client.Options) { o.AllowedHosts = []string{"app.example"} }, nil, []int{407, 200}},
		"the proxy's list": {
			fakeweb.Options{}, func(o *client.Options) {
				o.ForProxy = &kerberos.InitiatorOptions{AllowedHosts: []string{"*.corp.example"}}
			}, middleware.ErrNotAllowed, []int{407, 407},
		},
		"the proxy's name": {
			fakeweb.Options{}, func(o *client.Options) {
				o.ForProxy = &kerberos.InitiatorOptions{HostOverride: "nowhere.example"}
			}, middleware.ErrKDC, []int{407},
		},
		"credentials are delegated to the server alone": {
			fakeweb.Options{}, func(o *client.Options) { o.Delegation = kerberos.DelegationAlways }, nil, []int{407, 200},
		},
		"refused": {quirk(fakeweb.Quirks{Reject: true}), func(*client.Options) {}, tunnel.ErrTunnel, []int{407, 407}},
	} {
		t.Run(name, func(t *testing.T) {
			h := startHops(t, tc.web, fromPage(), fakeweb.ServerOptions{TLS: true})
			o := h.options(t)
			tc.change(&o)
			status, _, err := get(t, newClient(t, o), h.origin.URL()+"/200")
			switch e, ok := errors.AsType[*middleware.Error](err); {
			case tc.kind == nil && (err != nil || status != 200):
				t.Errorf("%d, %v", status, err)
			case tc.kind != nil && (!ok || !errors.Is(err, tc.kind) || e.Stage != "tunnel" || !strings.HasPrefix(e.Host, "proxy.example:")):
				t.Errorf("%v, want %v", err, tc.kind)
			}
			var got []int
			for _, rec := range h.proxy.Connects() {
				got = append(got, rec.Status)
				if rec.Caller.Flags&fakekdc.GSSDeleg != 0 {
					t.Errorf("%v: delegated to a proxy", rec)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("answers to CONNECT (-want +got):\n%s", diff)
			}
			if n := len(h.web.Requests()); (n > 0) != (tc.kind == nil) {
				t.Errorf("the server saw %d requests", n)
			}
		})
	}
}

// A retrying client tries again what may pass, with a token of its own each
// time, and nothing else.
func TestRetryThroughProxy(t *testing.T) {
	for name, tc := range map[string]struct {
		busy   int32 // CONNECTs that a signed-in caller is refused with 503
		quirks fakeweb.Quirks
		change func(*client.Options)
		want   []int
		fails  error
		wrong  int // passwords that the KDC saw
	}{
		"busy at first":      {busy: 2, want: []int{407, 503, 503, 200}},
		"refused":            {quirks: fakeweb.Quirks{Reject: true}, want: []int{407, 407}, fails: tunnel.ErrTunnel},
		"forged":             {quirks: fakeweb.Quirks{Proof: fakeweb.ProofForged}, want: []int{407, 200}, fails: middleware.ErrNotVerified},
		"another leg wanted": {quirks: fakeweb.Quirks{ExtraLeg: fakeweb.LegMIC}, want: []int{407, 407}, fails: tunnel.ErrTunnel},
		"a wrong password": {
			change: func(o *client.Options) { o.CCache, o.Principal, o.Password = "", "alice", kerberos.NewSecret("wrong") },
			want:   []int{407}, fails: middleware.ErrCredentials, wrong: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			forward := fakeweb.ForwardProxy()
			h := startHops(t, fakeweb.Options{Quirks: tc.quirks, Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if asked.Add(1) <= tc.busy {
					http.Error(w, "busy", http.StatusServiceUnavailable)
					return
				}
				forward.ServeHTTP(w, r)
			})}, fromPage(), fakeweb.ServerOptions{TLS: true})
			o := h.options(t)
			if tc.change != nil {
				tc.change(&o)
			}
			c, err := client.NewRetryable(o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.HTTPClient.CloseIdleConnections()
			c.RetryWaitMin, c.RetryWaitMax, c.RetryMax = time.Microsecond, time.Microsecond, 5
			resp, err := c.Get(h.origin.URL() + "/200")
			if err == nil {
				resp.Body.Close()
			}
			if tc.fails == nil && err != nil || tc.fails != nil && !errors.Is(err, tc.fails) {
				t.Errorf("%v, want %v", err, tc.fails)
			}
			var got []int
			for _, rec := range h.proxy.Connects() {
				got = append(got, rec.Status)
				if rec.Code != 0 && rec.Reason != "as ordered" {
					t.Errorf("%v", rec)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("answers to CONNECT (-want +got):\n%s", diff)
			}
			if n := h.realm.Count(fakekdc.AS, 24); n != tc.wrong {
				t.Errorf("the KDC saw %d wrong passwords", n)
			}
		})
	}
}
