package mutual_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
)

func TestMain(m *testing.M) { testmain.Run(m) }

func TestConformance(t *testing.T) {
	for _, m := range []mutual.Mode{mutual.Required, mutual.Optional, mutual.Disabled} {
		t.Run(m.String(), func(t *testing.T) {
			stagetest.Run(t, func() kerbchain.Middleware { return mutual.New(mutual.Options{Mode: m}) })
		})
		t.Run(m.String()+" around a signing stage", func(t *testing.T) {
			stagetest.Run(t, func() kerbchain.Middleware {
				return kerbchain.Chain(mutual.New(mutual.Options{Mode: m}), sign(new(stagetest.Initiator), origin))
			})
		})
	}
}

func origin(r *http.Request) middleware.Target { return middleware.TargetOfURL(r.URL) }

func proxy(r *http.Request) middleware.Target {
	return middleware.Target{Scheme: middleware.Negotiate, Host: "proxy.test", Port: "3128", Proxy: true}
}

func raw(r *http.Request) middleware.Target {
	t := middleware.TargetOfURL(r.URL)
	t.Scheme = middleware.Kerberos
	return t
}

// sign is the least that a signing stage does.
func sign(i middleware.Initiator, target func(*http.Request) middleware.Target) kerbchain.Middleware {
	return func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) {
			sc, err := i.Initiate(r.Context(), target(r))
			if err == nil {
				_, err = sc.Step(r.Context(), nil)
			}
			if err != nil {
				if r.Body != nil {
					err = errors.Join(err, r.Body.Close())
				}
				return nil, err
			}
			return next(middleware.WithSecurity(r, sc))
		}
	}
}

type closer struct {
	io.Reader
	n *int
}

func (c closer) Close() error { *c.n++; return nil }

// An outcome is all that a caller and a trace see of a call.
type outcome struct {
	Status   int // 0: no response
	Body     string
	Closed   int // times, before the caller closed
	Reason   middleware.Reason
	Code     int32
	Verdicts []verdict
}

type verdict struct {
	Host, SPN, Mode string
	Status          int
	Verified        bool
	Reason          middleware.Reason
	Err             bool
}

func run(t *testing.T, next kerbchain.Next, closed *int, url string) (outcome, error) {
	t.Helper()
	var out outcome
	ctx := middleware.WithTrace(t.Context(), func(e middleware.Event) {
		if v, ok := e.(middleware.VerdictEvent); ok {
			out.Verdicts = append(out.Verdicts, verdict{v.Host, v.SPN, string(v.Mode), v.Status, v.Verified, v.Reason, v.Err != nil})
		}
	})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := next(r)
	out.Closed = *closed
	if resp != nil {
		out.Status = resp.StatusCode
		b, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		out.Body = string(b)
	}
	if err != nil {
		if resp != nil {
			t.Errorf("got a response and error %v, want one of them", err)
		}
		var e *middleware.Error
		if !errors.As(err, &e) || !errors.Is(err, middleware.ErrNotVerified) || e.Stage != "mutual" {
			t.Errorf("got error %v, want a *middleware.Error of stage mutual that wraps ErrNotVerified", err)
		} else {
			out.Reason, out.Code = e.Reason, e.Code
		}
	}
	return out, err
}

// counted replies with a body whose closes are counted.
func counted(n *int, reply stagetest.Reply) kerbchain.Next {
	return func(r *http.Request) (*http.Response, error) {
		resp, err := reply(r)
		if err == nil {
			resp.Body = closer{resp.Body, n}
		}
		return resp, err
	}
}

const (
	wwwAuth   = "WWW-Authenticate"
	proxyAuth = "Proxy-Authenticate"
	proxyInfo = "Proxy-Authentication-Info"
)

func value(token string) string { return stagetest.Value(middleware.Negotiate, token) }

