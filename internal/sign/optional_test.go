package sign_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"weak"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/sign"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
)

// watched is a connection that counts how often it is closed.
type watched struct {
	net.Conn
	closes *int
}

func (w watched) Close() error {
	*w.closes++
	return nil
}

// A token that is made when the connection is known: for which connections, and what
// becomes of the request where there is none.
func TestLater(t *testing.T) {
	unbound := &middleware.Error{Stage: "fake", Kind: middleware.ErrNoBindings}
	down := &middleware.Error{Stage: "fake", Kind: middleware.ErrKDC}
	const proxy = "proxy.example:3128"
	for name, tc := range map[string]struct {
		must   bool
		when   []bool  // for each connection
		fails  []error // of making a token, in turn
		host   string  // that the request names
		hop    string  // that the transport goes to, if it tells
		next   string  // that it goes to thereafter
		sent   string  // "-" for nothing at all
		closed int     // connections
		want   error
		events []bool // whether a token was sent again
		told   []int  // for each connection, how long the token is that goes over it
	}{
		"no connection is told":      {sent: ""},
		"wanted":                     {when: []bool{true}, sent: "client-1", events: []bool{false}, told: []int{8}},
		"not wanted":                 {when: []bool{false}, sent: "", told: []int{0}},
		"wanted on the second":       {when: []bool{false, true}, sent: "client-1", events: []bool{false}, told: []int{0, 8}},
		"wanted on both":             {when: []bool{true, true}, sent: "client-2", events: []bool{false, true}, told: []int{8, 8}},
		"not asked of the second":    {when: []bool{true, false}, sent: "client-2", events: []bool{false, true}, told: []int{8, 8}},
		"none, then wanted again":    {when: []bool{true, true, true}, fails: []error{nil, down}, sent: "client-3", events: []bool{false, false}, told: []int{8, 0, 8}},
		"none, then not wanted":      {when: []bool{true, true, false}, fails: []error{nil, down}, sent: "", events: []bool{false}, told: []int{8, 0, 0}},
		"none for the second":        {when: []bool{true, true}, fails: []error{nil, down}, sent: "", events: []bool{false}, told: []int{8, 0}},
		"none bound for the second":  {when: []bool{true, true}, fails: []error{nil, unbound}, sent: "", events: []bool{false}, told: []int{8, 0}},
		"then by a proxy":            {when: []bool{true, true}, hop: "origin.example:80", next: proxy, host: "other.example", sent: "", events: []bool{false}, told: []int{8, 0}},
		"then not by a proxy":        {when: []bool{true, true}, hop: proxy, next: "origin.example:80", host: "other.example", sent: "client-1", events: []bool{false}, told: []int{0, 8}},
		"none to be had":             {when: []bool{true}, fails: []error{down}, sent: "", told: []int{0}},
		"by a proxy, for its host":   {when: []bool{true}, hop: "proxy.example:3128", sent: "client-1", events: []bool{false}, told: []int{8}},
		"by a proxy, for another":    {when: []bool{true}, hop: "proxy.example:3128", host: "other.example", sent: "", told: []int{0}},
		"directly, for another":      {when: []bool{true}, hop: "origin.example:80", host: "other.example", sent: "client-1", events: []bool{false}, told: []int{8}},
		"must":                       {must: true, when: []bool{true}, sent: "client-1", events: []bool{false}, told: []int{8}},
		"must, none without binding": {must: true, when: []bool{true}, fails: []error{unbound}, sent: "", told: []int{0}},
		"must, none to be had":       {must: true, when: []bool{true}, fails: []error{down}, sent: "-", closed: 1, want: middleware.ErrKDC},
		"must, by a proxy":           {must: true, when: []bool{true}, hop: "proxy.example:3128", host: "other.example", sent: "-", closed: 1, want: middleware.ErrHost},
		"must, none for the second":  {must: true, when: []bool{true, true}, fails: []error{nil, down}, sent: "-", closed: 1, want: middleware.ErrKDC, events: []bool{false}, told: []int{8}},
		"must, none, then a proxy":   {must: true, when: []bool{true, true}, fails: []error{down}, hop: "origin.example:80", next: proxy, host: "other.example", sent: "-", closed: 2, want: middleware.ErrKDC},
		"must, by a proxy, twice":    {must: true, when: []bool{true, true}, hop: "proxy.example:3128", host: "other.example", sent: "-", closed: 2, want: middleware.ErrHost},
	} {
		t.Run(name, func(t *testing.T) {
			in := &stagetest.Initiator{Fail: func(n int, _ middleware.Target) error {
				if n <= len(tc.fails) {
					return tc.fails[n-1]
				}
				return nil
			}}
			s := sign.Signer{Initiator: in, Stage: "test"}
			var events []bool
			r := request(t, http.MethodGet, "http://origin.example/", "")
			r.Host = tc.host
			r = r.WithContext(middleware.WithTrace(r.Context(), func(e middleware.Event) {
				if e, ok := e.(middleware.SendEvent); ok {
					events = append(events, e.Again)
				}
			}))
			target := middleware.TargetOfURL(r.URL)
			conn, closed := 0, 0
			token := s.Later(target)
			if !tc.must {
				token = s.LaterIf(target, func(net.Conn) (middleware.Target, bool) { return target, tc.when[conn] })
			}
			var told []int
			sent := "-"
			resp, err := s.Send(func(r *http.Request) (*http.Response, error) {
				trace := httptrace.ContextClientTrace(r.Context())
				if tc.hop != "" {
					trace.GetConn(tc.hop)
				}
				for conn = range tc.when {
					if conn == 1 && tc.next != "" {
						trace.GetConn(tc.next)
					}
					trace.GotConn(httptrace.GotConnInfo{Conn: watched{closes: &closed}})
				}
				if err := context.Cause(r.Context()); err != nil {
					return nil, err
				}
				srv := stagetest.NewServer()
				defer func() { sent = srv.Requests()[0].Auth }()
				return srv.Next(r)
			}, r, sign.Attempt{Number: 1, Tokens: []sign.Token{token}, Sending: func(_ net.Conn, token sign.Token) {
				told = append(told, len(token.Bytes))
				if token.Context != nil && token.Context.Verified() {
					t.Error("what was not sent yet is verified")
				}
			}})
			if resp != nil {
				resp.Body.Close()
				sc, _ := middleware.SecurityOf(resp.Request).(*stagetest.Context)
				if sc == nil != (tc.sent == "") || sc != nil && sc.Name() != tc.sent {
					t.Errorf("the answer is said to be to what %v signed", sc)
				}
			}
			if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
			want := tc.sent
			if want != "" && want != "-" {
				want = "Negotiate " + want
			}
			if sent != want {
				t.Errorf("sent %q, want %q", sent, want)
			}
			if closed != tc.closed {
				t.Errorf("closed %d connections, want %d", closed, tc.closed)
			}
			if d := cmp.Diff(tc.events, events); d != "" {
				t.Errorf("sent again (-want +got):\n%s", d)
			}
			if !slices.Equal(told, tc.told) {
				t.Errorf("told of tokens of %v bytes, want %v", told, tc.told)
			}
		})
	}
}

