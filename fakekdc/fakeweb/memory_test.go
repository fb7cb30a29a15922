package fakeweb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/client/clienttest"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/internal/memnet"
	"github.com/kerbchain/kerbchain/fakekdc/internal/plainclient"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
)

// TestServeMemory: what a service sees of a connection it sees without sockets.
func TestServeMemory(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("x", 5*memnet.Window)
	for name, tc := range map[string]struct {
		server ServerOptions
		web    Options
		proto  int
	}{
		"plain":            {ServerOptions{}, Options{}, 1},
		"TLS":              {ServerOptions{TLS: true}, Options{Bindings: fakekdc.BindingsRequired}, 1},
		"HTTP/2":           {ServerOptions{TLS: true, HTTP2: true}, Options{Bindings: fakekdc.BindingsRequired}, 2},
		"connection-bound": {ServerOptions{}, Options{ConnectionBound: true}, 1},
		"early challenge":  {ServerOptions{}, Options{Quirks: Quirks{EarlyChallenge: true}}, 1},
		"several legs":     {ServerOptions{TLS: true}, Options{Quirks: Quirks{ExtraLeg: LegMIC}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/app.example"))
			tc.server.Host, tc.server.InMemory = "app.example", true
			tc.web.Next = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				w.Write(b)
			})
			h := New(r, "HTTP/app.example", tc.web)
			s := Serve(r, h, tc.server)
			o := client.Options{Transport: s.Transport()}
			if tc.web.ConnectionBound {
				o.Mutual = mutual.Optional // there is but one proof per connection
			}
			c := clienttest.New(t, r, "alice", o)
			for range 2 {
				resp, err := c.Post(s.URL(), "text/plain", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				if got := plainclient.ReadAll(t, resp); got != body || resp.ProtoMajor != tc.proto {
					t.Errorf("%s: %d bytes by %s", resp.Status, len(got), resp.Proto)
				}
			}
			last := h.Requests()[len(h.Requests())-1]
			if tc.web.ConnectionBound && last.Token != 0 {
				t.Errorf("a token on a connection of the caller's: %v", h.Requests())
			}
			if !slices.ContainsFunc(h.Requests(), func(r Record) bool { return r.Proved }) {
				t.Errorf("no proof: %v", h.Requests())
			}
			if last.Caller.Bound != tc.server.TLS {
				t.Errorf("bound: %v", last.Caller.Bound)
			}
			if s.Connections() == 0 || last.Conn != s.Connections() {
				t.Errorf("request on connection %d of %d", last.Conn, s.Connections())
			}
		})
	}
}

func TestMemoryServerParallel(t *testing.T) {
	r := fakekdc.Start(t, fakekdc.WithoutSockets(), fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	h := New(r, "HTTP/localhost", Options{})
	s := Serve(r, h, ServerOptions{InMemory: true})
	c := clienttest.New(t, r, "alice", client.Options{Transport: s.Transport()})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			resp, err := c.Get(s.URL())
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
				t.Errorf("%s: %q, error %v", resp.Status, b, err)
			}
		})
	}
	wg.Wait()
	s.DropConnections()
	resp, err := c.Get(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	plainclient.ReadAll(t, resp)
}

func TestMemoryServerEnds(t *testing.T) {
	r, err := fakekdc.New(fakekdc.WithoutSockets())
	if err != nil {
		t.Fatal(err)
	}
	if s := Serve(r, nil, ServerOptions{TLS: true, Signature: 1, InMemory: true}); s != nil {
		t.Error("a server with a certificate of no kind")
	}
	s := Serve(r, http.NotFoundHandler(), ServerOptions{TLS: true, InMemory: true})
	if s.URL() != "https://localhost" || s.Addr() != "localhost:443" {
		t.Errorf("%s, %s", s.URL(), s.Addr())
	}
	c := &http.Client{Transport: s.Transport()}
	defer c.CloseIdleConnections()
	resp, err := c.Get(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	plainclient.ReadAll(t, resp)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Dial(ended, "tcp", "x:1"); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("dialled too late: %v", err)
	}
	r.Close()
	if _, err := c.Get(s.URL()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after Close: %v", err)
	}
	late := Serve(r, http.NotFoundHandler(), ServerOptions{InMemory: true})
	if _, err := late.Dial(t.Context(), "tcp", "x:1"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("served after Close: %v", err)
	}
}