// TestTable is the table of the package comment, for every status that a stage
// has to tell apart.
func TestTable(t *testing.T) {
	const (
		pass     = "pass"
		verified = "pass, verified"
		refuse   = "error"
	)
	tokens := map[string][]string{
		"verified": {wwwAuth, value(stagetest.ServerOK)},
		"none":     nil,
		"bad":      {wwwAuth, value("forged")},
	}
	for mode, rows := range map[mutual.Mode]map[string][2]string{
		mutual.Required: {"verified": {verified, verified}, "none": {refuse, pass}, "bad": {refuse, refuse}},
		mutual.Optional: {"verified": {verified, verified}, "none": {pass, pass}, "bad": {refuse, refuse}},
		mutual.Disabled: {"verified": {pass, pass}, "none": {pass, pass}, "bad": {pass, pass}},
	} {
		for token, want := range rows {
			for _, status := range []int{101, 200, 204, 206, 302, 304, 307, 399, 400, 402, 403, 404, 406, 408, 500, 502, 503, 599} {
				t.Run(fmt.Sprintf("%v/%s/%d", mode, token, status), func(t *testing.T) {
					t.Parallel()
					n := 0
					i := new(stagetest.Initiator)
					next := kerbchain.Chain(mutual.New(mutual.Options{Mode: mode}), sign(i, origin))(counted(&n, stagetest.Respond(status, "text", tokens[token]...)))
					got, err := run(t, next, &n, "http://web.test/")
					text := pass
					if err != nil {
						text = refuse
					} else if i.Contexts()[0].Verified() {
						text = verified
					}
					above := 0
					if status >= 400 {
						above = 1
					}
					if text != want[above] {
						t.Errorf("got %s (%v), want %s", text, err, want[above])
					}
					if err == nil && (got.Status != status || got.Body != "text" || got.Closed != 0) {
						t.Errorf("got %+v, want the response of the server, open", got)
					}
					if err != nil && got.Closed != 1 {
						t.Errorf("body closed %d times, want once", got.Closed)
					}
					if len(got.Verdicts) != 1 || got.Verdicts[0].Verified != (want[above] == verified) {
						t.Errorf("got verdicts %+v, want one, verified %v", got.Verdicts, want[above] == verified)
					}
				})
			}
			for _, status := range []int{401, 407} {
				t.Run(fmt.Sprintf("%v/%s/%d", mode, token, status), func(t *testing.T) {
					n := 0
					i := new(stagetest.Initiator)
					next := kerbchain.Chain(mutual.New(mutual.Options{Mode: mode}), sign(i, origin))(counted(&n, stagetest.Respond(status, "text", tokens[token]...)))
					got, err := run(t, next, &n, "http://web.test/")
					if diff := cmp.Diff(outcome{Status: status, Body: "text"}, got); diff != "" || err != nil || i.Contexts()[0].Verified() {
						t.Errorf("got error %v, verified %v, want a response left alone (-want +got):\n%s", err, i.Contexts()[0].Verified(), diff)
					}
				})
			}
		}
	}
}

