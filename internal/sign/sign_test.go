package sign_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/sign"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// signing is the smallest stage that sends attempts: it signs every request for its
// origin, or for a proxy of that name.
func signing(in middleware.Initiator, proxy bool) kerbchain.Middleware {
	return signingFor(in, func(r *http.Request) middleware.Target {
		t := middleware.TargetOfURL(r.URL)
		t.Proxy = proxy
		return t
	})
}

func signingFor(in middleware.Initiator, target func(*http.Request) middleware.Target) kerbchain.Middleware {
	s := sign.Signer{Initiator: in, Stage: "test"}
	return func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) {
			t := target(r)
			token, err := s.First(r.Context(), t)
			if err != nil {
				if r.Body != nil {
					err = errors.Join(err, r.Body.Close())
				}
				return nil, err
			}
			return s.Send(next, r, sign.Attempt{Number: 1, Tokens: []sign.Token{token}})
		}
	}
}

func TestConformance(t *testing.T) {
	for name, proxy := range map[string]bool{"origin": false, "proxy": true} {
		t.Run(name, func(t *testing.T) {
			stagetest.Run(t, func() kerbchain.Middleware { return signing(new(stagetest.Initiator), proxy) })
		})
	}
}

func request(t *testing.T, method, url, body string) *http.Request {
	t.Helper()
	var b io.Reader
	if body != "" {
		b = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url, b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// finish reads and closes the response and returns its body.
func finish(t *testing.T, resp *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSend(t *testing.T) {
	origin := middleware.Target{Host: "origin.example", Port: "80"}
	proxy := middleware.Target{Host: "proxy.example", Port: "3128", Proxy: true}
	raw := origin
	raw.Scheme = middleware.Kerberos
	const own = "Basic b3duOm93bg=="
	for name, tc := range map[string]struct {
		targets []middleware.Target
		header  http.Header // of the caller
		want    stagetest.Request
		after   http.Header // of resp.Request
	}{
		"origin": {
			targets: []middleware.Target{origin},
			header:  http.Header{"X": {"y"}},
			want:    stagetest.Request{Auth: "Negotiate client-1"},
			after:   http.Header{"X": {"y"}},
		},
		"Kerberos scheme": {
			targets: []middleware.Target{raw},
			header:  http.Header{},
			want:    stagetest.Request{Auth: "Kerberos client-1"},
			after:   http.Header{},
		},
		"proxy, and the caller's own Authorization": {
			targets: []middleware.Target{proxy},
			header:  http.Header{"Authorization": {own}},
			want:    stagetest.Request{Auth: "Basic own:own", Proxy: "Negotiate client-1"},
			after:   http.Header{"Authorization": {own}},
		},
		"both": {
			targets: []middleware.Target{origin, proxy},
			header:  http.Header{},
			want:    stagetest.Request{Auth: "Negotiate client-1", Proxy: "Negotiate client-2"},
			after:   http.Header{},
		},
		"what was in the field comes back": {
			targets: []middleware.Target{origin},
			header:  http.Header{"Authorization": {own}},
			want:    stagetest.Request{Auth: "Negotiate client-1"},
			after:   http.Header{"Authorization": {own}},
		},
		"nil header": {
			targets: []middleware.Target{origin},
			want:    stagetest.Request{Auth: "Negotiate client-1"},
			after:   http.Header{},
		},
	} {
		for _, anonymous := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				in := new(stagetest.Initiator)
				s := sign.Signer{Initiator: in, Stage: "test"}
				reply := stagetest.Respond(200, "ok")
				if anonymous {
					reply = stagetest.Anonymous(reply)
				}
				srv := stagetest.NewServer(reply)
				var events []middleware.Event
				r := request(t, "PUT", "http://origin.example/", "")
				r = r.WithContext(middleware.WithTrace(r.Context(), func(e middleware.Event) { events = append(events, e) }))
				r.Header = tc.header
				r.Body = io.NopCloser(strings.NewReader("data"))
				l := sign.Attempt{Number: 7}
				for _, target := range tc.targets {
					token, err := s.First(r.Context(), target)
					if err != nil {
						t.Fatal(err)
					}
					l.Tokens = append(l.Tokens, token)
				}
				resp, err := s.Send(srv.Next, r, l)
				if got := finish(t, resp, err); got != "ok" {
					t.Errorf("body %q", got)
				}
				tc.want.Method, tc.want.URL, tc.want.Body = "PUT", "http://origin.example/", "data"
				if d := cmp.Diff([]stagetest.Request{tc.want}, srv.Requests()); d != "" {
					t.Errorf("sent (-want +got):\n%s", d)
				}
				if d := cmp.Diff(tc.after, resp.Request.Header, cmpopts.EquateEmpty()); d != "" {
					t.Errorf("resp.Request.Header (-want +got):\n%s", d)
				}
				want := []middleware.Event{middleware.SendEvent{Stage: "test", Host: tc.targets[0].HostPort(), Request: 7}}
				if d := cmp.Diff(want, events); d != "" {
					t.Errorf("events (-want +got):\n%s", d)
				}
				for i, target := range tc.targets {
					sc := middleware.SecurityOf(resp.Request)
					if target.Proxy {
						sc = middleware.ProxySecurityOf(resp.Request)
					}
					if sc != l.Tokens[i].Context {
						t.Errorf("resp.Request carries %v for %v", sc, target)
					}
				}
				if err := resp.Request.Context().Err(); err != nil {
					t.Errorf("context of resp.Request: %v", err)
				}
				if middleware.SecurityOf(r) != nil || middleware.ProxySecurityOf(r) != nil {
					t.Error("the caller's request carries a context")
				}
			})
		}
	}
}

