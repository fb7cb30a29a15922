// Package ended makes the errors of what a context cut short.
package ended

import (
	"context"
	"errors"
)

// Because returns why something failed that ctx, which has ended, cut short:
// doing, such as "waiting for a session", may be empty, and err, what it came to,
// nil. The error is that of ctx, its cause and err for [errors.Is], names each
// once, and is a timeout, as those of package net are, if it was a deadline that
// passed. It is err where ctx has not ended.
func Because(ctx context.Context, doing string, err error) error {
	end := ctx.Err()
	if end == nil {
		return err
	}
	cause := context.Cause(ctx)
	e := &ending{text: doing, errs: []error{end}, timeout: errors.Is(end, context.DeadlineExceeded)}
	switch {
	case errors.Is(cause, end):
		e.errs[0] = cause // it tells the end, too
	case !errors.Is(end, cause):
		e.errs = append(e.errs, cause)
	}
	if err != nil && !errors.Is(err, end) && !errors.Is(err, cause) {
		e.errs = append(e.errs, err)
	}
	for _, err := range e.errs {
		if e.text != "" {
			e.text += ": "
		}
		e.text += err.Error()
	}
	if err != nil {
		e.errs = append(e.errs, err)
	}
	return e
}

type ending struct {
	text    string
	errs    []error
	timeout bool
}

func (e *ending) Error() string   { return e.text }
func (e *ending) Unwrap() []error { return e.errs }
func (e *ending) Timeout() bool   { return e.timeout }
