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
		if got := ok && late.Timeout(); got != tc.want || !errors.Is(err, tc.err) || err != nil && err.Error() != tc.err.Error() {
			t.Errorf("%s: %v, timeout %v", name, err, got)
		}
	}
}