// hooked is a transport that has its request on these connections in turn.
func hooked(srv *stagetest.Server, states ...*tls.ConnectionState) kerbchain.Next {
	return func(r *http.Request) (*http.Response, error) {
		trace := httptrace.ContextClientTrace(r.Context())
		for _, state := range states {
			trace.GotConn(httptrace.GotConnInfo{Conn: fakeConn{state: state}})
			if err := context.Cause(r.Context()); err != nil {
				return nil, errors.Join(err, r.Body.Close())
			}
		}
		return srv.Next(r)
	}
}

func stateWith(raw string) *tls.ConnectionState {
	return &tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{{Raw: []byte(raw)}}}
}

func TestSignAgain(t *testing.T) {
	a, b := stateWith("a"), stateWith("b")
	empty := &tls.ConnectionState{HandshakeComplete: true}
	unfinished := &tls.ConnectionState{}
	early := &tls.ConnectionState{PeerCertificates: a.PeerCertificates}
	https := middleware.Target{Host: "origin.example", Port: "443", Secure: true}
	on := func(state *tls.ConnectionState) middleware.Target {
		t := https
		t.TLS = state
		return t
	}
	proxy := middleware.Target{Host: "proxy.example", Port: "3128", Proxy: true, Secure: true}
	plain := middleware.Target{Host: "origin.example", Port: "80"}
	for name, tc := range map[string]struct {
		targets []middleware.Target
		conns   []*tls.ConnectionState
		auth    string
		proxy   string
		tls     *tls.ConnectionState // that the origin's last context is bound to
		events  int                  // with Again
	}{
		"no hook":                         {[]middleware.Target{https}, nil, "client-1", "", nil, 0},
		"plain":                           {[]middleware.Target{plain}, []*tls.ConnectionState{nil}, "client-1", "", nil, 0},
		"plain, second connection":        {[]middleware.Target{plain}, []*tls.ConnectionState{nil, nil}, "client-2", "", nil, 1},
		"plain, third connection":         {[]middleware.Target{plain}, []*tls.ConnectionState{nil, nil, nil}, "client-3", "", nil, 2},
		"plain target on TLS connection":  {[]middleware.Target{plain}, []*tls.ConnectionState{a}, "client-1", "", nil, 0},
		"bindings not known":              {[]middleware.Target{https}, []*tls.ConnectionState{a}, "client-2", "", a, 1},
		"bindings as known":               {[]middleware.Target{on(a)}, []*tls.ConnectionState{stateWith("a")}, "client-1", "", a, 0},
		"other bindings":                  {[]middleware.Target{on(a)}, []*tls.ConnectionState{b}, "client-2", "", b, 1},
		"as known, second connection":     {[]middleware.Target{on(a)}, []*tls.ConnectionState{a, a}, "client-2", "", a, 1},
		"other on the second":             {[]middleware.Target{on(a)}, []*tls.ConnectionState{a, b}, "client-2", "", b, 1},
		"other on both":                   {[]middleware.Target{https}, []*tls.ConnectionState{a, b}, "client-3", "", b, 2},
		"no certificate":                  {[]middleware.Target{https}, []*tls.ConnectionState{empty}, "client-1", "", nil, 0},
		"no handshake":                    {[]middleware.Target{https}, []*tls.ConnectionState{unfinished}, "client-1", "", nil, 0},
		"no handshake, a certificate":     {[]middleware.Target{https}, []*tls.ConnectionState{early}, "client-1", "", nil, 0},
		"known without a certificate":     {[]middleware.Target{on(empty)}, []*tls.ConnectionState{a}, "client-2", "", a, 1},
		"known, connection without TLS":   {[]middleware.Target{on(a)}, []*tls.ConnectionState{nil}, "client-1", "", a, 0},
		"known, then without TLS":         {[]middleware.Target{on(a)}, []*tls.ConnectionState{a, nil}, "client-2", "", a, 1},
		"proxy, never bound":              {[]middleware.Target{proxy}, []*tls.ConnectionState{a}, "", "client-1", nil, 0},
		"proxy, second connection":        {[]middleware.Target{proxy}, []*tls.ConnectionState{a, a}, "", "client-2", nil, 1},
		"both, one bound":                 {[]middleware.Target{https, proxy}, []*tls.ConnectionState{a}, "client-3", "client-2", a, 1},
		"both, second connection":         {[]middleware.Target{plain, proxy}, []*tls.ConnectionState{nil, nil}, "client-3", "client-4", nil, 1},
		"both, nothing known, two in all": {[]middleware.Target{https, proxy}, []*tls.ConnectionState{a, b}, "client-4", "client-5", b, 2},
	} {
		t.Run(name, func(t *testing.T) {
			in := new(stagetest.Initiator)
			s := sign.Signer{Initiator: in, Stage: "test"}
			srv := stagetest.NewServer()
			again := 0
			r := request(t, "GET", "https://origin.example/", "")
			r = r.WithContext(middleware.WithTrace(r.Context(), func(e middleware.Event) {
				if e, ok := e.(middleware.SendEvent); ok && e.Again {
					again++
				}
			}))
			l := sign.Attempt{Number: 1}
			for _, target := range tc.targets {
				token, err := s.First(r.Context(), target)
				if err != nil {
					t.Fatal(err)
				}
				l.Tokens = append(l.Tokens, token)
			}
			resp, err := s.Send(hooked(srv, tc.conns...), r, l)
			finish(t, resp, err)
			name := func(token string) string {
				if token == "" {
					return ""
				}
				return "Negotiate " + token
			}
			want := []stagetest.Request{{Method: "GET", URL: "https://origin.example/", Auth: name(tc.auth), Proxy: name(tc.proxy)}}
			if d := cmp.Diff(want, srv.Requests()); d != "" {
				t.Errorf("sent (-want +got):\n%s", d)
			}
			if again != tc.events {
				t.Errorf("signed again %d times, want %d", again, tc.events)
			}
			var got [2]string
			if sc, ok := middleware.SecurityOf(resp.Request).(*stagetest.Context); ok {
				got[0] = sc.Name()
				if sc.Target().TLS != tc.tls && (tc.tls == nil || sc.Target().TLS == nil ||
					string(sc.Target().TLS.PeerCertificates[0].Raw) != string(tc.tls.PeerCertificates[0].Raw)) {
					t.Errorf("bound to %v, want %v", sc.Target().TLS, tc.tls)
				}
			}
			if sc, ok := middleware.ProxySecurityOf(resp.Request).(*stagetest.Context); ok {
				got[1] = sc.Name()
				if sc.Target().TLS != nil {
					t.Error("the proxy's token is bound to a connection")
				}
			}
			if want := [2]string{tc.auth, tc.proxy}; got != want {
				t.Errorf("resp.Request carries %q, want %q", got, want)
			}
			if _, ok := resp.Request.Header["Authorization"]; ok {
				t.Error("resp.Request shows a token")
			}
		})
	}
}

