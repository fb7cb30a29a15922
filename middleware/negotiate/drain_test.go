package negotiate_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
)

// A drip is a body that gives a byte every 100 ms, until it is closed.
type drip struct {
	left   int
	closed chan struct{}
}

func (d *drip) Read(p []byte) (int, error) {
	if d.left == 0 {
		return 0, io.EOF
	}
	d.left--
	select {
	case <-time.After(100 * time.Millisecond):
		return copy(p, "x"), nil
	case <-d.closed:
		return 0, errors.New("read after close")
	}
}

func (d *drip) Close() error {
	close(d.closed)
	return nil
}

// The bodies of challenges keep nobody waiting: the time of a call has a bound,
// however they come.
func TestDrainTime(t *testing.T) {
	for name, tc := range map[string]struct {
		body    int  // bytes of each challenge
		last    bool // the connection ends with it
		more    bool // the second challenge goes on with the exchange
		options negotiate.Options
		want    time.Duration // for both challenges
	}{
		"in time":          {body: 3, want: 600 * time.Millisecond},
		"too long":         {body: 1000, want: time.Second},
		"too long, chosen": {body: 1000, options: negotiate.Options{DrainTime: 3 * time.Second}, want: 6 * time.Second},
		"no bound":         {body: 100, options: negotiate.Options{DrainTime: -1}, want: 20 * time.Second},
		"the last":         {body: 1000, last: true, want: 0},
		"the last, no bound": {
			body: 1000, last: true, options: negotiate.Options{DrainTime: -1}, want: 0,
		},
		// The connection is needed.
		"to be gone on with": {body: 100, more: true, want: 10*time.Second + 500*time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				legs := 0
				server := func(r *http.Request) (*http.Response, error) {
					resp := &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: r}
					if legs++; legs > 2 {
						return resp, nil
					}
					resp.Close, resp.ContentLength = tc.last, -1
					resp.Body = &drip{tc.body, make(chan struct{})}
					field, value := "WWW-Authenticate", "Negotiate"
					resp.StatusCode = 401
					switch {
					case legs == 1 && !tc.more:
						resp.StatusCode, field = 407, "Proxy-Authenticate"
					case legs == 2 && tc.more:
						value = stagetest.Value(middleware.Negotiate, stagetest.ServerMore)
					}
					resp.Header.Set(field, value)
					return resp, nil
				}
				tc.options.Proxy = viaProxy
				next := negotiate.New(new(stagetest.Initiator), tc.options)(server)
				r := request(t, http.MethodGet, "http://origin.example/", "")
				began := time.Now()
				resp, err := next(r)
				finish(t, resp, err)
				if took := time.Since(began); resp.StatusCode != 200 || took != tc.want {
					t.Errorf("status %d after %v, want %v", resp.StatusCode, took, tc.want)
				}
			})
		})
	}
}

// A challenge whose body breaks off, or cannot be closed, is answered all the same.
func TestChallengeBreaksOff(t *testing.T) {
	for name, body := range map[string]io.ReadCloser{
		"read":  io.NopCloser(io.MultiReader(strings.NewReader("nope"), failing{io.ErrUnexpectedEOF})),
		"close": notClosing{strings.NewReader("nope")},
	} {
		for _, unbounded := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				o := negotiate.Options{}
				if unbounded {
					o.DrainTime = -1
				}
				srv := stagetest.NewServer(func(r *http.Request) (*http.Response, error) {
					resp, err := stagetest.Challenge(401, "Negotiate")(r)
					resp.Body = body
					return resp, err
				}, stagetest.Respond(200, "ok"))
				resp, err := negotiate.New(new(stagetest.Initiator), o)(srv.Next)(request(t, http.MethodGet, "http://origin.example/", ""))
				if got := finish(t, resp, err); got != "ok" {
					t.Errorf("the answer is %q", got)
				}
			})
		}
	}
}

type notClosing struct{ io.Reader }

func (notClosing) Close() error { return errors.New("closed already") }
