package mutual_test

import (
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
	"net/http/httputil"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"weak"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
)

func TestTrustConformance(t *testing.T) {
	for _, m := range []mutual.Mode{mutual.Required, mutual.Optional, mutual.Disabled} {
		t.Run(m.String(), func(t *testing.T) {
			stagetest.Run(t, func() kerbchain.Middleware {
				return kerbchain.Chain(mutual.New(mutual.Options{Mode: m, TrustConnection: true}), sign(new(stagetest.Initiator), origin))
			})
		})
	}
}

// What a request asks of stages and server by its X-Do field.
const (
	plainly = ""       // nobody signs, nobody proves
	proves  = "proves" // signed, and answered with proof
	lies    = "lies"   // signed, and answered with a bad token
	silent  = "silent" // signed, and answered without a token
	other   = "other"  // as proves, for another service principal
	early   = "early"  // signed, and proved in a 401 that comes before the answer
)

// serverOf answers requests as they ask it to, with the status of their path.
func serverOf(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	token := map[string]string{proves: stagetest.ServerOK, other: stagetest.ServerOK, early: stagetest.ServerOK, lies: "forged"}[r.Header.Get("X-Do")]
	if token != "" {
		w.Header().Set("WWW-Authenticate", "Negotiate "+base64.StdEncoding.EncodeToString([]byte(token)))
	}
	if r.Header.Get("X-Close") != "" {
		w.Header().Set("Connection", "close")
	}
	if r.Header.Get("X-Do") == early {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	switch r.URL.Path {
	case "/moved":
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusFound)
	case "/broken":
		w.WriteHeader(http.StatusInternalServerError)
	case "/empty":
		return // so that net/http keeps the connection of an answer that is refused
	}
	io.WriteString(w, r.RemoteAddr)
}

// named is a context that tells its service principal.
type named struct {
	*stagetest.Context
	spn string
}

func (n named) SPN() string { return n.spn }

// signing signs those requests that ask for it.
func signing(next kerbchain.Next) kerbchain.Next {
	var in stagetest.Initiator
	return func(r *http.Request) (*http.Response, error) {
		do := r.Header.Get("X-Do")
		if do == plainly {
			return next(r)
		}
		sc, err := in.Initiate(r.Context(), middleware.TargetOfURL(r.URL))
		if err == nil {
			_, err = sc.Step(r.Context(), nil)
		}
		if err != nil {
			return nil, err
		}
		spn := "HTTP/web"
		if do == other {
			spn = "HTTP/other"
		}
		out := middleware.WithSecurity(r, named{sc.(*stagetest.Context), spn})
		if do != early {
			return next(out)
		}
		// As the stages do that answer challenges.
		resp, err := next(out)
		if err != nil {
			return nil, err
		}
		if _, err = sc.Step(r.Context(), []byte(stagetest.ServerOK)); err == nil {
			err = resp.Body.Close()
		}
		if err != nil {
			return nil, err
		}
		again := out.Clone(out.Context())
		again.Header.Del("X-Do")
		again.Header.Del("X-Close")
		return next(again)
	}
}

// A trusting is a chain around a transport.
type trusting struct {
	rt   kerbchain.Next
	next kerbchain.Next
}

func newTrusting(rt http.RoundTripper, o mutual.Options) *trusting {
	tr := &trusting{rt: rt.RoundTrip}
	tr.next = kerbchain.Chain(mutual.New(o), signing)(tr.rt)
	return tr
}

// say sends a request and tells in a few words what came of it, and over which
// connection.
func (tr *trusting) say(t *testing.T, url string, fields ...string) (what, conn string) {
	t.Helper()
	var verdict middleware.VerdictEvent
	ctx := middleware.WithTrace(t.Context(), func(e middleware.Event) {
		if v, ok := e.(middleware.VerdictEvent); ok {
			verdict = v
		}
	})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	resp, err := tr.next(r)
	if err != nil {
		var known *middleware.Error
		if !errors.As(err, &known) {
			t.Fatal(err)
		}
		if verdict.Verified || verdict.Trusted || verdict.Err == nil {
			t.Errorf("verdict %+v of a refusal", verdict)
		}
		return known.Reason.String(), ""
	}
	b, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	sc := middleware.SecurityOf(resp.Request)
	proved := sc != nil && sc.Verified()
	trusted := middleware.Trusted(resp.Request)
	if verdict.Verified != (proved || trusted) || verdict.Trusted != trusted || proved && trusted {
		t.Errorf("verdict %+v, proved %t, trusted %t", verdict, proved, trusted)
	}
	if (verdict.Reason == middleware.ReasonNone) != verdict.Verified && string(verdict.Mode) != mutual.Disabled.String() {
		t.Errorf("verified %t, for the reason %v", verdict.Verified, verdict.Reason)
	}
	what = "passed"
	switch {
	case proved:
		what = "proved"
	case trusted:
		what = "trusted"
		if verdict.SPN != "HTTP/web" {
			t.Errorf("trusted as %q", verdict.SPN)
		}
	}
	return what, string(b)
}