// TestServerListener serves where the caller says.
func TestServerListener(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) })
	s, err := NewServer(h, ServerOptions{TLS: true, HTTP2: true, Listener: lis})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Addr() != lis.Addr().String() {
		t.Errorf("%s, want %s", s.Addr(), lis.Addr())
	}
	c := &http.Client{Transport: s.Transport()}
	defer c.CloseIdleConnections()
	resp, err := c.Get(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	if got := plainclient.ReadAll(t, resp); got != "HTTP/2.0" {
		t.Errorf("%q", got)
	}
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewServer(h, ServerOptions{TLS: true, Signature: 1, Listener: other}); err == nil {
		t.Error("a certificate of no kind")
	}
	if err := other.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener was left open: %v", err)
	}
}

// TestWithoutSockets logs in and fetches a page, all within the process, over
// either network.
func TestWithoutSockets(t *testing.T) {
	for name, tc := range map[string]struct {
		limit   int
		network []string
	}{
		"udp":             {4096, []string{"udp", "udp", "udp"}},
		"too big, so tcp": {1, []string{"udp", "udp", "tcp", "udp", "tcp"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := fakekdc.Start(t, fakekdc.WithoutSockets(), fakekdc.WithUDPLimit(tc.limit), fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/app.example"))
			h := New(r, "HTTP/app.example", Options{})
			s := Serve(r, h, ServerOptions{Host: "app.example", InMemory: true})
			c := clienttest.New(t, r, "", client.Options{Principal: "alice", Password: kerberos.NewSecret("secret"), Transport: s.Transport()})
			resp, err := c.Get("http://app.example/")
			if err != nil {
				t.Fatal(err)
			}
			if got := plainclient.ReadAll(t, resp); got != "hello alice@"+r.Name()+"\n" {
				t.Errorf("%s: %q", resp.Status, got)
			}
			var networks []string
			for _, e := range r.Exchanges() {
				networks = append(networks, e.Network)
				if e.KDC != r.Addr() {
					t.Errorf("%v at %s", e, e.KDC)
				}
			}
			if d := cmp.Diff(tc.network, networks); d != "" {
				t.Errorf("networks (-want +got)\n%s", d)
			}
		})
	}
}

// TestBubble waits for a ticket to expire, and for a KDC that is silent, in no
// time.
func TestBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := fakekdc.Start(t, fakekdc.WithoutSockets(), fakekdc.WithLifetime(time.Hour, 0), fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
		h := New(r, "HTTP/localhost", Options{Bindings: fakekdc.BindingsRequired})
		s := Serve(r, h, ServerOptions{TLS: true, HTTP2: true, InMemory: true})
		c := clienttest.New(t, r, "alice", client.Options{Transport: s.Transport()})
		get := func() error {
			resp, err := c.Get(s.URL())
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
				t.Errorf("%s by %s", resp.Status, resp.Proto)
			}
			_, err = io.Copy(io.Discard, resp.Body)
			return err
		}
		if err := get(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		if err := get(); !errors.Is(err, middleware.ErrCredentials) {
			t.Errorf("two hours later: %v", err)
		}
		r.Pause()
		begun := time.Now()
		_, err := clienttest.TicketSource(t, r, "alice").ServiceTicket(t.Context(), "HTTP/localhost")
		if !errors.Is(err, middleware.ErrKDC) || time.Since(begun) < time.Second {
			t.Errorf("in an outage, after %s: %v", time.Since(begun), err)
		}
	})
}
