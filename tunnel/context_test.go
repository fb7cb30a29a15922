package tunnel_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/tunnel"
)

// slow is an initiator that waits for the end of its context.
func slow() (in middleware.Initiator, began, ended chan struct{}) {
	began, ended = make(chan struct{}, 8), make(chan struct{}, 8)
	return middleware.InitiatorFunc(func(ctx context.Context, _ middleware.Target) (middleware.SecurityContext, error) {
		began <- struct{}{}
		<-ctx.Done()
		ended <- struct{}{}
		return nil, ctx.Err()
	}), began, ended
}

// The transport opens connections apart from the end of requests; the making of
// tokens ends with them all the same.
func TestCancel(t *testing.T) {
	for name, o := range map[string]tunnel.Options{"learned": {}, "always": {Always: true}} {
		t.Run(name, func(t *testing.T) {
			l := start(t, setup{})
			in, began, ended := slow()
			rt := l.with(t, in, o)
			ctx, cancel := context.WithCancelCause(t.Context())
			gone := errors.New("gone")
			done := make(chan error)
			go func() {
				_, err := get(ctx, rt, l.origin.URL())
				done <- err
			}()
			<-began
			cancel(gone)
			if err := <-done; !errors.Is(err, gone) && !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
			<-ended
			if n := l.proxy.Tunnels(); n != 0 {
				t.Errorf("%d tunnels", n)
			}
		})
	}
	t.Run("a pinned connection", func(t *testing.T) {
		l := start(t, setup{})
		in, began, ended := slow()
		rt := l.with(t, in, tunnel.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-began
			cancel()
		}()
		if _, err := rt.NewClientConn(ctx, "https", strings.TrimPrefix(l.origin.URL(), "https://")); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		<-ended
	})
	t.Run("a proxy that does not answer", func(t *testing.T) {
		asked := make(chan struct{}, 1)
		l := start(t, setup{web: quirk(fakeweb.Quirks{Before: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			asked <- struct{}{}
			<-r.Context().Done()
		})})})
		rt := l.through(t, tunnel.Options{Always: true})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-asked
			cancel()
		}()
		if _, err := get(ctx, rt, l.origin.URL()); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		// Closing idle connections gives up those that nobody waits for.
		rt.CloseIdleConnections()
	})
}

// Where the request itself has no end, the making of a token has one.
func TestTokenTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, _, ended := slow()
		here, there := net.Pipe()
		defer there.Close()
		rt := tunnel.New(in, &http.Transport{
			Proxy:       http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.example:3128"}),
			DialContext: func(context.Context, string, string) (net.Conn, error) { return here, nil },
		}, tunnel.Options{Always: true})
		began := time.Now()
		_, err := get(context.Background(), rt, "https://app.example/")
		<-ended
		e, ok := errors.AsType[*middleware.Error](err)
		if !ok || e.Stage != "tunnel" || e.Host != "proxy.example:3128" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if took := time.Since(began); took != time.Minute {
			t.Errorf("ended after %v", took)
		}
	})
}

// What is reported, and that what a proxy proves is said of nobody else.
func TestEvents(t *testing.T) {
	l := start(t, setup{})
	var mu sync.Mutex
	var got []any
	ctx := middleware.WithTrace(t.Context(), func(e middleware.Event) {
		mu.Lock()
		defer mu.Unlock()
		switch e := e.(type) {
		case middleware.TicketEvent:
			got = append(got, "ticket for "+e.SPN)
		case middleware.TokenEvent:
			if e.Bound || e.Delegate || !e.Mutual {
				t.Errorf("%+v", e)
			}
			got = append(got, "token for "+e.Host)
		case middleware.RefusedEvent:
			e.Err = nil
			got = append(got, e)
		case middleware.VerdictEvent:
			e.Err = nil
			got = append(got, e)
		case middleware.ChallengeEvent, middleware.SendEvent:
			got = append(got, e)
		}
	})
	rt := l.through(t, tunnel.Options{})
	at := l.proxy.URL().Host
	full := spn + "@" + l.realm.Name()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, l.origin.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Error(err)
	}
	resp.Body.Close()
	if middleware.SecurityOf(resp.Request) != nil || middleware.ProxySecurityOf(resp.Request) != nil {
		t.Error("the response of the server bears the proxy's context")
	}
	check := func(want ...any) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		got = nil
	}
	challenge := middleware.ChallengeEvent{Host: at, Status: 407, Schemes: []string{"Negotiate"}, Requests: 1}
	send := middleware.SendEvent{Stage: "tunnel", Host: at, Request: 2}
	check(challenge, "ticket for "+full, "token for "+at, send)

	send.Request = 1
	for name, tc := range map[string]struct {
		quirks fakeweb.Quirks
		want   []any
	}{
		"refused": {fakeweb.Quirks{Reject: true, Rejection: fakeweb.RejectPlain}, []any{
			"ticket for " + full, "token for " + at, send, challenge,
			middleware.RefusedEvent{Host: at, Status: 407, Reason: middleware.ReasonRefused},
		}},
		"no longer offered": {fakeweb.Quirks{Challenge: []string{"NTLM"}, Reject: true, Rejection: fakeweb.RejectPlain}, []any{
			"ticket for " + full, "token for " + at, send,
			middleware.ChallengeEvent{Host: at, Status: 407, Schemes: []string{"NTLM"}, Requests: 1},
			middleware.RefusedEvent{Host: at, Status: 407},
		}},
		"forged": {fakeweb.Quirks{Proof: fakeweb.ProofForged}, []any{
			"ticket for " + full, "token for " + at, send,
			middleware.VerdictEvent{Host: at, SPN: full, Mode: "optional", Status: 200, Reason: middleware.ReasonWrongKey},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			l.proxy.SetQuirks(tc.quirks)
			rt.CloseIdleConnections()
			if _, err := get(ctx, rt, l.origin.URL()); err == nil {
				t.Error("no error")
			}
			check(tc.want...)
		})
	}
	// Of a proxy that was sent nothing there is nothing to refuse.
	l.proxy.SetQuirks(fakeweb.Quirks{Challenge: []string{"NTLM"}})
	if _, err := get(ctx, l.through(t, tunnel.Options{}), l.origin.URL()); err == nil {
		t.Error("no error")
	}
	check(middleware.ChallengeEvent{Host: at, Status: 407, Schemes: []string{"NTLM"}, Requests: 1})
}