func do(what string) []string { return []string{"X-Do", what} }

// quiet starts a server that does not tell of broken connections.
func quiet(t *testing.T, secure, h2 bool) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(serverOf))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.EnableHTTP2 = h2
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func transportTo(t *testing.T, s *httptest.Server) *http.Transport {
	t.Helper()
	tr := s.Client().Transport.(*http.Transport).Clone()
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// A story is a list of requests one after another, and what comes of them.
func TestTrustStories(t *testing.T) {
	type step struct {
		path   string
		fields []string
		want   string
	}
	const refused = "no token on a reused connection"
	required := mutual.Options{TrustConnection: true}
	for name, tc := range map[string]struct {
		o     mutual.Options
		h2    bool
		steps []step
	}{
		"kept alive": {o: required, steps: []step{
			{"/", do(proves), "proved"}, {"/", do(plainly), "trusted"}, {"/", do(plainly), "trusted"}, {"/", do(proves), "proved"}, {"/", do(plainly), "trusted"},
		}},
		"not asked for": {o: mutual.Options{}, steps: []step{
			{"/", do(proves), "proved"}, {"/", do(plainly), refused},
		}},
		"not proved": {o: required, steps: []step{
			{"/empty", do(plainly), "no token"}, {"/empty", do(silent), refused}, {"/", do(proves), "proved"}, {"/", do(plainly), "trusted"},
		}},
		"optional": {o: mutual.Options{Mode: mutual.Optional, TrustConnection: true}, steps: []step{
			{"/", do(plainly), "passed"}, {"/", do(proves), "proved"}, {"/", do(plainly), "trusted"}, {"/", do(silent), "trusted"},
		}},
		"signed, and answered without a token": {o: required, steps: []step{
			{"/", do(proves), "proved"}, {"/", do(silent), "trusted"},
		}},
		"a bad token ends it": {o: required, steps: []step{
			{"/", do(proves), "proved"}, {"/empty", do(lies), "wrong key"}, {"/empty", do(plainly), refused}, {"/", do(proves), "proved"}, {"/", do(plainly), "trusted"},
		}},
		"as another service": {o: required, steps: []step{
			{"/", do(other), "proved"}, {"/empty", do(silent), refused}, {"/", do(proves), "proved"}, {"/", do(silent), "trusted"}, {"/", do(plainly), "trusted"},
		}},
		"errors and redirects": {o: required, steps: []step{
			{"/broken", do(proves), "proved"}, {"/broken", do(plainly), "trusted"}, {"/moved", do(plainly), "trusted"}, {"/", do(plainly), "trusted"},
		}},
		"errors and redirects of nobody": {o: required, steps: []step{
			{"/broken", do(plainly), "passed"}, {"/moved", do(plainly), "unverified redirect"},
		}},
		"closed and opened again": {o: required, steps: []step{
			{"/", []string{"X-Do", proves, "X-Close", "yes"}, "proved"}, {"/empty", do(plainly), "no token"}, {"/empty", do(plainly), refused},
		}},
		"proved before the answer": {o: required, steps: []step{
			{"/", do(early), "proved"}, {"/", do(plainly), "trusted"},
		}},
		"proved on another connection": {o: required, steps: []step{
			{"/", []string{"X-Do", early, "X-Close", "yes"}, "proved"}, {"/empty", do(plainly), refused}, {"/", do(proves), "proved"}, {"/", do(plainly), "trusted"},
		}},
		"disabled": {o: mutual.Options{Mode: mutual.Disabled, TrustConnection: true}, steps: []step{
			{"/", do(early), "proved"}, {"/", do(plainly), "passed"}, {"/broken", do(silent), "passed"},
		}},
		"HTTP/2": {o: required, h2: true, steps: []step{
			{"/", do(proves), "proved"}, {"/", do(plainly), refused}, {"/", do(silent), refused},
		}},
	} {
		for _, secure := range []bool{false, true} {
			if tc.h2 && !secure {
				continue
			}
			t.Run(fmt.Sprintf("%s, TLS %t", name, secure), func(t *testing.T) {
				s := quiet(t, secure, tc.h2)
				base := lasting(t, transportTo(t, s))
				if secure { // a session that is resumed is another connection all the same
					base.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(0)
				}
				tr := newTrusting(base, tc.o)
				var want, got []string
				for _, step := range tc.steps {
					what, _ := tr.say(t, s.URL+step.path, step.fields...)
					want, got = append(want, step.want), append(got, what)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}

// A connection is trusted if it is the only one over which what proved the server can have
// come, whatever the transport tells of others in between.
func TestTrustOfOneAmongSeveral(t *testing.T) {
	a, b, begun := new(net.TCPConn), new(net.TCPConn), (*net.TCPConn)(nil) // the last stands for the first byte of an answer
	for name, tc := range map[string]struct {
		do   string
		told [][]*net.TCPConn // for each request of the call
		want string           // of the next call, over b
	}{
		"one":                       {proves, [][]*net.TCPConn{{b, begun}}, "trusted"},
		"asked twice":               {proves, [][]*net.TCPConn{{b, b, begun}}, "no token on a reused connection"},
		"another after the answer":  {proves, [][]*net.TCPConn{{a, begun, b}}, "no token on a reused connection"},
		"one, proved early":         {early, [][]*net.TCPConn{{b, begun}, {b, begun, b, begun}}, "trusted"},
		"proved early, on another":  {early, [][]*net.TCPConn{{a, begun}, {b, begun}}, "no token on a reused connection"},
		"proved early, then others": {early, [][]*net.TCPConn{{a, begun}, {b, begun, b, begun}}, "no token on a reused connection"},
	} {
		t.Run(name, func(t *testing.T) {
			told := append(tc.told, []*net.TCPConn{b, begun})
			tr := newTrusting(kerbchain.Next(func(r *http.Request) (*http.Response, error) {
				trace := httptrace.ContextClientTrace(r.Context())
				trace.GetConn("web.test:80")
				for _, c := range told[0] {
					if c == begun {
						trace.GotFirstResponseByte()
					} else {
						trace.GotConn(httptrace.GotConnInfo{Conn: c, Reused: true})
					}
				}
				told = told[1:]
				in := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), nil)
				in.Header = r.Header
				w := httptest.NewRecorder()
				serverOf(w, in)
				resp := w.Result()
				resp.Request = r
				return resp, nil
			}), mutual.Options{TrustConnection: true})
			if what, _ := tr.say(t, "http://web.test/", do(tc.do)...); what != "proved" {
				t.Fatal(what)
			}
			if what, _ := tr.say(t, "http://web.test/", do(plainly)...); what != tc.want {
				t.Errorf("%s, want %s", what, tc.want)
			}
		})
	}
}

// Connections that are open at the same time are trusted each for itself.
func TestTrustInParallel(t *testing.T) {
	const n = 4
	gate := make(chan struct{})
	var here sync.WaitGroup
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			here.Done()
			<-gate
		}
		serverOf(w, r)
	}))
	defer s.Close()
	base := transportTo(t, s)
	base.MaxIdleConnsPerHost = n
	tr := newTrusting(base, mutual.Options{TrustConnection: true})
	together := func(work func(i int) (what, conn string)) map[string]string {
		all := map[string]string{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		here.Add(n)
		for i := range n {
			wg.Go(func() {
				what, conn := work(i)
				mu.Lock()
				defer mu.Unlock()
				all[fmt.Sprint(i, conn)] = what
			})
		}
		here.Wait()
		close(gate)
		wg.Wait()
		gate = make(chan struct{})
		return all
	}
	proved := map[string]bool{}
	for conn, what := range together(func(i int) (string, string) {
		if i%2 == 0 {
			return tr.say(t, s.URL+"/wait", do(proves)...)
		}
		what, _ := tr.say(t, s.URL+"/wait", do(plainly)...)
		return what, ""
	}) {
		if what == "proved" {
			proved[conn[1:]] = true
		} else if what != "no token" {
			t.Errorf("%s: %s", conn, what)
		}
	}
	if len(proved) != n/2 {
		t.Fatalf("%d connections are proved", len(proved))
	}
	trusted := 0
	for conn, what := range together(func(int) (string, string) { return tr.say(t, s.URL+"/wait", do(plainly)...) }) {
		switch {
		case what == "trusted" && proved[conn[1:]]:
			trusted++
		case !strings.HasPrefix(what, "no token"):
			t.Errorf("%s: %s", conn, what)
		}
	}
	if trusted == 0 || trusted > n/2 {
		t.Errorf("%d are trusted", trusted)
	}
}

// Another server at the same address is another server.
func TestTrustNewServerAtTheAddress(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprint("TLS ", secure), func(t *testing.T) {
			s := quiet(t, secure, false)
			base := transportTo(t, s)
			tr := newTrusting(base, mutual.Options{TrustConnection: true})
			if what, _ := tr.say(t, s.URL, do(proves)...); what != "proved" {
				t.Fatal(what)
			}
			if what, _ := tr.say(t, s.URL); what != "trusted" {
				t.Fatal(what)
			}
			addr := s.Listener.Addr().String()
			s.Close()
			lis, err := net.Listen("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			impostor := httptest.NewUnstartedServer(http.HandlerFunc(serverOf))
			impostor.Listener.Close()
			impostor.Listener = lis
			if secure {
				impostor.StartTLS() // with the very certificate
			} else {
				impostor.Start()
			}
			defer impostor.Close()
			if what, _ := tr.say(t, s.URL); what != "no token" {
				t.Error(what)
			}
		})
	}
}

