//go:build interop

package interop

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// options are those of a program whose user has run kinit.
func (l *lab) options(t *testing.T) client.Options {
	t.Helper()
	return client.Options{
		Krb5Conf:  []string{l.conf},
		CCache:    l.kinit(t)["KRB5CCNAME"],
		Getenv:    func(string) string { return "" },
		Transport: l.transport(t),
	}
}

// password are options of a program that logs alice in by itself.
func (l *lab) password(t *testing.T, password string) client.Options {
	t.Helper()
	return client.Options{
		Krb5Conf:  []string{l.conf},
		Principal: "alice",
		Password:  kerberos.NewSecret(password),
		Getenv:    func(string) string { return "" },
		Transport: l.transport(t),
	}
}

// transport trusts the web server and counts on it alone.
func (l *lab) transport(t *testing.T) *http.Transport {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(readAll(t, l.ca))) {
		t.Fatal("no certificate")
	}
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 64}
}

// A recorder sees what is sent.
type recorder struct {
	next *http.Transport

	mu       sync.Mutex
	tokens   []string // Authorization headers as they were written
	statuses []string // of the responses
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	// Some are signed when they have their connection.
	resp, err := r.next.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		WroteHeaderField: func(key string, values []string) {
			if strings.EqualFold(key, "Authorization") {
				r.mu.Lock()
				r.tokens = append(r.tokens, values...)
				r.mu.Unlock()
			}
		},
	})))
	if err == nil {
		r.mu.Lock()
		r.statuses = append(r.statuses, fmt.Sprint(resp.StatusCode))
		r.mu.Unlock()
	}
	return resp, err
}

func (r *recorder) CloseIdleConnections() { r.next.CloseIdleConnections() }

// signed returns the tokens that were sent, and fails if one was sent twice.
func (r *recorder) signed(t *testing.T) []string {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	tokens := slices.Clone(r.tokens)
	if n := len(slices.Compact(slices.Sorted(slices.Values(tokens)))); n != len(tokens) {
		t.Errorf("%d tokens for %d signed requests", n, len(tokens))
	}
	return tokens
}

// wantAnswers compares the statuses of all requests, as we saw them and, for the
// path, as Apache did, which logs those of HTTP/2 in no order.
func (l *lab) wantAnswers(t *testing.T, r *recorder, path string, want []string) {
	t.Helper()
	if !slices.Equal(r.statuses, want) {
		t.Errorf("answers %v, want %v", r.statuses, want)
	}
	r.CloseIdleConnections() // Apache may log what came over HTTP/2 no earlier
	want = slices.Sorted(slices.Values(want))
	if got := slices.Sorted(slices.Values(l.requests(t, path, len(want)))); !slices.Equal(got, want) {
		t.Errorf("Apache logged %v, want %v", got, want)
	}
}

