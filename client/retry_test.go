package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-retryablehttp"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// retrying makes a client that does not wait between tries.
func retrying(tb testing.TB, o client.Options) *retryablehttp.Client {
	tb.Helper()
	c, err := client.NewRetryable(o)
	if err != nil {
		tb.Fatal(err)
	}
	c.RetryMax, c.RetryWaitMin, c.RetryWaitMax = 4, time.Nanosecond, time.Nanosecond
	tb.Cleanup(c.HTTPClient.CloseIdleConnections)
	return c
}

// try sends a request with a body, and returns its status.
func try(tb testing.TB, c *retryablehttp.Client, url string) (status int, err error) {
	tb.Helper()
	r, err := retryablehttp.NewRequestWithContext(tb.Context(), http.MethodPost, url, []byte("body"))
	if err != nil {
		tb.Fatal(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		tb.Error(err)
	}
	return resp.StatusCode, nil
}

// Every try is signed anew, and has the whole body.
func TestRetrySigns(t *testing.T) {
	for name, policy := range map[string]preemptive.Policy{"challenged": nil, "always": preemptive.Always(), "learned": preemptive.Learned()} {
		t.Run(name, func(t *testing.T) {
			realm := start(t)
			var calls atomic.Int64
			h := fakeweb.New(realm, spn, fakeweb.Options{Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if b, err := io.ReadAll(r.Body); err != nil || string(b) != "body" {
					t.Errorf("%q, %v", b, err)
				}
				if calls.Add(1) < 4 {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			})})
			server := fakeweb.Serve(realm, h, serverOptions())
			var conns meter
			o := kinit(t, realm)
			o.Transport, o.Preemptive = conns.on(server.Transport()), policy
			c := retrying(t, o)
			if status, err := try(t, c, server.URL()); status != 200 || err != nil {
				t.Errorf("status %d, error %v", status, err)
			}
			// The server takes no authenticator twice.
			for _, rec := range h.Requests() {
				if rec.Reason != "" {
					t.Errorf("%v", rec)
				}
			}
			want := []int{401, 503, 401, 503, 401, 503, 401, 200}
			switch name {
			case "always":
				want = []int{503, 503, 503, 200}
			case "learned":
				want = []int{401, 503, 503, 503, 200}
			}
			if diff := cmp.Diff(want, h.Statuses()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			conns.drained(t, c.HTTPClient.CloseIdleConnections)
		})
	}
}

// A wrong password is sent once, for it locks the account.
func TestRetryWrongPassword(t *testing.T) {
	realm := start(t)
	server := fakeweb.Serve(realm, fakeweb.New(realm, spn, fromPage()), serverOptions())
	o := bare(realm)
	o.Principal, o.Password, o.Transport = "alice@"+realm.Name(), kerberos.NewSecret("hunter2"), server.Transport()
	c := retrying(t, o)
	for range 3 {
		_, err := try(t, c, server.URL())
		var known *middleware.Error
		if !errors.Is(err, middleware.ErrCredentials) || !errors.As(err, &known) || known.Code != 24 || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
	if n := realm.Count(fakekdc.AS, 24); n != 1 {
		t.Errorf("the password was sent %d times", n)
	}
}

// What has no credentials, or no proof, is not tried again.
func TestRetryNever(t *testing.T) {
	for name, tc := range map[string]struct {
		web    fakeweb.Options
		change change
		kind   error
		want   []int
	}{
		"forged":     {quirk(fakeweb.Quirks{Proof: fakeweb.ProofForged}), nil, middleware.ErrNotVerified, []int{401, 200}},
		"no proof":   {quirk(fakeweb.Quirks{Proof: fakeweb.ProofNone}), nil, middleware.ErrNotVerified, []int{401, 200}},
		"no cache":   {fakeweb.Options{}, func(o *client.Options) { o.CCache += ".none" }, middleware.ErrCredentials, []int{401}},
		"no SPN":     {fakeweb.Options{}, func(o *client.Options) { o.Service = "none" }, middleware.ErrKDC, []int{401}},
		"the answer": {quirk(fakeweb.Quirks{Reject: true}), nil, nil, []int{401, 401}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // the cache that is missing is waited for
				realm := start(t, fakekdc.WithoutSockets())
				h := fakeweb.New(realm, spn, tc.web)
				server := fakeweb.Serve(realm, h, fakeweb.ServerOptions{InMemory: true})
				o := kinit(t, realm)
				o.Transport = server.Transport()
				if tc.change != nil {
					tc.change(&o)
				}
				_, err := try(t, retrying(t, o), server.URL())
				if !errors.Is(err, tc.kind) || (err == nil) != (tc.kind == nil) {
					t.Errorf("%v", err)
				}
				if diff := cmp.Diff(tc.want, h.Statuses()); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A KDC that is not there is asked again.
func TestRetryKDC(t *testing.T) {
	for name, tc := range map[string]struct {
		down func(*fakekdc.Realm, *client.Options) (up func())
	}{
		"unreachable": {func(_ *fakekdc.Realm, o *client.Options) func() {
			var up atomic.Bool
			o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if !up.Load() {
					return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
				}
				return new(net.Dialer).DialContext(ctx, network, addr)
			}
			return func() { up.Store(true) }
		}},
		"busy": {func(realm *fakekdc.Realm, _ *client.Options) func() {
			realm.FailNext(fakekdc.TGS, fakekdc.Repeat(100, fakekdc.ReplyError(fakekdc.CodeUnavailable, nil))...)
			return realm.ClearFaults
		}},
	} {
		t.Run(name, func(t *testing.T) {
			realm := start(t)
			server := fakeweb.Serve(realm, fakeweb.New(realm, spn, fromPage()), serverOptions())
			o := kinit(t, realm)
			o.Transport = server.Transport()
			up := tc.down(realm, &o)
			c := retrying(t, o)
			// It comes up while the client waits for its third try.
			tries := 0
			c.Backoff = func(_, _ time.Duration, n int, _ *http.Response) time.Duration {
				if tries++; tries == 2 {
					up()
				}
				return 0
			}
			r, err := retryablehttp.NewRequestWithContext(t.Context(), http.MethodGet, server.URL()+"/200", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != 200 || tries != 2 {
				t.Errorf("status %d after %d tries", resp.StatusCode, tries)
			}
		})
	}
	// And when it never comes, the error says whom it asked.
	realm := start(t)
	server := fakeweb.Serve(realm, fakeweb.New(realm, spn, fromPage()), serverOptions())
	o := kinit(t, realm)
	o.Transport = server.Transport()
	o.Dial = func(_ context.Context, network, _ string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	_, err := try(t, retrying(t, o), server.URL())
	var known *middleware.Error
	if !errors.Is(err, middleware.ErrKDC) || !errors.Is(err, syscall.ECONNREFUSED) || !errors.As(err, &known) || !known.Temporary() {
		t.Fatal(err)
	}
	for _, want := range []string{"alice@" + realm.Name(), realm.Addr(), spn} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: does not name %s", err, want)
		}
	}
}

func TestCheckRetry(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	fail := func(kind error, retryable bool) error {
		return &url.Error{Op: "Get", URL: "http://localhost/", Err: &middleware.Error{Stage: "test", Kind: kind, IsTemporary: retryable}}
	}
	status := func(n int) *http.Response { return &http.Response{StatusCode: n} }
	type verdict struct {
		Again bool
		Err   string
	}
	for name, tc := range map[string]struct {
		ctx  context.Context
		resp *http.Response
		err  error
		want verdict
	}{
		"200":                        {nil, status(200), nil, verdict{}},
		"401":                        {nil, status(401), nil, verdict{}},
		"404":                        {nil, status(404), nil, verdict{}},
		"407":                        {nil, status(407), nil, verdict{}},
		"429":                        {nil, status(429), nil, verdict{Again: true}},
		"500":                        {nil, status(500), nil, verdict{Again: true}},
		"501":                        {nil, status(501), nil, verdict{}},
		"503":                        {nil, status(503), nil, verdict{Again: true}},
		"connection refused":         {nil, nil, &url.Error{Op: "Get", Err: syscall.ECONNREFUSED}, verdict{Again: true}},
		"unknown scheme":             {nil, nil, &url.Error{Op: "Get", Err: errors.New(`unsupported protocol scheme "x"`)}, verdict{}},
		"wrong password":             {nil, nil, fail(middleware.ErrCredentials, false), verdict{}},
		"KDC refused":                {nil, nil, fail(middleware.ErrKDC, false), verdict{}},
		"KDC unreachable":            {nil, nil, fail(middleware.ErrKDC, true), verdict{Again: true}},
		"KDC unreachable, wrapped":   {nil, nil, fmt.Errorf("call: %w", fail(middleware.ErrKDC, true)), verdict{Again: true}},
		"not verified":               {nil, nil, fail(middleware.ErrNotVerified, false), verdict{}},
		"body":                       {nil, nil, fail(middleware.ErrBodyNotReplayable, false), verdict{}},
		"token":                      {nil, nil, fail(middleware.ErrToken, false), verdict{}},
		"not verified, and a cancel": {ended, nil, fail(middleware.ErrNotVerified, false), verdict{Err: "context canceled"}},
		"ended, 503":                 {ended, status(503), nil, verdict{Err: "context canceled"}},
		"ended, KDC unreachable":     {ended, nil, fail(middleware.ErrKDC, true), verdict{Err: "context canceled"}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := tc.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			again, err := client.CheckRetry(ctx, tc.resp, tc.err)
			got := verdict{Again: again}
			if err != nil && ctx.Err() != nil {
				got.Err = err.Error() // others are explanations of retryablehttp
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The client says nothing by itself: retryablehttp logs whole URLs.
func TestRetryIsSilent(t *testing.T) {
	c, err := client.NewRetryable(client.Options{Initiator: stumbling{}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Logger != nil {
		t.Error("it has a logger")
	}
	if c.HTTPClient.Jar != nil || c.HTTPClient.Timeout != 0 {
		t.Error("it has a jar or a timeout")
	}
	// And retries end with the context.
	realm := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	h := fakeweb.New(realm, spn, fakeweb.Options{Next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(503)
	})})
	server := fakeweb.Serve(realm, h, serverOptions())
	o := kinit(t, realm)
	o.Transport = server.Transport()
	r := retrying(t, o)
	r.Backoff = func(_, _ time.Duration, _ int, _ *http.Response) time.Duration {
		cancel()
		return time.Hour
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, server.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Do(req); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if got := h.Statuses(); !slices.Equal(got, []int{401, 503}) {
		t.Errorf("%v", got)
	}
}
