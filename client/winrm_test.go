package client_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/fakekdc/fakewinrm"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/logging"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/seal"
)

const soap = "application/soap+xml;charset=UTF-8"

// A winRM is an endpoint in a realm, and a client of alice's.
type winRM struct {
	realm   *fakekdc.Realm
	end     *fakewinrm.Endpoint
	server  *fakeweb.Server
	options client.WinRMOptions
	url     string
}

func startWinRM(tb testing.TB, o fakewinrm.Options, so fakeweb.ServerOptions, etypes ...int32) *winRM {
	tb.Helper()
	var more []fakekdc.Option
	if len(etypes) > 0 {
		more = append(more, fakekdc.WithEtypes(etypes...))
	}
	if so.InMemory {
		more = append(more, fakekdc.WithoutSockets())
	}
	realm := start(tb, append(more, fakekdc.WithService("WSMAN/localhost"))...)
	w := &winRM{realm: realm, end: fakewinrm.New(realm, "", o)}
	w.server = fakeweb.Serve(realm, w.end, so)
	w.url = w.server.URL() + "/wsman"
	w.options = client.WinRMOptions{Options: kinit(tb, realm, spn)}
	w.options.AllowRC4 = slices.Contains(etypes, fakekdc.RC4HMAC)
	w.options.Transport = w.server.Transport()
	return w
}

// client makes a client that is closed with the test.
func (w *winRM) client(tb testing.TB) *http.Client {
	tb.Helper()
	c, err := client.NewWinRM(w.options)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.CloseIdleConnections)
	return c
}

func (w *winRM) request(ctx context.Context, tb testing.TB, message string) *http.Request {
	tb.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, strings.NewReader(message))
	if err != nil {
		tb.Fatal(err)
	}
	r.Header.Set("Content-Type", soap)
	return r
}

// post sends a message and returns what came back.
func (w *winRM) post(tb testing.TB, c *http.Client, message string) (*http.Response, string, error) {
	tb.Helper()
	resp, err := c.Do(w.request(tb.Context(), tb, message))
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return resp, string(b), nil
}

// echo wants a message back.
func (w *winRM) echo(tb testing.TB, c *http.Client, message string) {
	tb.Helper()
	resp, got, err := w.post(tb, c, message)
	if err != nil {
		tb.Fatal(err)
	}
	sc := middleware.SecurityOf(resp.Request)
	if resp.StatusCode != 200 || got != message || resp.Header.Get("Content-Type") != soap || sc == nil || !sc.Verified() {
		tb.Errorf("%d %.100q, %v", resp.StatusCode, got, resp.Header)
	}
}

// seen returns how many requests there were on each connection that had any, and
// the statuses of all.
func (w *winRM) seen() (conns []int, statuses []int) {
	count := map[int]int{}
	for _, r := range w.end.Requests() {
		count[r.Conn]++
		statuses = append(statuses, r.Status)
	}
	for _, n := range slices.Sorted(maps.Keys(count)) {
		conns = append(conns, count[n])
	}
	return conns, statuses
}

func (w *winRM) wantSeen(tb testing.TB, conns, statuses []int) {
	tb.Helper()
	gotConns, gotStatuses := w.seen()
	if d := cmp.Diff(conns, gotConns); d != "" {
		tb.Errorf("requests on connections (-want +got):\n%s", d)
	}
	if d := cmp.Diff(statuses, gotStatuses); d != "" {
		tb.Errorf("statuses (-want +got):\n%s", d)
	}
}

func letters(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	for i := range b {
		b[i] = 'a' + b[i]%26
	}
	return string(b)
}

var allEtypes = []int32{fakekdc.AES128SHA1, fakekdc.AES256SHA1, fakekdc.AES128SHA256, fakekdc.AES256SHA384, fakekdc.RC4HMAC}

