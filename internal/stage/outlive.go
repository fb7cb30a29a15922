package stage

import "context"

// Outlive returns a context that lives as long as ctx and has the values of inner
// before its own. A response's request has one: the context that it was sent with
// ends with the response, and what it says of the request must not.
func Outlive(ctx, inner context.Context) context.Context {
	return values{ctx, context.WithoutCancel(inner)}
}

type values struct {
	context.Context
	first context.Context // without cancel, so that it hides no cancellation
}

func (v values) Value(key any) any {
	if x := v.first.Value(key); x != nil {
		return x
	}
	return v.Context.Value(key)
}
