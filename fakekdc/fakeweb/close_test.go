package fakeweb

import (
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/internal/memnet"
	"github.com/kerbchain/kerbchain/fakekdc/internal/plainclient"
)

// TestCloseWaitsForHandlers: those of connections that were taken over, and of streams of
// HTTP/2, return before Close does.
func TestCloseWaitsForHandlers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		o     ServerOptions
		serve func(w http.ResponseWriter, r *http.Request, begun func())
	}{
		"taken over": {ServerOptions{InMemory: true}, func(w http.ResponseWriter, _ *http.Request, begun func()) {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			begun()
			_, _ = io.Copy(io.Discard, rw)
		}},
		"taken over, TLS": {ServerOptions{InMemory: true, TLS: true}, func(w http.ResponseWriter, _ *http.Request, begun func()) {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			begun()
			_, _ = io.Copy(io.Discard, rw)
		}},
		"HTTP/1.1": {ServerOptions{InMemory: true}, func(_ http.ResponseWriter, r *http.Request, begun func()) {
			begun()
			<-r.Context().Done()
		}},
		"HTTP/2": {ServerOptions{InMemory: true, TLS: true, HTTP2: true}, func(_ http.ResponseWriter, r *http.Request, begun func()) {
			begun()
			<-r.Context().Done()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begun := make(chan struct{})
			var returned atomic.Bool
			s, err := NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				tc.serve(w, r, func() { close(begun) })
				time.Sleep(50 * time.Millisecond)
				returned.Store(true)
			}), tc.o)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			tr := s.Transport()
			defer tr.CloseIdleConnections()
			asked := make(chan struct{})
			go func() {
				defer close(asked)
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL(), nil)
				if err != nil {
					t.Error(err)
					return
				}
				if resp, err := tr.RoundTrip(r); err == nil {
					resp.Body.Close()
				}
			}()
			<-begun
			s.Close()
			if !returned.Load() {
				t.Error("Close returned before the handler")
			}
			<-asked
		})
	}
}

// TestHangupOverHTTP2 ends the connection, and not the stream alone.
func TestHangupOverHTTP2(t *testing.T) {
	t.Parallel()
	r := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	h := New(r, "HTTP/localhost", Options{Quirks: Quirks{Hangup: true}})
	s := Serve(r, h, ServerOptions{TLS: true, HTTP2: true, InMemory: true})
	tr := s.Transport()
	defer tr.CloseIdleConnections()
	for range 2 {
		req := webRequest(t)
		req.URL.Scheme = "https"
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if plainclient.ReadAll(t, resp); resp.ProtoMajor != 2 {
			t.Fatal(resp.Proto)
		}
		req = req.Clone(t.Context())
		req.Header.Set("Authorization", "Negotiate AAAA")
		if resp, err := tr.RoundTrip(req); err == nil {
			plainclient.ReadAll(t, resp)
			t.Error("there was an answer")
		}
	}
	if n := s.Connections(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// TestSwitchedProtocols: the record of a request that leads to another protocol (RFC 9110
// section 7.8) has that status, and that of a tunnel 200.
func TestSwitchedProtocols(t *testing.T) {
	t.Parallel()
	r := fakekdc.Start(t)
	h := New(r, "", Options{Quirks: Quirks{Before: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		c.Close()
	})}})
	s := Serve(r, h, ServerOptions{InMemory: true})
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
		"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\nUpgrade: echo\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		c, err := s.Dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, request); err != nil {
			t.Error(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Error(err)
		}
	}
	if got, want := h.Statuses(), []int{101, 200, 200}; !slices.Equal(got, want) {
		t.Errorf("statuses %v, want %v", got, want)
	}
}

// TestHosts: what a server is called stands in its URL and certificate, and what is no name
// of a host is an error.
func TestHosts(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"": "https://localhost", "app.example": "https://app.example", "10.0.0.1": "https://10.0.0.1", "2001:db8::1": "https://[2001:db8::1]",
		"app.example:80": "", "[::1]": "", "a/b": "", "a b": "", "user@a": "", "a?": "", "a#b": "", "::1:x": "",
	} {
		lis := memnet.Listen("x:1")
		_, err := NewServer(http.NotFoundHandler(), ServerOptions{Host: host, Listener: lis})
		if (err != nil) != (want == "") {
			t.Errorf("%q: %v", host, err)
		}
		if err == nil {
			_ = lis.Close() // as nobody closes the server
		} else if _, err := lis.Accept(); err == nil {
			t.Errorf("%q: the listener is open", host)
		}
		if want == "" {
			continue
		}
		s, err := NewServer(http.NotFoundHandler(), ServerOptions{Host: host, TLS: true, InMemory: true})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if got := s.URL(); got != want {
			t.Errorf("%q: %s, want %s", host, got, want)
		}
		tr := s.Transport()
		defer tr.CloseIdleConnections()
		c := http.Client{Transport: tr}
		resp, err := c.Get(s.URL())
		if err != nil {
			t.Errorf("%q: %v", host, err)
			continue
		}
		plainclient.ReadAll(t, resp)
	}
}