// Every encryption type, message length, status and scheme.
func TestWinRM(t *testing.T) {
	t.Parallel()
	for _, etype := range allEtypes {
		for _, scheme := range []string{"Negotiate", "Kerberos"} {
			t.Run(fmt.Sprintf("etype %d, %s", etype, scheme), func(t *testing.T) {
				var status atomic.Int32
				w := startWinRM(t, fakewinrm.Options{
					Web: fakeweb.Options{Schemes: []string{scheme}},
					Answer: func(c fakekdc.Caller, b []byte) (int, []byte) {
						if c.Etype != etype || !strings.HasPrefix(c.Name, "alice@") {
							t.Errorf("caller %+v", c)
						}
						return int(status.Load()), b
					},
				}, fakeweb.ServerOptions{}, etype)
				c := w.client(t)
				sent := 0
				for _, n := range []int{1, 2, 15, 16, 17, 31, 32, 33, 82, 83, 84, 100, 127, 128, 255, 256, 5000, 1 << 16, 300_000} {
					for _, s := range []int{200, 500} {
						status.Store(int32(s))
						message := letters(n)
						resp, got, err := w.post(t, c, message)
						if err != nil || resp.StatusCode != s || got != message || resp.ContentLength != int64(n) || resp.Header.Get("Content-Type") != soap {
							t.Fatalf("%d bytes, status %d: %v, %.100q, %v", n, s, resp, got, err)
						}
						sent++
					}
				}
				if n := w.server.Connections(); n != 1 {
					t.Errorf("%d connections", n)
				}
				for _, m := range w.end.Messages() {
					if !m.Sealed || m.Reason != "" || m.Conn != 1 {
						t.Errorf("%+v", m)
					}
				}
				if n := len(w.end.Messages()); n != sent {
					t.Errorf("%d messages, want %d", n, sent)
				}
				signed := 0
				for _, r := range w.end.Requests() {
					if r.Scheme != "" && r.Status == 200 {
						signed++
					}
				}
				if signed != 1 {
					t.Errorf("%d requests with a token, want 1", signed)
				}
			})
		}
	}
}

// No byte of a message is on the wire.
func TestWinRMSeals(t *testing.T) {
	w := startWinRM(t, fakewinrm.Options{}, fakeweb.ServerOptions{})
	var seen bytes.Buffer
	var mu sync.Mutex
	spy := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(&seen, "%s %v\n%s\n", r.Method, r.Header, b)
		r.Body = io.NopCloser(bytes.NewReader(b))
		w.end.ServeHTTP(rw, r)
	}))
	t.Cleanup(spy.Close)
	spy.Config.ConnContext = fakeweb.ConnContext
	spy.Start()
	w.options.Transport = http.DefaultTransport
	w.url = strings.Replace(spy.URL, "127.0.0.1", "localhost", 1) + "/wsman"
	const canary = "canary in a coal mine"
	w.echo(t, w.client(t), canary)
	mu.Lock()
	defer mu.Unlock()
	if s := seen.String(); strings.Contains(s, "canary") || !strings.Contains(s, "Negotiate ") ||
		!strings.Contains(s, "OriginalContent: type="+soap+";Length=21\r\n") {
		t.Errorf("on the wire:\n%s", s)
	}
}

// ticks waits for the clock, which on Windows may stand still for 16 milliseconds.
func ticks() {
	for begun := time.Now(); time.Since(begun) <= time.Nanosecond; {
		time.Sleep(time.Millisecond)
	}
}

// What the server, or the way to it, does to connections between messages.
func TestWinRMAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		between         func(*winRM, *http.Client)
		conns, statuses []int
		noticed         bool // by the client, before it goes on
	}{
		"nothing":              {func(*winRM, *http.Client) {}, []int{3}, []int{200, 200, 200}, false},
		"idle for too long":    {func(w *winRM, _ *http.Client) { w.end.Forget(); ticks() }, []int{4}, []int{200, 200, 200, 200}, false},
		"connections dropped":  {func(w *winRM, _ *http.Client) { w.server.DropConnections() }, []int{2, 2}, []int{200, 200, 200, 200}, true},
		"idle ones are closed": {func(_ *winRM, c *http.Client) { c.CloseIdleConnections() }, []int{2, 2}, []int{200, 200, 200, 200}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := startWinRM(t, fakewinrm.Options{}, fakeweb.ServerOptions{})
			var m meter
			w.options.Transport = m.on(w.server.Transport())
			if name == "idle for too long" {
				w.options.Idle = 1 // nanosecond
			}
			c := w.client(t)
			w.echo(t, c, "one")
			tc.between(w, c)
			if tc.noticed {
				m.drained(t, func() {})
			}
			w.echo(t, c, "two")
			w.wantSeen(t, tc.conns, tc.statuses)
		})
	}
}