// Over plain HTTP the connection is the proxy's. A tunnel ends at the origin.
func TestTrustThroughProxy(t *testing.T) {
	for name, tc := range map[string]struct {
		secure bool
		want   string
	}{
		"plain":  {false, "no token on a reused connection"},
		"tunnel": {true, "trusted"},
	} {
		t.Run(name, func(t *testing.T) {
			s := quiet(t, tc.secure, false)
			proxy := httptest.NewServer(proxyHandler(t, s))
			defer proxy.Close()
			at, err := url.Parse(proxy.URL)
			if err != nil {
				t.Fatal(err)
			}
			base := transportTo(t, s)
			base.Proxy = http.ProxyURL(at)
			tr := newTrusting(base, mutual.Options{TrustConnection: true})
			if what, _ := tr.say(t, s.URL, do(proves)...); what != "proved" {
				t.Fatal(what)
			}
			if what, _ := tr.say(t, s.URL); what != tc.want {
				t.Errorf("%s, want %s", what, tc.want)
			}
			base.CloseIdleConnections()
		})
	}
}

// proxyHandler forwards to one server, whatever is asked for.
func proxyHandler(t *testing.T, s *httptest.Server) http.Handler {
	forward := &httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}, Transport: transportTo(t, s)}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			forward.ServeHTTP(w, r)
			return
		}
		there, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		defer there.Close()
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer here.Close()
		io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		done := make(chan struct{})
		go func() {
			defer close(done)
			io.Copy(there, here)
			there.Close()
		}()
		io.Copy(here, there)
		here.Close()
		<-done
	})
}

