package middleware_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/kerbchain/kerbchain/middleware"
)

// made is a security context of no mechanism. It has a type that cannot be
// compared, as a stranger's may.
type made struct {
	name     string
	proxy    bool
	verified *bool
	_        []int
}

func newMade(name string) made { return made{name: name, verified: new(bool)} }

func (m made) Step(context.Context, []byte) ([]byte, error) { return nil, nil }
func (m made) Verified() bool                               { return *m.verified }
func (m made) Target() middleware.Target                    { return middleware.Target{Proxy: m.proxy} }

func name(sc middleware.SecurityContext) string {
	if m, ok := sc.(made); ok {
		return m.name
	}
	return ""
}

func get(t testing.TB) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://www.example.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func answer(r *http.Request) *http.Response {
	return &http.Response{StatusCode: http.StatusOK, Request: r}
}

// Who speaks for a response: whoever signed the request within the call.
func TestCall(t *testing.T) {
	for name1, tc := range map[string]struct {
		// respond returns the response to a request that a stage passed down.
		respond func(t *testing.T, down *http.Request) *http.Response
		want    string // the context that counts
	}{
		"nobody":      {func(t *testing.T, down *http.Request) *http.Response { return answer(down) }, ""},
		"no response": {func(t *testing.T, down *http.Request) *http.Response { return nil }, ""},
		"no request":  {func(t *testing.T, down *http.Request) *http.Response { return answer(nil) }, ""},
		"a stage within": {func(t *testing.T, down *http.Request) *http.Response {
			return answer(middleware.WithSecurity(down, newMade("a")))
		}, "a"},
		"the last of two": {func(t *testing.T, down *http.Request) *http.Response {
			return answer(middleware.WithSecurity(middleware.WithSecurity(down, newMade("a")), newMade("b")))
		}, "b"},
		"a stage within a stage": {func(t *testing.T, down *http.Request) *http.Response {
			inner, call := middleware.Begin(down)
			resp := answer(middleware.WithSecurity(inner, newMade("a")))
			if got := name(call.Security(resp)); got != "a" {
				t.Errorf("within: %q", got)
			}
			return resp
		}, "a"},
		"a clone of what was signed": {func(t *testing.T, down *http.Request) *http.Response {
			r := middleware.WithSecurity(down, newMade("a"))
			return answer(r.Clone(r.Context()))
		}, "a"},
		"signed anew": {func(t *testing.T, down *http.Request) *http.Response {
			r := middleware.WithSecurity(down, newMade("a"))
			middleware.ReplaceSecurity(r, newMade("b"))
			return answer(r)
		}, "b"},
		"a response of an earlier call": {func(t *testing.T, down *http.Request) *http.Response {
			earlier, _ := middleware.Begin(get(t))
			return answer(middleware.WithSecurity(earlier, newMade("old")))
		}, ""},
		"a response of a parallel call of the same request": {func(t *testing.T, down *http.Request) *http.Response {
			other, _ := middleware.Begin(get(t).WithContext(down.Context()))
			_ = other
			beside, _ := middleware.Begin(get(t))
			return answer(middleware.WithSecurity(beside, newMade("other")))
		}, ""},
		"signed outside of any call": {func(t *testing.T, down *http.Request) *http.Response {
			return answer(middleware.WithSecurity(get(t), newMade("stray")))
		}, ""},
		"verified already": {func(t *testing.T, down *http.Request) *http.Response {
			sc := newMade("sealed")
			*sc.verified = true // a session's, which vouches for many messages
			return answer(middleware.WithSecurity(down, sc))
		}, "sealed"},
	} {
		t.Run(name1, func(t *testing.T) {
			down, call := middleware.Begin(get(t))
			resp := tc.respond(t, down)
			if got := name(call.Security(resp)); got != tc.want {
				t.Errorf("%q speaks for the response, want %q", got, tc.want)
			}
			if call.ProxySecurity(resp) != nil || call.Trusted(resp) {
				t.Error("a proxy, or a connection, speaks for the response")
			}
			if (middleware.Call{}).Security(resp) != nil {
				t.Error("the zero Call knows of a context")
			}
		})
	}
}