// TestReasons says why responses are not taken for verified, and with which
// token and scheme they are.
func TestReasons(t *testing.T) {
	const host = "web.test:80"
	passed := func(mode string, status int, verified bool, reason middleware.Reason) outcome {
		return outcome{Status: status, Body: "text", Verdicts: []verdict{{Host: host, Mode: mode, Status: status, Verified: verified, Reason: reason}}}
	}
	refused := func(mode string, status int, reason middleware.Reason) outcome {
		return outcome{Closed: 1, Reason: reason, Verdicts: []verdict{{Host: host, Mode: mode, Status: status, Reason: reason, Err: true}}}
	}
	coded := func(o outcome, code int32) outcome { o.Code = code; return o }
	at := func(o outcome, host string) outcome { o.Verdicts[0].Host = host; return o }
	for name, tc := range map[string]struct {
		trust  bool // TrustProxy
		mode   mutual.Mode
		target func(*http.Request) middleware.Target // nil: not signed
		url    string
		status int
		fields []string
		want   outcome
		text   string // part of the error
	}{
		"required, no token":           {target: origin, status: 200, want: refused("required", 200, middleware.ReasonNoToken), text: "(host web.test:80, reason no token); the server sends no mutual token"},
		"required, bare scheme":        {target: origin, status: 200, fields: []string{wwwAuth, "Negotiate"}, want: refused("required", 200, middleware.ReasonNoToken)},
		"required, redirect":           {target: origin, status: 302, fields: []string{"Location", "/x"}, want: refused("required", 302, middleware.ReasonUnverifiedRedirect), text: "unverified redirect"},
		"required, not modified":       {target: origin, status: 304, want: refused("required", 304, middleware.ReasonNoToken)},
		"required, error":              {target: origin, status: 500, want: passed("required", 500, false, middleware.ReasonNoToken)},
		"required, verified redirect":  {target: origin, status: 302, fields: []string{"Location", "/x", wwwAuth, value("server-ok")}, want: passed("required", 302, true, 0)},
		"required, unsigned":           {status: 200, want: refused("required", 200, middleware.ReasonNoToken), text: "nothing else signed the request"},
		"required, unsigned, token":    {status: 200, fields: []string{wwwAuth, value("server-ok")}, want: refused("required", 200, middleware.ReasonNoToken), text: "nothing to hold the server's token against"},
		"required, unsigned, error":    {status: 404, fields: []string{wwwAuth, value("server-ok")}, want: passed("required", 404, false, middleware.ReasonNoToken)},
		"optional, unsigned, token":    {mode: mutual.Optional, status: 200, fields: []string{wwwAuth, value("server-ok")}, want: passed("optional", 200, false, middleware.ReasonNoToken)},
		"optional, no token":           {mode: mutual.Optional, target: origin, status: 200, want: passed("optional", 200, false, middleware.ReasonNoToken)},
		"optional, redirect":           {mode: mutual.Optional, target: origin, status: 302, fields: []string{"Location", "/x"}, want: passed("optional", 302, false, middleware.ReasonUnverifiedRedirect)},
		"optional, forged":             {mode: mutual.Optional, target: origin, status: 200, fields: []string{wwwAuth, value("forged")}, want: refused("optional", 200, middleware.ReasonWrongKey), text: "(host web.test:80, reason wrong key)"},
		"disabled, forged":             {mode: mutual.Disabled, target: origin, status: 200, fields: []string{wwwAuth, value("forged")}, want: passed("disabled", 200, false, 0)},
		"an unknown mode is strict":    {mode: 99, target: origin, status: 200, want: refused("required", 200, middleware.ReasonNoToken)},
		"not base64":                   {target: origin, status: 200, fields: []string{wwwAuth, "Negotiate a!b"}, want: refused("required", 200, middleware.ReasonMalformed), text: "malformed token"},
		"not base64, error status":     {target: origin, status: 500, fields: []string{wwwAuth, "Negotiate a!b"}, want: refused("required", 500, middleware.ReasonMalformed)},
		"half a quantum of base64":     {target: origin, status: 200, fields: []string{wwwAuth, "Negotiate AAAAA"}, want: refused("required", 200, middleware.ReasonMalformed)},
		"longer than any token":        {target: origin, status: 200, fields: []string{wwwAuth, "Negotiate " + strings.Repeat("AAAA", 1<<16)}, want: refused("required", 200, middleware.ReasonMalformed)},
		"rejected with a KRB-ERROR":    {target: origin, status: 200, fields: []string{wwwAuth, value("server-reject")}, want: coded(refused("required", 200, middleware.ReasonKRBError), 31), text: "code 31"},
		"taken, but proves nothing":    {target: origin, status: 200, fields: []string{wwwAuth, value("server-more")}, want: refused("required", 200, middleware.ReasonMalformed), text: "does not complete mutual authentication"},
		"any case":                     {target: origin, status: 200, fields: []string{wwwAuth, strings.Replace(value("server-ok"), "Neg", "nEG", 1)}, want: passed("required", 200, true, 0)},
		"on a later line":              {target: origin, status: 200, fields: []string{wwwAuth, `Basic realm="Negotiate x"`, wwwAuth, "Negotiate", wwwAuth, value("server-ok")}, want: passed("required", 200, true, 0)},
		"after a comma":                {target: origin, status: 200, fields: []string{wwwAuth, `Basic realm="x", ` + value("server-ok")}, want: passed("required", 200, true, 0)},
		"inside quotes is no token":    {target: origin, status: 200, fields: []string{wwwAuth, `Basic realm="x, ` + value("server-ok") + `"`}, want: refused("required", 200, middleware.ReasonNoToken)},
		"another scheme":               {target: origin, status: 200, fields: []string{wwwAuth, stagetest.Value("Kerberos", "server-ok")}, want: refused("required", 200, middleware.ReasonNoToken)},
		"scheme Kerberos":              {target: raw, status: 200, fields: []string{wwwAuth, value("forged"), wwwAuth, stagetest.Value("kerberos", "server-ok")}, want: passed("required", 200, true, 0)},
		"IPv6":                         {target: origin, url: "http://[::1]:8080/", status: 200, want: at(refused("required", 200, middleware.ReasonNoToken), "[::1]:8080"), text: "host [::1]:8080"},
		"origin ignores proxy's token": {target: origin, status: 200, fields: []string{proxyAuth, value("server-ok")}, want: refused("required", 200, middleware.ReasonNoToken)},
		"proxy proved":                 {target: proxy, status: 200, fields: []string{proxyAuth, value("server-ok")}, want: refused("required", 200, middleware.ReasonNoToken), text: "TrustProxy"},
		"proxy proved, trusted":        {trust: true, target: proxy, status: 200, fields: []string{proxyAuth, value("server-ok")}, want: at(passed("required", 200, true, 0), "proxy.test:3128")},
		"proxy proved nothing":         {target: proxy, status: 200, want: refused("required", 200, middleware.ReasonNoToken), text: "the proxy proxy.test:3128, which proved nothing"},
		"proxy proved nothing, moved":  {target: proxy, status: 302, fields: []string{"Location", "/"}, want: refused("required", 302, middleware.ReasonUnverifiedRedirect), text: "the redirect is not from"},
		"proxy proved, squid":          {target: proxy, status: 200, fields: []string{proxyInfo, value("server-ok")}, want: refused("required", 200, middleware.ReasonNoToken), text: "TrustProxy"},
		"proxy proved, squid, trusted": {trust: true, target: proxy, status: 200, fields: []string{proxyInfo, value("server-ok")}, want: at(passed("required", 200, true, 0), "proxy.test:3128")},
		"proxy proved, error":          {target: proxy, status: 503, fields: []string{proxyInfo, value("server-ok")}, want: passed("required", 503, false, middleware.ReasonNoToken)},
		"proxy proved, error, trusted": {trust: true, target: proxy, status: 503, fields: []string{proxyInfo, value("server-ok")}, want: at(passed("required", 503, true, 0), "proxy.test:3128")},
		"proxy did not":                {target: proxy, status: 200, want: refused("required", 200, middleware.ReasonNoToken)},
		"proxy did not, trusted":       {trust: true, target: proxy, status: 200, want: refused("required", 200, middleware.ReasonNoToken)},
		"proxy did not, optional":      {mode: mutual.Optional, target: proxy, status: 200, want: passed("optional", 200, false, middleware.ReasonNoToken)},
		"proxy forged":                 {target: proxy, status: 200, fields: []string{proxyInfo, value("forged")}, want: at(refused("required", 200, middleware.ReasonWrongKey), "proxy.test:3128"), text: "host proxy.test:3128"},
		"proxy forged, optional":       {mode: mutual.Optional, target: proxy, status: 404, fields: []string{proxyInfo, value("forged")}, want: at(refused("optional", 404, middleware.ReasonWrongKey), "proxy.test:3128")},
		"proxy forged, disabled":       {mode: mutual.Disabled, target: proxy, status: 200, fields: []string{proxyInfo, value("forged")}, want: passed("disabled", 200, false, 0)},
		"proxy is not the peer of TLS": {target: proxy, url: "https://web.test/", status: 200, fields: []string{proxyInfo, value("server-ok")}, want: at(refused("required", 200, middleware.ReasonNoToken), "web.test:443"), text: "nothing else signed the request"},
		"nor if it is trusted":         {trust: true, target: proxy, url: "https://web.test/", status: 200, fields: []string{proxyInfo, value("server-ok")}, want: at(refused("required", 200, middleware.ReasonNoToken), "web.test:443"), text: "nothing else signed the request"},
		"nor if it proved nothing":     {target: proxy, url: "https://web.test/", status: 200, want: at(refused("required", 200, middleware.ReasonNoToken), "web.test:443"), text: "nothing else signed the request"},
		"digest info of a proxy":       {target: proxy, status: 200, fields: []string{proxyInfo, `nextnonce="Negotiate x"`}, want: refused("required", 200, middleware.ReasonNoToken)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := 0
			var signer kerbchain.Middleware
			if tc.target != nil {
				signer = sign(new(stagetest.Initiator), tc.target)
			}
			if tc.url == "" {
				tc.url = "http://web.test/"
			}
			next := kerbchain.Chain(mutual.New(mutual.Options{Mode: tc.mode, TrustProxy: tc.trust}), signer)(counted(&n, stagetest.Respond(tc.status, "text", tc.fields...)))
			got, err := run(t, next, &n, tc.url)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("error %v; -want +got:\n%s", err, diff)
			}
			if tc.text != "" && (err == nil || !strings.Contains(err.Error(), tc.text)) {
				t.Errorf("got error %v, want one with %q", err, tc.text)
			}
		})
	}
}

