package middleware_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"weak"

	"github.com/kerbchain/kerbchain/internal/alloctest"
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

// signed returns a request that bears a token of sc, as stages sign it.
func signed(t *testing.T, r *http.Request, sc middleware.SecurityContext) *http.Request {
	t.Helper()
	r = r.Clone(r.Context())
	field := "Authorization"
	if sc.Target().Proxy {
		field = "Proxy-Authorization"
	}
	r.Header.Set(field, "Negotiate AAAA")
	return middleware.WithSecurity(r, sc)
}

// A side is one of the two peers, as tests ask for both.
type side struct {
	of    func(middleware.Call, *http.Response) middleware.SecurityContext
	in    func(*http.Request) middleware.SecurityContext
	proxy bool
}

var sides = []side{
	{middleware.Call.Security, middleware.SecurityOf, false},
	{middleware.Call.ProxySecurity, middleware.ProxySecurityOf, true},
}

func (s side) make(name string) made {
	sc := newMade(name)
	sc.proxy = s.proxy
	return sc
}

// A context that the request came signed with counts as long as it has verified
// nothing.
func TestCallAtHand(t *testing.T) {
	for _, s := range sides {
		sc := s.make("came")
		r := signed(t, get(t), sc)
		down, call := middleware.Begin(r)
		resp := answer(down)
		if name(s.of(call, resp)) != "came" {
			t.Errorf("proxy %t: %q", s.proxy, name(s.of(call, resp)))
		}
		// This response verifies it. It still speaks for this one, and for no other
		// that the same request, or one made of the response's, leads to.
		*sc.verified = true
		if name(s.of(call, resp)) != "came" {
			t.Errorf("proxy %t: no longer for its own response", s.proxy)
		}
		call.End(resp)
		if name(s.in(resp.Request)) != "came" || name(s.of(call, resp)) != "came" {
			t.Errorf("proxy %t: the application is not told", s.proxy)
		}
		for which, again := range map[string]*http.Request{"same request": r, "response's request": resp.Request} {
			down, call := middleware.Begin(again)
			if s.in(down) != nil {
				t.Errorf("proxy %t, %s: the old context goes down", s.proxy, which)
			}
			// The transport may name the request of the caller, or the older one.
			for _, named := range []*http.Request{down, again, resp.Request} {
				resp := answer(named)
				if got := s.of(call, resp); got != nil {
					t.Errorf("proxy %t, %s: %q speaks for another response", s.proxy, which, name(got))
				}
				call.End(resp)
				if got := s.in(resp.Request); got != nil {
					t.Errorf("proxy %t, %s: the application is told of %q", s.proxy, which, name(got))
				}
			}
			resp := answer(middleware.WithSecurity(down, s.make("new")))
			if got := s.of(call, resp); name(got) != "new" {
				t.Errorf("proxy %t, %s: %q, want the new one", s.proxy, which, name(got))
			}
			call.End(resp)
			if got := s.in(resp.Request); name(got) != "new" {
				t.Errorf("proxy %t, %s: %q, want the application told of the new one", s.proxy, which, name(got))
			}
		}
	}
}

// One whose token the request does not bear signed an older one, and could verify
// what a server said late. A place that was reserved, or whose context is made anew
// for another connection, is signed in the course of the call.
func TestCallUnsignedAtHand(t *testing.T) {
	for _, s := range sides {
		for what, tc := range map[string]struct {
			r    func(*http.Request) *http.Request
			want string
		}{
			"no header":      {func(r *http.Request) *http.Request { return middleware.WithSecurity(r, s.make("old")) }, ""},
			"another scheme": {func(r *http.Request) *http.Request { return with(signed(t, r, s.make("old")), s, "Basic AAAA") }, ""},
			"no token":       {func(r *http.Request) *http.Request { return with(signed(t, r, s.make("old")), s, "Negotiate") }, ""},
			"no blank":       {func(r *http.Request) *http.Request { return with(signed(t, r, s.make("old")), s, "NegotiateX AAAA") }, ""},
			"signed":         {func(r *http.Request) *http.Request { return signed(t, r, s.make("old")) }, "old"},
			"in lower case":  {func(r *http.Request) *http.Request { return with(signed(t, r, s.make("old")), s, "negotiate AAAA") }, "old"},
			"for the other side": {func(r *http.Request) *http.Request {
				r = signed(t, r, s.make("old"))
				r.Header.Del(map[bool]string{false: "Authorization", true: "Proxy-Authorization"}[s.proxy])
				r.Header.Set(map[bool]string{true: "Authorization", false: "Proxy-Authorization"}[s.proxy], "Negotiate AAAA")
				return r
			}, ""},
			"reserved": {func(r *http.Request) *http.Request { return middleware.ReserveSecurity(r, s.proxy) }, ""},
		} {
			r := tc.r(get(t))
			down, call := middleware.Begin(r)
			resp := answer(down)
			if got := name(s.of(call, resp)); got != tc.want {
				t.Errorf("proxy %t, %s: %q speaks for the response, want %q", s.proxy, what, got, tc.want)
			}
			middleware.ReplaceSecurity(r, s.make("on its connection"))
			if got := name(s.of(call, resp)); got != "on its connection" {
				t.Errorf("proxy %t, %s: %q, want the one that was made since", s.proxy, what, got)
			}
		}
	}
}

