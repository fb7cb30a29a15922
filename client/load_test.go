//go:build !race

package client_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/alloctest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// live returns how many bytes are in use.
func live() int64 {
	runtime.GC()
	runtime.GC() // pools let go of what they hold at the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// lightly returns the standard stack, with contexts that cost nothing, over a server
// that challenges requests without a token.
func lightly(t testing.TB, p preemptive.Policy) (next func(*http.Request) (*http.Response, error), challenges *int) {
	t.Helper()
	stack, err := client.NewStack(client.Options{
		Initiator: middleware.InitiatorFunc(func(_ context.Context, t middleware.Target) (middleware.SecurityContext, error) {
			return &light{target: t}, nil
		}),
		Preemptive: p,
	})
	if err != nil {
		t.Fatal(err)
	}
	challenges = new(int)
	return stack.Chain()(func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("Authorization") == "" {
			*challenges++
			return &http.Response{StatusCode: 401, Header: http.Header{"Www-Authenticate": {"Negotiate"}}, Body: http.NoBody, Request: r}, nil
		}
		return &http.Response{StatusCode: 200, Header: http.Header{"Www-Authenticate": {"Negotiate oRQw"}}, Body: http.NoBody, Request: r}, nil
	}), challenges
}

func send(t testing.TB, next func(*http.Request) (*http.Response, error), url string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := next(r)
	if err != nil || resp.StatusCode != 200 || !middleware.SecurityOf(resp.Request).Verified() {
		t.Fatal(resp, err)
	}
}

// Nothing grows with the calls of a client, whether the stack alone is asked, or a
// server; but the realm remembers authenticators, with 220 bytes each.
func TestManyCallsKeepNoMemory(t *testing.T) {
	flat := func(t *testing.T, first, calls int, most int64, call, forget func()) {
		for range first {
			call()
		}
		forget()
		before := live()
		for range calls - first {
			call()
		}
		forget()
		grown := live() - before
		t.Logf("%d bytes more after %d calls than after %d", grown, calls, first)
		if grown > most {
			t.Errorf("%d bytes more, want %d at most", grown, most)
		}
	}
	t.Run("the stack alone", func(t *testing.T) {
		next, challenges := lightly(t, preemptive.Learned())
		flat(t, 1000, 100_000, 64<<10, func() { send(t, next, "http://localhost/") }, func() {})
		if *challenges != 1 {
			t.Errorf("%d challenges", *challenges)
		}
	})
	t.Run("a server", func(t *testing.T) {
		realm := start(t)
		web := fakeweb.New(realm, spn, fakeweb.Options{Next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "hello")
		})})
		server := fakeweb.Serve(realm, web, serverOptions())
		o := kinit(t, realm, spn)
		o.Transport, o.Preemptive = server.Transport(), preemptive.Learned()
		c := newClient(t, o)
		flat(t, 1000, 3000, 2000*250, func() {
			if status, body, err := get(t, c, server.URL()); err != nil || status != 200 || body != "hello" {
				t.Fatal(status, body, err)
			}
		}, web.ResetRequests)
	})
}

// BenchmarkManyCalls is 100,000 calls in a row through the stack, and what is in use after
// so many of them, for a graph.
func BenchmarkManyCalls(b *testing.B) {
	const calls, step = 100_000, 4_000
	for b.Loop() {
		next, _ := lightly(b, preemptive.Learned())
		point := func(done int) { b.ReportMetric(float64(live())/1024, fmt.Sprintf("KiB@%d", done)) }
		for i := range calls {
			if i == 1000 || i > 0 && i%step == 0 {
				point(i)
			}
			send(b, next, "http://localhost/")
		}
		point(calls)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/calls, "ns/call")
}

// Ten thousand hosts are learned, and all but the last thousand or so forgotten: what is
// kept does not grow beyond that, and a call costs as much for the last as for the first.
func TestManyHostsKeepLittleMemory(t *testing.T) {
	const most, hosts = 256 << 10, 10_000
	next, challenges := lightly(t, preemptive.Learned())
	visit := func(from, to int) {
		for i := from; i < to; i++ {
			send(t, next, fmt.Sprintf("http://host%05d.%s.example/", 1000+i, strings.Repeat("x", 20)))
		}
	}
	visit(0, 2000) // more than are remembered
	before := live()
	first := alloctest.Allocations(100, 0, func() { visit(0, 1) })
	visit(2000, hosts)
	if grown := live() - before; grown > most {
		t.Errorf("%d bytes more, want %d at most", grown, most)
	} else {
		t.Log(grown, "bytes more")
	}
	if last := alloctest.Allocations(100, first, func() { visit(hosts-1, hosts) }); last > first {
		t.Errorf("a call takes %v allocations, and took %v", last, first)
	}
	if want := hosts + 1; *challenges != want {
		t.Errorf("%d challenges, want one for each host, and one more for the first, which was forgotten: %d", *challenges, want)
	}
	visit(hosts-1024, hosts)
	if want := hosts + 1; *challenges != want {
		t.Errorf("%d challenges for hosts that are remembered", *challenges-want)
	}
	visit(hosts-1025, hosts-1024)
	if want := hosts + 2; *challenges != want {
		t.Error("more than 1024 hosts are remembered")
	}
}