// A request may be signed for its proxy and for its origin server, and then the proxy does
// not speak for the server, be it trusted.
func TestBothSides(t *testing.T) {
	for name, tc := range map[string]struct {
		fields []string
		want   string
	}{
		"both proved":             {[]string{wwwAuth, value("server-ok"), proxyInfo, value("server-ok")}, "verified"},
		"origin alone":            {[]string{wwwAuth, value("server-ok")}, "verified"},
		"proxy alone":             {[]string{proxyInfo, value("server-ok")}, "no token at web.test:80"},
		"proxy's token is forged": {[]string{wwwAuth, value("server-ok"), proxyInfo, value("forged")}, "wrong key at proxy.test:3128"},
		"origin's is forged":      {[]string{wwwAuth, value("forged"), proxyInfo, value("server-ok")}, "wrong key at web.test:80"},
		"nobody":                  {nil, "no token at web.test:80"},
		"both are forged":         {[]string{wwwAuth, value("forged"), proxyInfo, value("forged")}, "wrong key at web.test:80"},
	} {
		for _, trust := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, trusted %t", name, trust), func(t *testing.T) {
				n := 0
				i := new(stagetest.Initiator)
				next := kerbchain.Chain(mutual.New(mutual.Options{TrustProxy: trust}), sign(i, proxy), sign(i, origin))(counted(&n, stagetest.Respond(200, "text", tc.fields...)))
				_, err := run(t, next, &n, "http://web.test/")
				got := "verified"
				var e *middleware.Error
				if errors.As(err, &e) {
					got = e.Reason.String() + " at " + e.Host
					if e.Hint != "" {
						t.Errorf("a hint that is not of the reason: %s", e.Hint)
					}
				}
				if got != tc.want {
					t.Errorf("got %s, want %s", got, tc.want)
				}
			})
		}
	}
}

