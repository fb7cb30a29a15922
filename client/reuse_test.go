package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// A tally is a context that counts how often it is asked for a value.
type tally struct {
	context.Context
	n *int
}

func (a tally) Value(key any) any {
	*a.n++
	return a.Context.Value(key)
}

// A program may make each request of the response to the one before, as one that
// follows links from page to page does. The hundredth costs as many look-ups as the
// third, none is verified by another's proof, and no body is kept.
func TestEachRequestOfTheLastResponse(t *testing.T) {
	for name, policy := range map[string]preemptive.Policy{"asked": nil, "at once": preemptive.Always()} {
		t.Run(name, func(t *testing.T) {
			stack, err := client.NewStack(client.Options{Initiator: new(stagetest.Initiator), Preemptive: policy})
			if err != nil {
				t.Fatal(err)
			}
			ok := stagetest.Bearing(stagetest.ServerOK, stagetest.Respond(200, "ok"))
			next := stack.Chain()(func(r *http.Request) (*http.Response, error) {
				_, err := io.Copy(io.Discard, r.Body)
				if err := errors.Join(err, r.Body.Close()); err != nil {
					return nil, err
				}
				if r.Header.Get("Authorization") == "" {
					return stagetest.Challenge(401, "Negotiate")(r)
				}
				return ok(r)
			})
			root := tally{t.Context(), new(int)}
			var ctx context.Context = root
			freed := make(chan int, 100)
			var counts []int
			for i := range 100 {
				body := &freeable{Reader: strings.NewReader("data")}
				runtime.AddCleanup(body, func(i int) { freed <- i }, i)
				r, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprint("http://a.test/", i), body)
				if err != nil {
					t.Fatal(err)
				}
				*root.n = 0
				//lint:ignore SA1019 clients with a timeout set it, and there the stages stand in for net/http
				r.Cancel = make(chan struct{})
				resp, err := next(r)
				if err != nil {
					t.Fatal(err)
				}
				counts = append(counts, *root.n)
				finish(t, resp)
				if !middleware.SecurityOf(resp.Request).Verified() {
					t.Fatal("not verified")
				}
				ctx = resp.Request.Context()
			}
			if counts[99] != counts[2] {
				t.Errorf("%d look-ups in the third call, %d in the hundredth", counts[2], counts[99])
			}
			for n := 0; len(freed) < 90; n++ {
				if n == 100 {
					t.Fatalf("%d bodies of 100 are free", len(freed))
				}
				runtime.GC()
				runtime.Gosched()
			}
			runtime.KeepAlive(ctx)
		})
	}
}

// A freeable is a body that can be told from others.
type freeable struct{ *strings.Reader }

func (*freeable) Close() error { return nil }

// What an older response proved is not said of a later one, where that goes up
// unverified.
func TestOldProofIsNotTold(t *testing.T) {
	for _, mode := range []string{"optional", "disabled", "error"} {
		o := client.Options{Initiator: new(stagetest.Initiator)}
		status := 200
		switch mode {
		case "optional":
			o.Mutual = mutual.Optional
		case "disabled":
			o.Mutual = mutual.Disabled
		case "error":
			status = 404
		}
		stack, err := client.NewStack(client.Options{Initiator: o.Initiator})
		if err != nil {
			t.Fatal(err)
		}
		first, err := stack.Chain()(stagetest.NewNegotiating().Next)(request(t, t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		finish(t, first)
		if stack, err = client.NewStack(o); err != nil {
			t.Fatal(err)
		}
		for who, named := range map[string]func(*http.Request) *http.Request{
			"honest": func(r *http.Request) *http.Request { return r },
			"liar":   func(*http.Request) *http.Request { return first.Request },
		} {
			next := stack.Chain()(kerbchain.Next(func(r *http.Request) (*http.Response, error) {
				resp, err := stagetest.Respond(status, "")(r)
				resp.Request = named(r)
				return resp, err
			}))
			resp, err := next(request(t, first.Request.Context()))
			if err != nil {
				t.Fatal(err)
			}
			finish(t, resp)
			if sc := middleware.SecurityOf(resp.Request); sc != nil {
				t.Errorf("%s, %s: the application is told of a context, verified %t", mode, who, sc.Verified())
			}
		}
	}
}

func request(t *testing.T, ctx context.Context) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://a.test/", nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func finish(t *testing.T, resp *http.Response) {
	t.Helper()
	_, err := io.Copy(io.Discard, resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
}
