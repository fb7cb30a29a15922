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
		"alone":       {nil, []string{"get", "got", "put"}},
		"other hooks": {&httptrace.ClientTrace{}, []string{"get", "got", "put", "first byte"}},
		"and the same ones": {&httptrace.ClientTrace{GetConn: func(string) {}, GotConn: func(httptrace.GotConnInfo) {}},
			[]string{"get", "their get", "got", "their got", "put", "their put", "first byte"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
			defer cancel()
			if tc.outer != nil {
				if tc.outer.GotConn != nil {
					tc.outer.GetConn = func(string) { got = append(got, "their get") }
					tc.outer.GotConn = func(httptrace.GotConnInfo) { got = append(got, "their got") }
					tc.outer.PutIdleConn = func(error) { got = append(got, "their put") }
				}
				tc.outer.GotFirstResponseByte = func() { got = append(got, "first byte") }
				ctx = httptrace.WithClientTrace(ctx, tc.outer)
			}
			var traced stage.Traced
			traced.On(ctx, httptrace.ClientTrace{
				GetConn:     func(string) { got = append(got, "get") },
				GotConn:     func(httptrace.GotConnInfo) { got = append(got, "got") },
				PutIdleConn: func(error) { got = append(got, "put") },
			})
			trace := httptrace.ContextClientTrace(context.WithValue(&traced, key{}, "inner"))
			trace.GetConn("localhost:80")
			trace.GotConn(httptrace.GotConnInfo{})
			trace.PutIdleConn(nil)
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

// Without a hook for it, the one of the context around is what is called.
func TestTracedLeavesGetConn(t *testing.T) {
	called := ""
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GetConn: func(hop string) { called = hop }})
	var traced stage.Traced
	traced.On(ctx, httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {}})
	if httptrace.ContextClientTrace(&traced).GetConn("localhost:80"); called != "localhost:80" {
		t.Errorf("called with %q", called)
	}
}
