package client_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/middleware/mutual"
)

// A first call that waits for a connection is given the one on which another first
// call has been authenticated meanwhile. It is signed then, like any that comes later.
func TestFirstCallsShareConnection(t *testing.T) {
	realm := start(t)
	authenticated, waiting, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var once sync.Once
	server := realm.Serve(realm.Handler(spn, fakekdc.WebOptions{ConnectionBound: true, Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() {
			close(authenticated)
			<-waiting
		})
		io.WriteString(w, "page")
	})}), fakekdc.ServerOptions{})
	o := kinit(t, realm)
	tr := server.Transport()
	dial := tr.DialContext
	var mu sync.Mutex
	dials := 0
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		mu.Lock()
		dials++
		n := dials
		mu.Unlock()
		if n == 2 {
			close(waiting)
			<-over // the first connection is free sooner
		}
		return dial(ctx, network, addr)
	}
	o.Transport = tr
	c := newClient(t, o)
	var wg sync.WaitGroup
	call := func() {
		if status, body, err := get(t, c, server.URL()); err != nil || status != 200 || body != "page" {
			t.Errorf("%d %q %v", status, body, err)
		}
	}
	wg.Go(call)
	<-authenticated
	wg.Go(call)
	wg.Wait()
	close(over)
}

// A request that names another host than its URL, as some load checks do, and goes
// through a proxy gets no token, and goes through all the same: the first, and one
// after others were signed.
func TestUnsignedThroughProxy(t *testing.T) {
	realm := start(t)
	web := realm.Handler(spn, fakekdc.WebOptions{})
	proxy := realm.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/signed" {
			web.ServeHTTP(w, r)
			return
		}
		io.WriteString(w, r.Host+r.Header.Get("Authorization"))
	}), fakekdc.ServerOptions{})
	o := kinit(t, realm)
	tr := proxy.Transport()
	o.Transport, o.Mutual = tr, mutual.Optional
	o.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(proxy.URL()) }
	c := newClient(t, o)
	for n := range 3 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "other.example"
		if status, body, err := do(t, c, r); err != nil || status != 200 || body != "other.example" {
			t.Errorf("request %d: %d %q %v", n, status, body, err)
		}
		if status, _, err := get(t, c, "http://localhost/signed"); err != nil || status != 200 {
			t.Errorf("signed %d: %d %v", n, status, err)
		}
	}
}