// A server that forgets every connection at once is asked twice and no more.
func TestWinRM401ForEver(t *testing.T) {
	for name, tc := range map[string]struct {
		resend   bool
		statuses []int
	}{
		"once again":     {true, []int{200, 401, 200, 401}},
		"as nobody asks": {false, []int{200, 401}},
	} {
		t.Run(name, func(t *testing.T) {
			var w *winRM
			w = startWinRM(t, fakewinrm.Options{
				Web: fakeweb.Options{QuirksFor: func(r *http.Request) *fakeweb.Quirks {
					if r.ContentLength > 0 {
						w.end.Forget()
					}
					return nil
				}},
			}, fakeweb.ServerOptions{})
			w.options.Resend = tc.resend
			resp, body, err := w.post(t, w.client(t), "one")
			if err != nil || resp.StatusCode != 401 || body != "" {
				t.Fatal(resp, body, err)
			}
			w.wantSeen(t, []int{len(tc.statuses)}, tc.statuses)
			if n := len(w.end.Messages()); n != 0 {
				t.Errorf("%d messages", n)
			}
		})
	}
}

// A message that may have been carried out is not sent again when the connection
// breaks, and the client goes on with a new one.
func TestWinRMBreaksOff(t *testing.T) {
	var calls atomic.Int32
	w := startWinRM(t, fakewinrm.Options{Answer: func(_ fakekdc.Caller, b []byte) (int, []byte) {
		if calls.Add(1) == 2 {
			panic(http.ErrAbortHandler)
		}
		return 200, b
	}}, fakeweb.ServerOptions{})
	c := w.client(t)
	w.echo(t, c, "one")
	if _, _, err := w.post(t, c, "two"); err == nil || errors.Is(err, middleware.ErrNotVerified) {
		t.Errorf("error %v", err)
	}
	w.echo(t, c, "three")
	if n := calls.Load(); n != 3 {
		t.Errorf("%d messages, want 3", n)
	}
	w.wantSeen(t, []int{3, 2}, []int{200, 200, 0, 200, 200})
}

// When a caller leaves, the connection ends with the call, and the next call has
// another one.
func TestWinRMCancelled(t *testing.T) {
	reached, release := make(chan struct{}), make(chan struct{})
	var calls atomic.Int32
	w := startWinRM(t, fakewinrm.Options{Answer: func(_ fakekdc.Caller, b []byte) (int, []byte) {
		if calls.Add(1) == 1 {
			close(reached)
			<-release
		}
		return 200, b
	}}, fakeweb.ServerOptions{})
	w.options.Sessions = 1
	c := w.client(t)
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := c.Do(w.request(ctx, t, "one"))
		first <- err
	}()
	<-reached
	// One waits for the session, and leaves too.
	waiting, leave := context.WithCancel(t.Context())
	leave()
	if _, err := c.Do(w.request(waiting, t, "two")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	close(release)
	w.echo(t, c, "three")
}

// A message that is not answered in time is not sent again either, and the next
// one goes over another connection.
func TestWinRMTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var calls atomic.Int32
		w := startWinRM(t, fakewinrm.Options{Answer: func(_ fakekdc.Caller, b []byte) (int, []byte) {
			if calls.Add(1) == 1 {
				<-release
			}
			return 200, b
		}}, fakeweb.ServerOptions{InMemory: true})
		tr := w.server.Transport()
		tr.ResponseHeaderTimeout = 3 * time.Second
		w.options.Transport = tr
		c := w.client(t)
		_, _, err := w.post(t, c, "one")
		var timeout interface{ Timeout() bool }
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("error %v", err)
		}
		close(release)
		w.echo(t, c, "two")
		if n := calls.Load(); n != 2 || w.server.Connections() != 2 {
			t.Errorf("%d messages over %d connections", n, w.server.Connections())
		}
	})
}

