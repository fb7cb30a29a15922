package client_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/client/clienttest"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/fakekdc/fakewinrm"
)

// between stands between client and server, one connection for one, and returns
// its port. It passes requests on, and what edit makes of the answers.
func between(t *testing.T, server string, edit func(r *http.Request, resp *http.Response) *http.Response) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	serve := func(c net.Conn) {
		defer c.Close()
		s, err := net.Dial("tcp", server)
		if err != nil {
			return
		}
		defer s.Close()
		in, back := bufio.NewReader(c), bufio.NewReader(s)
		for {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			b, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(b))
			if r.Write(s) != nil {
				return
			}
			resp, err := http.ReadResponse(back, r)
			if err != nil {
				return
			}
			b, err = io.ReadAll(resp.Body)
			if err != nil {
				return
			}
			resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
			if edit(r, resp).Write(c) != nil {
				return
			}
		}
	}
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			wg.Go(func() { serve(c) })
		}
	})
	return portOf(t, l.Addr().String())
}

// Whoever is on the way can say 401 in the place of any answer, and have no
// command carried out twice by it. With Resend he can, which is why it is an
// option.
func TestWinRMForgedChallengeRunsNothingTwice(t *testing.T) {
	for _, resend := range []bool{false, true} {
		for _, status := range []int{401, 407} {
			for forged := 1; forged <= 4; forged++ { // which answer to a message
				t.Run(fmt.Sprintf("resend %t, %d, answer %d", resend, status, forged), func(t *testing.T) {
					var mu sync.Mutex
					ran := map[string]int{}
					w := startWinRM(t, fakewinrm.Options{Answer: func(_ fakekdc.Caller, b []byte) (int, []byte) {
						mu.Lock()
						defer mu.Unlock()
						ran[string(b)]++
						return 200, b
					}}, fakeweb.ServerOptions{})
					answers := 0
					port := between(t, w.server.Addr(), func(r *http.Request, resp *http.Response) *http.Response {
						if strings.Contains(r.Header.Get("Content-Type"), "encrypted") {
							if answers++; answers == forged {
								return &http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{
									"Www-Authenticate": {"Negotiate"}, "Proxy-Authenticate": {"Negotiate"},
								}}
							}
						}
						return resp
					})
					w.url = "http://localhost:" + port + "/wsman"
					w.options.Resend = resend
					w.options.Transport = &http.Transport{}
					w.options.Sessions = 1
					c := w.client(t)
					var statuses []int
					for i := range 4 {
						resp, _, err := w.post(t, c, fmt.Sprint("command ", i))
						if err != nil {
							t.Fatal(err)
						}
						statuses = append(statuses, resp.StatusCode)
					}
					twice := 0
					for i := range 4 {
						n := ran[fmt.Sprint("command ", i)]
						if n == 2 {
							twice++
						} else if n != 1 {
							t.Errorf("command %d ran %d times", i, n)
						}
					}
					want := []int{200, 200, 200, 200}
					if !resend {
						want[forged-1] = status
					}
					if d := cmp.Diff(want, statuses); d != "" {
						t.Errorf("statuses (-want +got):\n%s", d)
					}
					if (twice > 0) != resend {
						t.Errorf("%d commands ran twice", twice)
					}
				})
			}
		}
	}
}

// A server that forgets who is at the other end of a connection that was idle, or
// closes it, with or without a word, costs nobody a failure, as long as it is more
// patient than Idle says: http.sys has two minutes.
func TestWinRMServerForgetsIdleSessions(t *testing.T) {
	for _, closes := range []bool{false, true} {
		for name, tc := range map[string]struct {
			idle    time.Duration // of the options
			forgets time.Duration // after how long the server does
		}{
			"http.sys, default": {0, 2 * time.Minute},
			"as soon as that":   {0, time.Minute + time.Millisecond},
			"less patience":     {5 * time.Second, 6 * time.Second},
		} {
			t.Run(fmt.Sprintf("%s, closes %t", name, closes), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					realm := start(t, fakekdc.WithoutSockets())
					var mu sync.Mutex
					var ran []string
					end := fakewinrm.New(realm, spn, fakewinrm.Options{Answer: func(_ fakekdc.Caller, b []byte) (int, []byte) {
						mu.Lock()
						defer mu.Unlock()
						ran = append(ran, string(b))
						return 200, b
					}})
					server := fakeweb.Serve(realm, end, fakeweb.ServerOptions{InMemory: true})
					o := clienttest.Options(t, realm, "alice", client.Options{Transport: server.Transport()})
					c, err := client.NewWinRM(client.WinRMOptions{Options: o, Idle: tc.idle})
					if err != nil {
						t.Fatal(err)
					}
					defer c.CloseIdleConnections()
					forget := time.AfterFunc(tc.forgets, func() {})
					var want []string
					pauses := []time.Duration{0, time.Second, tc.forgets / 2, tc.forgets - time.Second, tc.forgets - time.Millisecond, tc.forgets, tc.forgets + time.Second, time.Hour, 0, 0}
					for i, pause := range pauses {
						forget.Stop()
						forget = time.AfterFunc(tc.forgets, func() {
							if closes {
								server.DropConnections()
							} else {
								end.Forget()
							}
						})
						time.Sleep(pause)
						synctest.Wait()
						message := fmt.Sprint("command ", i)
						want = append(want, message)
						r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL()+"/wsman", strings.NewReader(message))
						if err != nil {
							t.Fatal(err)
						}
						r.Header.Set("Content-Type", soap)
						if status, body, err := do(t, c, r); err != nil || status != 200 || body != message {
							t.Errorf("after %v: %d, %q, %v", pause, status, body, err)
						}
					}
					forget.Stop()
					if d := cmp.Diff(want, ran); d != "" {
						t.Errorf("carried out (-want +got):\n%s", d)
					}
					if statuses := end.Statuses(); slices.Contains(statuses, 401) {
						t.Errorf("statuses %v: a message met a session that was forgotten", statuses)
					}
				})
			})
		}
	}
}

// What is not idle goes on as it is.
func TestWinRMBusySessionsAreKept(t *testing.T) {
	w := startWinRM(t, fakewinrm.Options{}, fakeweb.ServerOptions{})
	w.options.Idle = -1
	c := w.client(t)
	for range 4 {
		w.echo(t, c, "busy")
	}
	w.wantSeen(t, []int{5}, []int{200, 200, 200, 200, 200})
}
