package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func request(t *testing.T) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://origin.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A response's request is the caller's again: its Cancel is there, and its context
// lives on when the response is done with.
func TestCancelIsLent(t *testing.T) {
	type key struct{}
	var sent *http.Request
	next := ForCallers(func(r *http.Request) (*http.Response, error) {
		sent = r
		signed := r.WithContext(context.WithValue(r.Context(), key{}, "signed"))
		return &http.Response{Request: signed, Body: io.NopCloser(strings.NewReader("body"))}, nil
	})
	r := request(t)
	ch := make(chan struct{})
	r.Cancel = ch //lint:ignore SA1019 callers still set it
	resp, err := next(r)
	if err != nil {
		t.Fatal(err)
	}
	if sent.Context().Err() != nil {
		t.Error("the context ended while the body was under way")
	}
	if b, err := io.ReadAll(resp.Body); string(b) != "body" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	resp.Body.Close()
	if sent.Context().Err() == nil || resp.Request.Context().Err() != nil {
		t.Errorf("after the end: sent %v, named %v", sent.Context().Err(), resp.Request.Context().Err())
	}
	//lint:ignore SA1019 callers still set it
	if resp.Request.Context().Value(key{}) != "signed" || resp.Request.Cancel != r.Cancel {
		t.Error("the response's request is not what was sent, and Cancel with it")
	}
	close(ch)
	if _, err := next(r); err != nil { // and no goroutine is left of it
		t.Fatal(err)
	}
	if <-sent.Context().Done(); !errors.Is(context.Cause(sent.Context()), context.Canceled) || context.Cause(sent.Context()) == context.Canceled {
		t.Errorf("the cause is %v", context.Cause(sent.Context()))
	}
}

// However a call ends, nothing is left of the context that Cancel was lent to; and while
// it is under way, Cancel ends it.
func TestCancelEndsWithTheCall(t *testing.T) {
	bad := errors.New("bad")
	type key struct{}
	other := request(t)
	other = other.WithContext(context.WithValue(other.Context(), key{}, "another's"))
	for name, tc := range map[string]struct {
		body  io.ReadCloser // of the request
		next  func(r *http.Request) (*http.Response, error)
		ended bool // before the body is closed
	}{
		"an error": {nil, func(*http.Request) (*http.Response, error) { return nil, bad }, true},
		"an error and a response": {nil, func(r *http.Request) (*http.Response, error) {
			return &http.Response{Request: r, Body: http.NoBody}, bad
		}, true},
		"nothing": {nil, func(*http.Request) (*http.Response, error) { return nil, nil }, true},
		"no body": {nil, func(r *http.Request) (*http.Response, error) {
			return &http.Response{Request: r, Body: http.NoBody}, nil
		}, true},
		"no body for none": {http.NoBody, func(r *http.Request) (*http.Response, error) {
			return &http.Response{Request: r, Body: http.NoBody}, nil
		}, true},
		"no body yet for one": {io.NopCloser(strings.NewReader("x")), func(r *http.Request) (*http.Response, error) {
			return &http.Response{Request: r, Body: http.NoBody}, nil
		}, false},
		"no request named": {nil, func(*http.Request) (*http.Response, error) { return &http.Response{Body: http.NoBody}, nil }, true},
		"another's request named": {nil, func(*http.Request) (*http.Response, error) {
			return &http.Response{Request: other, Body: http.NoBody}, nil
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var sent *http.Request
			r := request(t)
			r.Body = tc.body
			ch := make(chan struct{})
			r.Cancel = ch //lint:ignore SA1019 callers still set it
			resp, err := ForCallers(func(r *http.Request) (*http.Response, error) {
				sent = r
				//lint:ignore SA1019 callers still set it
				if canceled := r.Cancel; canceled != nil || r.Context().Err() != nil {
					t.Errorf("sent with Cancel %v, %v", canceled, r.Context().Err())
				}
				return tc.next(r)
			})(r)
			if want, wantErr := tc.next(sent); (resp == nil) != (want == nil) || !errors.Is(err, wantErr) {
				t.Fatalf("%v, %v", resp, err)
			}
			if (sent.Context().Err() != nil) != tc.ended {
				t.Errorf("the context: %v", sent.Context().Err())
			}
			if resp != nil && err == nil && resp.Request != nil {
				//lint:ignore SA1019 callers still set it
				if resp.Request == sent || resp.Request.Context().Value(key{}) != nil || resp.Request.Cancel == nil || resp.Request.Context().Err() != nil {
					t.Error("the response's request is the one that was sent")
				}
			}
			if resp != nil {
				resp.Body.Close()
			}
			if sent.Context().Err() == nil {
				t.Error("the context has no end")
			}
		})
	}

	r := request(t)
	ch := make(chan struct{})
	r.Cancel = ch //lint:ignore SA1019 callers still set it
	_, err := ForCallers(func(r *http.Request) (*http.Response, error) {
		close(ch)
		<-r.Context().Done()
		return nil, context.Cause(r.Context())
	})(r)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "Request.Cancel") {
		t.Errorf("cancelled: %v", err)
	}
	// One that nobody can cancel is passed on as it is.
	r = request(t)
	if _, err := ForCallers(func(got *http.Request) (*http.Response, error) {
		if got != r {
			t.Error("the request is another")
		}
		return nil, bad
	})(r); err != bad {
		t.Errorf("%v", err)
	}
}

type slow struct{ late bool }

func (slow) Error() string   { return "slow" }
func (s slow) Timeout() bool { return s.late }

func TestTimeouts(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"none":                       {nil, false},
		"by itself":                  {context.DeadlineExceeded, true},
		"wrapped":                    {fmt.Errorf("reading: %w", context.DeadlineExceeded), true},
		"joined":                     {errors.Join(io.EOF, fmt.Errorf("reading: %w", os.ErrDeadlineExceeded)), true},
		"another":                    {fmt.Errorf("reading: %w", io.EOF), false},
		"one that says no":           {fmt.Errorf("reading: %w", slow{false}), false},
		"says no for what is in it":  {&url.Error{Err: fmt.Errorf("%w", context.DeadlineExceeded)}, false},
		"one that says yes":          {errors.Join(slow{false}, slow{true}), true},
		"cancelled is not timed out": {fmt.Errorf("reading: %w", context.Canceled), false},
	} {
		_, err := ForCallers(func(*http.Request) (*http.Response, error) { return nil, tc.err })(request(t))
		late, ok := err.(interface{ Timeout() bool })
		if _, tells := tc.err.(interface{ Timeout() bool }); (tells || !tc.want) && err != tc.err {
			t.Errorf("%s: another error, %T", name, err)
		}
		if got := ok && late.Timeout(); got != tc.want || !errors.Is(err, tc.err) || err != nil && err.Error() != tc.err.Error() {
			t.Errorf("%s: %v, timeout %v", name, err, got)
		}
	}
}