// Servers end a log-on after some requests, and others forget all at once.
func TestWinRMSessionsEnd(t *testing.T) {
	w := startWinRM(t, fakewinrm.Options{Web: fakeweb.Options{SessionRequests: 2}}, fakeweb.ServerOptions{})
	w.options.Resend = true
	c := w.client(t)
	for range 5 {
		w.echo(t, c, "message")
	}
	w.end.ForgetConnections()
	w.echo(t, c, "message")
	if n := len(w.end.Messages()); n != 6 || w.server.Connections() != 1 {
		t.Errorf("%d messages over %d connections", n, w.server.Connections())
	}
}

// Calls in parallel have sessions of their own, up to the bound.
func TestWinRMParallel(t *testing.T) {
	for option, sessions := range map[int]int{3: 3, 0: 4, -1: 4} {
		t.Run(fmt.Sprint(option), func(t *testing.T) {
			// net/http gives a connection up when it does not hear within 50 ms that a request
			// was written, as on a machine that is busy: of virtual ones none pass meanwhile.
			synctest.Test(t, func(t *testing.T) { winRMParallel(t, option, sessions) })
		})
	}
}

func winRMParallel(t *testing.T, option, sessions int) {
	const calls = 40
	var mu sync.Mutex
	busy, most := 0, 0
	full := make(chan struct{})
	w := startWinRM(t, fakewinrm.Options{Answer: func(_ fakekdc.Caller, b []byte) (int, []byte) {
		mu.Lock()
		if busy++; busy > most {
			if most = busy; most == sessions {
				close(full)
			}
		}
		mu.Unlock()
		<-full // all sessions are in use at once
		mu.Lock()
		defer mu.Unlock()
		busy--
		return 200, b
	}}, fakeweb.ServerOptions{InMemory: true})
	w.options.Sessions = option
	var m meter
	w.options.Transport = m.on(w.server.Transport())
	c := w.client(t)
	var all sync.WaitGroup
	for i := range calls {
		all.Go(func() { w.echo(t, c, letters(100*i+1)) })
	}
	all.Wait()
	if most != sessions || w.server.Connections() != sessions {
		t.Errorf("%d messages at once over %d connections, want %d", most, w.server.Connections(), sessions)
	}
	m.drained(t, c.CloseIdleConnections)
}

// One client talks to several servers.
func TestWinRMHosts(t *testing.T) {
	a := startWinRM(t, fakewinrm.Options{}, fakeweb.ServerOptions{})
	b := fakeweb.Serve(a.realm, a.end, fakeweb.ServerOptions{})
	tr := a.server.Transport()
	tr.DialContext = nil
	a.options.Transport = tr
	c := a.client(t)
	for range 3 {
		for _, url := range []string{a.server.URL(), b.URL()} {
			a.url = url + "/wsman"
			a.echo(t, c, "hello")
		}
	}
	if a.server.Connections() != 1 || b.Connections() != 1 {
		t.Errorf("%d and %d connections", a.server.Connections(), b.Connections())
	}
}

// Over https messages go as they are and are signed, unless encryption is asked
// for. HTTP/2 is not used, though the server has it.
func TestWinRMOverTLS(t *testing.T) {
	for name, tc := range map[string]struct {
		mode   seal.Mode
		sealed bool
		tokens int
	}{
		"auto":   {seal.Auto, false, 3},
		"never":  {seal.Never, false, 3},
		"always": {seal.Always, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := startWinRM(t, fakewinrm.Options{Web: fakeweb.Options{Bindings: fakekdc.BindingsRequired}},
				fakeweb.ServerOptions{TLS: true, HTTP2: true})
			w.options.Encryption = tc.mode
			c := w.client(t)
			for range 3 {
				w.echo(t, c, "hello")
			}
			tokens := 0
			for _, r := range w.end.Requests() {
				if r.Scheme != "" {
					tokens++
				}
				if r.Proto != 1 || r.Status != 200 && r.Status != 401 {
					t.Error(r)
				}
			}
			if tokens != tc.tokens || w.server.Connections() != 1 {
				t.Errorf("%d tokens on %d connections", tokens, w.server.Connections())
			}
			for _, m := range w.end.Messages() {
				if m.Sealed != tc.sealed {
					t.Errorf("%+v", m)
				}
			}
		})
	}
}

