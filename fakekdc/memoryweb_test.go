package fakekdc

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

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc/internal/memnet"
	"github.com/kerbchain/kerbchain/middleware/mutual"
)

// TestServeMemory: what a service sees of a connection it sees without sockets.
func TestServeMemory(t *testing.T) {
	body := strings.Repeat("x", 5*memnet.Window)
	for name, tc := range map[string]struct {
		server ServerOptions
		web    WebOptions
		proto  int
	}{
		"plain":            {ServerOptions{}, WebOptions{}, 1},
		"TLS":              {ServerOptions{TLS: true}, WebOptions{Bindings: BindingsRequired}, 1},
		"HTTP/2":           {ServerOptions{TLS: true, HTTP2: true}, WebOptions{Bindings: BindingsRequired}, 2},
		"connection-bound": {ServerOptions{}, WebOptions{ConnectionBound: true}, 1},
		"early challenge":  {ServerOptions{}, WebOptions{Quirks: Quirks{EarlyChallenge: true}}, 1},
		"several legs":     {ServerOptions{TLS: true}, WebOptions{Quirks: Quirks{ExtraLeg: LegMIC}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := Start(t, WithUser("alice", "secret"), WithService("HTTP/app.example"))
			tc.server.Host = "app.example"
			tc.web.Next = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				w.Write(b)
			})
			h := r.Handler("HTTP/app.example", tc.web)
			s := r.ServeMemory(h, tc.server)
			o := client.Options{Transport: s.Transport()}
			if tc.web.ConnectionBound {
				o.Mutual = mutual.Optional // there is but one proof per connection
			}
			c := httpClient(t, r, "alice", o)
			for range 2 {
				resp, err := c.Post(s.URL(), "text/plain", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				if got := readAll(t, resp); got != body || resp.ProtoMajor != tc.proto {
					t.Errorf("%s: %d bytes by %s", resp.Status, len(got), resp.Proto)
				}
			}
			last := h.Requests()[len(h.Requests())-1]
			if tc.web.ConnectionBound && last.Token != 0 {
				t.Errorf("a token on a connection of the caller's: %v", h.Requests())
			}
			if !slices.ContainsFunc(h.Requests(), func(r WebRecord) bool { return r.Proved }) {
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
	r := Start(t, WithoutSockets(), WithUser("alice", "secret"), WithService("HTTP/localhost"))
	h := r.Handler("HTTP/localhost", WebOptions{})
	s := r.ServeMemory(h, ServerOptions{})
	c := httpClient(t, r, "alice", client.Options{Transport: s.Transport()})
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
	readAll(t, resp)
}

func TestMemoryServerEnds(t *testing.T) {
	r, err := New(WithoutSockets())
	if err != nil {
		t.Fatal(err)
	}
	if s := r.ServeMemory(nil, ServerOptions{TLS: true, Signature: 1}); s != nil {
		t.Error("a server with a certificate of no kind")
	}
	s := r.ServeMemory(http.NotFoundHandler(), ServerOptions{TLS: true})
	if s.URL() != "https://localhost" || s.Server.URL() != "https://localhost:443" {
		t.Errorf("%s, %s", s.URL(), s.Server.URL())
	}
	c := &http.Client{Transport: s.Transport()}
	defer c.CloseIdleConnections()
	resp, err := c.Get(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, resp)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.lis.Dial(ended); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("dialled too late: %v", err)
	}
	r.Close()
	if _, err := c.Get(s.URL()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after Close: %v", err)
	}
	late := r.ServeMemory(http.NotFoundHandler(), ServerOptions{})
	if _, err := late.Dial(t.Context(), "tcp", "x:1"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("served after Close: %v", err)
	}
}

// TestNewServerOn serves where the caller says.
func TestNewServerOn(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) })
	s, err := NewServerOn(lis, h, ServerOptions{TLS: true, HTTP2: true})
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
	if got := readAll(t, resp); got != "HTTP/2.0" {
		t.Errorf("%q", got)
	}
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewServerOn(other, h, ServerOptions{TLS: true, Signature: 1}); err == nil {
		t.Error("a certificate of no kind")
	}
	if err := other.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener was left open: %v", err)
	}
}
