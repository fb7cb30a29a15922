package sign_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
)

// fakeConn is a connection of which only the TLS state matters.
type fakeConn struct {
	net.Conn
	state *tls.ConnectionState
}

func (fakeConn) Close() error { return nil }

func (c fakeConn) ConnectionState() tls.ConnectionState {
	if c.state == nil {
		return tls.ConnectionState{}
	}
	return *c.state
}

// recording remembers the tokens that arrive.
type recording struct {
	mu     sync.Mutex
	tokens []string
}

// note may be called for a request without a token: decoding "" gives "".
func (rec *recording) note(r *http.Request) {
	_, text, _ := strings.Cut(r.Header.Get("Authorization")+r.Header.Get("Proxy-Authorization"), " ")
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		b = []byte(err.Error())
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.tokens = append(rec.tokens, string(b))
}

func (rec *recording) check(t *testing.T, want ...string) {
	t.Helper()
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if d := cmp.Diff(want, rec.tokens); d != "" {
		t.Errorf("tokens that arrived (-want +got):\n%s", d)
	}
}

// oneShot accepts connections, answers the first request of each and hangs up
// on reading the second without answering it, as a server does whose idle
// timeout strikes at the wrong moment. It returns its address.
func oneShot(t *testing.T, rec *recording) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		all.Wait()
	})
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			all.Go(func() {
				defer c.Close()
				br := bufio.NewReader(c)
				for answer := true; ; answer = false {
					r, err := http.ReadRequest(br)
					if err != nil {
						return // hung up
					}
					if _, err := io.Copy(io.Discard, r.Body); err != nil {
						return
					}
					rec.note(r)
					if !answer {
						return
					}
					if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); err != nil {
						return
					}
				}
			})
		}
	})
	return "http://" + l.Addr().String()
}

// http.Transport resends a request by itself when a pooled connection turns
// out to be dead. The second copy must not bear the token of the first.
func TestStaleConnection(t *testing.T) {
	for name, body := range map[string]string{"GET": "", "PUT": "data"} {
		t.Run(name, func(t *testing.T) {
			var rec recording
			addr := oneShot(t, &rec)
			tr := &http.Transport{}
			defer tr.CloseIdleConnections()
			in := new(stagetest.Initiator)
			next := signing(in, false)(tr.RoundTrip)
			for range 2 {
				r := request(t, name, addr, body)
				r.Header.Set("Idempotency-Key", "1") // lets net/http resend a PUT
				resp, err := next(r)
				if got := finish(t, resp, err); got != "ok" {
					t.Errorf("body %q", got)
				}
			}
			rec.check(t, "client-1", "client-2", "client-3")
		})
	}
}

// Where no fresh token can be had for the second connection, its error is what
// the caller sees, and the used token is not sent.
func TestStaleConnectionWithoutToken(t *testing.T) {
	var rec recording
	addr := oneShot(t, &rec)
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	in := &stagetest.Initiator{Fail: func(n int, _ middleware.Target) error {
		if n > 2 {
			return &middleware.Error{Stage: "fake", Kind: middleware.ErrKDC}
		}
		return nil
	}}
	next := signing(in, false)(tr.RoundTrip)
	resp, err := next(request(t, "GET", addr, ""))
	finish(t, resp, err)
	resp, err = next(request(t, "GET", addr, ""))
	if err == nil {
		finish(t, resp, nil)
	}
	if !errors.Is(err, middleware.ErrKDC) {
		t.Errorf("error %v", err)
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if len(rec.tokens) > 2 && rec.tokens[2] != "" {
		t.Errorf("a used token was sent: %q", rec.tokens)
	}
}

func quiet(s *httptest.Server) *httptest.Server {
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	return s
}

// A token made before the connection is known is bound to its certificate
// before it is sent, in HTTP/1.1 and HTTP/2.
func TestBindings(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("h2 %v", h2), func(t *testing.T) {
			var rec recording
			var protos sync.Map
			srv := quiet(httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				rec.note(r)
				protos.Store(r.ProtoMajor, true)
			})))
			srv.EnableHTTP2 = h2
			srv.StartTLS()
			defer srv.Close()
			tr := srv.Client().Transport
			in := new(stagetest.Initiator)
			next := signing(in, false)(tr.RoundTrip)
			for range 2 {
				resp, err := next(request(t, "GET", srv.URL, ""))
				finish(t, resp, err)
				sc := middleware.SecurityOf(resp.Request)
				if state := sc.Target().TLS; state == nil || !bytes.Equal(state.PeerCertificates[0].Raw, srv.Certificate().Raw) {
					t.Errorf("bound to %v", state)
				}
			}
			rec.check(t, "client-2", "client-4")
			if _, ok := protos.Load(2); ok != h2 {
				t.Errorf("HTTP/2 is %v", ok)
			}
		})
	}
}

