package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/fakekdc/fakewinrm"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// endings are the ways in which a caller can end a call, and whether that is a
// timeout. begin returns what is to be called when the call is over.
var endings = map[string]struct {
	timeout bool
	begin   func(c *http.Client, r *http.Request) (*http.Request, func())
}{
	"deadline": {true, func(_ *http.Client, r *http.Request) (*http.Request, func()) {
		ctx, cancel := context.WithTimeout(r.Context(), shortly)
		return r.WithContext(ctx), cancel
	}},
	"deadline for a reason": {true, func(_ *http.Client, r *http.Request) (*http.Request, func()) {
		ctx, cancel := context.WithTimeoutCause(r.Context(), shortly, os.ErrDeadlineExceeded)
		return r.WithContext(ctx), cancel
	}},
	"Client.Timeout": {true, func(c *http.Client, r *http.Request) (*http.Request, func()) {
		c.Timeout = shortly
		return r, func() {}
	}},
	"cancel": {false, func(_ *http.Client, r *http.Request) (*http.Request, func()) {
		ctx, cancel := context.WithCancel(r.Context())
		timer := time.AfterFunc(shortly, cancel)
		return r.WithContext(ctx), func() { timer.Stop(); cancel() }
	}},
	"Request.Cancel": {false, func(_ *http.Client, r *http.Request) (*http.Request, func()) {
		ch := make(chan struct{})
		timer := time.AfterFunc(shortly, func() { close(ch) })
		r = r.Clone(r.Context())
		r.Cancel = ch //lint:ignore SA1019 callers still set it
		return r, func() { timer.Stop() }
	}},
}

const shortly = 30 * time.Millisecond

// TestDeadlines: whatever a call waits for, the caller ends the wait in every way
// that net/http knows; a deadline is a timeout for those who ask, and no cause is
// printed twice.
func TestDeadlines(t *testing.T) {
	cacheFile := regexp.MustCompile(`FILE:\S+`)
	t.Parallel()
	realm := start(t)
	release := make(chan struct{})
	defer close(release)
	reached := make(chan struct{}, 1) // by a call that is not answered
	hang := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case reached <- struct{}{}:
		default:
		}
		select {
		case <-r.Context().Done():
		case <-release:
		}
	})
	inside := fakeweb.New(realm, spn, fakeweb.Options{Next: hang})
	server := fakeweb.Serve(realm, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/drip" {
			w.Header().Set("WWW-Authenticate", "Negotiate")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, "it begins")
			_ = http.NewResponseController(w).Flush()
			hang(w, r)
			return
		}
		inside.ServeHTTP(w, r)
	}), fakeweb.ServerOptions{})
	winrm := fakeweb.Serve(realm, fakewinrm.New(realm, spn, fakewinrm.Options{Answer: func(fakekdc.Caller, []byte) (int, []byte) {
		select {
		case reached <- struct{}{}:
		default:
		}
		<-release
		return 200, nil
	}}), fakeweb.ServerOptions{})

	with := func(t *testing.T, change func(*client.Options)) *http.Client {
		o := kinit(t, realm, spn)
		o.Transport = server.Transport()
		if change != nil {
			change(&o)
		}
		return newClient(t, o)
	}
	post := func(url, body string) func() *http.Request {
		return func() *http.Request {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
	}
	// busy occupies c with a call that is not answered.
	busy := func(t *testing.T, c *http.Client, r *http.Request) {
		t.Helper()
		ctx, cancel := context.WithCancel(r.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if resp, err := c.Do(r.WithContext(ctx)); err == nil {
				resp.Body.Close()
			}
		}()
		t.Cleanup(func() { cancel(); <-done })
		select {
		case <-reached:
		case <-done:
			t.Error("the call that was to occupy the client is over")
		}
	}
	for name, wait := range map[string]struct {
		client func(t *testing.T) *http.Client
		req    func() *http.Request
	}{
		"a KDC": {
			func(t *testing.T) *http.Client {
				o := kinit(t, realm)
				o.Transport = server.Transport()
				realm.FailNext(fakekdc.Any, fakekdc.Repeat(100, fakekdc.Silence())...)
				t.Cleanup(realm.ClearFaults)
				return newClient(t, o)
			}, post(server.URL(), ""),
		},
		"a KDC, preemptive": {
			func(t *testing.T) *http.Client {
				o := kinit(t, realm)
				o.Transport, o.Preemptive = server.Transport(), preemptive.Always()
				realm.FailNext(fakekdc.Any, fakekdc.Repeat(100, fakekdc.Silence())...)
				t.Cleanup(realm.ClearFaults)
				return newClient(t, o)
			}, post(server.URL(), ""),
		},
		"a body read ahead": {
			func(t *testing.T) *http.Client { return with(t, nil) },
			func() *http.Request {
				body, w := io.Pipe()
				t.Cleanup(func() { w.Close() })
				r := post(server.URL(), "")()
				r.Body, r.GetBody, r.ContentLength = body, nil, -1
				return r
			},
		},
		"the body of a challenge": {
			func(t *testing.T) *http.Client { return with(t, nil) }, post(server.URL()+"/drip", ""),
		},
		"a turn": {
			func(t *testing.T) *http.Client {
				c := with(t, func(o *client.Options) { o.OneConnection = true })
				busy(t, c, post(server.URL(), "")())
				return c
			}, post(server.URL(), ""),
		},
		"the answer": {
			func(t *testing.T) *http.Client { return with(t, nil) }, post(server.URL(), "body"),
		},
		"a session": {
			func(t *testing.T) *http.Client {
				o := client.WinRMOptions{Options: kinit(t, realm, spn), Sessions: 1}
				o.Transport = winrm.Transport()
				c, err := client.NewWinRM(o)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(c.CloseIdleConnections)
				busy(t, c, post(winrm.URL()+"/wsman", "<x/>")())
				return c
			}, post(winrm.URL()+"/wsman", "<x/>"),
		},
	} {
		for how, ending := range endings {
			t.Run(name+", "+how, func(t *testing.T) {
				select {
				case <-reached: // of another test
				default:
				}
				c := wait.client(t)
				own := *c // its Timeout is for this call alone
				r, over := ending.begin(&own, wait.req())
				defer over()
				begun := time.Now()
				resp, err := own.Do(r)
				if err == nil {
					resp.Body.Close()
					t.Fatalf("status %d", resp.StatusCode)
				}
				if waited := time.Since(begun); waited > 10*time.Second {
					t.Errorf("the call went on for %v", waited)
				}
				e, ok := errors.AsType[*url.Error](err)
				if !ok || e.Timeout() != ending.timeout || os.IsTimeout(err) != ending.timeout {
					t.Errorf("timeout is %v, want %v, of %T: %v", os.IsTimeout(err), ending.timeout, e.Err, err)
				}
				reads(t, err)
				end := context.Canceled
				if ending.timeout {
					end = context.DeadlineExceeded
				}
				// net/http tells the reason in place of the end.
				if how != "Client.Timeout" && !errors.Is(err, end) && !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("is not %v: %v", end, err)
				}
				text := cacheFile.ReplaceAllString(err.Error(), "") // whose path has the test's name
				for _, phrase := range []string{"context deadline exceeded", "context canceled", "i/o timeout", "Request.Cancel"} {
					if n := strings.Count(text, phrase); n > 1 {
						t.Errorf("%q is said %d times: %v", phrase, n, err)
					}
				}
			})
		}
	}
}
