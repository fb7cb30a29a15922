package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// TestOneConnection: a server that wants more than one token, on the connection
// of the first, from many callers at once.
func TestOneConnection(t *testing.T) {
	realm := start(t)
	h := fakeweb.New(realm, spn, fakeweb.Options{
		Quirks: fakeweb.Quirks{ExtraLeg: fakeweb.LegMIC},
		Next: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor != 1 {
				t.Errorf("over %s", r.Proto)
			}
		}),
	})
	server := fakeweb.Serve(realm, h, fakeweb.ServerOptions{TLS: true, HTTP2: true})
	o := kinit(t, realm, spn)
	transport := server.Transport()
	transport.DisableKeepAlives = true // which OneConnection overrules
	o.Transport, o.OneConnection = transport, true
	c := newClient(t, o)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if status, body, err := get(t, c, server.URL()); err != nil || status != 200 {
				t.Errorf("%d %s, %v", status, body, err)
			}
		})
	}
	wg.Wait()
	if n := server.Connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestOneConnectionWaitsNoLongerThanItsContext(t *testing.T) {
	realm := start(t)
	server := fakeweb.Serve(realm, fakeweb.New(realm, spn, fakeweb.Options{}), fakeweb.ServerOptions{})
	o := kinit(t, realm, spn)
	o.OneConnection = true
	c := newClient(t, o)
	resp, err := c.Get(server.URL()) // whose body stays open
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := c.Do(r); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", resp, err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Error(err)
	}
	for range 2 { // closing twice gives one turn back
		_ = resp.Body.Close()
	}
	if status, _, err := get(t, c, server.URL()); err != nil || status != 200 {
		t.Errorf("%d, %v", status, err)
	}
}

func TestOneConnectionOfAnotherTransport(t *testing.T) {
	o := kinit(t, start(t))
	o.OneConnection, o.Transport = true, struct{ http.RoundTripper }{http.DefaultTransport}
	if c, err := client.New(o); c != nil || !errors.Is(err, middleware.ErrConfiguration) {
		t.Errorf("%v, %v", c, err)
	}
}

// TestRequiredBindingsAtOnce: the first request on each connection is bound to it,
// without a challenge.
func TestRequiredBindingsAtOnce(t *testing.T) {
	for name, options := range map[string]fakeweb.ServerOptions{"HTTP/1.1": {TLS: true}, "HTTP/2": {TLS: true, HTTP2: true}} {
		t.Run(name, func(t *testing.T) {
			realm := start(t)
			h := fakeweb.New(realm, spn, fakeweb.Options{Bindings: fakekdc.BindingsRequired})
			server := fakeweb.Serve(realm, h, options)
			o := kinit(t, realm, spn)
			o.Transport, o.Bindings, o.Preemptive = server.Transport(), kerberos.BindingsRequired, preemptive.Always()
			c := newClient(t, o)
			for n := range 4 {
				if n == 2 {
					c.CloseIdleConnections()
				}
				if status, _, err := get(t, c, server.URL()); err != nil || status != 200 {
					t.Errorf("%d, %v", status, err)
				}
			}
			wantBound(t, h, 4)
			if n := len(h.Requests()); n != 4 {
				t.Errorf("%d requests for four calls", n)
			}
		})
	}
}
