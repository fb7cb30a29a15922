package client_test

import (
	"context"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/middleware"
)

// A pooled connection that dies under a request: the transport takes another
// one, to a server with another certificate, and the request that it sends again
// bears an authenticator of its own with the bindings of that one.
func TestTransportRetries(t *testing.T) {
	for name, tc := range map[string]struct {
		changes  []change
		body     func() io.Reader // nil for a GET
		requests int              // of the second call, that both servers see
	}{
		"GET, preemptive": {[]change{force}, nil, 2},
		"GET":             {nil, nil, 2}, // signed at once, on a connection that the server proved itself on
		"PUT, GetBody":    {[]change{force}, func() io.Reader { return strings.NewReader("data") }, 2},
		"PUT of a stream": {[]change{force}, func() io.Reader { return struct{ io.Reader }{strings.NewReader("data")} }, 2},
		"PUT of a stream that goes to a file": {
			[]change{force, func(o *client.Options) { o.BodyLimit, o.SpillLimit = 1, 100 }},
			func() io.Reader { return struct{ io.Reader }{strings.NewReader("data")} }, 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			realm := start(t)
			var hangUp atomic.Bool
			handler := fakeweb.New(realm, spn, fakeweb.Options{
				Next: parrot, Bindings: fakekdc.BindingsRequired,
				QuirksFor: func(*http.Request) *fakeweb.Quirks {
					if !hangUp.CompareAndSwap(true, false) {
						return nil
					}
					return &fakeweb.Quirks{Before: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
						panic(http.ErrAbortHandler)
					})}
				},
			})
			servers := []*fakeweb.Server{
				fakeweb.Serve(realm, handler, fakeweb.ServerOptions{TLS: true}),
				fakeweb.Serve(realm, handler, fakeweb.ServerOptions{TLS: true, Signature: x509.ECDSAWithSHA384}),
			}
			var conns meter
			var turn atomic.Int64
			tr := servers[0].Transport()
			tr.TLSClientConfig.RootCAs.AddCert(servers[1].Certificate())
			tr.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, network, servers[(turn.Add(1)-1)%2].Addr())
			}
			o := kinit(t, realm)
			o.Transport = conns.on(tr)
			for _, c := range tc.changes {
				c(&o)
			}
			c := newClient(t, o)
			call := func() {
				t.Helper()
				r := put(t, "https://localhost/", nil)
				if tc.body == nil {
					r.Method = http.MethodGet
				} else {
					r = put(t, "https://localhost/", tc.body())
				}
				again := 0
				r = r.WithContext(middleware.WithTrace(t.Context(), func(e middleware.Event) {
					if e, ok := e.(middleware.SendEvent); ok && e.Again {
						again++
					}
				}))
				r.Header.Set("Idempotency-Key", "1") // lets net/http resend a PUT
				status, body, err := do(t, c, r)
				want := "HTTP/1.1 "
				if tc.body != nil {
					want += "data"
				}
				if status != 200 || body != want || err != nil {
					t.Errorf("%d, %q, %v", status, body, err)
				}
				if again > 2 {
					t.Errorf("signed anew %d times", again)
				}
			}
			call()
			handler.ResetRequests()
			hangUp.Store(true)
			call()
			all := handler.Requests()
			if last := all[len(all)-1]; len(all) != tc.requests || !last.Caller.Bound || !last.Proved {
				t.Errorf("requests %v, want %d; the last is bound: %v", all, tc.requests, last.Caller.Bound)
			}
			if n := conns.total(); n != 2 {
				t.Errorf("%d connections", n)
			}
			conns.drained(t, c.CloseIdleConnections)
		})
	}
}
