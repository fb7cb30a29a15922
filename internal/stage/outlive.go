package stage

import "context"

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

// ends is the key under which package context looks for the context that another one ends
// with.
var ends = func() any {
	probe := probe{Context: context.Background()}
	_ = context.Cause(&probe) // asks for it
	return probe.key
}()

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