func with(r *http.Request, s side, value string) *http.Request {
	r.Header.Set(map[bool]string{false: "Authorization", true: "Proxy-Authorization"}[s.proxy], value)
	return r
}

// Two calls at once that came with one context: it is the first one's, until that
// ends, and those within share it with those around.
func TestCallsShareNoContext(t *testing.T) {
	for _, s := range sides {
		sc := s.make("came")
		r := signed(t, get(t), sc)
		outer, outerCall := middleware.Begin(r)
		down, call := middleware.Begin(outer)
		beside, other := middleware.Begin(outer)
		stranger, third := middleware.Begin(r)
		for what, tc := range map[string]struct {
			call middleware.Call
			r    *http.Request
			want string
		}{
			"around": {outerCall, down, "came"}, "first": {call, down, "came"},
			"second": {other, beside, ""}, "second, of the first one's": {other, down, ""}, "outside": {third, stranger, ""},
		} {
			if got := name(s.of(tc.call, answer(tc.r))); got != tc.want {
				t.Errorf("proxy %t, %s: %q, want %q", s.proxy, what, got, tc.want)
			}
		}
		resp := answer(beside)
		other.End(resp)
		if s.in(resp.Request) != nil || s.of(outerCall, resp) != nil {
			t.Errorf("proxy %t: stages around, or the application, are told of what the other call has", s.proxy)
		}
		third.End(nil)
		call.End(nil)
		again, next := middleware.Begin(outer)
		if got := name(s.of(next, answer(again))); got != "came" {
			t.Errorf("proxy %t: %q in the next try, want it free again", s.proxy, got)
		}
		if _, third := middleware.Begin(r); s.of(third, answer(r)) != nil {
			t.Errorf("proxy %t: free for a call that is not within", s.proxy)
		}
		*sc.verified = true
		next.End(nil)
		outerCall.End(nil)
		if down, last := middleware.Begin(r); s.in(down) != nil || s.of(last, answer(r)) != nil {
			t.Errorf("proxy %t: speaks for a second response", s.proxy)
		}
	}
}

// What a response's request says is what an application believes.
func TestEnd(t *testing.T) {
	old, earlier := middleware.Begin(get(t))
	kept := answer(middleware.WithSecurity(old, newMade("old")))
	earlier.Trust(kept)
	earlier.End(kept)
	if !middleware.Trusted(kept.Request) || name(middleware.SecurityOf(kept.Request)) != "old" {
		t.Fatal("taken off its own response")
	}
	toProxy := newMade("proxy")
	toProxy.proxy = true

	down, call := middleware.Begin(get(t))
	call.End(nil)
	call.End(answer(nil))
	(middleware.Call{}).End(answer(kept.Request))
	resp := answer(kept.Request)
	call.End(resp)
	if middleware.Trusted(resp.Request) || middleware.SecurityOf(resp.Request) != nil {
		t.Error("an older response speaks for this one")
	}
	if resp.Request.URL != kept.Request.URL || !middleware.Trusted(kept.Request) {
		t.Error("another request, or the one that was kept is changed")
	}
	// What is taken off for one side leaves the other as it is, and trust too.
	resp = answer(middleware.WithSecurity(kept.Request, toProxy))
	call.End(resp)
	if middleware.ProxySecurityOf(resp.Request) != nil {
		t.Error("signed outside of the call")
	}
	mixed := answer(down.WithContext(kept.Request.Context()))
	call.Trust(mixed)
	call.End(mixed)
	if !middleware.Trusted(mixed.Request) || !call.Trusted(mixed) || middleware.SecurityOf(mixed.Request) != nil {
		t.Error("not trusted any more, or told of an older context")
	}
	honest := answer(middleware.WithSecurity(down, toProxy))
	sent := honest.Request
	call.End(honest)
	if honest.Request != sent {
		t.Error("a copy where there is nothing to take off")
	}
}

