package client_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/internal/stagetest"
)

// TestRetryAfterIsHeeded: a retrying client waits as long as a server says that is
// too busy to prove itself, and not longer than an hour, whoever says so.
func TestRetryAfterIsHeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, tc := range map[string]struct {
			status int
			value  func() string
			want   time.Duration
		}{
			"429, seconds":    {429, func() string { return "90" }, 90 * time.Second},
			"503, seconds":    {503, func() string { return "3" }, 3 * time.Second},
			"503, a date":     {503, func() string { return time.Now().UTC().Add(5 * time.Minute).Format(http.TimeFormat) }, 5 * time.Minute},
			"429, for a year": {429, func() string { return "31536000" }, time.Hour},
		} {
			var at []time.Time
			busy := func(r *http.Request) (*http.Response, error) {
				at = append(at, time.Now())
				return stagetest.Respond(tc.status, "busy", "Retry-After", tc.value())(r)
			}
			ok := func(r *http.Request) (*http.Response, error) {
				at = append(at, time.Now())
				return stagetest.Bearing(stagetest.ServerOK, stagetest.Respond(200, ""))(r)
			}
			ask := stagetest.Challenge(401, "Negotiate")
			c, err := client.NewRetryable(client.Options{
				Initiator: new(stagetest.Initiator),
				Transport: kerbchain.Next(stagetest.NewServer(busy, ask, ok).Next),
			})
			if err != nil {
				t.Fatal(err)
			}
			resp, err := c.Get("http://origin.example/")
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			resp.Body.Close()
			// A date has whole seconds.
			if d := at[1].Sub(at[0]); resp.StatusCode != 200 || d > tc.want || d <= tc.want-time.Second {
				t.Errorf("%s: status %d after %v, want 200 after %v", name, resp.StatusCode, d, tc.want)
			}
		}
	})
}