// A token for a proxy is of the user whom the proxy is to know, whichever way it goes.
func TestPrincipalForProxy(t *testing.T) {
	proxy := middleware.Target{Host: "proxy.example", Port: "3128", Proxy: true}
	at := func(principal string) middleware.Initiator {
		return middleware.InitiatorFunc(func(_ context.Context, t middleware.Target) (middleware.SecurityContext, error) {
			if principal == "" {
				return stepper{out: []byte("token")}, nil
			}
			return known{t, principal}, nil
		})
	}
	for name, tc := range map[string]struct {
		in   middleware.Initiator
		told string
		want error
	}{
		"the same":       {at("alice"), "alice", nil},
		"another":        {at("bob"), "alice", middleware.ErrConnection},
		"nobody told":    {at("bob"), "", nil},
		"does not tell":  {at(""), "alice", nil},
		"no credentials": {&stagetest.Initiator{Fail: func(int, middleware.Target) error { return &middleware.Error{Kind: middleware.ErrCredentials} }}, "alice", middleware.ErrCredentials},
	} {
		t.Run("tunnel, "+name, func(t *testing.T) {
			r := sign.WithProxyPrincipal(request(t, http.MethodGet, "https://origin.example/", ""), tc.told)
			token, err := sign.Signer{Initiator: tc.in, Stage: "test"}.ForProxy(r.Context(), proxy)
			if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) || (len(token.Bytes) > 0) != (err == nil) {
				t.Errorf("%d bytes, %v; want %v", len(token.Bytes), err, tc.want)
			}
		})
	}
	for name, tc := range map[string]struct {
		as, expected string
		want         error
	}{"the same": {"alice", "alice", nil}, "another": {"alice", "bob", middleware.ErrConnection}, "does not tell": {"", "bob", nil}} {
		t.Run("plain http, "+name, func(t *testing.T) {
			s := sign.Signer{Initiator: at(tc.as), Stage: "test"}
			r := request(t, http.MethodGet, "http://origin.example/", "")
			resp, err := s.Send(func(r *http.Request) (*http.Response, error) {
				if pending, _ := sign.Pending(r); pending {
					t.Error("what is to be signed for a proxy is said to be for the server")
				}
				sign.Expect(r, "somebody", tc.expected)
				httptrace.ContextClientTrace(r.Context()).GotConn(httptrace.GotConnInfo{})
				return stagetest.NewServer().Next(r)
			}, r, sign.Attempt{Number: 1, Tokens: []sign.Token{s.Later(proxy)}})
			if resp != nil {
				resp.Body.Close()
			}
			if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
		})
	}
	sign.Expect(request(t, http.MethodGet, "http://origin.example/", ""), "a request", "of no attempt")
}