func newClient(t *testing.T, o client.Options) *http.Client {
	t.Helper()
	c, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	c.Timeout = patience
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// newRetryable returns a client that retries at once, a number of times.
func newRetryable(t *testing.T, o client.Options, retries int) getter {
	t.Helper()
	c, err := client.NewRetryable(o)
	if err != nil {
		t.Fatal(err)
	}
	c.RetryWaitMin, c.RetryWaitMax, c.RetryMax = time.Millisecond, time.Millisecond, retries
	c.HTTPClient.Timeout = patience
	t.Cleanup(c.HTTPClient.CloseIdleConnections)
	return c
}

// A getter is a client of either kind.
type getter interface {
	Get(url string) (*http.Response, error)
}

// fetch gets a URL and returns what came of it.
func fetch(c getter, url string) (status int, body string, verified bool, err error) {
	resp, err := c.Get(url)
	if err != nil {
		return 0, "", false, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	sc := middleware.SecurityOf(resp.Request)
	return resp.StatusCode, string(b), sc != nil && sc.Verified(), err
}

// wantFetched fails unless a URL brings a verified 200 and the text.
func wantFetched(t *testing.T, c getter, url, text string) {
	t.Helper()
	status, body, verified, err := fetch(c, url)
	if err != nil || status != http.StatusOK || body != text || !verified {
		t.Errorf("%s: %d, %q, verified %t, %v", url, status, body, verified, err)
	}
}

// testVerified looks at what a program gets back.
func (l *lab) testVerified(t *testing.T) {
	c := newClient(t, l.options(t))
	for _, kind := range kinds {
		resp, err := c.Get(l.url(t, kind, "/auth/hello"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if sc := middleware.SecurityOf(resp.Request); sc == nil || !sc.Verified() || sc.Target().Host != "localhost" {
			t.Errorf("%s: security context %+v", kind, sc)
		}
		if got := resp.Request.Header.Get("Authorization"); got != "" {
			t.Errorf("%s: the response's request bears our token", kind)
		}
	}
}

// testReplay shows that Apache keeps a replay cache, without which the other
// tests would prove little.
func (l *lab) testReplay(t *testing.T) {
	o := l.options(t)
	rec := &recorder{next: l.transport(t)}
	o.Transport = rec
	url := l.url(t, "http", "/auth/hello")
	wantFetched(t, newClient(t, o), url, authText)
	tokens := rec.signed(t)
	if len(tokens) != 1 {
		t.Fatalf("%d signed requests, want 1", len(tokens))
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", tokens[0])
	resp, err := rec.next.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	rec.next.CloseIdleConnections()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a token sent again: %s, want 401", resp.Status)
	}
}

// testPreemptive counts the requests that calls need.
func (l *lab) testPreemptive(t *testing.T) {
	const calls = 5
	for name, tc := range map[string]struct {
		policy preemptive.Policy
		want   string
	}{
		// What follows on a connection that was proved is signed at once, but for HTTP/2.
		"off":     {nil, "401 200 200 200 200 200"},
		"learned": {preemptive.Learned(), "401 200 200 200 200 200"},
		"always":  {preemptive.Always(), "200 200 200 200 200"},
	} {
		l.overAll(t, name, func(t *testing.T, kind string) {
			o := l.options(t)
			o.Preemptive = tc.policy
			rec := &recorder{next: l.transport(t)}
			o.Transport = rec
			c := newClient(t, o)
			path := fmt.Sprintf("/auth/hello?preemptive=%s-%s", name, kind)
			for range calls {
				wantFetched(t, c, l.url(t, kind, path), authText)
			}
			want := strings.Fields(tc.want)
			if name == "off" && kind == "h2" {
				want = strings.Fields("401 200 401 200 401 200 401 200 401 200")
			}
			rec.signed(t)
			l.wantAnswers(t, rec, path, want)
		})
	}
}

// testParallel makes many calls at once: one ticket, and no two authenticators
// alike.
func (l *lab) testParallel(t *testing.T) {
	const calls = 50
	for name, policy := range map[string]preemptive.Policy{"off": nil, "learned": preemptive.Learned(), "always": preemptive.Always()} {
		l.overAll(t, name, func(t *testing.T, kind string) {
			o := l.options(t)
			o.Preemptive = policy
			rec := &recorder{next: l.transport(t)}
			o.Transport = rec
			c := newClient(t, o)
			tgs := l.kdcLog(t, "TGS_REQ", "ISSUE")
			url := l.url(t, kind, "/auth/hello?parallel")
			var wg sync.WaitGroup
			for range calls {
				wg.Go(func() { wantFetched(t, c, url, authText) })
			}
			wg.Wait()
			if n := len(rec.signed(t)); n != calls {
				t.Errorf("%d signed requests for %d calls", n, calls)
			}
			if n := l.kdcLog(t, "TGS_REQ", "ISSUE") - tgs; n != 1 {
				t.Errorf("%d tickets fetched, want 1", n)
			}
		})
	}
}

// testRetryStatus meets a server that is busy at first. Every try bears its own
// token, or Apache would take it for a replay.
func (l *lab) testRetryStatus(t *testing.T) {
	for name, tc := range map[string]struct {
		policy preemptive.Policy
		want   []string
	}{
		"off":    {nil, []string{"401", "503", "401", "200"}},
		"always": {preemptive.Always(), []string{"503", "200"}},
	} {
		l.overAll(t, name, func(t *testing.T, kind string) {
			o := l.options(t)
			o.Preemptive = tc.policy
			rec := &recorder{next: l.transport(t)}
			o.Transport = rec
			c := newRetryable(t, o, 4)
			path := fmt.Sprintf("/auth/cgi/flaky?%s-%s", name, kind)
			wantFetched(t, c, l.url(t, kind, path), "user alice@"+l.name+"\n")
			if n := len(rec.signed(t)); n != 2 {
				t.Errorf("%d signed requests, want 2", n)
			}
			l.wantAnswers(t, rec, path, tc.want)
		})
	}
}

// testRetryKDC meets a KDC that is unreachable at first.
func (l *lab) testRetryKDC(t *testing.T) {
	const failures = 5
	var dials atomic.Int32
	o := l.password(t, alicePassword)
	o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials.Add(1) <= failures {
			return nil, errors.New("no route, says the test")
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	c := newRetryable(t, o, failures)
	wantFetched(t, c, l.url(t, "http", "/auth/hello"), authText)
	if n := dials.Load(); n <= failures {
		t.Errorf("%d connections to the KDC, want more than %d", n, failures)
	}
}

// testNoLockOut counts the wrong passwords that the KDC is shown: one, since
// more of them lock accounts.
func (l *lab) testNoLockOut(t *testing.T) {
	c := newRetryable(t, l.password(t, "wrong"), 4)
	before := l.kdcLog(t, "PREAUTH_FAILED", "alice@")
	status, _, _, err := fetch(c, l.url(t, "http", "/auth/hello"))
	if !errors.Is(err, middleware.ErrCredentials) {
		t.Errorf("status %d, error %v, want one of kind %v", status, err, middleware.ErrCredentials)
	}
	if n := l.kdcLog(t, "PREAUTH_FAILED", "alice@") - before; n != 1 {
		t.Errorf("the KDC saw %d wrong passwords, want 1", n)
	}
}