// A ticket that the proxy's present key does not open is fetched anew, once.
func TestStaleTicket(t *testing.T) {
	for name, tc := range map[string]struct {
		options  tunnel.Options
		code     int32
		stale    int // contexts that are refused
		keeps    bool
		statuses []int
		contexts int
	}{
		"mended":             {code: 31, stale: 1, statuses: []int{407, 407, 200}, contexts: 2},
		"mended, always":     {options: tunnel.Options{Always: true}, code: 44, stale: 1, statuses: []int{407, 200}, contexts: 2},
		"not mended":         {code: 41, stale: 9, statuses: []int{407, 407, 407}, contexts: 2},
		"not mended, always": {options: tunnel.Options{Always: true}, code: 32, stale: 9, statuses: []int{407, 407}, contexts: 2},
		"not to be done":     {code: 31, stale: 1, keeps: true, statuses: []int{407, 407}, contexts: 1},
		"another reason":     {code: 60, stale: 1, statuses: []int{407, 407}, contexts: 1},
		"a replay":           {code: 34, stale: 1, statuses: []int{407, 407}, contexts: 1},
	} {
		t.Run(name, func(t *testing.T) {
			var refused, contexts, drops atomic.Int32
			l := start(t, setup{web: fakeweb.Options{QuirksFor: func(r *http.Request) *fakeweb.Quirks {
				reject := r.Header.Get("Proxy-Authorization") != "" && int(refused.Add(1)) <= tc.stale
				return &fakeweb.Quirks{Reject: reject, RejectCode: tc.code}
			}}})
			inner := l.initiator(t, kerberos.InitiatorOptions{})
			in := middleware.InitiatorFunc(func(ctx context.Context, t middleware.Target) (middleware.SecurityContext, error) {
				sc, err := inner.Initiate(ctx, t)
				contexts.Add(1)
				return dropping{sc, &drops, !tc.keeps}, err
			})
			_, err := get(t.Context(), l.with(t, in, tc.options), l.origin.URL())
			if ok := tc.statuses[len(tc.statuses)-1] == 200; ok != (err == nil) {
				t.Errorf("%v", err)
			}
			if diff := cmp.Diff(tc.statuses, l.statuses(t)); diff != "" {
				t.Errorf("answers to CONNECT (-want +got):\n%s", diff)
			}
			if n := contexts.Load(); int(n) != tc.contexts {
				t.Errorf("%d contexts, want %d", n, tc.contexts)
			}
			if n := drops.Load(); n > 1 || tc.contexts > 1 && n != 1 {
				t.Errorf("%d tickets dropped", n)
			}
		})
	}
}

// A proxy that cannot decide on a scheme is not followed for ever.
func TestTriesAreBounded(t *testing.T) {
	l := start(t, setup{web: quirk(fakeweb.Quirks{Before: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		offer := "Negotiate"
		if strings.HasPrefix(r.Header.Get("Proxy-Authorization"), offer) {
			offer = "Kerberos"
		}
		w.Header().Set("Proxy-Authenticate", offer)
		w.WriteHeader(http.StatusProxyAuthRequired)
	})})})
	for range 2 {
		before := len(l.proxy.Connects())
		if _, err := get(t.Context(), l.with(t, new(stagetest.Initiator), tunnel.Options{}), l.origin.URL()); !errors.Is(err, tunnel.ErrTunnel) {
			t.Errorf("%v", err)
		}
		if n := len(l.proxy.Connects()) - before; n != 3 {
			t.Errorf("%d CONNECTs, want 3", n)
		}
	}
}