// Wrappers around connections, as dialers of programs make them.
type (
	opaque struct{ net.Conn }
	honest struct{ net.Conn }
)

func (h honest) NetConn() net.Conn { return h.Conn }

// lasting gives tr connections that end with the test alone, and not with a refused
// answer, so that a request can meet one whose answer was refused.
func lasting(t *testing.T, tr *http.Transport) *http.Transport {
	return dialing(tr, func(c net.Conn) net.Conn {
		t.Cleanup(func() { c.Close() })
		return survivor{honest{c}}
	})
}

type survivor struct{ honest }

func (survivor) Close() error { return nil }

func dialing(tr *http.Transport, wrap func(net.Conn) net.Conn) *http.Transport {
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return wrap(c), nil
	}
	return tr
}

// withoutMaterial makes connections that have no keying material to tell them by.
func withoutMaterial(tr *http.Transport) *http.Transport {
	tr.TLSClientConfig.MaxVersion = tls.VersionTLS12
	tr.TLSClientConfig.Renegotiation = tls.RenegotiateOnceAsClient
	return tr
}

// naming has answers name another TLS state than that of their connection.
func naming(tr http.RoundTripper, change func(*tls.ConnectionState) *tls.ConnectionState) http.RoundTripper {
	return kerbchain.Next(func(r *http.Request) (*http.Response, error) {
		resp, err := tr.RoundTrip(r)
		if err == nil && resp.TLS != nil {
			state := *resp.TLS
			resp.TLS = change(&state)
		}
		return resp, err
	})
}

