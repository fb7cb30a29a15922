package kerbchain_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/internal/testmain"
)

func TestMain(m *testing.M) { testmain.Run(m) }

// A trail is the order in which stages were passed.
type trail struct {
	mu    sync.Mutex
	steps []string
}

func (l *trail) add(step string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.steps = append(l.steps, step)
}

// stage notes requests and responses that pass.
func (l *trail) stage(name string) kerbchain.Middleware {
	return func(next kerbchain.Next) kerbchain.Next {
		l.add("wire " + name)
		return func(r *http.Request) (*http.Response, error) {
			l.add("> " + name)
			resp, err := next(r)
			l.add("< " + name)
			return resp, err
		}
	}
}

func (l *trail) base(r *http.Request) (*http.Response, error) {
	l.add("send")
	return stagetest.Respond(http.StatusOK, "ok")(r)
}

func get(t *testing.T, rt http.RoundTripper, path string) *http.Response {
	t.Helper()
	resp, err := rt.RoundTrip(httptest.NewRequest(http.MethodGet, "http://web.test"+path, nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestOrder(t *testing.T) {
	for name, tc := range map[string]struct {
		chain func(a, b, c kerbchain.Middleware) kerbchain.Middleware
		want  []string
	}{
		"none":        {func(_, _, _ kerbchain.Middleware) kerbchain.Middleware { return kerbchain.Chain() }, []string{"send"}},
		"nil alone":   {func(_, _, _ kerbchain.Middleware) kerbchain.Middleware { return kerbchain.Chain(nil, nil) }, []string{"send"}},
		"one":         {func(a, _, _ kerbchain.Middleware) kerbchain.Middleware { return kerbchain.Chain(a) }, []string{"wire a", "> a", "send", "< a"}},
		"nil between": {func(a, b, _ kerbchain.Middleware) kerbchain.Middleware { return kerbchain.Chain(nil, a, nil, b, nil) }, []string{"wire b", "wire a", "> a", "> b", "send", "< b", "< a"}},
		"three": {
			func(a, b, c kerbchain.Middleware) kerbchain.Middleware { return kerbchain.Chain(a, b, c) },
			[]string{"wire c", "wire b", "wire a", "> a", "> b", "> c", "send", "< c", "< b", "< a"},
		},
		"a chain in a chain": {
			func(a, b, c kerbchain.Middleware) kerbchain.Middleware {
				return kerbchain.Chain(kerbchain.Chain(a, b), c)
			},
			[]string{"wire c", "wire b", "wire a", "> a", "> b", "> c", "send", "< c", "< b", "< a"},
		},
		"one twice": {func(a, _, _ kerbchain.Middleware) kerbchain.Middleware { return kerbchain.Chain(a, a) }, []string{"wire a", "wire a", "> a", "> a", "send", "< a", "< a"}},
	} {
		t.Run(name, func(t *testing.T) {
			var l trail
			get(t, tc.chain(l.stage("a"), l.stage("b"), l.stage("c"))(l.base), "/")
			if diff := cmp.Diff(tc.want, l.steps); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// A stage may answer by itself, and then nothing behind it is asked.
func TestShortCut(t *testing.T) {
	var l trail
	refused := errors.New("refused")
	next := kerbchain.Chain(
		l.stage("a"),
		func(kerbchain.Next) kerbchain.Next { return kerbchain.Next(stagetest.Fail(refused)) },
		l.stage("b"),
	)(l.base)
	if _, err := next(httptest.NewRequest(http.MethodGet, "http://web.test/", nil)); err != refused {
		t.Errorf("got error %v, want the stage's own", err)
	}
	if diff := cmp.Diff([]string{"wire b", "wire a", "> a", "< a"}, l.steps); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestSliceIsCopied(t *testing.T) {
	var l trail
	stages := []kerbchain.Middleware{l.stage("a"), l.stage("b")}
	chain := kerbchain.Chain(stages...)
	stages[0], stages[1] = l.stage("x"), nil
	get(t, chain(l.base), "/")
	if diff := cmp.Diff([]string{"wire b", "wire a", "> a", "> b", "send", "< b", "< a"}, l.steps); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// One value, wired twice, runs once per wiring, and the wirings do not meet.
func TestTwoWirings(t *testing.T) {
	counting := func(next kerbchain.Next) kerbchain.Next {
		var n atomic.Int32
		return func(r *http.Request) (*http.Response, error) {
			resp, err := next(r)
			if err == nil {
				resp.Header.Set("N", fmt.Sprint(n.Add(1)))
			}
			return resp, err
		}
	}
	chain := kerbchain.Chain(counting, kerbchain.When(func(*http.Request) bool { return true }, counting))
	one := chain(kerbchain.Next(stagetest.Respond(200, "", "From", "one")))
	two := chain(kerbchain.Next(stagetest.Respond(200, "", "From", "two")))
	var got []string
	for _, next := range []kerbchain.Next{one, one, two, one} {
		h := get(t, next, "/").Header
		got = append(got, h.Get("From")+" "+h.Get("N"))
	}
	if diff := cmp.Diff([]string{"one 1", "one 2", "two 1", "one 3"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestParallelUse(t *testing.T) {
	var l trail
	chain := kerbchain.Chain(l.stage("a"), kerbchain.When(func(r *http.Request) bool { return r.URL.Path == "/b" }, l.stage("b")))
	nexts := make([]kerbchain.Next, 4)
	var wg sync.WaitGroup
	for i := range nexts {
		wg.Go(func() { nexts[i] = chain(l.base) })
	}
	wg.Wait()
	for i := range 64 {
		path := []string{"/a", "/b"}[i%2]
		wg.Go(func() {
			resp, err := nexts[i%4](httptest.NewRequest(http.MethodGet, "http://web.test"+path, nil))
			if err != nil || resp.Request.URL.Path != path {
				t.Errorf("%s: got %v, %v", path, resp, err)
			}
		})
	}
	wg.Wait()
	count := make(map[string]int)
	for _, s := range l.steps {
		count[s]++
	}
	want := map[string]int{"wire a": 4, "wire b": 4, "> a": 64, "< a": 64, "> b": 32, "< b": 32, "send": 64}
	if diff := cmp.Diff(want, count); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// What a conditional stage remembers must not be lost between requests.
func TestWhen(t *testing.T) {
	wired := 0
	numbered := func(next kerbchain.Next) kerbchain.Next {
		wired++
		n := 0
		return func(r *http.Request) (*http.Response, error) {
			n++
			resp, err := next(r)
			if err == nil {
				resp.Header.Set("N", fmt.Sprint(n))
			}
			return resp, err
		}
	}
	match := func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/in") }
	next := kerbchain.When(match, numbered)(kerbchain.Next(stagetest.Respond(200, "")))
	var got []string
	for _, path := range []string{"/in", "/out", "/in", "/in", "/out"} {
		got = append(got, get(t, next, path).Header.Get("N"))
	}
	if diff := cmp.Diff([]string{"1", "", "2", "3", ""}, got); diff != "" || wired != 1 {
		t.Errorf("wired %d times, want once; -want +got:\n%s", wired, diff)
	}
}

func TestNilStages(t *testing.T) {
	asked := false
	for name, m := range map[string]kerbchain.Middleware{
		"When":  kerbchain.When(func(*http.Request) bool { asked = true; return true }, nil),
		"Adapt": kerbchain.Adapt(nil),
	} {
		if got := get(t, m(kerbchain.Next(stagetest.Respond(204, ""))), "/").StatusCode; got != 204 || asked {
			t.Errorf("%s: got status %d, asked for a match: %v; want the response of the base alone", name, got, asked)
		}
	}
}

type decorator struct {
	rt     http.RoundTripper
	header string
}

func (d decorator) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set(d.header, "set")
	return d.rt.RoundTrip(r)
}

func TestAdapt(t *testing.T) {
	var l trail
	wired := 0
	foreign := kerbchain.Adapt(func(rt http.RoundTripper) http.RoundTripper {
		wired++
		return decorator{rt, "X-Foreign"}
	})
	var seen []string
	next := kerbchain.Chain(l.stage("a"), foreign, l.stage("b"))(func(r *http.Request) (*http.Response, error) {
		seen = append(seen, r.Header.Get("X-Foreign"))
		return l.base(r)
	})
	get(t, next, "/")
	get(t, next, "/")
	if diff := cmp.Diff([]string{"set", "set"}, seen); diff != "" || wired != 1 {
		t.Errorf("wired %d times, want once; -want +got:\n%s", wired, diff)
	}
	if diff := cmp.Diff([]string{"> a", "> b", "send", "< b", "< a"}, l.steps[2:7]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

type idle struct {
	kerbchain.Next
	closed int
}

func (i *idle) CloseIdleConnections() { i.closed++ }

func TestWrapClosesIdleConnections(t *testing.T) {
	base := &idle{Next: kerbchain.Next(stagetest.Respond(200, ""))}
	client := &http.Client{Transport: kerbchain.Wrap(kerbchain.Wrap(base, kerbchain.Chain()), kerbchain.Chain())}
	client.CloseIdleConnections()
	if base.closed != 1 {
		t.Errorf("idle connections closed %d times, want once", base.closed)
	}
	rt := kerbchain.Wrap(base.Next)
	if _, ok := rt.(interface{ CloseIdleConnections() }); ok {
		t.Error("a transport without CloseIdleConnections got one")
	}
	get(t, rt, "/")
}

// Wrap over a real transport, and over none, which is the default one.
func TestWrap(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(w, r.Body); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	own := &http.Transport{}
	for name, base := range map[string]http.RoundTripper{"own": own, "default": nil} {
		t.Run(name, func(t *testing.T) {
			var l trail
			client := &http.Client{Transport: kerbchain.Wrap(base, l.stage("a"), nil, l.stage("b"))}
			defer client.CloseIdleConnections()
			resp, err := client.Post(server.URL, "text/plain", strings.NewReader("hello"))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if err := errors.Join(err, resp.Body.Close()); err != nil || string(body) != "hello" {
				t.Errorf("got %q, %v", body, err)
			}
			if diff := cmp.Diff([]string{"wire b", "wire a", "> a", "> b", "< b", "< a"}, l.steps); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// Composition itself keeps the rules that stages keep.
func TestConformance(t *testing.T) {
	pass := func(next kerbchain.Next) kerbchain.Next { return next }
	for name, m := range map[string]kerbchain.Middleware{
		"Chain": kerbchain.Chain(),
		"When":  kerbchain.When(func(r *http.Request) bool { return r.Method == http.MethodPost }, pass),
		"Adapt": kerbchain.Adapt(func(rt http.RoundTripper) http.RoundTripper { return rt }),
		"Wrap":  func(next kerbchain.Next) kerbchain.Next { return kerbchain.Wrap(next, pass, nil).RoundTrip },
	} {
		t.Run(name, func(t *testing.T) {
			stagetest.Run(t, func() kerbchain.Middleware { return m })
		})
	}
}

// Chains of any length keep their order.
func TestManyStages(t *testing.T) {
	var l trail
	var stages []kerbchain.Middleware
	var want []string
	for i := range 1000 {
		name := fmt.Sprint(i)
		stages = append(stages, l.stage(name))
		want = append(want, "> "+name)
	}
	get(t, kerbchain.Chain(stages...)(l.base), "/")
	if got := l.steps[1000:2000]; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}