// dropping counts the tickets that are dropped, and drops none.
type dropping struct {
	middleware.SecurityContext
	n     *atomic.Int32
	drops bool
}

func (d dropping) Discard() bool {
	d.n.Add(1)
	return d.drops
}

// One connection outside of the pool, through a proxy that asks.
func TestClientConn(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		l := start(t, setup{h2: h2})
		rt := l.through(t, tunnel.Options{Proof: tunnel.ProofOptional})
		for range 2 {
			conn, err := rt.NewClientConn(t.Context(), "https", strings.TrimPrefix(l.origin.URL(), "https://"))
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if body, err := get(t.Context(), conn, l.origin.URL()); err != nil || !strings.HasPrefix(body, "hello") {
					t.Errorf("%q, %v", body, err)
				}
			}
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		}
		if diff := cmp.Diff([]int{407, 200, 200}, l.statuses(t)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

// What is no CONNECT passes by: plain HTTP, no proxy, SOCKS.
func TestPassesBy(t *testing.T) {
	l := start(t, setup{})
	in := new(stagetest.Initiator)
	plain := fakeweb.Serve(l.realm, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, err := io.WriteString(w, "plain"); err != nil {
			t.Error(err)
		}
	}), fakeweb.ServerOptions{})
	o := tunnel.Options{Proof: tunnel.ProofRequired}

	resp, err := l.with(t, in, o).RoundTrip(httpRequest(t, plain.URL()))
	if err != nil || resp.StatusCode != http.StatusProxyAuthRequired {
		t.Fatalf("%v, %v", resp, err)
	}
	resp.Body.Close()
	if body, err := get(t.Context(), l.with(t, in, o, func(tr *http.Transport) { *tr = *l.origin.Transport() }), l.origin.URL()); err != nil || body != "hello over HTTP/1" {
		t.Errorf("without a proxy: %q, %v", body, err)
	}
	none := func(*http.Request) (*url.URL, error) { return nil, nil }
	if body, err := get(t.Context(), l.with(t, in, o, func(tr *http.Transport) { *tr = *l.origin.Transport(); tr.Proxy = none }), l.origin.URL()); err != nil || body != "hello over HTTP/1" {
		t.Errorf("with no proxy for it: %q, %v", body, err)
	}
	socks := socksServer(t, l.origin.Addr())
	if body, err := get(t.Context(), l.with(t, in, o, func(tr *http.Transport) {
		tr.DialContext, tr.Proxy = nil, http.ProxyURL(&url.URL{Scheme: "socks5h", Host: socks})
	}), l.origin.URL()); err != nil || body != "hello over HTTP/1" {
		t.Errorf("by SOCKS: %q, %v", body, err)
	}
	if n := len(in.Contexts()); n != 0 {
		t.Errorf("%d contexts", n)
	}
	if n := len(l.proxy.Connects()); n != 0 {
		t.Errorf("%d CONNECTs", n)
	}
	// What is no request is the transport's to refuse, and its body's to close.
	s := &stream{r: strings.NewReader(""), first: func() {}}
	if _, err := l.with(t, in, o).RoundTrip(&http.Request{Body: s, Header: http.Header{}}); err == nil {
		t.Error("a request without a URL was sent")
	}
	if _, closes := s.counts(); closes != 1 {
		t.Errorf("%d closes", closes)
	}
}