// A scripted context, for what initiators may do that the fake one does not.
type scripted struct {
	step     func(ctx context.Context, token []byte) error
	verified bool
	steps    int
	target   middleware.Target
}

func (s *scripted) Step(ctx context.Context, token []byte) ([]byte, error) {
	s.steps++
	if s.step == nil {
		s.verified = true
		return nil, nil
	}
	return nil, s.step(ctx, token)
}
func (s *scripted) Verified() bool            { return s.verified }
func (s *scripted) Target() middleware.Target { return s.target }
func (s *scripted) SPN() string               { return "HTTP/web.test@EXAMPLE.TEST" }

// A byValue cannot be compared with another.
type byValue struct {
	*scripted
	_ []int
}

func carry(sc middleware.SecurityContext) kerbchain.Middleware {
	return func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) { return next(middleware.WithSecurity(r, sc)) }
	}
}

func TestStepErrors(t *testing.T) {
	secretless := errors.New("cause")
	for name, tc := range map[string]struct {
		err  error
		want string
		is   []error
	}{
		"plain": {secretless, "mutual: server did not prove its identity (host web.test:80, SPN HTTP/web.test@EXAMPLE.TEST): cause", []error{secretless}},
		"ours": {
			&middleware.Error{Stage: "gss", Kind: middleware.ErrNotVerified, Reason: middleware.ReasonWrongTime, Err: secretless},
			"mutual: server did not prove its identity (host web.test:80, SPN HTTP/web.test@EXAMPLE.TEST, reason wrong time): cause; " + middleware.ReasonWrongTime.Hint(),
			[]error{secretless},
		},
		"ours, no cause": {
			&middleware.Error{Stage: "gss", Kind: middleware.ErrNotVerified, Reason: middleware.ReasonKRBError, Code: 41, Hint: "check the keytab"},
			"mutual: server did not prove its identity (host web.test:80, SPN HTTP/web.test@EXAMPLE.TEST, code 41, reason KRB-ERROR); check the keytab",
			nil,
		},
		"ours, all fields, wrapped": {
			fmt.Errorf("step: %w", &middleware.Error{Stage: "gss", Kind: middleware.ErrToken, SPN: "HTTP/other@R", Principal: "alice@R", Err: secretless}),
			"mutual: server did not prove its identity (host web.test:80, SPN HTTP/other@R, principal alice@R, reason malformed token): bad security token: cause; " + middleware.ReasonMalformed.Hint(),
			[]error{secretless, middleware.ErrToken},
		},
		"cancelled": {context.Canceled, "mutual: server did not prove its identity (host web.test:80, SPN HTTP/web.test@EXAMPLE.TEST): context canceled", []error{context.Canceled}},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			sc := &scripted{step: func(context.Context, []byte) error { return tc.err }}
			next := kerbchain.Chain(mutual.New(mutual.Options{Mode: mutual.Optional}), carry(sc))(counted(&n, stagetest.Respond(200, "text", wwwAuth, value("x"))))
			_, err := run(t, next, &n, "http://web.test/")
			if err == nil {
				t.Fatal("got no error")
			}
			if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			for _, target := range append(tc.is, middleware.ErrNotVerified) {
				if !errors.Is(err, target) {
					t.Errorf("error is not %v", target)
				}
			}
			var e *middleware.Error
			if errors.As(err, &e) && e.IsTemporary {
				t.Error("an unverified server is not worth a retry")
			}
		})
	}
}