func TestSignAgainFails(t *testing.T) {
	down := &middleware.Error{Stage: "fake", Kind: middleware.ErrKDC, IsTemporary: true}
	fail := func(n int, _ middleware.Target) error {
		if n > 1 {
			return down
		}
		return nil
	}
	for name, tc := range map[string]struct {
		next func(srv *stagetest.Server) kerbchain.Next
		sent int
	}{
		"the transport heeds its context": {func(srv *stagetest.Server) kerbchain.Next { return hooked(srv, nil, nil, nil) }, 0},
		"the transport does not": {func(srv *stagetest.Server) kerbchain.Next {
			return func(r *http.Request) (*http.Response, error) {
				trace := httptrace.ContextClientTrace(r.Context())
				trace.GotConn(httptrace.GotConnInfo{})
				trace.GotConn(httptrace.GotConnInfo{})
				return srv.Next(r.WithContext(t.Context()))
			}
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			in := &stagetest.Initiator{Fail: fail}
			srv := stagetest.NewServer()
			body := &closing{Reader: strings.NewReader("data")}
			r := request(t, "PUT", "http://origin.example/", "")
			r.Body, r.ContentLength = body, 4
			resp, err := signing(in, false)(tc.next(srv))(r)
			if resp != nil {
				finish(t, resp, nil)
				t.Error("a response")
			}
			if !errors.Is(err, middleware.ErrKDC) {
				t.Errorf("error %v", err)
			}
			if body.n != 1 {
				t.Errorf("body closed %d times", body.n)
			}
			if got := srv.Requests(); len(got) != tc.sent {
				t.Errorf("sent %v", got)
			}
			for _, sent := range srv.Requests() {
				if sent.Auth != "" {
					t.Errorf("a used token was sent: %v", sent)
				}
			}
		})
	}
}