// A function that names another proxy each time is asked once for what goes
// through a tunnel, and the try that bears the token goes where the first went.
func TestProxyFunction(t *testing.T) {
	l := start(t, setup{})
	second := fakeweb.ServeProxy(l.realm, spn, fakeweb.Options{}, fakeweb.ServerOptions{Host: "proxy.example"})
	var asked int
	rt := l.through(t, tunnel.Options{}, func(tr *http.Transport) {
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, strings.Replace(addr, "proxy.example", "127.0.0.1", 1))
		}
		tr.Proxy = func(*http.Request) (*url.URL, error) {
			asked++
			return []*url.URL{l.proxy.URL(), second.URL()}[asked%2], nil
		}
	})
	for i, want := range []*fakeweb.Proxy{second, l.proxy} {
		wantHello(t, rt, l.origin.URL())
		var got []int
		for _, rec := range want.Connects() {
			got = append(got, rec.Status)
		}
		if diff := cmp.Diff([]int{407, 200}, got); diff != "" || asked != i+1 {
			t.Errorf("asked %d times; answers to CONNECT (-want +got):\n%s", asked, diff)
		}
	}
	// One that changes its mind leads through a tunnel that is not signed for.
	asked = 0
	l.proxy.SetQuirks(fakeweb.Quirks{Before: fakeweb.ForwardProxy()})
	rt = l.through(t, tunnel.Options{Always: true}, func(tr *http.Transport) {
		tr.Proxy = func(*http.Request) (*url.URL, error) {
			if asked++; asked == 1 {
				return nil, nil
			}
			return l.proxy.URL(), nil
		}
	})
	wantHello(t, rt, l.origin.URL())
	if recs := l.proxy.Connects(); asked != 2 || recs[len(recs)-1].Scheme != "" {
		t.Errorf("asked %d times, %v", asked, recs[len(recs)-1])
	}
	// One that fails is an error of the transport's.
	fail := errors.New("no idea")
	rt = l.through(t, tunnel.Options{}, func(tr *http.Transport) {
		tr.Proxy = func(*http.Request) (*url.URL, error) { return nil, fail }
	})
	if _, err := get(t.Context(), rt, l.origin.URL()); !errors.Is(err, fail) {
		t.Errorf("%v", err)
	}
}

// A ticket source may itself go through proxies, with the context of a call: a
// transport knows its own calls alone.
func TestNested(t *testing.T) {
	l := start(t, setup{})
	inner := l.through(t, tunnel.Options{}, func(tr *http.Transport) {
		tr.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
		tr.DialContext = nil
	})
	plain := fakeweb.Serve(l.realm, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, err := io.WriteString(w, "direct"); err != nil {
			t.Error(err)
		}
	}), fakeweb.ServerOptions{})
	signer := l.initiator(t, kerberos.InitiatorOptions{})
	in := middleware.InitiatorFunc(func(ctx context.Context, target middleware.Target) (middleware.SecurityContext, error) {
		if body, err := get(ctx, inner, plain.URL()); err != nil || body != "direct" {
			t.Errorf("%q, %v", body, err)
		}
		return signer.Initiate(ctx, target)
	})
	wantHello(t, l.with(t, in, tunnel.Options{Always: true}), l.origin.URL())
	if n := len(l.proxy.Requests()); n != 1 {
		t.Errorf("%d requests at the proxy", n)
	}
}

func httpRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// socksServer leads whoever connects to one address (RFC 1928, no
// authentication, CONNECT to a name).
func socksServer(t *testing.T, to string) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		lis.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			c, err := lis.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				if err := socks(c, to); err != nil && !errors.Is(err, net.ErrClosed) {
					t.Errorf("SOCKS: %v", err)
				}
			})
		}
	})
	return lis.Addr().String()
}

func socks(c net.Conn, to string) error {
	var b [512]byte
	if _, err := io.ReadFull(c, b[:2]); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, b[:b[1]]); err != nil {
		return err
	}
	if _, err := c.Write([]byte{5, 0}); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, b[:5]); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, b[:int(b[4])+2]); err != nil {
		return err
	}
	there, err := net.Dial("tcp", to)
	if err != nil {
		return err
	}
	defer there.Close()
	if _, err := c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0}); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(there, c) // ends when either side does
		there.Close()
	}()
	_, _ = io.Copy(c, there)
	c.Close()
	<-done
	return nil
}

// A wrong password is shown to the KDC once, by however many connections.
func TestWrongPassword(t *testing.T) {
	for name, o := range map[string]tunnel.Options{"learned": {}, "always": {Always: true}} {
		t.Run(name, func(t *testing.T) {
			l := start(t, setup{})
			source, err := kerberos.FromPassword(kerberos.NewSecret("wrong canary"), kerberos.SourceOptions{
				Principal: "alice", Krb5ConfText: l.realm.Config(), Now: l.realm.Now,
			})
			if err != nil {
				t.Fatal(err)
			}
			in, err := kerberos.NewInitiator(source, kerberos.InitiatorOptions{})
			if err != nil {
				t.Fatal(err)
			}
			rt := l.with(t, in, o)
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					_, err := get(t.Context(), rt, l.origin.URL())
					e, ok := errors.AsType[*middleware.Error](err)
					if !ok || !errors.Is(err, middleware.ErrCredentials) || e.Stage != "tunnel" || e.Temporary() ||
						e.Host != l.proxy.URL().Host || !strings.HasPrefix(e.SPN, spn) || strings.Contains(err.Error(), "canary") {
						t.Errorf("%v", err)
					}
				})
			}
			wg.Wait()
			if n := l.realm.Count(fakekdc.AS, 24); n != 1 {
				t.Errorf("the KDC saw %d wrong passwords", n)
			}
			for _, rec := range l.proxy.Connects() {
				if rec.Scheme != "" {
					t.Errorf("%v", rec)
				}
			}
		})
	}
}