// What a transport names as the request of its answer, if it is nothing that was made
// of what was sent, keeps its own headers, and bears nothing that another exchange
// proved.
func TestAnswerNamesAnotherRequest(t *testing.T) {
	u, err := url.Parse("http://kept.example/")
	if err != nil {
		t.Fatal(err)
	}
	for _, proxy := range []bool{false, true} {
		for name, verified := range map[string]bool{"verified meanwhile": true, "not verified": false} {
			var sent *http.Request // by an earlier attempt
			resp, err := signing(new(stagetest.Initiator), proxy)(func(r *http.Request) (*http.Response, error) {
				sent = r
				return stagetest.NewServer().Next(r)
			})(request(t, http.MethodGet, u.String(), ""))
			finish(t, resp, err)
			sent.URL, sent.Header = u, http.Header{}
			for named, kept := range map[string]*http.Request{
				"none": nil, "an older one": {URL: u, Header: http.Header{"X": {"y"}}}, "one without a header": {URL: u}, "one that was signed": sent,
			} {
				t.Run(named+", "+name, func(t *testing.T) {
					in := new(stagetest.Initiator)
					r := request(t, http.MethodGet, "http://origin.example/", "")
					if kept == nil || kept.Header == nil {
						r.Header.Set("Authorization", "Basic b3duOm93bg==")
						r.Header.Set("Proxy-Authorization", "Basic b3duOm93bg==")
					}
					resp, err := signing(in, proxy)(func(r *http.Request) (*http.Response, error) {
						if verified {
							if _, err := in.Contexts()[0].Step(r.Context(), []byte(stagetest.ServerOK)); err != nil {
								t.Error(err)
							}
						}
						return &http.Response{StatusCode: 200, Body: http.NoBody, Request: kept}, nil
					})(r)
					finish(t, resp, err)
					sc := middleware.SecurityOf(resp.Request)
					if proxy {
						sc = middleware.ProxySecurityOf(resp.Request)
					}
					if sc != nil && sc.Verified() {
						t.Error("the answer is said to be verified")
					}
					if ours := in.Contexts()[0]; !verified && sc != ours {
						t.Errorf("the answer carries %v", sc)
					}
					if kept != nil && (resp.Request.URL != u || !cmp.Equal(resp.Request.Header, kept.Header)) {
						t.Errorf("the answer names %v with %v", resp.Request.URL, resp.Request.Header)
					}
				})
			}
		}
	}
}

// With an error, what came with it is closed, and the context of what was sent ends.
func TestNothingIsLeftOfAnError(t *testing.T) {
	for name, resp := range map[string]*http.Response{
		"no response": nil, "a response": {StatusCode: 200, Body: &closing{Reader: http.NoBody}}, "one without a body": {StatusCode: 200},
	} {
		t.Run(name, func(t *testing.T) {
			bad := errors.New("bad")
			var sent context.Context
			got, err := signing(new(stagetest.Initiator), false)(func(r *http.Request) (*http.Response, error) {
				sent = r.Context()
				return resp, bad
			})(request(t, http.MethodGet, "http://origin.example/", ""))
			if got != nil || err != bad {
				t.Errorf("%v, %v", got, err)
			}
			if sent.Err() == nil {
				t.Error("the context of what was sent is alive")
			}
			if resp != nil && resp.Body != nil && resp.Body.(*closing).n != 1 {
				t.Errorf("the body was closed %d times", resp.Body.(*closing).n)
			}
		})
	}
	if resp, err := signing(new(stagetest.Initiator), false)(func(*http.Request) (*http.Response, error) { return nil, nil })(
		request(t, http.MethodGet, "http://origin.example/", "")); resp != nil || err != nil {
		t.Errorf("of nothing came %v, %v", resp, err)
	}
}

