package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/client/clienttest"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
)

// A first call that waits for a connection is given the one on which another first
// call has been authenticated meanwhile. It is signed then, like any that comes later.
func TestFirstCallsShareConnection(t *testing.T) {
	realm := start(t)
	authenticated, waiting, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var once sync.Once
	server := fakeweb.Serve(realm, fakeweb.New(realm, spn, fakeweb.Options{ConnectionBound: true, Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() {
			close(authenticated)
			<-waiting
		})
		io.WriteString(w, "page")
	})}), fakeweb.ServerOptions{})
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

// waits is a transport of somebody else's that lets requests to /waits begin late.
type waits struct {
	*http.Transport
	begun, proceed chan struct{}
	once           sync.Once
}

func (w *waits) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/waits" {
		w.once.Do(func() { close(w.begun) })
		<-w.proceed
	}
	return w.Transport.RoundTrip(r)
}

// The same over a transport that is not ours: the call began when nobody had been
// authenticated, and gets a connection of the user whom it is from.
func TestFirstCallsOfAnotherTransport(t *testing.T) {
	for name, tc := range map[string]struct{ bound, trust bool }{
		"requests are authenticated": {}, "connections are authenticated": {bound: true},
		"connections are authenticated, and trusted": {bound: true, trust: true},
	} {
		t.Run(name, func(t *testing.T) {
			realm := start(t)
			server := fakeweb.Serve(realm, fakeweb.New(realm, spn, fakeweb.Options{ConnectionBound: tc.bound}), fakeweb.ServerOptions{TLS: true})
			o := kinit(t, realm)
			o.TrustConnection = tc.trust
			tr := &waits{Transport: server.Transport(), begun: make(chan struct{}), proceed: make(chan struct{})}
			o.Transport = tr
			c := newClient(t, o)
			var wg sync.WaitGroup
			wg.Go(func() {
				if status, _, err := get(t, c, server.URL()+"/waits"); err != nil || status != 200 {
					t.Errorf("waited: %d %v", status, err)
				}
			})
			<-tr.begun
			if status, _, err := get(t, c, server.URL()); err != nil || status != 200 {
				t.Errorf("%d %v", status, err)
			}
			close(tr.proceed)
			wg.Wait()
		})
	}
}

// A request that names another host than its URL, as some load checks do, and goes
// through a proxy gets no token, and goes through all the same: the first, and one
// after others were signed.
func TestUnsignedThroughProxy(t *testing.T) {
	realm := start(t)
	web := fakeweb.New(realm, spn, fakeweb.Options{})
	proxy := fakeweb.Serve(realm, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/signed" {
			web.ServeHTTP(w, r)
			return
		}
		io.WriteString(w, r.Host+r.Header.Get("Authorization"))
	}), fakeweb.ServerOptions{})
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

// changing makes contexts of another user than it tells, once it has changed: as when a
// cache becomes another's in between.
type changing struct {
	middleware.Identifier
	first, next middleware.Initiator
	changed     atomic.Bool
}

func (c *changing) Initiate(ctx context.Context, t middleware.Target) (middleware.SecurityContext, error) {
	if c.changed.Load() {
		return c.next.Initiate(ctx, t)
	}
	return c.first.Initiate(ctx, t)
}

// The token that is made for such a connection is its user's, or none is sent. A request
// without a body takes another connection.
func TestFirstCallsOfAnotherUser(t *testing.T) {
	for name, body := range map[string]io.Reader{"with a body": strings.NewReader("hello"), "without": nil} {
		t.Run(name, func(t *testing.T) {
			realm, _ := users(t, "alice", "bob")
			h := fakeweb.New(realm, spn, fakeweb.Options{ConnectionBound: true})
			server := fakeweb.Serve(realm, h, fakeweb.ServerOptions{})
			of := func(user string) middleware.Initiator {
				in, err := kerberos.NewInitiator(clienttest.TicketSource(t, realm, user), kerberos.InitiatorOptions{})
				if err != nil {
					t.Fatal(err)
				}
				return in
			}
			alice := of("alice")
			in := &changing{Identifier: alice.(middleware.Identifier), first: alice, next: of("bob")}
			tr := &waits{Transport: server.Transport(), begun: make(chan struct{}), proceed: make(chan struct{})}
			c := newClient(t, client.Options{Initiator: in, Transport: tr})
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL()+"/waits", body)
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				status, _, err := do(t, c, r)
				if body != nil && !errors.Is(err, middleware.ErrConnection) {
					t.Errorf("%d %v, want an error of the connection", status, err)
				}
				if body == nil && (err != nil || status != 200) {
					t.Errorf("%d %v", status, err)
				}
			})
			<-tr.begun
			if status, _, err := get(t, c, server.URL()); err != nil || status != 200 {
				t.Errorf("%d %v", status, err)
			}
			in.changed.Store(true)
			close(tr.proceed)
			wg.Wait()
			for conn, names := range owners(h) {
				if len(names) != 1 || body != nil && names[0] != "alice" {
					t.Errorf("connection %d carried requests of %q", conn, names)
				}
			}
		})
	}
}

// holds is a transport of somebody else's that lets the answer to /held through late.
type holds struct {
	*http.Transport
	answered, proceed chan struct{}
}

func (h *holds) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := h.Transport.RoundTrip(r)
	if r.URL.Path == "/held" && r.Header.Get("Authorization") != "" {
		close(h.answered)
		<-h.proceed
	}
	return resp, err
}

// The connection of an answer without a body is free before anybody has looked at the
// answer. A call that is given it then is signed, since the server may have
// authenticated it.
func TestConnectionBeforeItsVerdict(t *testing.T) {
	realm := start(t)
	server := fakeweb.Serve(realm, fakeweb.New(realm, spn, fakeweb.Options{ConnectionBound: true, Next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})}), fakeweb.ServerOptions{})
	o := kinit(t, realm)
	tr := &holds{server.Transport(), make(chan struct{}), make(chan struct{})}
	o.Transport = tr
	c := newClient(t, o)
	var wg sync.WaitGroup
	wg.Go(func() {
		if status, _, err := get(t, c, server.URL()+"/held"); err != nil || status != http.StatusNoContent {
			t.Errorf("held: %d %v", status, err)
		}
	})
	<-tr.answered
	if status, _, err := get(t, c, server.URL()); err != nil || status != http.StatusNoContent {
		t.Errorf("%d %v", status, err)
	}
	close(tr.proceed)
	wg.Wait()
}
