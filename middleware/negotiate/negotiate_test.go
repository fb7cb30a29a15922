package negotiate_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
)

func TestMain(m *testing.M) { testmain.RunTogether(m) }

func viaProxy(*http.Request) (*url.URL, error) {
	return &url.URL{Scheme: "http", Host: "proxy.example:3128"}, nil
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]negotiate.Options{
		"defaults":     {},
		"all at least": {BodyLimit: -1, DrainLimit: -1, MaxSigned: 1, Proxy: viaProxy},
		"with a proxy": {BodyLimit: 1 << 10, DrainLimit: 4 << 20, Proxy: viaProxy},
		"with files":   {BodyLimit: 1 << 10, SpillLimit: 1 << 20, SpillDir: t.TempDir(), Proxy: viaProxy},
		"with Expect":  {BodyLimit: 1 << 10, OneShot: negotiate.Expect, Proxy: viaProxy},
	} {
		t.Run(name, func(t *testing.T) {
			stagetest.Run(t, func() kerbchain.Middleware { return negotiate.New(new(stagetest.Initiator), o) })
		})
	}
	t.Run("without credentials", func(t *testing.T) {
		stagetest.Run(t, func() kerbchain.Middleware {
			return negotiate.New(&stagetest.Initiator{Fail: without}, negotiate.Options{})
		})
	})
	t.Run("with challenges for answers", func(t *testing.T) {
		stagetest.Run(t, func() kerbchain.Middleware {
			return negotiate.New(&stagetest.Initiator{Fail: without}, negotiate.Options{ReturnChallenge: true})
		})
	})
}