// A token is not sent a second time because there is none for the second connection.
func TestNoBindingsForSecondConnection(t *testing.T) {
	in := &stagetest.Initiator{Fail: func(n int, _ middleware.Target) error {
		if n > 1 {
			return &middleware.Error{Stage: "fake", Kind: middleware.ErrNoBindings}
		}
		return nil
	}}
	srv := stagetest.NewServer()
	r := request(t, http.MethodGet, "http://origin.example/", "")
	r.Body = http.NoBody
	resp, err := signing(in, false)(hooked(srv, nil, nil))(r)
	if resp != nil {
		resp.Body.Close()
	}
	if !errors.Is(err, middleware.ErrNoBindings) || len(srv.Requests()) != 0 {
		t.Errorf("sent %v, error %v", srv.Requests(), err)
	}
}

// A request that is to be signed later, and is not, was signed by nobody; that of which
// it was made may have been. One that is signed already is not to be.
func TestNotSignedAfterAll(t *testing.T) {
	s := sign.Signer{Initiator: new(stagetest.Initiator), Stage: "test"}
	older := stepper{out: []byte("older")}
	r := middleware.WithSecurity(request(t, http.MethodGet, "http://origin.example/", ""), older)
	target := middleware.TargetOfURL(r.URL)
	first, err := s.First(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		token  sign.Token
		signed bool
	}{
		"must be": {s.Later(target), false},
		"may be":  {s.LaterIf(target, func(net.Conn) (middleware.Target, bool) { return target, false }), false},
		"is":      {first, true},
	} {
		resp, err := s.Send(func(r *http.Request) (*http.Response, error) {
			if pending, must := sign.Pending(r); pending == tc.signed || must != (name == "must be") {
				t.Errorf("%s: pending %v, must %v", name, pending, must)
			}
			return stagetest.NewServer().Next(r)
		}, r, sign.Attempt{Number: 1, Tokens: []sign.Token{tc.token}})
		finish(t, resp, err)
		if sc := middleware.SecurityOf(resp.Request); (sc != nil) != tc.signed || sc == middleware.SecurityContext(older) {
			t.Errorf("%s: signed by %v", name, sc)
		}
	}
}

// An attempt within which another one was sent watches connections no more, not even which
// way they go; nor does one within which a response of another one was followed by a
// third.
func TestOuterLegIsOver(t *testing.T) {
	for name, attempts := range map[string]int{"one within": 1, "two within": 2} {
		for _, later := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, signed later %t", name, later), func(t *testing.T) {
				out := new(stagetest.Initiator)
				outer := sign.Signer{Initiator: out, Stage: "outer"}
				inner := signing(new(stagetest.Initiator), false)
				r := request(t, http.MethodGet, "http://origin.example/", "")
				r.Host = "other.example"
				target := middleware.TargetOfURL(r.URL)
				token := outer.Later(target)
				if !later {
					var err error
					if token, err = outer.First(t.Context(), target); err != nil {
						t.Fatal(err)
					}
				}
				resp, err := outer.Send(func(r *http.Request) (*http.Response, error) {
					again := r.Clone(r.Context())
					again.Host = ""
					for n := 1; ; n++ {
						resp, err := inner(func(sent *http.Request) (*http.Response, error) {
							if pending, must := sign.Pending(r); pending || must {
								t.Error("the outer attempt is said to be going to sign")
							}
							if n == attempts {
								trace := httptrace.ContextClientTrace(sent.Context())
								trace.GetConn("proxy.example:3128")
								trace.GotConn(httptrace.GotConnInfo{})
								trace.GotConn(httptrace.GotConnInfo{})
							}
							return stagetest.NewServer().Next(sent)
						})(again)
						if n == attempts || err != nil {
							return resp, err
						}
						finish(t, resp, nil)
						again = resp.Request
					}
				}, r, sign.Attempt{Number: 1, Tokens: []sign.Token{token}})
				finish(t, resp, err)
				if n := len(out.Contexts()); later && n != 0 || !later && n != 1 {
					t.Errorf("the outer attempt signed %d times", n)
				}
			})
		}
	}
}