// A context that the request came with counts as long as it has verified nothing.
func TestCallAtHand(t *testing.T) {
	for _, proxy := range []bool{false, true} {
		sc := newMade("came")
		sc.proxy = proxy
		r := middleware.WithSecurity(get(t), sc)
		of := func(c middleware.Call, resp *http.Response) middleware.SecurityContext {
			if proxy {
				return c.ProxySecurity(resp)
			}
			return c.Security(resp)
		}
		down, call := middleware.Begin(r)
		resp := answer(down)
		if name(of(call, resp)) != "came" {
			t.Errorf("proxy %t: %q", proxy, name(of(call, resp)))
		}
		// This response verifies it. It still speaks for this one, and for no other
		// that the same request, or one made of the response's, leads to.
		*sc.verified = true
		if name(of(call, resp)) != "came" {
			t.Errorf("proxy %t: no longer for its own response", proxy)
		}
		for which, again := range map[string]*http.Request{"same request": r, "response's request": resp.Request} {
			down, call := middleware.Begin(again)
			if got := of(call, answer(down)); got != nil {
				t.Errorf("proxy %t, %s: %q speaks for another response", proxy, which, name(got))
			}
			signed := newMade("new")
			signed.proxy = proxy
			if got := of(call, answer(middleware.WithSecurity(down, signed))); name(got) != "new" {
				t.Errorf("proxy %t, %s: %q, want the new one", proxy, which, name(got))
			}
		}
	}
}

func TestTrust(t *testing.T) {
	outer, outerCall := middleware.Begin(get(t))
	inner, call := middleware.Begin(outer)
	resp := answer(inner)
	if call.Trusted(resp) || middleware.Trusted(resp.Request) || middleware.Trusted(nil) || call.Trusted(nil) {
		t.Fatal("trusted before anybody said so")
	}
	call.Trust(resp)
	if !call.Trusted(resp) || !outerCall.Trusted(resp) || !middleware.Trusted(resp.Request) || middleware.Trusted(inner) {
		t.Error("not trusted by the call, the one around it and the application, or the request that was sent is")
	}
	if !middleware.Trusted(resp.Request.Clone(resp.Request.Context())) {
		t.Error("a clone is not trusted")
	}
	// Nothing of it is left in a request that is made of the response's.
	down, later := middleware.Begin(resp.Request)
	if again := answer(down); later.Trusted(again) || middleware.Trusted(again.Request) {
		t.Error("a later response is trusted")
	}
	// A response that is kept and given out again is trusted by no later call.
	if later.Trusted(resp) {
		t.Error("an old response is trusted")
	}
	// Nor by the stages around, where it came from within a further call.
	if resp := answer(down); resp != nil {
		later.Trust(resp)
		if call.Trusted(resp) != true || outerCall.Trusted(resp) != true {
			t.Error("a call within is not believed")
		}
	}
}

func TestSignedSince(t *testing.T) {
	toProxy := newMade("proxy")
	toProxy.proxy = true
	then := middleware.WithSecurity(get(t), newMade("before"))
	for name1, tc := range map[string]struct {
		now           *http.Request
		origin, proxy string
	}{
		"nil":         {nil, "", ""},
		"the same":    {then, "", ""},
		"a clone":     {then.Clone(then.Context()), "", ""},
		"once more":   {middleware.WithSecurity(then, newMade("again")), "again", ""},
		"for a proxy": {middleware.WithSecurity(then, toProxy), "", "proxy"},
		"both":        {middleware.WithSecurity(middleware.WithSecurity(then, newMade("again")), toProxy), "again", "proxy"},
	} {
		origin, proxy := middleware.SignedSince(then, tc.now)
		if name(origin) != tc.origin || name(proxy) != tc.proxy {
			t.Errorf("%s: %q and %q, want %q and %q", name1, name(origin), name(proxy), tc.origin, tc.proxy)
		}
	}
}

func TestBeginAllocates(t *testing.T) {
	r := get(t)
	if n := testing.AllocsPerRun(100, func() { middleware.Begin(r) }); n > 2 {
		t.Errorf("%v allocations, want a context and a copy of the request", n)
	}
}

// A stage that looks for proof asks its own call, not the request that a response
// names: that may be an older one.
func ExampleBegin() {
	r, _ := http.NewRequest(http.MethodGet, "https://www.example.com/", nil)
	next := func(r *http.Request) (*http.Response, error) {
		signed := middleware.WithSecurity(r, newMade("a context"))
		return &http.Response{StatusCode: http.StatusOK, Request: signed}, nil
	}

	out, call := middleware.Begin(r)
	resp, err := next(out)
	if err != nil {
		fmt.Println(err)
		return
	}
	sc := call.Security(resp)
	fmt.Println(sc != nil, sc.Verified())
	// Output:
	// true false
}
