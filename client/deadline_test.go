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
	"testing/synctest"
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

// A stop is a service at which calls wait, in a realm without sockets.
type stop struct {
	realm         *fakekdc.Realm
	server, winrm *fakeweb.Server
	reached       chan struct{} // by a call that is not answered
}

func newStop(t *testing.T) *stop {
	t.Helper()
	s := &stop{realm: start(t, fakekdc.WithoutSockets()), reached: make(chan struct{}, 1)}
	release := make(chan struct{})
	reach := func() {
		select {
		case s.reached <- struct{}{}:
		default:
		}
	}
	hang := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		reach()
		select {
		case <-r.Context().Done():
		case <-release:
		}
	})
	inside := fakeweb.New(s.realm, spn, fakeweb.Options{Next: hang})
	s.server = fakeweb.Serve(s.realm, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/drip" {
			w.Header().Set("WWW-Authenticate", "Negotiate")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, "it begins")
			_ = http.NewResponseController(w).Flush()
			hang(w, r)
			return
		}
		inside.ServeHTTP(w, r)
	}), fakeweb.ServerOptions{InMemory: true})
	s.winrm = fakeweb.Serve(s.realm, fakewinrm.New(s.realm, spn, fakewinrm.Options{Answer: func(fakekdc.Caller, []byte) (int, []byte) {
		reach()
		<-release
		return 200, nil
	}}), fakeweb.ServerOptions{InMemory: true})
	t.Cleanup(func() { close(release) })
	return s
}

// options have a ticket for the service.
func (s *stop) options(t *testing.T) client.Options {
	o := kinit(t, s.realm, spn)
	o.Transport = s.server.Transport()
	return o
}

// silent has no ticket, and no KDC answers.
func (s *stop) silent(t *testing.T) client.Options {
	o := kinit(t, s.realm)
	o.Transport = s.server.Transport()
	s.realm.FailNext(fakekdc.Any, fakekdc.Repeat(100, fakekdc.Silence())...)
	return o
}

// busy occupies c with a call that is not answered.
func (s *stop) busy(t *testing.T, c *http.Client, r *http.Request) {
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
	case <-s.reached:
	case <-done:
		t.Error("the call that was to occupy the client is over")
	}
}

func post(t *testing.T, url, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestDeadlines: whatever a call waits for, the caller ends the wait in every way
// that net/http knows; a deadline is a timeout for those who ask, and no cause is
// printed twice.
func TestDeadlines(t *testing.T) {
	cacheFile := regexp.MustCompile(`FILE:\S+`)
	for name, begin := range map[string]func(t *testing.T, s *stop) (*http.Client, *http.Request){
		"a KDC": func(t *testing.T, s *stop) (*http.Client, *http.Request) {
			return newClient(t, s.silent(t)), post(t, s.server.URL(), "")
		},
		"a KDC, preemptive": func(t *testing.T, s *stop) (*http.Client, *http.Request) {
			o := s.silent(t)
			o.Preemptive = preemptive.Always()
			return newClient(t, o), post(t, s.server.URL(), "")
		},
		"a body read ahead": func(t *testing.T, s *stop) (*http.Client, *http.Request) {
			body, w := io.Pipe()
			t.Cleanup(func() { w.Close() })
			r := post(t, s.server.URL(), "")
			r.Body, r.GetBody, r.ContentLength = body, nil, -1
			return newClient(t, s.options(t)), r
		},
		"the body of a challenge": func(t *testing.T, s *stop) (*http.Client, *http.Request) {
			return newClient(t, s.options(t)), post(t, s.server.URL()+"/drip", "")
		},
		"a turn": func(t *testing.T, s *stop) (*http.Client, *http.Request) {
			o := s.options(t)
			o.OneConnection = true
			c := newClient(t, o)
			s.busy(t, c, post(t, s.server.URL(), ""))
			return c, post(t, s.server.URL(), "")
		},
		"the answer": func(t *testing.T, s *stop) (*http.Client, *http.Request) {
			return newClient(t, s.options(t)), post(t, s.server.URL(), "body")
		},
		"a session": func(t *testing.T, s *stop) (*http.Client, *http.Request) {
			o := client.WinRMOptions{Options: s.options(t), Sessions: 1}
			o.Transport = s.winrm.Transport()
			c, err := client.NewWinRM(o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.CloseIdleConnections)
			s.busy(t, c, post(t, s.winrm.URL()+"/wsman", "<x/>"))
			return c, post(t, s.winrm.URL()+"/wsman", "<x/>")
		},
	} {
		for how, ending := range endings {
			t.Run(name+", "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, r := begin(t, newStop(t))
					own := *c // its Timeout is for this call alone
					r, over := ending.begin(&own, r)
					defer over()
					begun := time.Now()
					resp, err := own.Do(r)
					if err == nil {
						resp.Body.Close()
						t.Fatalf("status %d", resp.StatusCode)
					}
					// Who reads the caller's body is given a moment before the body is closed.
					if waited := time.Since(begun); waited < shortly || waited > 2*shortly {
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
			})
		}
	}
}
