package fakeweb

import (
	"io"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/fakekdc/internal/plainclient"
)

// bound makes calls and tells, for each, how many requests it took.
func bound(t *testing.T, c *plainclient.Client, url string, calls int) (requests []int) {
	t.Helper()
	for range calls {
		got := c.Call(url)
		if got.Statuses[len(got.Statuses)-1] != 200 || got.Verdict != "verified" && got.Verdict != "not asked" {
			t.Errorf("%+v", got)
		}
		requests = append(requests, len(got.Statuses))
	}
	return requests
}

func TestForgetConnections(t *testing.T) {
	r, h, s := world(t, Options{ConnectionBound: true}, ServerOptions{})
	a, b := newClient(t, r, s), newClient(t, r, s)
	other := New(r, "HTTP/localhost", Options{ConnectionBound: true})
	for _, c := range []*plainclient.Client{a, b} {
		if d := cmp.Diff([]int{2, 1, 1}, bound(t, c, s.URL(), 3)); d != "" {
			t.Error(d)
		}
	}
	other.ForgetConnections() // does not concern these
	if d := cmp.Diff([]int{1}, bound(t, a, s.URL(), 1)); d != "" {
		t.Error(d)
	}
	h.ForgetConnections()
	for _, c := range []*plainclient.Client{a, b} {
		if d := cmp.Diff([]int{2, 1}, bound(t, c, s.URL(), 2)); d != "" {
			t.Error(d)
		}
	}
	if n := s.Connections(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

func TestSessionRequests(t *testing.T) {
	for name, tc := range map[string]struct {
		o    Options
		want []int
	}{
		"two":                         {Options{ConnectionBound: true, SessionRequests: 2}, []int{2, 1, 1, 2, 1, 1, 2}},
		"without end":                 {Options{ConnectionBound: true}, []int{2, 1, 1, 1, 1, 1, 1}},
		"requests are authenticated":  {Options{SessionRequests: 2}, []int{2, 2, 2}},
		"one, and announces sessions": {Options{ConnectionBound: true, SignalPersistent: true, SessionRequests: 1}, []int{2, 1, 2, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			r, _, s := world(t, tc.o, ServerOptions{})
			if d := cmp.Diff(tc.want, bound(t, newClient(t, r, s), s.URL(), len(tc.want))); d != "" {
				t.Error(d)
			}
			if n := s.Connections(); n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// TestRefusedOnASession: over a connection that authenticated itself, a token that is refused ends
// that: what comes next without a token is nobody's.
func TestRefusedOnASession(t *testing.T) {
	r, h, s := world(t, Options{ConnectionBound: true}, ServerOptions{})
	c := newClient(t, r, s)
	for name, credentials := range map[string]string{
		"no base64": "Negotiate !", "no token": "Negotiate", "nonsense": "Negotiate AAAA", "a second leg": "Negotiate oQcwBaADCgEB",
	} {
		if d := cmp.Diff([]int{2, 1}, bound(t, c, s.URL(), 2)); d != "" {
			t.Error(d)
		}
		q, err := http.NewRequest(http.MethodGet, s.URL(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []int{401, 401} { // with the token, and without one
			q.Header.Set("Authorization", credentials)
			if credentials == "" {
				q.Header.Del("Authorization")
			}
			resp, err := c.Transport.RoundTrip(q)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Error(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%s: %d, want %d: %v", name, resp.StatusCode, want, h.Requests())
			}
			credentials = ""
		}
	}
	if n := s.Connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
}
