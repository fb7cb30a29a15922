package negotiate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
)

// A prover answers signed requests with its token, and unsigned ones with a
// challenge.
type prover struct {
	mu      sync.Mutex
	seen    []string // method, host, "signed" or "bare", length of the body
	silent  bool     // no token of its own
	bound   bool     // unsigned requests are answered
	refuses bool     // signed requests too, once
}

func (p *prover) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	how := "bare"
	switch scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " "); scheme {
	case "":
	case "Negotiate":
		how = "signed"
	default:
		how = scheme
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, fmt.Sprintf("%s %s %s %d", r.Method, r.Host, how, len(b)))
	switch {
	case err != nil:
		w.WriteHeader(http.StatusBadRequest)
	case how == "bare" && p.bound: // the connection is the user's
	case how == "bare" || p.refuses:
		p.refuses = false
		w.Header().Set("WWW-Authenticate", "Negotiate")
		w.WriteHeader(http.StatusUnauthorized)
	case !p.silent:
		w.Header().Set("WWW-Authenticate", stagetest.Value("Negotiate", stagetest.ServerOK))
	}
}

func (p *prover) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.seen
	p.seen = nil
	return out
}

// What goes over a connection on which the server proved itself is signed at once,
// and nothing else is.
func TestProvenConnection(t *testing.T) {
	type step struct {
		do   func(*prover) // before
		r    string        // method, host and body
		want []string
	}
	first := step{r: "GET a.test", want: []string{"GET a.test bare 0", "GET a.test signed 0"}}
	for name, tc := range map[string]struct {
		o      negotiate.Options
		mode   mutual.Mode
		server func(*httptest.Server)
		change func(*http.Transport)
		fail   func(n int, t middleware.Target) error
		steps  []step
	}{
		"GET, then POST": {steps: []step{
			first, {r: "POST a.test hello", want: []string{"POST a.test signed 5"}}, {r: "GET a.test", want: []string{"GET a.test signed 0"}},
		}},
		"optional": {mode: mutual.Optional, steps: []step{first, {r: "GET a.test", want: []string{"GET a.test signed 0"}}}},
		"nothing is verified": {mode: mutual.Disabled, steps: []step{
			first, {r: "GET a.test", want: []string{"GET a.test bare 0", "GET a.test signed 0"}},
		}},
		"the server proved nothing": {mode: mutual.Optional, steps: []step{
			{do: func(p *prover) { p.silent = true }, r: "GET a.test", want: first.want},
			{r: "GET a.test", want: first.want},
		}},
		"not any more": {mode: mutual.Optional, steps: []step{
			first,
			{do: func(p *prover) { p.silent = true }, r: "GET a.test", want: []string{"GET a.test signed 0"}},
			{r: "GET a.test", want: first.want},
		}},
		"wait for the challenge":  {o: negotiate.Options{WaitForChallenge: true}, steps: []step{first, {r: "GET a.test", want: first.want}}},
		"every connection is new": {change: func(tr *http.Transport) { tr.DisableKeepAlives = true }, steps: []step{first, {r: "GET a.test", want: first.want}}},
		"refused": {steps: []step{
			first, {do: func(p *prover) { p.refuses = true }, r: "PUT a.test hello", want: []string{"PUT a.test signed 5", "PUT a.test signed 5"}},
		}},
		"another origin, by one proxy": {
			change: func(tr *http.Transport) {
				tr.Proxy = func(r *http.Request) (*url.URL, error) { return url.Parse("http://proxy.test") }
			},
			steps: []step{
				first, {r: "GET b.test", want: []string{"GET b.test bare 0", "GET b.test signed 0"}},
				{r: "GET a.test", want: []string{"GET a.test bare 0", "GET a.test signed 0"}}, {r: "GET a.test", want: []string{"GET a.test signed 0"}},
			},
		},
		"no ticket any more": {
			fail: func(n int, _ middleware.Target) error {
				if n == 2 {
					return &middleware.Error{Kind: middleware.ErrCredentials}
				}
				return nil
			},
			steps: []step{first, {r: "GET a.test", want: first.want}, {r: "GET a.test", want: []string{"GET a.test signed 0"}}},
		},
		"no ticket for a while, and none is asked for": {
			mode: mutual.Optional,
			fail: func(n int, _ middleware.Target) error {
				if n == 2 {
					return &middleware.Error{Kind: middleware.ErrCredentials}
				}
				return nil
			},
			steps: []step{
				first, {do: func(p *prover) { p.bound = true }, r: "GET a.test", want: []string{"GET a.test bare 0"}},
				{r: "GET a.test", want: []string{"GET a.test signed 0"}},
			},
		},
		"credentials of the caller's own": {steps: []step{first, {r: "GET a.test own", want: []string{"GET a.test Bearer 0"}}}},
		"HTTP/2": {
			server: func(s *httptest.Server) { s.EnableHTTP2 = true },
			steps:  []step{first, {r: "GET a.test", want: first.want}},
		},
	} {
		for _, secure := range []bool{false, true} {
			if secure && strings.Contains(name, "proxy") || !secure && name == "HTTP/2" {
				continue
			}
			t.Run(fmt.Sprintf("%s, TLS %t", name, secure), func(t *testing.T) {
				p := new(prover)
				srv := httptest.NewUnstartedServer(p)
				quietly(srv)
				if tc.server != nil {
					tc.server(srv)
				}
				scheme := "http://"
				if secure {
					scheme = "https://"
					srv.StartTLS()
				} else {
					srv.Start()
				}
				t.Cleanup(srv.Close)
				tr := to(srv)
				if tc.change != nil {
					tc.change(tr)
				}
				t.Cleanup(tr.CloseIdleConnections)
				in := &stagetest.Initiator{Fail: tc.fail}
				rt := kerbchain.Wrap(tr, mutual.New(mutual.Options{Mode: tc.mode}), negotiate.New(in, tc.o))
				for i, s := range tc.steps {
					if s.do != nil {
						p.mu.Lock()
						s.do(p)
						p.mu.Unlock()
					}
					f := strings.Fields(s.r)
					var body io.Reader
					if len(f) > 2 && f[2] != "own" {
						body = strings.NewReader(f[2])
					}
					r, err := http.NewRequestWithContext(t.Context(), f[0], scheme+f[1]+"/", body)
					if err != nil {
						t.Fatal(err)
					}
					if len(f) > 2 && f[2] == "own" {
						r.Header.Set("Authorization", "Bearer x")
					}
					resp, err := rt.RoundTrip(r)
					if err == nil {
						if _, err := io.Copy(io.Discard, resp.Body); err != nil {
							t.Error(err)
						}
						resp.Body.Close()
						if resp.StatusCode != http.StatusOK {
							t.Errorf("request %d: status %d", i+1, resp.StatusCode)
						}
					} else if !errors.Is(err, middleware.ErrNotVerified) || len(f) < 3 {
						t.Errorf("request %d: %v", i+1, err)
					}
					if diff := cmp.Diff(s.want, p.requests()); diff != "" {
						t.Errorf("request %d (-want +got):\n%s", i+1, diff)
					}
				}
			})
		}
	}
}

