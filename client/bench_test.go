package client_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"testing"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/middleware/logging"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
	"github.com/kerbchain/kerbchain/middleware/sanitize"
)

// BenchmarkChain is what stages cost that have nothing to do: a server that asks
// for no authentication, and none that must be proved. "bare" is the call
// without them.
func BenchmarkChain(b *testing.B) {
	stack := idle(b)
	chains := map[string]client.Stack{"bare": nil, "all five": stack}
	names := []string{"bare", "all five"}
	for i, name := range namesOf(stack) {
		chains[name] = stack[i : i+1]
		names = append(names, name)
	}
	header := http.Header{"Content-Type": {"text/plain"}}
	for _, name := range names {
		b.Run(name, func(b *testing.B) {
			next := chains[name].Chain()(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 200, Header: header, Body: http.NoBody, Request: r}, nil
			})
			r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://localhost/", nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				resp, err := next(r)
				if err != nil || resp.StatusCode != 200 {
					b.Fatal(resp, err)
				}
			}
		})
	}
}

// idle returns the five stages as they are for a server that asks for nothing.
func idle(tb testing.TB) client.Stack {
	stack, err := client.NewStack(client.Options{
		Initiator:  stumbling{},
		Mutual:     mutual.Optional,
		Preemptive: preemptive.Learned(),
		Proxy:      func(*http.Request) (*url.URL, error) { return nil, nil },
		Logging:    logging.Options{Handler: slog.DiscardHandler},
	})
	if err != nil {
		tb.Fatal(err)
	}
	stack = stack.Before(client.Mutual, client.Stage{Name: client.Sanitize, Middleware: sanitize.New(sanitize.Options{})})
	if len(stack) != 5 {
		tb.Fatal(namesOf(stack))
	}
	return stack
}

// BenchmarkRequest is a whole request over loopback, the server's work
// included: without authentication, with a challenge first, and signed at once.
// The same with another client is in package kerberos.
func BenchmarkRequest(b *testing.B) {
	realm := start(b)
	web := fakeweb.Options{Next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello") // a client that goes away is its own affair
	})}
	kerberized := fakeweb.Serve(realm, fakeweb.New(realm, spn, web), serverOptions())
	plain := fakeweb.Serve(realm, web.Next, serverOptions())

	kerbchained := func(b *testing.B, p preemptive.Policy) *http.Client {
		o := kinit(b, realm, spn)
		o.Transport, o.Preemptive = kerberized.Transport(), p
		return newClient(b, o)
	}
	for _, bench := range []struct {
		name   string
		url    string
		client func(*testing.B) *http.Client
	}{
		{"plain", plain.URL(), func(b *testing.B) *http.Client {
			c := &http.Client{Transport: plain.Transport()}
			b.Cleanup(c.CloseIdleConnections)
			return c
		}},
		{"challenged", kerberized.URL(), func(b *testing.B) *http.Client { return kerbchained(b, nil) }},
		{"learned", kerberized.URL(), func(b *testing.B) *http.Client { return kerbchained(b, preemptive.Learned()) }},
		{"always", kerberized.URL(), func(b *testing.B) *http.Client { return kerbchained(b, preemptive.Always()) }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			c := bench.client(b)
			fetch(b, c, bench.url) // connects, and learns
			b.ReportAllocs()
			for b.Loop() {
				fetch(b, c, bench.url)
			}
		})
	}
}

func fetch(b *testing.B, c *http.Client, url string) {
	resp, err := c.Get(url)
	if err != nil {
		b.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != 5 || resp.StatusCode != 200 {
		b.Fatal(resp.Status, n, err)
	}
	if err := resp.Body.Close(); err != nil {
		b.Fatal(err)
	}
}
