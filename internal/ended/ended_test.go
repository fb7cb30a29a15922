package ended

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"
)

func TestBecause(t *testing.T) {
	other := errors.New("shutting down")
	late, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	because, cancelCause := context.WithCancelCause(t.Context())
	cancelCause(other)
	lateBecause, cancel := context.WithDeadlineCause(t.Context(), time.Unix(0, 0), other)
	defer cancel()
	wrapping, cancelCause := context.WithCancelCause(t.Context())
	cancelCause(fmt.Errorf("the last one left: %w", context.Canceled))
	broken := errors.New("broken pipe")
	for name, tc := range map[string]struct {
		ctx     context.Context
		doing   string
		err     error
		want    string
		timeout bool
		is      []error
	}{
		"a deadline":             {late, "waiting", nil, "waiting: context deadline exceeded", true, []error{context.DeadlineExceeded}},
		"doing nothing":          {late, "", nil, "context deadline exceeded", true, []error{context.DeadlineExceeded}},
		"cancelled":              {cancelled, "waiting", nil, "waiting: context canceled", false, []error{context.Canceled}},
		"for a reason":           {because, "waiting", nil, "waiting: context canceled: shutting down", false, []error{context.Canceled, other}},
		"late for a reason":      {lateBecause, "waiting", nil, "waiting: context deadline exceeded: shutting down", true, []error{context.DeadlineExceeded, other}},
		"a reason that tells":    {wrapping, "waiting", nil, "waiting: the last one left: context canceled", false, []error{context.Canceled}},
		"the same twice":         {late, "reading", fmt.Errorf("read: %w", context.DeadlineExceeded), "reading: context deadline exceeded", true, []error{context.DeadlineExceeded}},
		"the cause twice":        {because, "reading", fmt.Errorf("read: %w", other), "reading: context canceled: shutting down", false, []error{context.Canceled, other}},
		"what came of it":        {late, "reading", broken, "reading: context deadline exceeded: broken pipe", true, []error{context.DeadlineExceeded, broken}},
		"what did not end":       {t.Context(), "reading", broken, "broken pipe", false, []error{broken}},
		"and did not fail at it": {t.Context(), "reading", nil, "", false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			err := Because(tc.ctx, tc.doing, tc.err)
			if tc.want == "" {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			if err.Error() != tc.want || (&url.Error{Err: err}).Timeout() != tc.timeout {
				t.Errorf("got %q, timeout %v", err, !tc.timeout)
			}
			for _, want := range tc.is {
				if !errors.Is(err, want) {
					t.Errorf("is not %v", want)
				}
			}
		})
	}
}