// to returns a transport that reaches srv whatever the host.
func to(srv *httptest.Server) *http.Transport {
	tr := srv.Client().Transport.(*http.Transport).Clone()
	tr.DialContext = dialer(srv.Listener.Addr().String())
	if tr.TLSClientConfig != nil {
		tr.TLSClientConfig.ServerName = "example.com" // that of the certificate
	}
	return tr
}

// Many calls at once, over as many connections: each is signed for itself, and each
// answer verified.
func TestProvenConnectionsInParallel(t *testing.T) {
	p := new(prover)
	srv := httptest.NewServer(p)
	t.Cleanup(srv.Close)
	tr := to(srv)
	t.Cleanup(tr.CloseIdleConnections)
	rt := kerbchain.Wrap(tr, mutual.New(mutual.Options{}), negotiate.New(new(stagetest.Initiator), negotiate.Options{}))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://a.test/", strings.NewReader("hello"))
				if err != nil {
					t.Error(err)
					return
				}
				resp, err := rt.RoundTrip(r)
				if err != nil {
					t.Error(err)
					return
				}
				if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK || !middleware.SecurityOf(resp.Request).Verified() {
					t.Errorf("status %d, %v", resp.StatusCode, err)
				}
			}
		})
	}
	wg.Wait()
	signed := 0
	for _, s := range p.requests() {
		if s == "POST a.test signed 5" {
			signed++
		}
	}
	if signed != 160 {
		t.Errorf("%d signed requests, want 160", signed)
	}
}

func dialer(addr string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
}