// The context's Step runs under the request's own context.
func TestStepContext(t *testing.T) {
	type key struct{}
	var got any
	sc := &scripted{step: func(ctx context.Context, _ []byte) error { got = ctx.Value(key{}); return errors.New("no") }}
	next := kerbchain.Chain(mutual.New(mutual.Options{}), carry(sc))(kerbchain.Next(stagetest.Respond(200, "", wwwAuth, value("x"))))
	r := httptest.NewRequest(http.MethodGet, "http://web.test/", nil)
	if _, err := next(r.WithContext(context.WithValue(r.Context(), key{}, "mine"))); err == nil || got != "mine" {
		t.Errorf("got error %v and value %v, want an error and the value of the request's context", err, got)
	}
}

// A context that is verified already, by an earlier leg or by the same stage
// further in, is not stepped again.
func TestVerifiedAlready(t *testing.T) {
	t.Run("by a leg", func(t *testing.T) {
		n := 0
		sc := &scripted{}
		verify := func(next kerbchain.Next) kerbchain.Next {
			return func(r *http.Request) (*http.Response, error) { sc.verified = true; return next(r) }
		}
		next := kerbchain.Chain(mutual.New(mutual.Options{}), carry(sc), verify)(counted(&n, stagetest.Respond(200, "text", wwwAuth, value("x"))))
		if _, err := run(t, next, &n, "http://web.test/"); err != nil || sc.steps != 0 {
			t.Errorf("got error %v and %d steps, want none of both", err, sc.steps)
		}
	})
	t.Run("twice in a chain", func(t *testing.T) {
		n := 0
		sc := &scripted{}
		stage := mutual.New(mutual.Options{})
		next := kerbchain.Chain(stage, stage, carry(sc))(counted(&n, stagetest.Respond(200, "text", wwwAuth, value("x"))))
		if _, err := run(t, next, &n, "http://web.test/"); err != nil || sc.steps != 1 {
			t.Errorf("got error %v and %d steps, want one step", err, sc.steps)
		}
	})
}

// What a context verified for an earlier call proves nothing about this one.
func TestRequestOfAnEarlierResponse(t *testing.T) {
	for name, sc := range map[string]middleware.SecurityContext{
		"comparable": &scripted{},
		"by value":   byValue{scripted: &scripted{}},
	} {
		t.Run(name, func(t *testing.T) {
			stage := mutual.New(mutual.Options{})
			reply := kerbchain.Next(stagetest.Respond(200, "", wwwAuth, value("server-ok")))
			resp, err := kerbchain.Chain(stage, carry(sc))(reply)(httptest.NewRequest(http.MethodGet, "http://web.test/", nil))
			if err != nil {
				t.Fatal(err)
			}
			again := resp.Request.Clone(resp.Request.Context())
			if _, err := stage(reply)(again); !errors.Is(err, middleware.ErrNotVerified) {
				t.Errorf("unsigned second call: got error %v, want ErrNotVerified", err)
			}
			if _, err := kerbchain.Chain(stage, carry(&scripted{}))(reply)(again); err != nil {
				t.Errorf("second call, signed anew: got error %v, want none", err)
			}
		})
	}
}

