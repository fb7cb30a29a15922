package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/alloctest"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/middleware"
)

func TestMain(m *testing.M) { testmain.Run(m) }

// A named context does nothing but bear a name.
type named struct {
	name   string
	target middleware.Target
}

func (*named) Step(context.Context, []byte) ([]byte, error) { return nil, errors.New("not a real one") }
func (*named) Verified() bool                               { return false }
func (n *named) Target() middleware.Target                  { return n.target }

func site(name string) *named { return &named{name: name} }
func proxy(name string) *named {
	return &named{name: name, target: middleware.Target{Proxy: true}}
}

// carried names what r carries for its origin and for its proxy.
func carried(r *http.Request) [2]string {
	var out [2]string
	for i, sc := range []middleware.SecurityContext{middleware.SecurityOf(r), middleware.ProxySecurityOf(r)} {
		if n, ok := sc.(*named); ok {
			out[i] = n.name
		}
	}
	return out
}

func TestTargetOf(t *testing.T) {
	type target = middleware.Target
	for name, tc := range map[string]struct {
		url      string
		want     target
		hostPort string
	}{
		"http":             {"http://web.test/path?q", target{Host: "web.test", Port: "80"}, "web.test:80"},
		"https":            {"https://web.test", target{Host: "web.test", Port: "443", Secure: true}, "web.test:443"},
		"any case":         {"HTTPS://Web.Test", target{Host: "web.test", Port: "443", Secure: true}, "web.test:443"},
		"a port":           {"http://web.test:8080", target{Host: "web.test", Port: "8080"}, "web.test:8080"},
		"an empty port":    {"https://web.test:/", target{Host: "web.test", Port: "443", Secure: true}, "web.test:443"},
		"other's default":  {"http://web.test:443", target{Host: "web.test", Port: "443"}, "web.test:443"},
		"a user":           {"http://u:p@web.test/", target{Host: "web.test", Port: "80"}, "web.test:80"},
		"a trailing dot":   {"http://web.test./", target{Host: "web.test", Port: "80"}, "web.test:80"},
		"IPv4":             {"http://127.0.0.1/", target{Host: "127.0.0.1", Port: "80"}, "127.0.0.1:80"},
		"IPv6":             {"https://[::1]/", target{Host: "::1", Port: "443", Secure: true}, "[::1]:443"},
		"IPv6 with a port": {"http://[::1]:8080/", target{Host: "::1", Port: "8080"}, "[::1]:8080"},
		"IPv6 with a zone": {"http://[fe80::1%25eth0]/", target{Host: "fe80::1%eth0", Port: "80"}, "[fe80::1%eth0]:80"},
		"not ASCII":        {"http://B\u00fccher.test/", target{Host: "xn--bcher-kva.test", Port: "80"}, "xn--bcher-kva.test:80"},
		"zeros in front":   {"http://web.test:08080", target{Host: "web.test", Port: "8080"}, "web.test:8080"},
		"a long IPv6":      {"http://[0:0::0:1]/", target{Host: "::1", Port: "80"}, "[::1]:80"},
		"no name":          {"http://web.test%25.evil.test/", target{Host: "web.test%.evil.test", Port: "80"}, "web.test%.evil.test:80"},
		"no port":          {"http://web.test:70000/", target{Host: "web.test", Port: "70000"}, "web.test:70000"},
		"no host":          {"/path", target{Port: "80"}, ":80"},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := url.Parse(tc.url)
			if err != nil {
				t.Fatal(err)
			}
			got := middleware.TargetOfURL(u)
			tc.want.Scheme = middleware.Negotiate
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if got.HostPort() != tc.hostPort {
				t.Errorf("got %q, want %q", got.HostPort(), tc.hostPort)
			}
		})
	}
	for host, want := range map[string]string{"web.test": "web.test", "::1": "[::1]", "": ""} {
		if got := (middleware.Target{Host: host}).HostPort(); got != want {
			t.Errorf("no port: got %q, want %q", got, want)
		}
	}
}

