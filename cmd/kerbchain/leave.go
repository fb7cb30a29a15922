package main

import (
	"context"
	"time"

	"github.com/kerbchain/kerbchain/internal/panics"
)

// grace is how long work has to end after its context, to say what it has to say and
// to remove what it made for nothing.
const grace = time.Second

// leaving runs work, and leaves it where it does not end with ctx: it reads from, or
// writes to, somebody who does not move, as a terminal or a pipe may not for ever.
func leaving(ctx context.Context, w world, work func() int) int {
	type outcome struct {
		code  int
		panic error
	}
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() { done <- o }()
		defer panics.Into(&o.panic)
		o.code = work()
	}()
	var o outcome
	select {
	case o = <-done:
	case <-ctx.Done():
		select {
		case o = <-done:
		case <-time.After(grace):
			return failed(ctx, w, context.Cause(ctx))
		}
	}
	if o.panic != nil {
		panic(o.panic)
	}
	return o.code
}
