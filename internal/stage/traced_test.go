package stage_test

import (
	"context"
	"net/http/httptrace"
	"slices"
	"testing"

	"github.com/kerbchain/kerbchain/internal/stage"
)

// Hooks of a Traced are found by the transport, beside those of the context around it
// and before them; and values and the end of that are the Traced's own.
func TestTraced(t *testing.T) {
	type key struct{}
	for name, tc := range map[string]struct {
		outer *httptrace.ClientTrace
		want  []string
	}{
		"alone":            {nil, []string{"ours"}},
		"other hooks":      {&httptrace.ClientTrace{}, []string{"ours", "first byte"}},
		"and the same one": {&httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {}}, []string{"ours", "theirs", "first byte"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
			defer cancel()
			if tc.outer != nil {
				if tc.outer.GotConn != nil {
					tc.outer.GotConn = func(httptrace.GotConnInfo) { got = append(got, "theirs") }
				}
				tc.outer.GotFirstResponseByte = func() { got = append(got, "first byte") }
				ctx = httptrace.WithClientTrace(ctx, tc.outer)
			}
			var traced stage.Traced
			traced.On(ctx, func(httptrace.GotConnInfo) { got = append(got, "ours") })
			trace := httptrace.ContextClientTrace(context.WithValue(&traced, key{}, "inner"))
			trace.GotConn(httptrace.GotConnInfo{})
			if trace.GotFirstResponseByte != nil {
				trace.GotFirstResponseByte()
			}
			if !slices.Equal(got, tc.want) || traced.Value(key{}) != "value" {
				t.Errorf("%q, want %q; value %v", got, tc.want, traced.Value(key{}))
			}
			cancel()
			if traced.Err() == nil {
				t.Error("outlives the context that it was made of")
			}
		})
	}
}