type closing struct {
	io.Reader
	n int
}

func (c *closing) Close() error {
	c.n++
	return nil
}

func TestContinuedTokenStays(t *testing.T) {
	for name, tc := range map[string]struct {
		conns []*tls.ConnectionState
		ok    bool
	}{
		"one connection":    {[]*tls.ConnectionState{stateWith("a")}, true},
		"two connections":   {[]*tls.ConnectionState{stateWith("a"), stateWith("a")}, false},
		"other certificate": {[]*tls.ConnectionState{stateWith("b")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := sign.Signer{Initiator: new(stagetest.Initiator), Stage: "test"}
			token, err := s.First(t.Context(), middleware.Target{Host: "origin.example", Port: "443", Secure: true, TLS: stateWith("a")})
			if err != nil {
				t.Fatal(err)
			}
			token.Continued = true
			r := request(t, "GET", "https://origin.example/", "")
			r.Body = http.NoBody
			resp, err := s.Send(hooked(stagetest.NewServer(), tc.conns...), r, sign.Attempt{Number: 2, Tokens: []sign.Token{token}})
			if tc.ok {
				finish(t, resp, err)
				return
			}
			var e *middleware.Error
			if !errors.As(err, &e) || e.Host != "origin.example:443" || !errors.Is(err, middleware.ErrConnection) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestFirst(t *testing.T) {
	plain := errors.New("plain")
	known := &middleware.Error{Stage: "fake", Kind: middleware.ErrCredentials}
	target := middleware.Target{Host: "origin.example", Port: "80"}
	step := func(out []byte, err error) middleware.Initiator {
		return middleware.InitiatorFunc(func(context.Context, middleware.Target) (middleware.SecurityContext, error) {
			return stepper{out, err}, nil
		})
	}
	for name, tc := range map[string]struct {
		in   middleware.Initiator
		want error
		kind error
	}{
		"an initiator's error": {&stagetest.Initiator{Fail: func(int, middleware.Target) error { return known }}, known, middleware.ErrCredentials},
		"a foreign error":      {&stagetest.Initiator{Fail: func(int, middleware.Target) error { return plain }}, plain, middleware.ErrToken},
		"an error of Step":     {step(nil, plain), plain, middleware.ErrToken},
		"no token":             {step(nil, nil), middleware.ErrToken, middleware.ErrToken},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sign.Signer{Initiator: tc.in, Stage: "test"}.First(t.Context(), target)
			var e *middleware.Error
			if !errors.As(err, &e) || !errors.Is(err, tc.want) || !errors.Is(err, tc.kind) || (e == known) != (tc.want == error(known)) {
				t.Errorf("error %v", err)
			}
		})
	}
}

type stepper struct {
	out []byte
	err error
}

func (s stepper) Step(context.Context, []byte) ([]byte, error) { return s.out, s.err }
func (s stepper) Verified() bool                               { return false }
func (s stepper) Target() middleware.Target                    { return middleware.Target{} }

func empty(*http.Request) (*http.Response, error) { return &http.Response{Body: http.NoBody}, nil }

// The context of the request that is sent lives as long as the response's body,
// and no longer.
func TestContextIsReleased(t *testing.T) {
	for name, tc := range map[string]struct {
		sent  io.ReadCloser
		reply stagetest.Reply
		live  bool // until the body is closed
	}{
		"body":                                  {nil, stagetest.Respond(200, "ok"), true},
		"no body":                               {nil, empty, false},
		"no body, of a request without":         {http.NoBody, empty, false},
		"no body, which the transport may send": {io.NopCloser(strings.NewReader("data")), empty, true},
	} {
		t.Run(name, func(t *testing.T) {
			srv := stagetest.NewServer(tc.reply)
			r := request(t, "PUT", "http://origin.example/", "")
			r.Body = tc.sent
			resp, err := signing(new(stagetest.Initiator), false)(srv.Next)(r)
			if err != nil {
				t.Fatal(err)
			}
			sent := srv.Raw()[0].Context()
			if live := sent.Err() == nil; live != tc.live {
				t.Errorf("before Close: %v", sent.Err())
			}
			finish(t, resp, nil)
			if sent.Err() == nil {
				t.Error("after Close: the context is alive")
			}
			after := resp.Request.Context()
			if after.Err() != nil || context.Cause(after) != nil {
				t.Errorf("context of resp.Request: %v", context.Cause(after))
			}
		})
	}
}

// resp.Request's context ends with the caller's, also for what is derived.
func TestContextOfResponse(t *testing.T) {
	cause := errors.New("cause")
	ctx, cancel := context.WithCancelCause(t.Context())
	r := request(t, "GET", "http://origin.example/", "").WithContext(ctx)
	resp, err := signing(new(stagetest.Initiator), false)(stagetest.NewServer().Next)(r)
	finish(t, resp, err)
	derived, stop := context.WithCancel(resp.Request.Context())
	defer stop()
	cancel(cause)
	if derived.Err() == nil || context.Cause(derived) != cause {
		t.Errorf("error %v, cause %v", derived.Err(), context.Cause(derived))
	}
}

// An attempt around another one does not sign again for the inner one's connections.
func TestNested(t *testing.T) {
	outer, inner := new(stagetest.Initiator), new(stagetest.Initiator)
	srv := stagetest.NewServer()
	chain := kerbchain.Chain(signing(outer, false), signing(inner, false))
	resp, err := chain(hooked(srv, nil, nil))(request(t, "GET", "http://origin.example/", ""))
	finish(t, resp, err)
	if n := len(outer.Contexts()); n != 1 {
		t.Errorf("the outer attempt made %d contexts", n)
	}
	if sc := middleware.SecurityOf(resp.Request); sc != inner.Contexts()[1] {
		t.Errorf("resp.Request carries %v", sc)
	}
	if h := resp.Request.Header; len(h) > 0 {
		t.Errorf("resp.Request shows %v", h)
	}
}

// Once an attempt is over, a trace that was handed on does nothing.
func TestLateHook(t *testing.T) {
	in := new(stagetest.Initiator)
	srv := stagetest.NewServer()
	resp, err := signing(in, false)(hooked(srv, nil))(request(t, "GET", "http://origin.example/", ""))
	finish(t, resp, err)
	httptrace.ContextClientTrace(resp.Request.Context()).GotConn(httptrace.GotConnInfo{})
	if n := len(in.Contexts()); n != 1 {
		t.Errorf("%d contexts", n)
	}
}

// A request's context tells no token to whoever prints it, on the way or afterwards.
func TestContextPrintsNoToken(t *testing.T) {
	canary := []byte("canary of a token")
	in := middleware.InitiatorFunc(func(_ context.Context, target middleware.Target) (middleware.SecurityContext, error) {
		return telltale{target, string(canary)}, nil
	})
	look := func(ctx context.Context) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			text := fmt.Sprintf(verb, ctx)
			for _, form := range []string{"%v", "%s", "%#v"} {
				if secret := strings.Trim(fmt.Sprintf(form, canary), "[]"); strings.Contains(text, secret) {
					t.Errorf("%s prints %s", verb, text)
				}
			}
		}
	}
	next := signing(in, false)(func(r *http.Request) (*http.Response, error) {
		look(r.Context())
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	})
	resp, err := next(request(t, http.MethodGet, "http://localhost/", ""))
	finish(t, resp, err)
	look(resp.Request.Context())
	look(middleware.WithSecurity(resp.Request, telltale{token: string(canary)}).Context())
}

// A telltale is a security context by value, that prints what it holds.
type telltale struct {
	target middleware.Target
	token  string
}

func (c telltale) Target() middleware.Target                    { return c.target }
func (c telltale) Verified() bool                               { return false }
func (c telltale) Step(context.Context, []byte) ([]byte, error) { return []byte(c.token), nil }