// Where the transport does not tell over which connection an answer came, or
// tells it of several, nothing is trusted.
func TestTrustNotTold(t *testing.T) {
	const refused = "no token on a reused connection"
	both := func(want string) map[bool]string { return map[bool]string{false: want, true: want} }
	for name, tc := range map[string]struct {
		make func(*http.Transport) http.RoundTripper
		want map[bool]string // by whether it is TLS
	}{
		"as it is": {func(tr *http.Transport) http.RoundTripper { return tr }, both("trusted")},
		"wrapped and told": {func(tr *http.Transport) http.RoundTripper {
			return dialing(tr, func(c net.Conn) net.Conn { return honest{c} })
		}, both("trusted")},
		"wrapped": {func(tr *http.Transport) http.RoundTripper {
			return dialing(tr, func(c net.Conn) net.Conn { return opaque{c} })
		}, map[bool]string{false: refused, true: "trusted"}},
		"TLS 1.2": {func(tr *http.Transport) http.RoundTripper {
			tr.TLSClientConfig.MaxVersion = tls.VersionTLS12
			return tr
		}, map[bool]string{true: "trusted"}},
		"TLS 1.2 without keying material": {func(tr *http.Transport) http.RoundTripper {
			tr.TLSClientConfig.MaxVersion = tls.VersionTLS12
			tr.TLSClientConfig.Renegotiation = tls.RenegotiateOnceAsClient
			return tr
		}, map[bool]string{true: "trusted"}},
		"another certificate, without keying material": {func(tr *http.Transport) http.RoundTripper {
			return naming(withoutMaterial(tr), func(s *tls.ConnectionState) *tls.ConnectionState {
				s.PeerCertificates = []*x509.Certificate{{Raw: []byte("another")}}
				return s
			})
		}, map[bool]string{true: refused}},
		"no certificate, without keying material": {func(tr *http.Transport) http.RoundTripper {
			return naming(withoutMaterial(tr), func(s *tls.ConnectionState) *tls.ConnectionState {
				s.PeerCertificates = nil
				return s
			})
		}, map[bool]string{true: refused}},
		"no TLS state": {func(tr *http.Transport) http.RoundTripper {
			return naming(tr, func(*tls.ConnectionState) *tls.ConnectionState { return nil })
		}, map[bool]string{true: refused}},
		"a TLS state that the transport made": {func(tr *http.Transport) http.RoundTripper {
			return naming(tr, func(s *tls.ConnectionState) *tls.ConnectionState {
				return &tls.ConnectionState{HandshakeComplete: true, PeerCertificates: s.PeerCertificates}
			})
		}, map[bool]string{true: refused}},
		"a TLS connection of its own": {func(tr *http.Transport) http.RoundTripper {
			config := tr.TLSClientConfig
			tr.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				d := tls.Dialer{Config: config}
				c, err := d.DialContext(ctx, network, addr)
				return opaque{c}, err
			}
			return tr
		}, map[bool]string{false: "trusted", true: refused}},
		"without hooks": {func(tr *http.Transport) http.RoundTripper {
			return kerbchain.Next(func(r *http.Request) (*http.Response, error) {
				resp, err := tr.RoundTrip(r.WithContext(context.WithoutCancel(t.Context())))
				if resp != nil {
					resp.Request = r
				}
				return resp, err
			})
		}, both("no token")},
		"all requests twice": {func(tr *http.Transport) http.RoundTripper { return hedging{tr, tr.Clone()} }, both("no token")},
		"all requests twice, without keying material": {func(tr *http.Transport) http.RoundTripper {
			tr.TLSClientConfig.MaxVersion = tls.VersionTLS12
			tr.TLSClientConfig.Renegotiation = tls.RenegotiateOnceAsClient
			return hedging{tr, tr.Clone()}
		}, map[bool]string{true: "no token"}},
		"an answer that does not name its request": {func(tr *http.Transport) http.RoundTripper {
			return kerbchain.Next(func(r *http.Request) (*http.Response, error) {
				resp, err := tr.RoundTrip(r)
				if resp != nil && r.Header.Get("X-Do") == plainly {
					resp.Request = nil
				}
				return resp, err
			})
		}, both("trusted")},
		"another's address": {func(tr *http.Transport) http.RoundTripper {
			return kerbchain.Next(func(r *http.Request) (*http.Response, error) {
				resp, err := tr.RoundTrip(r)
				if resp != nil {
					there := *r.URL
					there.Host = "elsewhere.test"
					resp.Request = &http.Request{URL: &there}
					resp.Request = resp.Request.WithContext(r.Context())
				}
				return resp, err
			})
		}, both(refused)},
		"an old response": {func(tr *http.Transport) http.RoundTripper {
			return kerbchain.Next(func(r *http.Request) (*http.Response, error) {
				resp, err := tr.RoundTrip(r)
				if resp != nil {
					resp.ProtoMinor = 0
				}
				return resp, err
			})
		}, both(refused)},
	} {
		for secure, want := range tc.want {
			t.Run(fmt.Sprintf("%s, TLS %t", name, secure), func(t *testing.T) {
				what := ""
				for range 3 { // net/http may have given the connection up, as on a machine with much to do
					s := quiet(t, secure, false)
					base := tc.make(transportTo(t, s))
					if h, ok := base.(hedging); ok {
						defer h[1].CloseIdleConnections()
					}
					tr := newTrusting(base, mutual.Options{TrustConnection: true})
					for range 2 {
						if what, _ := tr.say(t, s.URL, do(proves)...); what != "proved" {
							t.Fatal(what)
						}
					}
					if what, _ = tr.say(t, s.URL); what != "no token" {
						break
					}
				}
				if what != want {
					t.Errorf("%s, want %s", what, want)
				}
			})
		}
	}
}