// A call is over when the outermost one around it is.
func TestOver(t *testing.T) {
	outer, outerCall := middleware.Begin(get(t))
	inner, call := middleware.Begin(outer)
	over, outerOver := call.Over(), outerCall.Over()
	resp := answer(inner)
	call.End(resp)
	if over() || outerOver() {
		t.Error("over before the stage around has returned")
	}
	outerCall.End(resp)
	if !over() || !outerOver() {
		t.Error("not over")
	}
	// A request that is made of that response's is one of a call of its own.
	_, next := middleware.Begin(resp.Request)
	if over := next.Over(); over() {
		t.Error("over because an earlier call is")
	} else if next.End(nil); !over() {
		t.Error("not over")
	}
	if over := (middleware.Call{}).Over(); !over() {
		t.Error("the call of nothing is not over")
	}
	// What reports it does not keep the request.
	over = func() func() bool { _, call := middleware.Begin(get(t)); return call.Over() }()
	for range 100 {
		if runtime.GC(); over() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("a call that nobody can end is kept")
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

func TestBeginAllocates(t *testing.T) {
	bodiless, withBody := get(t), get(t)
	withBody.Body = io.NopCloser(strings.NewReader("body"))
	for name, tc := range map[string]struct {
		r    *http.Request
		most int
	}{
		"no body, one piece of memory": {bodiless, 1},
		"body, context and request":    {withBody, 2},
	} {
		if n := alloctest.Allocations(100, tc.most, func() { middleware.Begin(tc.r) }); n > tc.most {
			t.Errorf("%s: %v allocations, want %v", name, n, tc.most)
		}
	}
}

// Calls within calls are apart, however many there are and whatever memory they share: what
// signed within one counts for it and those around it, and for none within it or beside it.
func TestCallsWithinCalls(t *testing.T) {
	const deep = 9
	type level struct {
		down *http.Request
		call middleware.Call
	}
	open := func(r *http.Request) (levels []level) {
		for range deep {
			down, call := middleware.Begin(r)
			levels = append(levels, level{down, call})
			r = down
		}
		return levels
	}
	outer, outerCall := middleware.Begin(get(t))
	a, b := open(outer), open(outer)
	seen := map[*http.Request]bool{outer: true}
	for i := range deep {
		for _, l := range []level{a[i], b[i]} {
			if seen[l.down] {
				t.Fatalf("level %d: one request for two calls", i)
			}
			seen[l.down] = true
		}
		resp := answer(middleware.WithSecurity(a[i].down, newMade("a")))
		if name(outerCall.Security(resp)) != "a" {
			t.Errorf("level %d: nothing signed within the outermost call", i)
		}
		for j := range deep {
			if got := name(a[j].call.Security(resp)) == "a"; got != (j <= i) {
				t.Errorf("what signed within level %d counts for level %d: %t", i, j, got)
			}
			if b[j].call.Security(resp) != nil {
				t.Errorf("what signed within level %d counts for level %d beside it", i, j)
			}
		}
		over := a[i].call.Over()
		if over() {
			t.Errorf("level %d is over", i)
		}
	}
	for i := deep - 1; i >= 0; i-- {
		a[i].call.End(nil)
	}
	if over := b[0].call.Over(); over() {
		t.Error("what ended beside it ended it")
	}
}

// Calls that are begun at the same time within one are apart, too.
func TestCallsBegunAtOnce(t *testing.T) {
	const many, rounds = 2, 2000
	outer, _ := middleware.Begin(get(t))
	for range rounds {
		down, _ := middleware.Begin(outer)
		var requests [many]*http.Request
		var ready atomic.Int32
		var all sync.WaitGroup
		for i := range many {
			all.Go(func() {
				for ready.Add(1); ready.Load() < many; { // at the same time, if there are processors
					runtime.Gosched()
				}
				r, call := middleware.Begin(down)
				call.End(answer(r))
				requests[i] = r
			})
		}
		all.Wait()
		for i, r := range requests {
			if slices.Contains(requests[:i], r) {
				t.Fatal("one request for two calls")
			}
		}
	}
}

// Calls within calls take two pieces of memory for four stages, and one more for each three
// beyond.
func TestBeginWithinAllocates(t *testing.T) {
	r := get(t)
	for deep, most := range map[int]int{1: 1, 2: 2, 4: 2, 5: 3, 7: 3, 8: 4} {
		n := alloctest.Allocations(100, most, func() {
			down := r
			for range deep {
				down, _ = middleware.Begin(down)
			}
		})
		if n > most {
			t.Errorf("%d calls: %v allocations, want %v", deep, n, most)
		}
	}
}

// Who makes further requests of a response's context keeps no body alive.
func TestBeginKeepsNoBody(t *testing.T) {
	for name, give := range map[string]func(*http.Request, *strings.Reader){
		"Body": func(r *http.Request, b *strings.Reader) { r.Body = io.NopCloser(b) },
		"GetBody": func(r *http.Request, b *strings.Reader) {
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(b), nil }
		},
	} {
		var ctx context.Context
		body := func() weak.Pointer[strings.Reader] {
			b := strings.NewReader(strings.Repeat("a body of its own memory", 10))
			r := get(t)
			give(r, b)
			out, call := middleware.Begin(r)
			call.End(nil)
			ctx = out.Context()
			return weak.Make(b)
		}()
		for n := 0; body.Value() != nil; n++ {
			if n == 10 {
				t.Fatalf("%s is kept by the context of the request", name)
			}
			runtime.GC()
		}
		runtime.KeepAlive(ctx)
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
