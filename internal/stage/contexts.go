package stage

import (
	"context"
	"net/http/httptrace"
)

// Outlive returns a context that lives as long as ctx and has the values of inner,
// which was made of ctx. A response's request has one: the context that it was sent
// with ends with the response, and what it says of the request must not.
//
// The values of ctx are not asked for besides: callers may make each request of the
// response to the one before, and every such answer would double the work.
func Outlive(ctx, inner context.Context) context.Context { return values{ctx, inner} }

type values struct {
	context.Context
	inner context.Context // only its values count
}

func (v values) Value(key any) any {
	if key == ends {
		return v.Context.Value(key)
	}
	return v.inner.Value(key)
}

// A Traced is a context with hooks for the transport, as [httptrace.WithClientTrace]
// makes one, at a fraction of the cost where the context around it has hooks already.
// [Traced.On] makes it of one.
type Traced struct {
	context.Context
	trace httptrace.ClientTrace
}

// On makes t a context of ctx with its hooks, and with those of hooks called before them:
// GetConn, GotConn and PutIdleConn. Nil ones are not called.
func (t *Traced) On(ctx context.Context, hooks httptrace.ClientTrace) {
	t.Context = ctx
	if old := httptrace.ContextClientTrace(ctx); old != nil {
		t.trace = *old
	}
	t.trace.GetConn = both(hooks.GetConn, t.trace.GetConn)
	t.trace.GotConn = both(hooks.GotConn, t.trace.GotConn)
	t.trace.PutIdleConn = both(hooks.PutIdleConn, t.trace.PutIdleConn)
}

// both returns a hook that calls one and then another, each of which may be nil.
func both[T any](first, then func(T)) func(T) {
	switch {
	case first == nil:
		return then
	case then == nil:
		return first
	}
	return func(v T) {
		first(v)
		then(v)
	}
}

// Value returns the hooks to the transport, which asks for them.
func (t *Traced) Value(key any) any {
	if key == traces {
		return &t.trace
	}
	return t.Context.Value(key)
}

// The keys under which package context looks for the context that another one ends with,
// and package httptrace for hooks.
var (
	ends   = keyOf(func(ctx context.Context) { _ = context.Cause(ctx) })
	traces = keyOf(func(ctx context.Context) { _ = httptrace.ContextClientTrace(ctx) })
)

// keyOf returns the key of the value that ask looks for in a context that has ended.
func keyOf(ask func(context.Context)) any {
	probe := probe{Context: context.Background()}
	ask(&probe)
	return probe.key
}

// A probe is a context that has ended, and notes which value it is asked for.
type probe struct {
	context.Context
	key any
}

func (p *probe) Err() error { return context.Canceled }

func (p *probe) Value(key any) any {
	p.key = key
	return nil
}