func TestSecurity(t *testing.T) {
	plain := httptest.NewRequest(http.MethodGet, "http://web.test/", nil)
	one := middleware.WithSecurity(plain, site("one"))
	both := middleware.WithSecurity(one, proxy("two"))
	anew := middleware.WithSecurity(both, site("three"))
	clone := anew.Clone(anew.Context())
	for name, tc := range map[string]struct {
		r    *http.Request
		want [2]string
	}{
		"nil":            {nil, [2]string{}},
		"none":           {plain, [2]string{}},
		"zero request":   {&http.Request{}, [2]string{}},
		"origin":         {one, [2]string{"one", ""}},
		"both":           {both, [2]string{"one", "two"}},
		"origin anew":    {anew, [2]string{"three", "two"}},
		"clone":          {clone, [2]string{"three", "two"}},
		"proxy alone":    {middleware.WithSecurity(plain, proxy("two")), [2]string{"", "two"}},
		"other contexts": {anew.WithContext(t.Context()), [2]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := carried(tc.r); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
	if one == plain || one.URL != plain.URL {
		t.Error("want a shallow copy of the request")
	}
}

func TestReplaceSecurity(t *testing.T) {
	plain := httptest.NewRequest(http.MethodGet, "http://web.test/", nil)
	if middleware.ReplaceSecurity(plain, site("x")) || middleware.ReplaceSecurity(nil, site("x")) || carried(plain) != [2]string{} {
		t.Error("replaced what was not there")
	}
	r := middleware.WithSecurity(plain, site("one"))
	if middleware.ReplaceSecurity(r, proxy("x")) {
		t.Error("replaced a proxy's context that was not there")
	}
	clone := r.Clone(r.Context())
	resp := &http.Response{Request: r}
	inner := middleware.WithSecurity(r, site("inner"))
	if !middleware.ReplaceSecurity(clone, site("two")) {
		t.Error("not replaced")
	}
	for name, tc := range map[string]struct {
		r    *http.Request
		want string
	}{"request": {r, "two"}, "clone": {clone, "two"}, "response": {resp.Request, "two"}, "another leg": {inner, "inner"}} {
		if got := carried(tc.r)[0]; got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}

// Readers may be other goroutines than the one that replaces.
func TestReplaceSecurityInParallel(t *testing.T) {
	r := middleware.WithSecurity(httptest.NewRequest(http.MethodGet, "http://web.test/", nil), site("0"))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for k := range 100 {
				if !middleware.ReplaceSecurity(r, site(fmt.Sprint(i, k))) {
					t.Error("not replaced")
				}
			}
		})
		wg.Go(func() {
			for range 100 {
				if middleware.SecurityOf(r) == nil {
					t.Error("no context")
				}
			}
		})
	}
	wg.Wait()
	if !middleware.ReplaceSecurity(r, site("last")) || carried(r)[0] != "last" {
		t.Errorf("got %v, want the last", carried(r))
	}
}