// Whether a transport tells of its connections in time, and whose header it sends, is
// learnt from what was made anew on one; the answer names what signed the request that
// was sent.
func TestWhatWasSent(t *testing.T) {
	secure := middleware.Target{Host: "origin.example", Port: "443", Secure: true}
	plain := middleware.Target{Host: "origin.example", Port: "80"}
	proxy := middleware.Target{Host: "proxy.example", Port: "443", Secure: true, Proxy: true}
	for name, tc := range map[string]struct {
		target   middleware.Target
		before   bool // it was known to tell
		told     int  // connections
		copies   bool // the header, before there is a connection
		nameless bool // the answer does not name its request
		tells    bool
		by       string // which token the answer is said to be to
	}{
		"told":                 {target: secure, told: 1, tells: true, by: "client-2"},
		"told twice":           {target: secure, told: 2, tells: true, by: "client-3"},
		"not told":             {target: secure, before: true, by: "client-1"},
		"copied":               {target: secure, before: true, told: 1, copies: true, by: "client-1"},
		"not named":            {target: secure, before: true, told: 1, nameless: true, by: "client-2"},
		"plain http, not told": {target: plain, before: true, tells: true, by: "client-1"},
		"plain http, told":     {target: plain, told: 2, by: "client-2"},
		"a proxy, not told":    {target: proxy, before: true, tells: true, by: "client-1"},
		"a proxy, told":        {target: proxy, told: 2, by: "client-2"},
	} {
		t.Run(name, func(t *testing.T) {
			in := new(stagetest.Initiator)
			s := sign.Signer{Initiator: in, Stage: "test", Known: new(sign.Known)}
			if tc.before {
				s.Known.Tells()
			}
			token, err := s.First(t.Context(), tc.target)
			if err != nil {
				t.Fatal(err)
			}
			r := request(t, http.MethodGet, "https://origin.example/", "")
			resp, err := s.Send(func(r *http.Request) (*http.Response, error) {
				sent := r
				if tc.copies {
					sent = r.Clone(r.Context())
				}
				for range tc.told {
					httptrace.ContextClientTrace(r.Context()).GotConn(httptrace.GotConnInfo{Conn: fakeConn{state: stateWith("a")}})
				}
				resp, err := stagetest.NewServer().Next(sent)
				if tc.nameless {
					resp.Request = nil
				}
				return resp, err
			}, r, sign.Attempt{Number: 1, Tokens: []sign.Token{token}})
			finish(t, resp, err)
			sc := middleware.SecurityOf(resp.Request)
			if tc.target.Proxy {
				sc = middleware.ProxySecurityOf(resp.Request)
			}
			if sc, ok := sc.(*stagetest.Context); !ok || sc.Name() != tc.by {
				t.Errorf("the answer is said to be to what %v signed, want %s", sc, tc.by)
			}
			// What is known shows in whether the next token waits for its connection.
			if token, err = s.Surely(t.Context(), secure); err != nil || (token.Bytes == nil) != tc.tells {
				t.Errorf("a token of %d bytes, %v; want it to wait: %t", len(token.Bytes), err, tc.tells)
			}
		})
	}
}

// Only tokens for origin servers over https wait, and where it is known that they can.
func TestSurelyWaits(t *testing.T) {
	known := new(sign.Known)
	known.Tells()
	for _, secure := range []bool{false, true} {
		for _, proxy := range []bool{false, true} {
			for name, k := range map[string]*sign.Known{"known": known, "not known": new(sign.Known), "nobody cares": nil} {
				s := sign.Signer{Initiator: new(stagetest.Initiator), Stage: "test", Known: k}
				token, err := s.Surely(t.Context(), middleware.Target{Host: "web.test", Port: "443", Secure: secure, Proxy: proxy})
				if want := secure && !proxy && k == known; err != nil || (token.Bytes == nil) != want {
					t.Errorf("%s, secure %t, proxy %t: a token of %d bytes, %v; want it to wait: %t", name, secure, proxy, len(token.Bytes), err, want)
				}
			}
		}
	}
}