func without(_ int, t middleware.Target) error {
	return &middleware.Error{Stage: "fake", Kind: middleware.ErrCredentials, Host: t.HostPort()}
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

// What arrives at the server, what comes back and what is reported.
func TestAnswers(t *testing.T) {
	const (
		unauthorized = http.StatusUnauthorized
		viaProxy407  = http.StatusProxyAuthRequired
	)
	ok := stagetest.Respond(200, "ok")
	bare := stagetest.Challenge(unauthorized, "Negotiate")
	proxy := stagetest.Challenge(viaProxy407, "Negotiate")
	bearing := func(token string) stagetest.Reply {
		return stagetest.Challenge(unauthorized, stagetest.Value(middleware.Negotiate, token))
	}
	origin := middleware.Target{Scheme: middleware.Negotiate, Host: "origin.example", Port: "80"}
	kerberos := origin
	kerberos.Scheme = middleware.Kerberos
	atProxy := middleware.Target{Scheme: middleware.Negotiate, Host: "proxy.example", Port: "3128", Proxy: true}
	nothing := stagetest.Request{}
	auth := func(s string) stagetest.Request { return stagetest.Request{Auth: s} }
	both := func(s, p string) stagetest.Request { return stagetest.Request{Auth: s, Proxy: p} }
	for name, tc := range map[string]struct {
		header  http.Header
		options negotiate.Options
		url     string // "http://origin.example/" when empty
		replies []stagetest.Reply
		want    []stagetest.Request // method, URL and body left out
		targets []middleware.Target
		status  int
		reason  middleware.Reason // of a RefusedEvent
		refused bool
	}{
		"no challenge": {
			replies: []stagetest.Reply{ok},
			want:    []stagetest.Request{nothing},
			status:  200,
		},
		"other refusals": {
			replies: []stagetest.Reply{stagetest.Respond(403, "no", "WWW-Authenticate", "Negotiate")},
			want:    []stagetest.Request{nothing},
			status:  403,
		},
		"a challenge": {
			replies: []stagetest.Reply{bare, ok},
			want:    []stagetest.Request{nothing, auth("Negotiate client-1")},
			targets: []middleware.Target{origin},
			status:  200,
		},
		"a failure after the challenge": {
			replies: []stagetest.Reply{bare, stagetest.Respond(500, "no")},
			want:    []stagetest.Request{nothing, auth("Negotiate client-1")},
			targets: []middleware.Target{origin},
			status:  500,
		},
		"responses that do not name their request": {
			replies: []stagetest.Reply{stagetest.Anonymous(bare), stagetest.Anonymous(bearing(stagetest.ServerMore)), stagetest.Anonymous(ok)},
			want:    []stagetest.Request{nothing, auth("Negotiate client-1"), auth("Negotiate client-1-more")},
			targets: []middleware.Target{origin},
			status:  200,
		},
		"Basic offered first, on one line": {
			replies: []stagetest.Reply{stagetest.Challenge(unauthorized, `Basic realm="a, Kerberos b", nEGOTIATE`), ok},
			want:    []stagetest.Request{nothing, auth("Negotiate client-1")},
			targets: []middleware.Target{origin},
			status:  200,
		},
		"Kerberos before Negotiate": {
			replies: []stagetest.Reply{stagetest.Challenge(unauthorized, "Kerberos", "NTLM", "Negotiate"), ok},
			want:    []stagetest.Request{nothing, auth("Negotiate client-1")},
			targets: []middleware.Target{origin},
			status:  200,
		},
		"Kerberos alone": {
			replies: []stagetest.Reply{stagetest.Challenge(unauthorized, "kerberos"), ok},
			want:    []stagetest.Request{nothing, auth("Kerberos client-1")},
			targets: []middleware.Target{kerberos},
			status:  200,
		},
		"Kerberos gone on with": {
			replies: []stagetest.Reply{
				stagetest.Challenge(unauthorized, "Kerberos"),
				stagetest.Challenge(unauthorized, "Negotiate", stagetest.Value(middleware.Kerberos, stagetest.ServerMore)),
				ok,
			},
			want:    []stagetest.Request{nothing, auth("Kerberos client-1"), auth("Kerberos client-1-more")},
			targets: []middleware.Target{kerberos},
			status:  200,
		},
		"Basic alone": {
			replies: []stagetest.Reply{stagetest.Challenge(unauthorized, `Basic realm="Negotiate"`)},
			want:    []stagetest.Request{nothing},
			status:  401,
		},
		"no challenge at all": {
			replies: []stagetest.Reply{stagetest.Respond(unauthorized, "no")},
			want:    []stagetest.Request{nothing},
			status:  401,
		},
		"a token before we sent one": {
			replies: []stagetest.Reply{bearing("hint"), ok},
			want:    []stagetest.Request{nothing, auth("Negotiate client-1")},
			targets: []middleware.Target{origin},
			status:  200,
		},
		"refused without a word": {
			replies: []stagetest.Reply{bare},
			want:    []stagetest.Request{nothing, auth("Negotiate client-1")},
			targets: []middleware.Target{origin},
			status:  401,
			refused: true,
			reason:  middleware.ReasonRefused,
		},
		"refused, and Negotiate not offered again": {
			replies: []stagetest.Reply{bare, stagetest.Challenge(unauthorized, "Basic realm=x")},
			want:    []stagetest.Request{nothing, auth("Negotiate client-1")},
			targets: []middleware.Target{origin},
			status:  401,
			refused: true,
			reason:  middleware.ReasonRefused,
		},
		"refused with a reason": {
			replies: []stagetest.Reply{bare, bearing(stagetest.ServerReject)},
			want:    []stagetest.Request{nothing, auth("Negotiate client-1")},
			targets: []middleware.Target{origin},
			status:  401,
			refused: true,
			reason:  middleware.ReasonKRBError,
		},
		"refused with a foreign token": {
			replies: []stagetest.Reply{bare, bearing("foreign")},
			want:    []stagetest.Request{nothing, auth("Negotiate client-1")},
			targets: []middleware.Target{origin},
			status:  401,
			refused: true,
			reason:  middleware.ReasonWrongKey,
		},
		"authenticated and refused": {
			replies: []stagetest.Reply{bare, bearing(stagetest.ServerOK)},
			want:    []stagetest.Request{nothing, auth("Negotiate client-1")},
			targets: []middleware.Target{origin},
			status:  401,
			refused: true,
			reason:  middleware.ReasonNotAuthorized,
		},
		"token that is not base64": {
			replies: []stagetest.Reply{bare, stagetest.Challenge(unauthorized, "Negotiate !!")},
			want:    []stagetest.Request{nothing, auth("Negotiate client-1")},
			targets: []middleware.Target{origin},
			status:  401,
			refused: true,
			reason:  middleware.ReasonMalformed,
		},
		"first token that is not base64": {
			replies: []stagetest.Reply{stagetest.Challenge(unauthorized, "Negotiate !!")},
			want:    []stagetest.Request{nothing},
			status:  401,
			refused: true,
			reason:  middleware.ReasonMalformed,
		},
		"several legs": {
			replies: []stagetest.Reply{bare, bearing(stagetest.ServerMore), bearing(stagetest.ServerMore), ok},
			want:    []stagetest.Request{nothing, auth("Negotiate client-1"), auth("Negotiate client-1-more"), auth("Negotiate client-1-more")},
			targets: []middleware.Target{origin},
			status:  200,
		},
		"a bare challenge beside that with the token": {
			replies: []stagetest.Reply{bare, stagetest.Challenge(unauthorized, "Negotiate", stagetest.Value(middleware.Negotiate, stagetest.ServerMore)), ok},
			want:    []stagetest.Request{nothing, auth("Negotiate client-1"), auth("Negotiate client-1-more")},
			targets: []middleware.Target{origin},
			status:  200,
		},
		"legs without end": {
			options: negotiate.Options{MaxSigned: 2},
			replies: []stagetest.Reply{bare, bearing(stagetest.ServerMore)},
			want:    []stagetest.Request{nothing, auth("Negotiate client-1"), auth("Negotiate client-1-more")},
			targets: []middleware.Target{origin},
			status:  401,
			refused: true,
			reason:  middleware.ReasonRefused,
		},
		"default number of legs": {
			replies: []stagetest.Reply{bare, bearing(stagetest.ServerMore)},
			want: []stagetest.Request{nothing, auth("Negotiate client-1"), auth("Negotiate client-1-more"),
				auth("Negotiate client-1-more"), auth("Negotiate client-1-more")},
			targets: []middleware.Target{origin},
			status:  401,
			refused: true,
			reason:  middleware.ReasonRefused,
		},
		"the caller's own Authorization": {
			header:  http.Header{"Authorization": {"Basic b3duOm93bg=="}},
			replies: []stagetest.Reply{bare},
			want:    []stagetest.Request{auth("Basic own:own")},
			status:  401,
		},
		"the caller's own Authorization, and a proxy": {
			header:  http.Header{"Authorization": {"Basic b3duOm93bg=="}},
			replies: []stagetest.Reply{proxy, ok},
			want:    []stagetest.Request{auth("Basic own:own"), both("Basic own:own", "Negotiate client-1")},
			targets: []middleware.Target{atProxy},
			status:  200,
		},
		"the caller's own Proxy-Authorization": {
			header:  http.Header{"Proxy-Authorization": {"Basic b3duOm93bg=="}},
			replies: []stagetest.Reply{proxy},
			want:    []stagetest.Request{{Proxy: "Basic own:own"}},
			status:  407,
		},
		"proxy": {
			replies: []stagetest.Reply{proxy, ok},
			want:    []stagetest.Request{nothing, both("", "Negotiate client-1")},
			targets: []middleware.Target{atProxy},
			status:  200,
		},
		"proxy that refuses": {
			replies: []stagetest.Reply{proxy},
			want:    []stagetest.Request{nothing, both("", "Negotiate client-1")},
			targets: []middleware.Target{atProxy},
			status:  407,
			refused: true,
			reason:  middleware.ReasonRefused,
		},
		"proxy and origin": {
			replies: []stagetest.Reply{proxy, bare, ok},
			want:    []stagetest.Request{nothing, both("", "Negotiate client-1"), both("Negotiate client-2", "Negotiate client-3")},
			targets: []middleware.Target{atProxy, origin, atProxy},
			status:  200,
		},
		"proxy and origin in turn without end": {
			options: negotiate.Options{MaxSigned: 3},
			replies: []stagetest.Reply{proxy, bare, proxy},
			want:    []stagetest.Request{nothing, both("", "Negotiate client-1"), both("Negotiate client-2", "Negotiate client-3")},
			targets: []middleware.Target{atProxy, origin, atProxy},
			status:  407,
			refused: true,
			reason:  middleware.ReasonRefused,
		},
		"a server over TLS that claims to be the proxy": {
			url:     "https://origin.example/",
			replies: []stagetest.Reply{proxy},
			want:    []stagetest.Request{nothing},
			status:  407,
		},
		"no proxy known": {
			options: negotiate.Options{Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }},
			replies: []stagetest.Reply{proxy},
			want:    []stagetest.Request{nothing},
			status:  407,
			refused: true,
		},
		"no proxy to be found out": {
			options: negotiate.Options{Proxy: func(*http.Request) (*url.URL, error) { return nil, errors.New("bad proxy URL") }},
			replies: []stagetest.Reply{proxy},
			want:    []stagetest.Request{nothing},
			status:  407,
			refused: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.options.Proxy == nil {
				tc.options.Proxy = viaProxy
			}
			in := new(stagetest.Initiator)
			srv := stagetest.NewServer(tc.replies...)
			var refused []middleware.RefusedEvent
			if tc.url == "" {
				tc.url = "http://origin.example/"
			}
			r := request(t, "PUT", tc.url, "data")
			if tc.header != nil {
				r.Header = tc.header
			}
			r = r.WithContext(middleware.WithTrace(r.Context(), func(e middleware.Event) {
				if e, ok := e.(middleware.RefusedEvent); ok {
					refused = append(refused, e)
				}
			}))
			resp, err := negotiate.New(in, tc.options)(srv.Next)(r)
			body := finish(t, resp, err)
			if resp.StatusCode != tc.status {
				t.Errorf("status %d, want %d", resp.StatusCode, tc.status)
			}
			if (resp.StatusCode == 401 || resp.StatusCode == 407) && body != "challenge" && body != "no" {
				t.Errorf("the body of the refusal is %q", body)
			}
			for i := range tc.want {
				tc.want[i].Method, tc.want[i].URL, tc.want[i].Body = "PUT", tc.url, "data"
			}
			if d := cmp.Diff(tc.want, srv.Requests()); d != "" {
				t.Errorf("sent (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tc.targets, in.Targets()); d != "" {
				t.Errorf("targets (-want +got):\n%s", d)
			}
			var want []middleware.RefusedEvent
			if tc.refused {
				host := middleware.TargetOfURL(r.URL).HostPort()
				if tc.status == 407 {
					host = ""
					if u, err := tc.options.Proxy(r); err == nil && u != nil {
						host = u.Host
					}
				}
				last := tc.want[len(tc.want)-1]
				_, token, _ := strings.Cut(last.Auth, " ")
				if tc.status == 407 {
					_, token, _ = strings.Cut(last.Proxy, " ")
				}
				want = []middleware.RefusedEvent{{Host: host, Status: tc.status, Reason: tc.reason, Bytes: len(token)}}
			}
			if d := cmp.Diff(want, refused, cmpopts.IgnoreFields(middleware.RefusedEvent{}, "Err")); d != "" {
				t.Errorf("refused events (-want +got):\n%s", d)
			}
		})
	}
}