// Nor is the application told of it that asks whom a response is from, whatever its
// status and whatever the transport names as its request.
func TestEarlierProofIsNotTold(t *testing.T) {
	for _, status := range []int{200, 401, 407, 500} {
		for _, mode := range []mutual.Mode{mutual.Optional, mutual.Disabled, mutual.Required} {
			stage := mutual.New(mutual.Options{Mode: mode})
			first, err := kerbchain.Chain(stage, carry(&scripted{}))(kerbchain.Next(stagetest.Respond(200, "", wwwAuth, value("server-ok"))))(
				httptest.NewRequest(http.MethodGet, "http://web.test/", nil))
			if err != nil {
				t.Fatal(err)
			}
			if sc := middleware.SecurityOf(first.Request); mode != mutual.Disabled && (sc == nil || !sc.Verified()) {
				t.Fatal("the first response proves nothing")
			}
			resp, err := stage(func(r *http.Request) (*http.Response, error) {
				resp, err := stagetest.Respond(status, "")(r)
				resp.Request = first.Request
				return resp, err
			})(httptest.NewRequest(http.MethodGet, "http://web.test/", nil))
			if err != nil {
				if mode != mutual.Required || status != 200 {
					t.Errorf("%v, status %d: %v", mode, status, err)
				}
				continue
			}
			if sc := middleware.SecurityOf(resp.Request); sc != nil {
				t.Errorf("%v, status %d: the response is said to be of %v", mode, status, sc)
			}
		}
	}
}

// The same goes for what it proved of a proxy.
func TestRequestOfAnEarlierResponseOfAProxy(t *testing.T) {
	stage := mutual.New(mutual.Options{TrustProxy: true})
	reply := kerbchain.Next(stagetest.Respond(200, "", proxyInfo, value("server-ok")))
	r := httptest.NewRequest(http.MethodGet, "http://web.test/", nil)
	resp, err := kerbchain.Chain(stage, sign(new(stagetest.Initiator), proxy))(reply)(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stage(reply)(resp.Request.Clone(resp.Request.Context())); !errors.Is(err, middleware.ErrNotVerified) {
		t.Errorf("unsigned second call: got error %v, want ErrNotVerified", err)
	}
}

// The transport may name no request, and then nothing is verified.
func TestNoRequestInResponse(t *testing.T) {
	n := 0
	next := kerbchain.Chain(mutual.New(mutual.Options{}), sign(new(stagetest.Initiator), origin))(
		counted(&n, stagetest.Anonymous(stagetest.Respond(200, "text", wwwAuth, value("server-ok")))))
	if _, err := run(t, next, &n, "http://web.test/"); !errors.Is(err, middleware.ErrNotVerified) {
		t.Errorf("got error %v, want ErrNotVerified", err)
	}
}

func TestErrorsFromBelow(t *testing.T) {
	below := errors.New("below")
	for _, m := range []mutual.Mode{mutual.Required, mutual.Optional, mutual.Disabled} {
		_, err := mutual.New(mutual.Options{Mode: m})(kerbchain.Next(stagetest.Fail(below)))(httptest.NewRequest(http.MethodGet, "http://web.test/", nil))
		if err != below {
			t.Errorf("%v: got error %v, want the one from below as it is", m, err)
		}
	}
}

// A real transport: the first call of a connection bears a token, the second
// does not, as with servers that authenticate connections.
func TestReusedConnection(t *testing.T) {
	sc := new(stagetest.Initiator)
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if r.URL.Path == "/signed" {
			w.Header().Set(wwwAuth, value(stagetest.ServerOK))
		}
	}))
	defer server.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	conns := 0
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { conns++ }})
	twice := func(next kerbchain.Next) kerbchain.Next { // as negotiate does
		return func(r *http.Request) (*http.Response, error) {
			resp, err := next(r)
			if err != nil {
				return nil, err
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				return nil, err
			}
			if err := resp.Body.Close(); err != nil {
				return nil, err
			}
			return next(r)
		}
	}
	signed := func(r *http.Request) bool { return r.URL.Path == "/signed" }
	client := &http.Client{Transport: kerbchain.Wrap(transport,
		mutual.New(mutual.Options{}),
		kerbchain.When(signed, sign(sc, origin)),
		kerbchain.When(func(r *http.Request) bool { return r.URL.Path == "/twice" }, twice))}
	for _, step := range []struct {
		path string
		want middleware.Reason
	}{
		{"/first", middleware.ReasonNoToken}, {"/signed", middleware.ReasonNone}, {"/second", middleware.ReasonReusedConnection}, {"/twice", middleware.ReasonNoToken},
	} {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+step.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		var e *middleware.Error
		got := middleware.ReasonNone
		if errors.As(err, &e) {
			got = e.Reason
		} else if err != nil {
			t.Fatal(err)
		} else if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if got != step.want {
			t.Errorf("%s: got %v, want %v", step.path, got, step.want)
		}
	}
	// net/http may hand out a connection that was just ended, and then another one.
	if n := requests.Load(); n != 5 || conns < 5 {
		t.Errorf("the caller's own trace heard of %d connections for %d requests, want 5", conns, n)
	}
}