// A token for the server that is left out leaves that for the proxy where it is.
func TestProxyTokenStays(t *testing.T) {
	s := sign.Signer{Initiator: new(stagetest.Initiator), Stage: "test"}
	r := request(t, http.MethodGet, "http://origin.example/", "")
	r.Host = "other.example"
	forProxy, err := s.First(t.Context(), middleware.Target{Host: "proxy.example", Port: "3128", Proxy: true})
	if err != nil {
		t.Fatal(err)
	}
	target := middleware.TargetOfURL(r.URL)
	maybe := s.LaterIf(target, func(net.Conn) (middleware.Target, bool) { return target, true })
	srv := stagetest.NewServer()
	resp, err := s.Send(func(r *http.Request) (*http.Response, error) {
		trace := httptrace.ContextClientTrace(r.Context())
		for range 2 { // the second time what was made for the first is made anew
			trace.GetConn("proxy.example:3128")
			trace.GotConn(httptrace.GotConnInfo{})
		}
		return srv.Next(r)
	}, r, sign.Attempt{Number: 1, Tokens: []sign.Token{maybe, forProxy}})
	finish(t, resp, err)
	if got := srv.Requests()[0]; got.Auth != "" || got.Proxy != "Negotiate client-2" {
		t.Errorf("sent %q for the server, %q for the proxy", got.Auth, got.Proxy)
	}
}

// An event says whether what comes first was sent before.
func TestSignedForTheSecondConnection(t *testing.T) {
	s := sign.Signer{Initiator: new(stagetest.Initiator), Stage: "test"}
	var events []bool
	r := request(t, http.MethodGet, "http://origin.example/", "")
	r = r.WithContext(middleware.WithTrace(r.Context(), func(e middleware.Event) {
		if e, ok := e.(middleware.SendEvent); ok {
			events = append(events, e.Again)
		}
	}))
	forProxy, err := s.First(t.Context(), middleware.Target{Host: "proxy.example", Port: "3128", Proxy: true})
	if err != nil {
		t.Fatal(err)
	}
	target, wanted := middleware.TargetOfURL(r.URL), false
	maybe := s.LaterIf(target, func(net.Conn) (middleware.Target, bool) { return target, wanted })
	srv := stagetest.NewServer()
	resp, err := s.Send(func(r *http.Request) (*http.Response, error) {
		for _, wanted = range []bool{false, true} {
			httptrace.ContextClientTrace(r.Context()).GotConn(httptrace.GotConnInfo{})
		}
		return srv.Next(r)
	}, r, sign.Attempt{Number: 1, Tokens: []sign.Token{maybe, forProxy}})
	finish(t, resp, err)
	if got := srv.Requests()[0]; got.Auth != "Negotiate client-2" || got.Proxy != "Negotiate client-3" || !slices.Equal(events, []bool{false}) {
		t.Errorf("sent %q for the server, %q for the proxy; again: %t", got.Auth, got.Proxy, events)
	}
}

// When an attempt is over, connections are no business of its own any more, whatever came of
// it, and nothing keeps what it sent.
func TestOverIsOver(t *testing.T) {
	down := &middleware.Error{Stage: "fake", Kind: middleware.ErrKDC}
	s := sign.Signer{Initiator: &stagetest.Initiator{Fail: func(int, middleware.Target) error { return down }}, Stage: "test"}
	var trace *httptrace.ClientTrace
	r := request(t, http.MethodGet, "http://origin.example/", "")
	_, err := s.Send(func(r *http.Request) (*http.Response, error) {
		trace = httptrace.ContextClientTrace(r.Context())
		trace.GotConn(httptrace.GotConnInfo{})
		return nil, context.Cause(r.Context())
	}, r, sign.Attempt{Number: 1, Tokens: []sign.Token{s.Later(middleware.TargetOfURL(r.URL))}})
	if !errors.Is(err, down) {
		t.Errorf("error %v", err)
	}
	closed := 0
	trace.GotConn(httptrace.GotConnInfo{Conn: watched{closes: &closed}})
	if closed > 0 {
		t.Error("a connection of somebody else's was closed")
	}

	var body weak.Pointer[closing]
	resp, err := signing(new(stagetest.Initiator), false)(func() kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r.WithContext(r.Context())}, nil
		}
	}())(func() *http.Request {
		b := &closing{Reader: strings.NewReader("large")}
		body = weak.Make(b)
		r := request(t, http.MethodPut, "http://origin.example/", "")
		r.Body = b
		return r
	}())
	finish(t, resp, err)
	resp.Request.Body = nil // it names the body by itself
	for range 10 {
		runtime.GC()
	}
	if body.Value() != nil {
		t.Error("the body is kept with the response")
	}
	runtime.KeepAlive(resp)
}