// hedging sends every request over two connections at a time, and returns the
// answer that came over the first.
type hedging [2]*http.Transport

func (h hedging) RoundTrip(r *http.Request) (*http.Response, error) {
	begun, both := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		<-begun
		got := sync.OnceFunc(func() { close(both) })
		// When the header is written, the stage has heard of the connection too.
		ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{WroteHeaders: got})
		if resp, err := h[1].RoundTrip(r.Clone(ctx)); err == nil {
			io.Copy(io.Discard, resp.Body) // its connection lives on
			resp.Body.Close()
		}
		got()
	})
	begin := sync.OnceFunc(func() { close(begun) })
	first := r.Clone(r.Context())
	first.Method, first.Body = http.MethodPost, io.NopCloser(readerFunc(func([]byte) (int, error) {
		begin() // its connection is known
		<-both
		return 0, io.EOF
	}))
	resp, err := h[0].RoundTrip(first)
	begin()
	wg.Wait()
	return resp, err
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// A proof is for one origin, even if a transport sends all of them over one
// connection.
func TestTrustIsPerOrigin(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s := quiet(t, secure, false)
		base := lasting(t, transportTo(t, s))
		there, err := url.Parse(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		tr := newTrusting(kerbchain.Next(func(r *http.Request) (*http.Response, error) {
			out := r.Clone(r.Context())
			out.URL.Host = there.Host
			resp, err := base.RoundTrip(out)
			if resp != nil {
				resp.Request = r
			}
			return resp, err
		}), mutual.Options{TrustConnection: true})
		var got []string
		for _, step := range []struct{ host, do string }{{"a.test", proves}, {"A.test", plainly}, {"b.test", plainly}} {
			what, _ := tr.say(t, there.Scheme+"://"+step.host+"/empty", do(step.do)...)
			got = append(got, what)
		}
		// Over plain HTTP somebody else's address is a proxy's.
		const refused = "no token on a reused connection"
		want := []string{"proved", refused, refused}
		if secure {
			want[1] = "trusted"
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("TLS %t (-want +got):\n%s", secure, diff)
		}
	}
}

// Two wirings of one stage, and two chains over one transport, do not know of
// each other's connections.
func TestTrustPerWiring(t *testing.T) {
	s := quiet(t, false, false)
	base := transportTo(t, s)
	stage := mutual.New(mutual.Options{TrustConnection: true})
	wire := func() *trusting { return &trusting{next: kerbchain.Chain(stage, signing)(base.RoundTrip)} }
	alice, bob := wire(), wire()
	if what, _ := alice.say(t, s.URL, do(proves)...); what != "proved" {
		t.Fatal(what)
	}
	if what, _ := alice.say(t, s.URL); what != "trusted" {
		t.Fatal(what)
	}
	if what, _ := bob.say(t, s.URL); what != "no token on a reused connection" {
		t.Error(what)
	}
}