// A fault without a token over https is the server's own: its connection tells.
func TestWinRMFaultOverTLS(t *testing.T) {
	const fault = "<s:Fault>OperationTimeout</s:Fault>"
	w := startWinRM(t, fakewinrm.Options{
		Answer: func(_ fakekdc.Caller, b []byte) (int, []byte) {
			if string(b) == "poll" {
				return 500, []byte(fault)
			}
			return 200, b
		},
		Web: fakeweb.Options{Quirks: fakeweb.Quirks{ProofOn: fakeweb.OnSuccess}},
	}, fakeweb.ServerOptions{TLS: true})
	c := w.client(t)
	w.echo(t, c, "create")
	resp, body, err := w.post(t, c, "poll")
	if err != nil || resp.StatusCode != 500 || body != fault {
		t.Error(resp, body, err)
	}
}

// Messages in clear are refused by Windows' default, and pass if allowed.
func TestWinRMUnencrypted(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		t.Run(fmt.Sprint("allowed ", allowed), func(t *testing.T) {
			w := startWinRM(t, fakewinrm.Options{AllowUnencrypted: allowed}, fakeweb.ServerOptions{})
			w.options.Encryption = seal.Never
			c := w.client(t)
			if allowed {
				w.echo(t, c, "hello")
				return
			}
			resp, body, err := w.post(t, c, "hello")
			if err != nil || resp.StatusCode != 500 || body != "" {
				t.Error(resp, body, err)
			}
		})
	}
}

// The service class is HTTP or what is asked for.
func TestWinRMService(t *testing.T) {
	for _, class := range []string{"HTTP", "WSMAN"} {
		w := startWinRM(t, fakewinrm.Options{Answer: func(c fakekdc.Caller, _ []byte) (int, []byte) {
			return 200, []byte(c.Service)
		}}, fakeweb.ServerOptions{})
		w.options.Service = class
		if class == "HTTP" {
			w.options.Service = ""
		}
		_, body, err := w.post(t, w.client(t), "who?")
		if want := class + "/localhost@" + w.realm.Name(); err != nil || body != want {
			t.Errorf("%q, %v, want %s", body, err, want)
		}
	}
}

// A server that does not prove itself gets no message.
func TestWinRMUnproved(t *testing.T) {
	for name, tc := range map[string]struct {
		q      fakeweb.Quirks
		reason middleware.Reason
		status int // of the answer, where there is one
	}{
		"no token":    {fakeweb.Quirks{Proof: fakeweb.ProofNone}, middleware.ReasonNoToken, 0},
		"state alone": {fakeweb.Quirks{Proof: fakeweb.ProofState}, middleware.ReasonNoToken, 0},
		"forged":      {fakeweb.Quirks{Proof: fakeweb.ProofForged}, middleware.ReasonWrongKey, 0},
		"foreign":     {fakeweb.Quirks{Proof: fakeweb.ProofForeign}, middleware.ReasonWrongKey, 0},
		"replayed":    {fakeweb.Quirks{Proof: fakeweb.ProofReplayed}, middleware.ReasonWrongTime, 0},
		"KRB-ERROR":   {fakeweb.Quirks{Proof: fakeweb.ProofKRBError}, middleware.ReasonKRBError, 0},
		"NTLM":        {fakeweb.Quirks{Proof: fakeweb.ProofNTLM}, middleware.ReasonWrongMechanism, 0},
		"garbage":     {fakeweb.Quirks{Proof: fakeweb.ProofGarbage}, middleware.ReasonMalformed, 0},
		"rejects":     {fakeweb.Quirks{Reject: true}, 0, 401},
		"a page":      {fakeweb.Quirks{Before: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "busy", http.StatusServiceUnavailable) })}, 0, 503},
		"a redirect":  {fakeweb.Quirks{Before: http.RedirectHandler("/login", http.StatusFound)}, middleware.ReasonUnverifiedRedirect, 0},
		"a welcome":   {fakeweb.Quirks{Before: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}, middleware.ReasonNoToken, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := startWinRM(t, fakewinrm.Options{Web: fakeweb.Options{Quirks: tc.q}}, fakeweb.ServerOptions{})
			resp, body, err := w.post(t, w.client(t), "secret")
			if tc.status != 0 {
				if err != nil || resp.StatusCode != tc.status || tc.status != 401 && body != "" {
					t.Errorf("%v %q, %v", resp, body, err)
				}
			} else {
				var e *middleware.Error
				if !errors.As(err, &e) || !errors.Is(err, middleware.ErrNotVerified) || e.Reason != tc.reason {
					t.Errorf("error %v, want reason %v", err, tc.reason)
				}
			}
			if m := w.end.Messages(); len(m) != 0 {
				t.Errorf("%+v", m)
			}
		})
	}
}