func TestTrace(t *testing.T) {
	var got []string
	note := func(name string) middleware.Trace {
		return func(e middleware.Event) { got = append(got, fmt.Sprintf("%s %T", name, e)) }
	}
	ctx := t.Context()
	middleware.Emit(ctx, middleware.SendEvent{})
	if middleware.WithTrace(ctx, nil) != ctx || middleware.Tracing(ctx) {
		t.Error("a nil trace changed the context")
	}
	one := middleware.WithTrace(ctx, note("one"))
	two := middleware.WithTrace(middleware.WithTrace(one, nil), note("two"))
	if !middleware.Tracing(one) || !middleware.Tracing(two) || middleware.Tracing(ctx) {
		t.Error("Tracing does not know who listens")
	}
	middleware.Emit(one, middleware.ChallengeEvent{})
	for _, e := range []middleware.Event{
		middleware.TicketEvent{}, middleware.ExchangeEvent{}, middleware.TokenEvent{}, middleware.SendEvent{},
		middleware.RefusedEvent{}, middleware.VerdictEvent{}, middleware.SanitizedEvent{},
		middleware.DiscardEvent{}, middleware.FallbackEvent{},
	} {
		middleware.Emit(two, e)
	}
	want := []string{"one middleware.ChallengeEvent"}
	for _, e := range []string{"Ticket", "Exchange", "Token", "Send", "Refused", "Verdict", "Sanitized", "Discard", "Fallback"} {
		want = append(want, "one middleware."+e+"Event", "two middleware."+e+"Event")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Where nobody listens, nothing is allocated.
func TestEmitToNobody(t *testing.T) {
	ctx := t.Context()
	n := alloctest.Allocations(10, 0, func() {
		if middleware.Tracing(ctx) {
			middleware.Emit(ctx, middleware.SendEvent{Stage: "test"})
		}
	})
	if n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestInitiatorFunc(t *testing.T) {
	type key struct{}
	failed := errors.New("failed")
	f := middleware.InitiatorFunc(func(ctx context.Context, target middleware.Target) (middleware.SecurityContext, error) {
		if ctx.Value(key{}) == nil {
			return nil, failed
		}
		return &named{name: "made", target: target}, nil
	})
	want := middleware.Target{Host: "web.test", Port: "80"}
	sc, err := f.Initiate(context.WithValue(t.Context(), key{}, true), want)
	if err != nil || sc.Target() != want {
		t.Errorf("got %v, %v, want a context for %v", sc, err, want)
	}
	if _, err := f.Initiate(t.Context(), want); err != failed {
		t.Errorf("got error %v, want the function's", err)
	}
}

var kinds = map[string]error{
	"none": nil, "credentials": middleware.ErrCredentials, "KDC": middleware.ErrKDC, "token": middleware.ErrToken,
	"not verified": middleware.ErrNotVerified, "body": middleware.ErrBodyNotReplayable,
}

// The text is one line without gaps, whatever is known.
func TestErrorText(t *testing.T) {
	cause := errors.New("the cause")
	for kind, sentinel := range kinds {
		for reason := middleware.Reason(-1); reason <= middleware.ReasonRefused+1; reason++ {
			for _, full := range []bool{false, true} {
				for _, hint := range []string{"", "a hint"} {
					e := &middleware.Error{Stage: "stage", Kind: sentinel, Reason: reason, Hint: hint}
					if full {
						e.Host, e.SPN, e.Principal, e.KDC, e.Code, e.Err = "[::1]:443", "HTTP/web.test@R", "alice@R", "R at 127.0.0.1:88", 37, cause
					}
					text := e.Error()
					where := fmt.Sprintf("%s, %v, full %v, hint %q: %q", kind, reason, full, hint, text)
					for _, bad := range []string{"\n", "  ", ": :", ":;", ";;", "; ;", ", ,", ", )", "()", "( ", " )", "(,", "%!"} {
						if strings.Contains(text, bad) {
							t.Errorf("%s: contains %q", where, bad)
						}
					}
					if strings.TrimRight(text, " :;,") != text || !strings.HasPrefix(text, "stage: ") {
						t.Errorf("%s: frayed", where)
					}
					parts := []string{}
					if sentinel != nil {
						parts = append(parts, sentinel.Error())
					}
					if reason != middleware.ReasonNone {
						parts = append(parts, "reason "+strings.TrimPrefix(reason.String(), "reason "))
					}
					if hint != "" {
						parts = append(parts, hint)
					} else if h := reason.Hint(); h != "" {
						parts = append(parts, h)
					}
					if full {
						parts = append(parts, e.Host, e.SPN, e.Principal, e.KDC, "code 37", "the cause")
					}
					for _, part := range parts {
						if strings.Count(text, part) != 1 {
							t.Errorf("%s: %q occurs %d times, want once", where, part, strings.Count(text, part))
						}
					}
					if errors.Is(e, cause) != full || sentinel != nil && !errors.Is(e, sentinel) {
						t.Errorf("%s: does not wrap what it should", where)
					}
				}
			}
		}
	}
}

func TestErrorTexts(t *testing.T) {
	for name, tc := range map[string]struct {
		e    middleware.Error
		want string
	}{
		"zero":        {middleware.Error{}, "failed"},
		"no stage":    {middleware.Error{Kind: middleware.ErrKDC}, "key distribution centre failed"},
		"no kind":     {middleware.Error{Stage: "negotiate", Host: "web.test:80"}, "negotiate: failed (host web.test:80)"},
		"cause alone": {middleware.Error{Stage: "kerberos", Kind: middleware.ErrKDC, Err: context.DeadlineExceeded}, "kerberos: key distribution centre failed: context deadline exceeded"},
		"joined":      {middleware.Error{Stage: "kerberos", Kind: middleware.ErrKDC, Err: errors.Join(errors.New("one"), errors.New("two"))}, "kerberos: key distribution centre failed: one; two"},
		"negative":    {middleware.Error{Stage: "kerberos", Kind: middleware.ErrKDC, Code: -1}, "kerberos: key distribution centre failed (code -1)"},
		"own hint":    {middleware.Error{Stage: "mutual", Kind: middleware.ErrNotVerified, Reason: middleware.ReasonNoToken, Hint: "ask"}, "mutual: server did not prove its identity (reason no token); ask"},
		"all":         {middleware.Error{Stage: "kerberos", Kind: middleware.ErrCredentials, Host: "web.test:443", SPN: "HTTP/web.test", Principal: "alice@R", KDC: "R", Code: 24, Reason: middleware.ReasonRefused, Hint: "run kinit", Err: errors.New("wrong password")}, "kerberos: no usable Kerberos credentials (host web.test:443, SPN HTTP/web.test, principal alice@R, KDC R, code 24, reason refused): wrong password; run kinit"},
		"hint in the cause": {middleware.Error{Stage: "kerberos", Kind: middleware.ErrCredentials, Hint: "run kinit, or name a keytab", Err: errors.New("no cache: run kinit")},
			"kerberos: no usable Kerberos credentials: no cache: run kinit"},
		"kind before a cause": {middleware.Error{Stage: "client", Kind: middleware.ErrKDC, Err: fmt.Errorf("%w: down", middleware.ErrKDC)}, "client: key distribution centre failed: down"},
		"reason's own":        {middleware.Error{Stage: "mutual", Kind: middleware.ErrNotVerified, Reason: middleware.ReasonWrongMechanism}, "mutual: server did not prove its identity (reason wrong mechanism); " + middleware.ReasonWrongMechanism.Hint()},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.e.Error()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestErrorUnwrap(t *testing.T) {
	cause := errors.New("cause")
	for name, tc := range map[string]struct {
		e    middleware.Error
		want int
	}{
		"nothing": {middleware.Error{}, 0},
		"kind":    {middleware.Error{Kind: middleware.ErrToken}, 1},
		"cause":   {middleware.Error{Err: cause}, 1},
		"both":    {middleware.Error{Kind: middleware.ErrToken, Err: cause}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.e.Unwrap(); len(got) != tc.want {
				t.Errorf("got %v, want %d errors", got, tc.want)
			}
			for _, err := range []error{middleware.ErrToken, cause} {
				want := tc.e.Kind == err || tc.e.Err == err
				if got := errors.Is(&tc.e, err); got != want {
					t.Errorf("is %v: got %v, want %v", err, got, want)
				}
			}
		})
	}
	outer := fmt.Errorf("call: %w", &middleware.Error{Stage: "outer", Kind: middleware.ErrKDC, Err: &middleware.Error{Stage: "inner", Kind: middleware.ErrToken}})
	var e *middleware.Error
	if !errors.As(outer, &e) || e.Stage != "outer" || !errors.Is(outer, middleware.ErrToken) || errors.Is(outer, middleware.ErrCredentials) {
		t.Errorf("got %+v, want the outer error, which is ErrKDC and ErrToken", e)
	}
}

func TestTemporary(t *testing.T) {
	for _, retryable := range []bool{true, false} {
		var err error = fmt.Errorf("call: %w", &middleware.Error{Kind: middleware.ErrKDC, IsTemporary: retryable})
		var t9y interface{ Temporary() bool }
		if !errors.As(err, &t9y) || t9y.Temporary() != retryable {
			t.Errorf("got Temporary %v, want %v", !retryable, retryable)
		}
	}
}

func TestReasons(t *testing.T) {
	seen := make(map[string]middleware.Reason)
	for r := middleware.ReasonNone; r <= middleware.ReasonTokenTooLarge; r++ {
		name := r.String()
		if old, ok := seen[name]; ok || name == "" || strings.HasPrefix(name, "reason ") {
			t.Errorf("reason %d is called %q, as is %d", int(r), name, int(old))
		}
		seen[name] = r
		if hint := r.Hint(); (hint == "") != (r == middleware.ReasonNone || r == middleware.ReasonKRBError) {
			t.Errorf("%v has hint %q", r, hint)
		}
	}
	for r, want := range map[middleware.Reason]string{-1: "reason -1", 1000: "reason 1000"} {
		if got := r.String(); got != want || r.Hint() != "" {
			t.Errorf("got %q with hint %q, want %q with none", got, r.Hint(), want)
		}
	}
}