// A request that was begun when nothing was signed yet does not go unsigned over a
// connection that proved itself meanwhile, whatever it takes to find another.
func TestProvenMeanwhile(t *testing.T) {
	for _, secure := range []bool{false, true} {
		for name, tc := range map[string]struct {
			method string
			other  bool // origin
			fails  bool // the next dial does
			want   []string
		}{
			"GET":               {method: http.MethodGet, want: []string{"GET a.test bare 0", "GET a.test signed 0"}},
			"POST":              {method: http.MethodPost, want: []string{"POST a.test bare 0", "POST a.test signed 0"}},
			"no new connection": {method: http.MethodPost, fails: true, want: []string{"POST a.test bare 0", "POST a.test signed 0"}},
			"another origin":    {method: http.MethodGet, other: true, want: []string{"GET b.test bare 0", "GET b.test signed 0"}},
		} {
			t.Run(fmt.Sprintf("%s, TLS %t", name, secure), func(t *testing.T) {
				p := &prover{}
				var mu sync.Mutex
				proven := make(map[string]string) // host by connection
				srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					mu.Lock()
					if r.Header.Get("Authorization") != "" {
						proven[r.RemoteAddr] = r.Host
					} else if proven[r.RemoteAddr] == r.Host {
						t.Errorf("%s goes unsigned over a connection that was proven", r.Method)
					}
					mu.Unlock()
					p.ServeHTTP(w, r)
				}))
				quietly(srv)
				scheme := "http://"
				if secure {
					scheme = "https://"
					srv.StartTLS()
				} else {
					srv.Start()
				}
				t.Cleanup(srv.Close)
				tr := to(srv)
				dials, dial := 0, tr.DialContext
				tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
					mu.Lock()
					defer mu.Unlock()
					if dials++; dials == 2 && tc.fails {
						return nil, errors.New("no new connection")
					}
					return dial(ctx, network, addr)
				}
				t.Cleanup(tr.CloseIdleConnections)
				begun, release := make(chan struct{}), make(chan struct{})
				held := func(next kerbchain.Next) kerbchain.Next {
					var once sync.Once
					return func(r *http.Request) (*http.Response, error) {
						if r.URL.Path == "/late" {
							once.Do(func() {
								close(begun)
								<-release
							})
						}
						return next(r)
					}
				}
				rt := kerbchain.Wrap(tr, mutual.New(mutual.Options{}), negotiate.New(new(stagetest.Initiator), negotiate.Options{}), held)
				get := func(method, url string) {
					r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
					if err != nil {
						t.Error(err)
						return
					}
					resp, err := rt.RoundTrip(r)
					if err != nil {
						t.Error(err)
						return
					}
					if err := resp.Body.Close(); err != nil || !middleware.SecurityOf(resp.Request).Verified() {
						t.Errorf("status %d, %v", resp.StatusCode, err)
					}
				}
				host := "a.test"
				if tc.other {
					host = "b.test"
				}
				done := make(chan struct{})
				go func() {
					defer close(done)
					get(tc.method, scheme+host+"/late")
				}()
				<-begun
				get(http.MethodGet, scheme+"a.test/")
				p.requests()
				close(release)
				<-done
				if diff := cmp.Diff(tc.want, p.requests()); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}

// A connection of HTTP/2 without TLS is shared, and does not tell: it is not ended under an
// answer that another request reads from it.
func TestProvenMeanwhileUnencryptedHTTP2(t *testing.T) {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	p, more := new(prover), make(chan struct{})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/open" {
			p.ServeHTTP(w, r)
			return
		}
		_ = http.NewResponseController(w).Flush()
		<-more
		_, _ = io.WriteString(w, "to the end")
	}))
	quietly(srv)
	srv.Config.Protocols = &protocols
	srv.Start()
	t.Cleanup(srv.Close)
	tr := to(srv)
	tr.Protocols = &protocols
	t.Cleanup(tr.CloseIdleConnections)
	rt := kerbchain.Wrap(tr, mutual.New(mutual.Options{Mode: mutual.Optional}), negotiate.New(new(stagetest.Initiator), negotiate.Options{}))
	get := func(path string, trace *httptrace.ClientTrace) (*http.Response, error) {
		r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, "http://a.test"+path, nil)
		if err != nil {
			return nil, err
		}
		return rt.RoundTrip(r)
	}

	open, err := get("/open", &httptrace.ClientTrace{})
	if err != nil {
		t.Fatal(err)
	}
	waits, proved := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	var once sync.Once
	go func() {
		resp, err := get("/late", &httptrace.ClientTrace{GetConn: func(string) {
			once.Do(func() { close(waits); <-proved })
		}})
		if err == nil {
			err = resp.Body.Close()
		}
		done <- err
	}()
	<-waits
	resp, err := get("/", &httptrace.ClientTrace{})
	if err == nil {
		err = resp.Body.Close()
	}
	close(proved)
	if err := errors.Join(err, <-done); err != nil {
		t.Error(err)
	}
	close(more)
	b, err := io.ReadAll(open.Body)
	if err := errors.Join(err, open.Body.Close()); err != nil || string(b) != "to the end" {
		t.Errorf("%q, %v", b, err)
	}
}