// A context that takes several legs seals as well; its MICs have numbers too.
func TestWinRMLegs(t *testing.T) {
	for _, etype := range allEtypes {
		t.Run(fmt.Sprint(etype), func(t *testing.T) {
			w := startWinRM(t, fakewinrm.Options{Web: fakeweb.Options{Quirks: fakeweb.Quirks{ExtraLeg: fakeweb.LegMIC}}}, fakeweb.ServerOptions{}, etype)
			c := w.client(t)
			w.echo(t, c, "one")
			w.echo(t, c, "two")
		})
	}
}

// What acceptors leave out of AP-REP.
func TestWinRMNoSubkey(t *testing.T) {
	for _, etype := range allEtypes {
		w := startWinRM(t, fakewinrm.Options{Web: fakeweb.Options{Quirks: fakeweb.Quirks{NoSubkey: true}}}, fakeweb.ServerOptions{}, etype)
		w.echo(t, w.client(t), letters(1000))
	}
}

func TestWinRMRefusesOptions(t *testing.T) {
	w := startWinRM(t, fakewinrm.Options{}, fakeweb.ServerOptions{})
	for _, m := range []mutual.Mode{mutual.Optional, mutual.Disabled} {
		o := w.options
		o.Mutual = m
		if _, err := client.NewWinRM(o); !errors.Is(err, middleware.ErrConfiguration) {
			t.Errorf("%v: %v", m, err)
		}
	}
	o := w.options
	o.Password, o.Keytab = kerberos.NewSecret("x"), "y"
	if _, err := client.NewWinRM(o); !errors.Is(err, middleware.ErrConfiguration) {
		t.Error(err)
	}
	o = w.options
	o.Resend, o.NoResend = true, true
	if _, err := client.NewWinRM(o); !errors.Is(err, middleware.ErrConfiguration) || !strings.Contains(err.Error(), "contradict") {
		t.Error(err)
	}
}

// Requests that cannot be sealed are errors, and their bodies closed.
func TestWinRMRefusesRequests(t *testing.T) {
	w := startWinRM(t, fakewinrm.Options{}, fakeweb.ServerOptions{})
	w.options.MaxBody = 1000
	c := w.client(t)
	for name, change := range map[string]func(*http.Request){
		"credentials of its own": func(r *http.Request) { r.SetBasicAuth("alice", "x") },
		"too long":               func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader(letters(1001))), -1 },
		"shorter than announced": func(r *http.Request) { r.ContentLength = 10 },
		"longer than announced":  func(r *http.Request) { r.ContentLength = 2 },
		"an odd type":            func(r *http.Request) { r.Header.Set("Content-Type", "text/xml;length=3") },
	} {
		r := w.request(t.Context(), t, "hello")
		change(r)
		closed := &closing{ReadCloser: r.Body}
		r.Body = closed
		if resp, err := c.Do(r); err == nil || closed.n != 1 {
			t.Errorf("%s: %v, body closed %d times", name, resp, closed.n)
		}
	}
	if m := w.end.Messages(); len(m) != 0 {
		t.Errorf("%+v", m)
	}
}

