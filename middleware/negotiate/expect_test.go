package negotiate_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
)

// A server that knows no Expect says 417. Of one that we added the caller hears
// nothing, as long as the body can still be sent.
func TestExpectationFailed(t *testing.T) {
	const size = 16 << 20 // more than fits between client and server
	for name, tc := range map[string]struct {
		breaks bool // the connection breaks where nothing is expected at first
		reads  bool // the server reads the body before it says 417
		asks   bool // it wants a token too
		own    bool // the field is the caller's
		kind   string
		once   negotiate.OneShot
		status int
		err    error
		want   []string
	}{
		"asked first": {
			kind: "stream", once: negotiate.Expect, status: 200, want: []string{"expects", "whole"},
		},
		"asked first, and challenged": {
			kind: "stream", once: negotiate.Expect, asks: true, err: middleware.ErrBodyNotReplayable, want: []string{"expects", "whole"},
		},
		"the body is gone": {
			kind: "stream", once: negotiate.Expect, reads: true, status: 417, want: []string{"expects"},
		},
		"after a break": {
			kind: "GetBody", breaks: true, asks: true, status: 200, want: []string{"breaks", "expects", "whole", "whole, signed"},
		},
		"the caller's own": {
			kind: "stream", own: true, once: negotiate.Expect, status: 417, want: []string{"expects"},
		},
		"the caller's own, replayable": {
			kind: "GetBody", own: true, status: 417, want: []string{"expects"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var seen []string
			note := func(s string) {
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, s)
			}
			var breaks atomic.Bool
			breaks.Store(tc.breaks)
			addr := raw(t, func(c net.Conn, br *bufio.Reader) {
				r, err := http.ReadRequest(br)
				switch {
				case err != nil:
					return
				case r.Header.Get("Expect") != "":
					note("expects")
					if tc.reads {
						if _, err := io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
							t.Error(err)
						}
						_, _, _ = sumOf(r.Body)
					}
					io.WriteString(c, "HTTP/1.1 417 Expectation Failed\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
					return
				case breaks.Swap(false):
					note("breaks")
					_ = c.(*net.TCPConn).SetLinger(0)
					return
				}
				sum, n, err := sumOf(r.Body)
				if err != nil {
					t.Error(err)
				}
				if tc.asks && r.Header.Get("Authorization") == "" {
					note("whole")
					io.WriteString(c, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Negotiate\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
					return
				}
				note(strings.TrimSuffix("whole, "+map[bool]string{true: "signed"}[tc.asks], ", "))
				body := fmt.Sprintf("%s %d", sum, n)
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			})
			tr := &http.Transport{ExpectContinueTimeout: time.Minute}
			defer tr.CloseIdleConnections()
			r := request(t, http.MethodPut, addr, "")
			stream(false)(t, r, size)
			if tc.kind == "GetBody" {
				kinds["GetBody"].make(t, r, size)
			}
			if tc.own {
				r.Header.Set("Expect", "100-continue")
			}
			o := negotiate.Options{BodyLimit: 16, OneShot: tc.once}
			resp, err := negotiate.New(new(stagetest.Initiator), o)(tr.RoundTrip)(r)
			if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
				t.Errorf("error %v, want %v", err, tc.err)
			}
			if err == nil {
				want, n, err := sumOf(content(size))
				got := finish(t, resp, err)
				if resp.StatusCode != tc.status || tc.status == 200 && got != fmt.Sprintf("%s %d", want, n) {
					t.Errorf("status %d, the server got %q", resp.StatusCode, got)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if d := cmp.Diff(tc.want, seen); d != "" {
				t.Errorf("requests (-want +got):\n%s", d)
			}
		})
	}
}