func TestEvents(t *testing.T) {
	var events []middleware.Event
	srv := stagetest.NewServer(
		stagetest.Challenge(401, "Basic realm=x, Negotiate", "NTLM"),
		stagetest.Challenge(401, stagetest.Value(middleware.Negotiate, stagetest.ServerMore)),
		stagetest.Challenge(401, stagetest.Value(middleware.Negotiate, stagetest.ServerReject)),
	)
	r := request(t, "GET", "http://origin.example/", "")
	r = r.WithContext(middleware.WithTrace(r.Context(), func(e middleware.Event) { events = append(events, e) }))
	resp, err := negotiate.New(new(stagetest.Initiator), negotiate.Options{})(srv.Next)(r)
	finish(t, resp, err)
	const host = "origin.example:80"
	want := []middleware.Event{
		middleware.ChallengeEvent{Host: host, Status: 401, Schemes: []string{"Basic", "Negotiate", "NTLM"}, Requests: 1},
		middleware.SendEvent{Stage: "negotiate", Host: host, Request: 2},
		middleware.ChallengeEvent{Host: host, Status: 401, Schemes: []string{"Negotiate"}, Requests: 2},
		middleware.SendEvent{Stage: "negotiate", Host: host, Request: 3},
		middleware.ChallengeEvent{Host: host, Status: 401, Schemes: []string{"Negotiate"}, Requests: 3},
		middleware.RefusedEvent{Host: host, Status: 401, Reason: middleware.ReasonKRBError, Bytes: 13, Err: &middleware.Error{
			Stage: "stagetest", Kind: middleware.ErrNotVerified, Host: host, Reason: middleware.ReasonKRBError, Code: 31,
		}},
	}
	sameText := cmp.Comparer(func(a, b error) bool { return a.Error() == b.Error() })
	if d := cmp.Diff(want, events, sameText); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
}