type closing struct {
	io.ReadCloser
	n int
}

func (c *closing) Close() error {
	c.n++
	return c.ReadCloser.Close()
}

// Answers are bounded.
func TestWinRMMaxBody(t *testing.T) {
	w := startWinRM(t, fakewinrm.Options{Answer: func(fakekdc.Caller, []byte) (int, []byte) { return 200, []byte(letters(5000)) }}, fakeweb.ServerOptions{})
	w.options.MaxBody = 4000
	_, _, err := w.post(t, w.client(t), "hello")
	var e *middleware.Error
	if !errors.As(err, &e) || e.Reason != middleware.ReasonMalformed || !strings.Contains(err.Error(), "MaxBody") {
		t.Error(err)
	}
}

// An empty message is one too; a request without a body has none to seal.
func TestWinRMEmpty(t *testing.T) {
	w := startWinRM(t, fakewinrm.Options{Answer: func(fakekdc.Caller, []byte) (int, []byte) { return 200, nil }}, fakeweb.ServerOptions{})
	c := w.client(t)
	resp, body, err := w.post(t, c, "hello")
	if err != nil || resp.StatusCode != 200 || body != "" || !middleware.SecurityOf(resp.Request).Verified() {
		t.Error(resp, body, err)
	}
	r := w.request(t.Context(), t, "")
	r.Body = http.NoBody
	if _, err := c.Do(r); !errors.Is(err, middleware.ErrNotVerified) {
		t.Errorf("a request without a body was answered without proof: %v", err)
	}
}

// Neither messages nor keys get into logs and errors.
func TestWinRMSecrets(t *testing.T) {
	w := startWinRM(t, fakewinrm.Options{}, fakeweb.ServerOptions{})
	var log bytes.Buffer
	w.options.Logging = logging.Options{Handler: slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})}
	c := w.client(t)
	w.echo(t, c, "canary")
	w.end.SetForgery(fakewinrm.Forgeries()["data in clear"])
	_, _, err := w.post(t, c, "canary canary canary canary canary")
	all := fmt.Sprintf("%s %v %+v %#v %+v", &log, err, err, w.options, c)
	if err == nil || strings.Contains(all, "canary") || !strings.Contains(all, "sealed") {
		t.Error(all)
	}
}

// A request made of an earlier response's context is one like any other: the
// session vouches for each message by itself.
func TestWinRMContextOfAnEarlierResponse(t *testing.T) {
	w := startWinRM(t, fakewinrm.Options{}, fakeweb.ServerOptions{})
	c := w.client(t)
	ctx := t.Context()
	for _, message := range []string{"one", "two", "three"} {
		resp, err := c.Do(w.request(ctx, t, message))
		if err != nil {
			t.Fatalf("%s: %v", message, err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if sc := middleware.SecurityOf(resp.Request); resp.StatusCode != http.StatusOK || sc == nil || !sc.Verified() {
			t.Errorf("%s: status %d, context %v", message, resp.StatusCode, sc)
		}
		ctx = resp.Request.Context()
	}
	if n := len(w.end.Messages()); n != 3 {
		t.Errorf("the server carried out %d messages", n)
	}
}

// A request without a URL is refused, whatever is encrypted, and its body closed.
func TestWinRMWithoutURL(t *testing.T) {
	w := startWinRM(t, fakewinrm.Options{}, fakeweb.ServerOptions{})
	for _, mode := range []seal.Mode{seal.Auto, seal.Always, seal.Never} {
		w.options.Encryption = mode
		c, err := client.NewWinRM(w.options)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		body := &closing{ReadCloser: io.NopCloser(strings.NewReader("message"))}
		r.URL, r.Body = nil, body
		if _, err := c.Transport.RoundTrip(r); err == nil || !strings.Contains(err.Error(), "URL") || body.n == 0 {
			t.Errorf("%v: error %v, closed %d times", mode, err, body.n)
		}
		c.CloseIdleConnections()
	}
}
