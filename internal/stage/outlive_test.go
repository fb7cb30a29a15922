package stage

import (
	"context"
	"errors"
	"testing"
)

type valueKey string

func TestOutlive(t *testing.T) {
	why := errors.New("why")
	ctx, end := context.WithCancelCause(context.WithValue(t.Context(), valueKey("outer"), 1))
	inner, cancel := context.WithCancel(context.WithValue(ctx, valueKey("inner"), 2))
	out := Outlive(ctx, inner)
	child, stop := context.WithCancel(out)
	defer stop()
	cancel()
	if out.Err() != nil || child.Err() != nil {
		t.Error("ended with what was made of it")
	}
	if out.Value(valueKey("outer")) != 1 || out.Value(valueKey("inner")) != 2 || out.Value(valueKey("none")) != nil {
		t.Error("values are lost")
	}
	end(why)
	if !errors.Is(context.Cause(out), why) || !errors.Is(context.Cause(child), why) || !errors.Is(out.Err(), context.Canceled) {
		t.Errorf("ended because of %v, and %v", context.Cause(out), context.Cause(child))
	}
}

// A context that is made of another a hundred times over, each time for a while,
// finds a value, or finds that there is none, by looking once.
func TestOutliveIsNotAskedTwice(t *testing.T) {
	asked := counting{Context: t.Context(), n: new(int)}
	var ctx context.Context = asked
	for range 100 {
		inner, cancel := context.WithCancel(ctx)
		ctx = Outlive(ctx, inner)
		cancel()
	}
	for _, key := range []valueKey{"some", "none"} {
		*asked.n = 0
		if got := ctx.Value(key); (got != nil) != (key == "some") || *asked.n != 1 {
			t.Errorf("%s: %v, asked %d times", key, got, *asked.n)
		}
	}
	if ctx.Err() != nil || context.Cause(ctx) != nil {
		t.Error("ended")
	}
}

type counting struct {
	context.Context
	n *int
}

func (c counting) Value(key any) any {
	*c.n++
	if key == valueKey("some") {
		return "some"
	}
	return c.Context.Value(key)
}