// A request that another stage signed, as preemptive does.
func TestCarried(t *testing.T) {
	bare := stagetest.Challenge(401, "Negotiate")
	bearing := func(token string) stagetest.Reply {
		return stagetest.Challenge(401, stagetest.Value(middleware.Negotiate, token))
	}
	ok := stagetest.Respond(200, "ok")
	for name, tc := range map[string]struct {
		replies []stagetest.Reply
		want    []string // tokens; the first context is that of the other stage
		proxy   []string
		status  int
		last    int // number of the context that resp.Request carries
	}{
		"accepted":               {[]stagetest.Reply{ok}, []string{"client-1"}, nil, 200, 1},
		"refused once":           {[]stagetest.Reply{bare, ok}, []string{"client-1", "client-2"}, nil, 200, 2},
		"refused for ever":       {[]stagetest.Reply{bare}, []string{"client-1", "client-2"}, nil, 401, 2},
		"gone on with":           {[]stagetest.Reply{bearing(stagetest.ServerMore), ok}, []string{"client-1", "client-1-more"}, nil, 200, 1},
		"rejected":               {[]stagetest.Reply{bearing(stagetest.ServerReject), ok}, []string{"client-1", "client-2"}, nil, 200, 2},
		"rejected for ever":      {[]stagetest.Reply{bearing(stagetest.ServerReject)}, []string{"client-1", "client-2"}, nil, 401, 2},
		"gone on with, refused":  {[]stagetest.Reply{bearing(stagetest.ServerMore), bare, ok}, []string{"client-1", "client-1-more", "client-2"}, nil, 200, 2},
		"not named":              {[]stagetest.Reply{stagetest.Anonymous(bare), ok}, []string{"client-1", "client-2"}, nil, 200, 2},
		"a proxy in between":     {[]stagetest.Reply{stagetest.Challenge(407, "Negotiate"), ok}, []string{"client-1", "client-3"}, []string{"", "client-2"}, 200, 3},
		"a proxy, then a 401":    {[]stagetest.Reply{stagetest.Challenge(407, "Negotiate"), bare, ok}, []string{"client-1", "client-3", "client-4"}, []string{"", "client-2", "client-5"}, 200, 4},
		"scheme is not known":    {[]stagetest.Reply{stagetest.Challenge(401, "Kerberos"), stagetest.Respond(201, "")}, []string{"client-1", "Kerberos client-2"}, nil, 201, 2},
		"authenticated, refused": {[]stagetest.Reply{bearing(stagetest.ServerOK)}, []string{"client-1"}, nil, 401, 1},
	} {
		t.Run(name, func(t *testing.T) {
			in := new(stagetest.Initiator)
			srv := stagetest.NewServer(tc.replies...)
			r := request(t, "GET", "http://origin.example/", "")
			sc, err := in.Initiate(r.Context(), middleware.TargetOfURL(r.URL))
			if err != nil {
				t.Fatal(err)
			}
			token, err := sc.Step(r.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", stagetest.Value(middleware.Negotiate, string(token)))
			r = middleware.WithSecurity(r, sc)
			resp, err := negotiate.New(in, negotiate.Options{Proxy: viaProxy})(srv.Next)(r)
			finish(t, resp, err)
			if resp.StatusCode != tc.status {
				t.Errorf("status %d", resp.StatusCode)
			}
			var auth, proxy []string
			for _, r := range srv.Requests() {
				auth = append(auth, strings.TrimPrefix(r.Auth, "Negotiate "))
				proxy = append(proxy, strings.TrimPrefix(r.Proxy, "Negotiate "))
			}
			if tc.proxy == nil {
				tc.proxy = make([]string, len(auth))
			}
			if d := cmp.Diff([][]string{tc.want, tc.proxy}, [][]string{auth, proxy}); d != "" {
				t.Errorf("tokens (-want +got):\n%s", d)
			}
			if resp.Request == nil {
				return
			}
			if got := middleware.SecurityOf(resp.Request); got != in.Contexts()[tc.last-1] {
				t.Errorf("resp.Request carries %v", got.(*stagetest.Context).Name())
			}
		})
	}
}

// A request made of the context of an older one is not taken for signed, and
// its Authorization is the caller's.
func TestStaleContext(t *testing.T) {
	for name, tc := range map[string]struct {
		header string
		want   []string
	}{
		"unsigned":   {"", []string{"", "Negotiate client-2"}},
		"own scheme": {"Basic b3duOm93bg==", []string{"Basic own:own"}},
	} {
		t.Run(name, func(t *testing.T) {
			in := new(stagetest.Initiator)
			srv := stagetest.NewServer(stagetest.Challenge(401, "Negotiate"))
			r := request(t, "GET", "http://origin.example/", "")
			if tc.header != "" {
				r.Header.Set("Authorization", tc.header)
			}
			sc, err := in.Initiate(r.Context(), middleware.TargetOfURL(r.URL))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := negotiate.New(in, negotiate.Options{})(srv.Next)(middleware.WithSecurity(r, sc))
			finish(t, resp, err)
			var got []string
			for _, r := range srv.Requests() {
				got = append(got, r.Auth)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("sent (-want +got):\n%s", d)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	below := errors.New("connection reset")
	bare := stagetest.Challenge(401, "Negotiate")
	down := func(int, middleware.Target) error {
		return &middleware.Error{Stage: "fake", Kind: middleware.ErrKDC, IsTemporary: true}
	}
	downForOrigin := func(n int, t middleware.Target) error {
		if n < 3 {
			return nil
		}
		return down(n, t)
	}
	unknown := func(int, middleware.Target) error {
		return &middleware.Error{Stage: "fake", Kind: middleware.ErrKDC, Code: 7}
	}
	refused := func(int, middleware.Target) error {
		return &middleware.Error{Stage: "fake", Kind: middleware.ErrKDC, Code: 12}
	}
	// Once the origin has its token, the one that goes to it beside the proxy's fails.
	goneForOrigin := func(n int, t middleware.Target) error {
		if n < 3 {
			return nil
		}
		return without(n, t)
	}
	both := []stagetest.Reply{bare, stagetest.Challenge(407, "Negotiate")}
	for name, tc := range map[string]struct {
		fail    func(int, middleware.Target) error
		options negotiate.Options
		replies []stagetest.Reply
		stream  bool
		want    error
		status  int
		sent    int
	}{
		"no credentials":              {fail: without, replies: []stagetest.Reply{bare}, want: middleware.ErrCredentials, sent: 1},
		"no credentials, challenge":   {fail: without, options: negotiate.Options{ReturnChallenge: true}, replies: []stagetest.Reply{bare}, status: 401, sent: 1},
		"no KDC, challenge":           {fail: down, options: negotiate.Options{ReturnChallenge: true}, replies: []stagetest.Reply{bare}, want: middleware.ErrKDC, sent: 1},
		"unknown service":             {fail: unknown, replies: []stagetest.Reply{bare}, want: middleware.ErrKDC, sent: 1},
		"unknown service, challenge":  {fail: unknown, options: negotiate.Options{ReturnChallenge: true}, replies: []stagetest.Reply{bare}, status: 401, sent: 1},
		"KDC refuses, challenge":      {fail: refused, options: negotiate.Options{ReturnChallenge: true}, replies: []stagetest.Reply{bare}, want: middleware.ErrKDC, sent: 1},
		"unknown proxy, challenge":    {fail: unknown, options: negotiate.Options{ReturnChallenge: true}, replies: both[1:], status: 407, sent: 1},
		"gone meanwhile":              {fail: goneForOrigin, replies: both, want: middleware.ErrCredentials, sent: 2},
		"gone meanwhile, challenge":   {fail: goneForOrigin, options: negotiate.Options{ReturnChallenge: true}, replies: both, status: 407, sent: 2},
		"no KDC":                      {fail: down, replies: []stagetest.Reply{bare}, want: middleware.ErrKDC, sent: 1},
		"no KDC for the other token":  {fail: downForOrigin, replies: []stagetest.Reply{stagetest.Challenge(407, "Negotiate"), bare}, want: middleware.ErrKDC, sent: 2},
		"from below, at once":         {replies: []stagetest.Reply{stagetest.Fail(below)}, want: below, sent: 1},
		"from below, signed":          {replies: []stagetest.Reply{bare, stagetest.Fail(below)}, want: below, sent: 2},
		"body is gone":                {options: negotiate.Options{BodyLimit: 2}, stream: true, replies: []stagetest.Reply{bare}, want: middleware.ErrBodyNotReplayable, sent: 1},
		"body must not be kept":       {options: negotiate.Options{BodyLimit: -1}, stream: true, replies: []stagetest.Reply{bare}, want: middleware.ErrBodyNotReplayable, sent: 1},
		"body is gone, not needed":    {options: negotiate.Options{BodyLimit: 2}, stream: true, replies: []stagetest.Reply{stagetest.Respond(200, "")}, status: 200, sent: 1},
		"body can be kept":            {options: negotiate.Options{BodyLimit: 4}, stream: true, replies: []stagetest.Reply{bare, stagetest.Respond(200, "")}, status: 200, sent: 2},
		"body is gone, no credential": {fail: without, options: negotiate.Options{BodyLimit: -1, ReturnChallenge: true}, stream: true, replies: []stagetest.Reply{bare}, status: 401, sent: 1},
	} {
		t.Run(name, func(t *testing.T) {
			srv := stagetest.NewServer(tc.replies...)
			tc.options.Proxy = viaProxy
			var closed []*closing
			next := func(r *http.Request) (*http.Response, error) {
				resp, err := srv.Next(r)
				if err == nil {
					c := &closing{Reader: resp.Body}
					closed = append(closed, c)
					resp.Body = c
				}
				return resp, err
			}
			r := request(t, "PUT", "http://origin.example/", "data")
			if tc.stream {
				r.GetBody = nil
			}
			resp, err := negotiate.New(&stagetest.Initiator{Fail: tc.fail}, tc.options)(next)(r)
			if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
			if err == nil {
				body := finish(t, resp, nil)
				if resp.StatusCode != tc.status || tc.status == 401 && body != "challenge" {
					t.Errorf("status %d, body %q", resp.StatusCode, body)
				}
			}
			if n := len(srv.Requests()); n != tc.sent {
				t.Errorf("%d requests, want %d", n, tc.sent)
			}
			for i, c := range closed {
				if c.n == 0 {
					t.Errorf("body of response %d is open", i+1)
				}
			}
			var e *middleware.Error
			if tc.want != nil && tc.want != below && !errors.As(err, &e) {
				t.Errorf("error is a %T", err)
			}
			if errors.Is(tc.want, middleware.ErrBodyNotReplayable) && (e.Stage != "negotiate" || e.Host != "origin.example:80") {
				t.Errorf("error %+v", e)
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

// The bindings of the token are those of the connection that the challenge came
// on.
func TestBindings(t *testing.T) {
	in := new(stagetest.Initiator)
	state := &tls.ConnectionState{HandshakeComplete: true}
	srv := stagetest.NewServer(func(r *http.Request) (*http.Response, error) {
		resp, err := stagetest.Challenge(401, "Negotiate")(r)
		resp.TLS = state
		return resp, err
	}, stagetest.Respond(200, "ok"))
	resp, err := negotiate.New(in, negotiate.Options{})(srv.Next)(request(t, "GET", "https://origin.example:8443/", ""))
	finish(t, resp, err)
	want := []middleware.Target{{Scheme: middleware.Negotiate, Host: "origin.example", Port: "8443", Secure: true, TLS: state}}
	if d := cmp.Diff(want, in.Targets(), cmpopts.IgnoreUnexported(tls.ConnectionState{})); d != "" {
		t.Errorf("targets (-want +got):\n%s", d)
	}
	if in.Targets()[0].TLS != state {
		t.Error("another TLS state")
	}
}

func TestResponseNamesItsContext(t *testing.T) {
	in := new(stagetest.Initiator)
	resp, err := negotiate.New(in, negotiate.Options{})(stagetest.NewNegotiating().Next)(request(t, "GET", "http://origin.example/", ""))
	finish(t, resp, err)
	if middleware.SecurityOf(resp.Request) != in.Contexts()[0] {
		t.Error("resp.Request does not carry the context that signed it")
	}
	if h := resp.Request.Header; len(h) > 0 {
		t.Errorf("resp.Request shows %v", h)
	}
}

// The first request is sent as it is, where it does not depend on the connection that
// it gets whether it is signed: nothing of it is copied but the request itself, whose
// context the stage adds to.
func TestNothingToDo(t *testing.T) {
	r := request(t, "GET", "http://origin.example/", "")
	var got *http.Request
	next := func(r *http.Request) (*http.Response, error) {
		got = r
		return stagetest.Respond(200, "ok")(r)
	}
	resp, err := negotiate.New(new(stagetest.Initiator), negotiate.Options{WaitForChallenge: true})(next)(r)
	finish(t, resp, err)
	r.Header.Set("X", "y")
	if got.Header.Get("X") != "y" || got.URL != r.URL || got.Body != nil {
		t.Error("the request was cloned for nothing")
	}
	resp, err = negotiate.New(new(stagetest.Initiator), negotiate.Options{})(next)(r)
	finish(t, resp, err)
	if got.URL != r.URL || got.Method != r.Method || got.Body != nil || got.Header.Get("X") != "y" || len(got.Header) != 1 {
		t.Errorf("sent was %v", got)
	}
}

func TestContextEndsWhileDraining(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	next := func(r *http.Request) (*http.Response, error) {
		resp, err := stagetest.Challenge(401, "Negotiate")(r)
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(make([]byte, 10)), ending{cancel}))
		return resp, err
	}
	resp, err := negotiate.New(new(stagetest.Initiator), negotiate.Options{})(next)(request(t, "GET", "http://origin.example/", "").WithContext(ctx))
	if err == nil {
		finish(t, resp, nil)
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

type ending struct{ cancel func() }

func (e ending) Read([]byte) (int, error) {
	e.cancel()
	return 0, io.ErrUnexpectedEOF
}
