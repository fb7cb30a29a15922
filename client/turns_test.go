package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/kerbchain/kerbchain"
)

// Requests to one host go one after the other, each until its answer's body is closed;
// those to others do not wait for it.
func TestTurns(t *testing.T) {
	bad := errors.New("bad")
	body := func() io.ReadCloser { return io.NopCloser(strings.NewReader("body")) }
	for name, tc := range map[string]struct {
		url   string // of the second request
		resp  *http.Response
		err   error
		waits bool
	}{
		"the same host":                  {"http://A.example:80/other", &http.Response{StatusCode: 200, Body: body()}, nil, true},
		"another host":                   {"http://b.example/", &http.Response{StatusCode: 200, Body: body()}, nil, false},
		"another port":                   {"http://a.example:8080/", &http.Response{StatusCode: 200, Body: body()}, nil, false},
		"after an answer without a body": {siteA, &http.Response{StatusCode: 204, Body: http.NoBody}, nil, false},
		"after an error":                 {siteA, nil, bad, false},
		"after nothing":                  {siteA, nil, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				rt := &inTurn{next: kerbchain.Next(func(*http.Request) (*http.Response, error) {
					if calls++; calls == 1 {
						return tc.resp, tc.err
					}
					return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
				})}
				first, err := rt.RoundTrip(get(t, siteA))
				if first != tc.resp && first == nil || err != tc.err {
					t.Errorf("%v, %v", first, err)
				}
				done := false
				go func() {
					if _, err := rt.RoundTrip(get(t, tc.url)); err != nil {
						t.Error(err)
					}
					done = true
				}()
				synctest.Wait()
				if done == tc.waits {
					t.Errorf("the second request has an answer: %v", done)
				}
				if first != nil {
					first.Body.Close()
				}
				synctest.Wait()
				if !done || rt.hosts.Len() != 0 {
					t.Errorf("the second request has an answer: %v; %d turns are taken", done, rt.hosts.Len())
				}
			})
		})
	}
}

// A request whose turn does not come in time has its body closed, as any other.
func TestTurnThatNeverComes(t *testing.T) {
	rt := &inTurn{next: kerbchain.Next(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("body"))}, nil
	})}
	first, err := rt.RoundTrip(get(t, siteA))
	if err != nil {
		t.Fatal(err)
	}
	defer first.Body.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	for _, bodies := range []int{0, 1} {
		r, closes := get(t, siteA).WithContext(ctx), 0
		if bodies > 0 {
			r.Body = counting{io.NopCloser(strings.NewReader("body")), &closes}
		}
		if _, err := rt.RoundTrip(r); !errors.Is(err, gone) || !strings.Contains(err.Error(), "a.example:80") {
			t.Errorf("%v", err)
		}
		if closes != bodies {
			t.Errorf("the body was closed %d times", closes)
		}
	}
	r := get(t, siteA)
	r.URL = nil
	if resp, err := rt.RoundTrip(r); err != nil {
		t.Error(err)
	} else {
		resp.Body.Close()
	}
}
