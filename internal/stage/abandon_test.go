package stage_test

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"testing"

	"github.com/kerbchain/kerbchain/internal/stage"
)

// A connection that is abandoned before its answer was read is offered to no other
// request, however little of the answer there is, whether the transport told of it or
// not. One of HTTP/2 is.
func TestAbandon(t *testing.T) {
	for name, tc := range map[string]struct {
		secure, http2, told bool
	}{
		"plain":             {told: true},
		"TLS":               {told: true, secure: true},
		"HTTP/2":            {told: true, secure: true, http2: true},
		"plain, not known":  {},
		"TLS, not known":    {secure: true},
		"HTTP/2, not known": {secure: true, http2: true},
		"HTTP/2 in clear":   {told: true, http2: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "refused")
			}))
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.EnableHTTP2 = tc.http2
			var clear http.Protocols
			clear.SetHTTP1(!tc.http2)
			clear.SetUnencryptedHTTP2(tc.http2)
			if tc.secure {
				s.StartTLS()
			} else {
				s.Config.Protocols = &clear
				s.Start()
			}
			defer s.Close()
			tr := s.Client().Transport.(*http.Transport)
			if !tc.secure {
				tr.Protocols = &clear
			}
			defer tr.CloseIdleConnections()
			for n := range 100 {
				var conn net.Conn
				reused := false
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
					conn, reused = info.Conn, reused || info.Reused
				}})
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := tr.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				if want := tc.http2 && n > 0; reused != want {
					t.Fatalf("request %d: a connection that was used is %t, want %t", n, reused, want)
				}
				if !tc.told {
					conn = nil
				}
				stage.Abandon(resp, conn)
			}
		})
	}
}