// Two servers behind one name, with certificates of their own: a token bound to
// the one is not sent to the other.
func TestOtherCertificate(t *testing.T) {
	var rec recording
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { rec.note(r) })
	first := quiet(httptest.NewTLSServer(handler))
	defer first.Close()
	second := quiet(httptest.NewUnstartedServer(handler))
	second.TLS = &tls.Config{Certificates: []tls.Certificate{stagetest.SelfSigned(t)}}
	second.StartTLS()
	defer second.Close()

	pool := x509.NewCertPool()
	pool.AddCert(first.Certificate())
	pool.AddCert(second.Certificate())
	addrs := []string{first.Listener.Addr().String(), second.Listener.Addr().String()}
	dials := 0
	tr := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: pool},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			dials++
			return new(net.Dialer).DialContext(ctx, network, addrs[dials%2])
		},
	}
	// Every token is made for the certificate that the last response showed,
	// as after a 401.
	var last *tls.ConnectionState
	in := new(stagetest.Initiator)
	bound := middleware.InitiatorFunc(func(ctx context.Context, target middleware.Target) (middleware.SecurityContext, error) {
		if target.TLS == nil {
			target.TLS = last
		}
		return in.Initiate(ctx, target)
	})
	next := signing(bound, false)(tr.RoundTrip)
	for i := range 4 {
		resp, err := next(request(t, "GET", "https://example.com/", ""))
		finish(t, resp, err)
		want := []*httptest.Server{second, first}[i%2].Certificate().Raw
		if got := middleware.SecurityOf(resp.Request).Target().TLS; !bytes.Equal(got.PeerCertificates[0].Raw, want) {
			t.Errorf("request %d is bound to another certificate", i+1)
		}
		last = resp.TLS
	}
	rec.check(t, "client-2", "client-4", "client-6", "client-8")
}

// A plain request through a proxy, and a dead connection to that proxy.
func TestProxy(t *testing.T) {
	var rec recording
	addr := oneShot(t, &rec)
	proxy, err := url.Parse(addr)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{Proxy: http.ProxyURL(proxy)}
	defer tr.CloseIdleConnections()
	next := signingFor(new(stagetest.Initiator), forProxy(proxy))(tr.RoundTrip)
	for range 2 {
		resp, err := next(request(t, "GET", "http://origin.example/", ""))
		finish(t, resp, err)
		if middleware.ProxySecurityOf(resp.Request) == nil || middleware.SecurityOf(resp.Request) != nil {
			t.Error("resp.Request does not carry the context for the proxy, and that alone")
		}
	}
	rec.check(t, "client-1", "client-2", "client-3")
}

func forProxy(u *url.URL) func(*http.Request) middleware.Target {
	return func(*http.Request) middleware.Target {
		t := middleware.TargetOfURL(u)
		t.Proxy = true
		return t
	}
}