func TestParallel(t *testing.T) {
	n := 0
	i := new(stagetest.Initiator)
	next := kerbchain.Chain(mutual.New(mutual.Options{}), sign(i, origin))(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == "/bad" {
			return stagetest.Respond(200, "", wwwAuth, value("forged"))(r)
		}
		return stagetest.Respond(200, "", wwwAuth, value("server-ok"))(r)
	})
	var wg sync.WaitGroup
	for k := range 64 {
		path := []string{"/good", "/bad"}[k%2]
		wg.Go(func() {
			resp, err := next(httptest.NewRequest(http.MethodGet, "http://web.test"+path, nil))
			if (err != nil) != (path == "/bad") {
				t.Errorf("%s: got error %v", path, err)
			}
			if err == nil && !middleware.SecurityOf(resp.Request).Verified() {
				t.Errorf("%s: not verified", path)
			}
		})
	}
	wg.Wait()
	if n = len(i.Contexts()); n != 64 {
		t.Errorf("%d contexts, want 64", n)
	}
}

func TestParseMode(t *testing.T) {
	for text, want := range map[string]mutual.Mode{"required": mutual.Required, "Optional": mutual.Optional, "DISABLED": mutual.Disabled} {
		if got, err := mutual.ParseMode(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "on", "required ", "mode 3"} {
		if _, err := mutual.ParseMode(text); err == nil {
			t.Errorf("%q: got no error", text)
		}
	}
	for m, want := range map[mutual.Mode]string{-1: "mode -1", 3: "mode 3"} {
		if got := m.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestCompletedWithoutProof: a token that says "completed" and proves nothing
// counts as none.
func TestCompletedWithoutProof(t *testing.T) {
	for name, tc := range map[string]struct {
		mode   mutual.Mode
		status int
		refuse bool
	}{
		"required, 200": {mutual.Required, 200, true},
		"required, 302": {mutual.Required, 302, true},
		"required, 500": {mutual.Required, 500, false},
		"optional, 200": {mutual.Optional, 200, false},
		"optional, 500": {mutual.Optional, 500, false},
		"disabled, 200": {mutual.Disabled, 200, false},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			cause := errors.New("completed without proof")
			sc := &scripted{step: func(context.Context, []byte) error {
				return &middleware.Error{Stage: "gss", Kind: middleware.ErrToken, Reason: middleware.ReasonNoToken, Err: cause}
			}}
			next := kerbchain.Chain(mutual.New(mutual.Options{Mode: tc.mode}), carry(sc))(counted(&n, stagetest.Respond(tc.status, "text", wwwAuth, value("x"))))
			_, err := run(t, next, &n, "http://web.test/")
			if !tc.refuse {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var e *middleware.Error
			if !errors.As(err, &e) || e.Reason != middleware.ReasonNoToken || !errors.Is(err, middleware.ErrNotVerified) || !errors.Is(err, cause) {
				t.Errorf("got %v, want ErrNotVerified for want of a token", err)
			}
		})
	}
}