// The request of a response that was trusted can be sent again: its mark does
// not go with it.
func TestTrustIsNotInherited(t *testing.T) {
	s := quiet(t, false, false)
	base := transportTo(t, s)
	tr := newTrusting(base, mutual.Options{TrustConnection: true})
	tr.say(t, s.URL, do(proves)...)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/broken", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.next(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if !middleware.Trusted(resp.Request) || middleware.Trusted(r) {
		t.Fatal("not trusted")
	}
	for name, o := range map[string]mutual.Options{
		"untrusting":          {},
		"trusting":            {TrustConnection: true},
		"disabled":            {Mode: mutual.Disabled, TrustConnection: true},
		"optional, trusting":  {Mode: mutual.Optional, TrustConnection: true},
		"optional, otherwise": {Mode: mutual.Optional},
	} {
		again, err := newTrusting(base, o).next(resp.Request)
		if err != nil {
			t.Fatal(err)
		}
		again.Body.Close()
		if middleware.Trusted(again.Request) {
			t.Errorf("%s: the mark was inherited", name)
		}
	}
}

// Neither the stage nor a request that somebody holds keeps a connection.
func TestTrustKeepsNoConnection(t *testing.T) {
	s := quiet(t, false, false)
	var made weak.Pointer[net.TCPConn]
	base := transportTo(t, s)
	dialing(base, func(c net.Conn) net.Conn {
		made = weak.Make(c.(*net.TCPConn))
		return c
	})
	tr := newTrusting(base, mutual.Options{TrustConnection: true})
	if what, _ := tr.say(t, s.URL, do(proves)...); what != "proved" {
		t.Fatal(what)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.next(r)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	held := resp.Request
	resp = nil
	base.CloseIdleConnections()
	for range 1000 {
		if runtime.GC(); made.Value() == nil {
			break
		}
		runtime.Gosched() // the transport's goroutines end by and by
	}
	if made.Value() != nil {
		t.Error("the connection is still there")
	}
	if !middleware.Trusted(held) {
		t.Error("not trusted")
	}
	runtime.KeepAlive(tr)
}

// Names that the transport writes in its own way are the same for all that.
func TestTrustNames(t *testing.T) {
	for _, secure := range []bool{false, true} {
		for _, host := range []string{"web.test", "WEB.test", "bücher.test", "xn--bcher-kva.test:8080", "[::1]", "[fe80::1%25eth0]:8080", "127.0.0.1"} {
			s := quiet(t, secure, false)
			base := transportTo(t, s)
			base.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, network, s.Listener.Addr().String())
			}
			scheme := "http://"
			if secure {
				scheme, base.TLSClientConfig.ServerName = "https://", "example.com"
			}
			tr := newTrusting(base, mutual.Options{TrustConnection: true})
			first, _ := tr.say(t, scheme+host+"/", do(proves)...)
			if second, _ := tr.say(t, scheme+host+"/"); first != "proved" || second != "trusted" {
				t.Errorf("%s%s: %s, %s", scheme, host, first, second)
			}
		}
	}
}

// Whoever asked for trust and gets none is told why.
func TestTrustHints(t *testing.T) {
	for name, tc := range map[string]struct {
		secure, h2 bool
		wrap       func(net.Conn) net.Conn
		first      string
		want       string
	}{
		"HTTP/2":     {true, true, nil, proves, "HTTP/2"},
		"wrapped":    {false, false, func(c net.Conn) net.Conn { return opaque{c} }, proves, "NetConn"},
		"not proved": {false, false, nil, plainly, "proved itself to nobody"},
	} {
		t.Run(name, func(t *testing.T) {
			s := quiet(t, tc.secure, tc.h2)
			base := lasting(t, transportTo(t, s))
			if tc.wrap != nil {
				base = dialing(base, tc.wrap)
			}
			tr := newTrusting(base, mutual.Options{TrustConnection: true})
			tr.say(t, s.URL+"/empty", do(tc.first)...)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := tr.next(r)
			if err == nil {
				resp.Body.Close()
			}
			var known *middleware.Error
			if !errors.As(err, &known) || known.Reason != middleware.ReasonReusedConnection || !strings.Contains(known.Hint, tc.want) {
				t.Errorf("%v", err)
			}
		})
	}
}