// A token for a proxy goes to that proxy, whatever a transport says beforehand: not
// to the server, and not to another proxy.
func TestAnotherWay(t *testing.T) {
	for name, tc := range map[string]struct {
		proxy, signed string // URLs; no proxy if empty
		want          string
	}{
		"there":           {"http://proxy.example:3128", "http://proxy.example:3128", "client-1"},
		"implied port":    {"http://proxy.example", "http://proxy.example:80", "client-1"},
		"of https":        {"https://proxy.example:443", "https://proxy.example", "client-1"},
		"letters":         {"http://PROXY.example:3128", "http://proxy.example:3128", "client-1"},
		"an IDN":          {"http://b\u00fccher.example:3128", "http://b\u00fccher.example:3128", "client-1"},
		"IPv6":            {"http://[::1]:3128", "http://[::1]:3128", "client-1"},
		"to the server":   {"", "http://proxy.example:3128", ""},
		"to another":      {"http://evil.example:3128", "http://proxy.example:3128", ""},
		"to another port": {"http://proxy.example:3129", "http://proxy.example:3128", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var rec recording
			srv := quiet(httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { rec.note(r) })))
			srv.Start()
			defer srv.Close()
			tr := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, srv.Listener.Addr().String())
			}}
			if strings.HasPrefix(tc.proxy, "https:") {
				tr.DialTLSContext = tr.DialContext // nothing here is about TLS
			}
			defer tr.CloseIdleConnections()
			parse := func(s string) *url.URL {
				u, err := url.Parse(s)
				if err != nil {
					t.Fatal(err)
				}
				return u
			}
			if tc.proxy != "" {
				tr.Proxy = http.ProxyURL(parse(tc.proxy))
			}
			next := signingFor(new(stagetest.Initiator), forProxy(parse(tc.signed)))(tr.RoundTrip)
			resp, err := next(request(t, "GET", "http://origin.example/", ""))
			finish(t, resp, err)
			rec.check(t, tc.want)
		})
	}
}

// Over a second connection the token is taken off, or put on again, by where that
// one leads.
func TestAnotherWayTheSecondTime(t *testing.T) {
	for name, tc := range map[string]struct {
		hops []string
		want string
	}{
		"back":      {[]string{"evil.example:3128", "proxy.example:3128"}, "Negotiate client-2"},
		"away":      {[]string{"proxy.example:3128", "evil.example:3128"}, ""},
		"not told":  {[]string{""}, "Negotiate client-1"},
		"not twice": {[]string{"evil.example:3128", "evil.example:3128"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			transport := func(r *http.Request) (*http.Response, error) {
				trace := httptrace.ContextClientTrace(r.Context())
				for _, hop := range tc.hops {
					if hop != "" {
						trace.GetConn(hop)
					}
					trace.GotConn(httptrace.GotConnInfo{Conn: fakeConn{}})
				}
				_, text, _ := strings.Cut(r.Header.Get("Proxy-Authorization"), " ")
				if b, err := base64.StdEncoding.DecodeString(text); text != "" && err == nil {
					got = "Negotiate " + string(b)
				}
				return stagetest.Respond(200, "")(r)
			}
			proxy := &url.URL{Scheme: "http", Host: "proxy.example:3128"}
			resp, err := signingFor(new(stagetest.Initiator), forProxy(proxy))(transport)(request(t, "GET", "http://origin.example/", ""))
			finish(t, resp, err)
			if got != tc.want {
				t.Errorf("sent %q, want %q", got, tc.want)
			}
		})
	}
}

// Closing the body gives the connection back: the attempt's own context does not
// tear it.
func TestConnectionIsReused(t *testing.T) {
	var mu sync.Mutex
	conns := 0
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, err := w.Write(make([]byte, 100<<10)); err != nil {
			t.Error(err)
		}
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			mu.Lock()
			defer mu.Unlock()
			conns++
		}
	}
	srv.Start()
	defer srv.Close()
	next := signing(new(stagetest.Initiator), false)(srv.Client().Transport.RoundTrip)
	for range 5 {
		resp, err := next(request(t, "GET", srv.URL, ""))
		if got := finish(t, resp, err); len(got) != 100<<10 {
			t.Errorf("%d bytes", len(got))
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if conns != 1 {
		t.Errorf("%d connections", conns)
	}
}

// The body of a 101 response stays what net/http makes it.
func TestUpgrade(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		if _, err := io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"); err != nil {
			t.Error(err)
			return
		}
		if _, err := io.Copy(c, rw); err != nil {
			t.Error(err)
		}
	}))
	defer srv.Close()
	r := request(t, "GET", srv.URL, "")
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "echo")
	var next kerbchain.Next = srv.Client().Transport.RoundTrip
	resp, err := signing(new(stagetest.Initiator), false)(next)(r)
	if err != nil {
		t.Fatal(err)
	}
	rw, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		t.Fatalf("body is a %T", resp.Body)
	}
	cw, ok := resp.Body.(interface{ CloseWrite() error })
	if !ok {
		t.Fatalf("body is a %T without CloseWrite", resp.Body)
	}
	if _, err := io.WriteString(rw, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := cw.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := finish(t, resp, nil); got != "hello" {
		t.Errorf("echo %q", got)
	}
}
