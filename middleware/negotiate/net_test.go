package negotiate_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
)

func quietly(s *httptest.Server) { s.Config.ErrorLog = log.New(io.Discard, "", 0) }

// counting starts a server and counts the connections it accepts.
func counting(t *testing.T, secure bool, h http.HandlerFunc) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	conns := new(atomic.Int64)
	srv := httptest.NewUnstartedServer(h)
	quietly(srv)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	if secure {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	return srv, conns
}

// The second attempt takes the connection of the first, unless the body of the
// challenge is longer than is read of it. Then net/http reads on by itself, or takes
// another.
func TestConnections(t *testing.T) {
	for name, tc := range map[string]struct {
		size  int
		limit int64
		want  int64 // connections, at most
		read  int64 // of the body of the challenge
	}{
		"no body":     {0, 0, 1, 0},
		"short body":  {100, 0, 1, 100},
		"long body":   {200 << 10, 0, 1, 200 << 10},
		"longer body": {300 << 10, 0, 2, 256<<10 + 1},
		"and more":    {2 << 20, 0, 2, 256<<10 + 1},
		"no drain":    {100 << 10, -1, 2, 1},
	} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, TLS %v", name, secure), func(t *testing.T) {
				srv, conns := counting(t, secure, func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Authorization") == "" {
						w.Header().Set("WWW-Authenticate", "Negotiate")
						w.WriteHeader(401)
						// The client may hang up in the middle.
						_, _ = w.Write(make([]byte, tc.size))
					}
				})
				in := new(stagetest.Initiator)
				var read atomic.Int64
				next := negotiate.New(in, negotiate.Options{DrainLimit: tc.limit})(func(r *http.Request) (*http.Response, error) {
					resp, err := srv.Client().Transport.RoundTrip(r)
					if err == nil && resp.StatusCode == 401 && resp.Body != http.NoBody {
						resp.Body = readCounter{resp.Body, &read}
					}
					return resp, err
				})
				resp, err := next(request(t, "GET", srv.URL, ""))
				finish(t, resp, err)
				if resp.StatusCode != 200 {
					t.Errorf("status %d", resp.StatusCode)
				}
				if n := conns.Load(); n < 1 || n > tc.want {
					t.Errorf("%d connections, want %d at most", n, tc.want)
				}
				if n := read.Load(); n != tc.read {
					t.Errorf("%d bytes of the challenge were read, want %d", n, tc.read)
				}
				// Bound to the certificate from the start: no second token.
				if n := len(in.Contexts()); n != 1 {
					t.Errorf("%d contexts", n)
				}
			})
		}
	}
}

// A readCounter counts what is read of a body.
type readCounter struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c readCounter) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// A server that says 401 before it has read the body, and hangs up.
func TestEarlyChallenge(t *testing.T) {
	t.Parallel()
	payload := bytes.Repeat([]byte("0123456789abcdef"), 4<<20/16)
	var whole atomic.Int64
	srv, _ := counting(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", "Negotiate")
			w.Header().Set("Connection", "close")
			w.WriteHeader(401)
			return
		}
		b, err := io.ReadAll(r.Body)
		if err == nil && bytes.Equal(b, payload) {
			whole.Add(1)
		}
	})
	next := negotiate.New(new(stagetest.Initiator), negotiate.Options{})(srv.Client().Transport.RoundTrip)
	var sent int64
	for range 4 {
		r := request(t, "POST", srv.URL, "")
		r.Body = io.NopCloser(bytes.NewReader(payload))
		r.ContentLength = int64(len(payload))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(payload)), nil }
		resp, err := next(r)
		if err != nil {
			// The server's hanging up may reach the client before its answer
			// does; that is an error of the transport's, not a short body.
			if !strings.Contains(err.Error(), "write") && !strings.Contains(err.Error(), "reset") {
				t.Error(err)
			}
			continue
		}
		finish(t, resp, nil)
		sent++
	}
	if whole.Load() != sent || sent == 0 {
		t.Errorf("%d of %d bodies arrived whole", whole.Load(), sent)
	}
}

// A plain-http proxy that wants its own token, before an origin that does.
func TestProxy(t *testing.T) {
	srv, _ := counting(t, false, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Proxy-Authorization") == "":
			w.Header().Set("Proxy-Authenticate", "Negotiate")
			w.WriteHeader(407)
		case r.Header.Get("Authorization") == "":
			w.Header().Set("WWW-Authenticate", "Negotiate")
			w.WriteHeader(401)
		default:
			fmt.Fprint(w, r.RequestURI, " ", bytes.Equal(token(r, "Proxy-Authorization"), token(r, "Authorization")))
		}
	})
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{Proxy: http.ProxyURL(u)}
	defer tr.CloseIdleConnections()
	in := new(stagetest.Initiator)
	next := negotiate.New(in, negotiate.Options{Proxy: tr.Proxy})(tr.RoundTrip)
	resp, err := next(request(t, "GET", "http://origin.example/path", ""))
	if got := finish(t, resp, err); got != "http://origin.example/path false" {
		t.Errorf("answer %q", got)
	}
	if got := middleware.ProxySecurityOf(resp.Request).Target().HostPort(); got != u.Host {
		t.Errorf("token for proxy %s", got)
	}
}

func token(r *http.Request, field string) []byte {
	_, text, _ := strings.Cut(r.Header.Get(field), " ")
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	return b
}

// A server that hangs up in the middle of the second attempt.
func TestHangsUp(t *testing.T) {
	srv, _ := counting(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", "Negotiate")
			w.WriteHeader(401)
			return
		}
		panic(http.ErrAbortHandler)
	})
	next := negotiate.New(new(stagetest.Initiator), negotiate.Options{})(srv.Client().Transport.RoundTrip)
	resp, err := next(request(t, "POST", srv.URL, "data"))
	if err == nil {
		finish(t, resp, nil)
		t.Error("no error")
	}
}
