package stage_test

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"sync"
	"testing"

	"github.com/kerbchain/kerbchain/internal/stage"
)

// A wire counts what is written to it once it was told to, and before it is closed.
type wire struct {
	net.Conn
	mu             sync.Mutex
	counts         bool
	writes, closes int
}

func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	if w.counts && w.closes == 0 {
		w.writes++
	}
	w.mu.Unlock()
	return w.Conn.Write(b)
}

func (w *wire) Close() error {
	w.mu.Lock()
	w.closes++
	w.mu.Unlock()
	return w.Conn.Close()
}

// What is refused is closed before a byte of its request, and without leave of a
// peer that may not be listening; what is shared is left alone.
func TestRefuse(t *testing.T) {
	if !stage.Refuse(nil) {
		t.Error("no connection at all was not refused")
	}
	for name, tc := range map[string]struct {
		secure, http2, refused bool
	}{
		"plain":  {refused: true},
		"TLS":    {secure: true, refused: true},
		"HTTP/2": {secure: true, http2: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			s.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are cut short
			s.EnableHTTP2 = tc.http2
			if tc.secure {
				s.StartTLS()
			} else {
				s.Start()
			}
			defer s.Close()
			tr := s.Client().Transport.(*http.Transport)
			defer tr.CloseIdleConnections()
			var w *wire
			tr.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
				c, err := new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
				w = &wire{Conn: c}
				return w, err
			}
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
				if _, ok := info.Conn.(*tls.Conn); ok != tc.secure {
					t.Errorf("got a connection of type %T", info.Conn)
				}
				w.mu.Lock()
				w.counts = true
				w.mu.Unlock()
				if got := stage.Refuse(info.Conn); got != tc.refused {
					t.Errorf("refused: %t", got)
				}
			}})
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := tr.RoundTrip(r)
			if err == nil {
				if err := resp.Body.Close(); err != nil {
					t.Error(err)
				}
			}
			if (err != nil) != tc.refused {
				t.Errorf("error %v", err)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if tc.refused && (w.closes == 0 || w.writes > 0) {
				t.Errorf("closed %d times, %d writes", w.closes, w.writes)
			}
		})
	}
}
