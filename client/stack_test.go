package client_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/middleware/logging"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// The stages that options ask for, outermost first.
func TestNewStack(t *testing.T) {
	quiet := logging.Options{Handler: slog.DiscardHandler}
	for name, tc := range map[string]struct {
		o    client.Options
		want []string
	}{
		"zero":            {client.Options{}, []string{"sanitize", "mutual", "negotiate"}},
		"all":             {client.Options{Logging: quiet, Preemptive: preemptive.Learned()}, []string{"logging", "sanitize", "mutual", "preemptive", "negotiate"}},
		"bodies kept":     {client.Options{KeepErrorBodies: true}, []string{"mutual", "negotiate"}},
		"optional":        {client.Options{Mutual: mutual.Optional}, []string{"mutual", "negotiate"}},
		"disabled":        {client.Options{Mutual: mutual.Disabled, Logging: quiet}, []string{"logging", "mutual", "negotiate"}},
		"unknown mode":    {client.Options{Mutual: 9}, []string{"sanitize", "mutual", "negotiate"}},
		"negative mode":   {client.Options{Mutual: -1}, []string{"sanitize", "mutual", "negotiate"}},
		"levels, no sink": {client.Options{Logging: logging.Options{Levels: map[string]slog.Leveler{logging.Root: slog.LevelDebug}}}, []string{"sanitize", "mutual", "negotiate"}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.o.Initiator = stumbling{}
			stack, err := client.NewStack(tc.o)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, namesOf(stack)); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
		})
	}
}

// letter is a stage that writes a letter on the way out, and another back.
func letter(out *strings.Builder, s string) client.Stage {
	return client.Stage{Name: s, Middleware: func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) {
			out.WriteString(s)
			defer out.WriteString(strings.ToUpper(s))
			return next(r)
		}
	}}
}

func TestStack(t *testing.T) {
	var out strings.Builder
	abc := client.Stack{letter(&out, "a"), letter(&out, "b"), letter(&out, "c")}
	x := letter(&out, "x")
	for name, tc := range map[string]struct {
		stack client.Stack
		names []string
		want  string
	}{
		"itself":             {abc, []string{"a", "b", "c"}, "abcCBA"},
		"without none":       {abc.Without(), []string{"a", "b", "c"}, "abcCBA"},
		"without one":        {abc.Without("b"), []string{"a", "c"}, "acCA"},
		"without two":        {abc.Without("c", "a"), []string{"b"}, "bB"},
		"without all":        {abc.Without("a", "b", "c"), []string{}, ""},
		"without a stranger": {abc.Without("z"), []string{"a", "b", "c"}, "abcCBA"},
		"replace":            {abc.Replace("b", x.Middleware), []string{"a", "b", "c"}, "axcCXA"},
		"replace by nothing": {abc.Replace("b", nil), []string{"a", "b", "c"}, "acCA"},
		"before the first":   {abc.Before("a", x), []string{"x", "a", "b", "c"}, "xabcCBAX"},
		"before the last":    {abc.Before("c", x), []string{"a", "b", "x", "c"}, "abxcCXBA"},
		"after the first":    {abc.After("a", x), []string{"a", "x", "b", "c"}, "axbcCBXA"},
		"after the last":     {abc.After("c", x), []string{"a", "b", "c", "x"}, "abcxXCBA"},
		"twice":              {abc.After("c", x).Before("a", x), []string{"x", "a", "b", "c", "x"}, "xabcxXCBAX"},
		"both of one name":   {abc.After("c", x).Before("a", x).Without("x"), []string{"a", "b", "c"}, "abcCBA"},
		"nil":                {client.Stack(nil), []string{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.names, namesOf(tc.stack)); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
			base := kerbchain.Next(func(*http.Request) (*http.Response, error) { return nil, http.ErrNotSupported })
			for way, rt := range map[string]http.RoundTripper{"Wrap": tc.stack.Wrap(base), "Chain": tc.stack.Chain()(base)} {
				out.Reset()
				if _, err := rt.RoundTrip(nil); err != http.ErrNotSupported || out.String() != tc.want {
					t.Errorf("%s: %q, %v, want %q", way, out.String(), err, tc.want)
				}
			}
		})
	}
	// None of this changed the stack that it began with.
	if diff := cmp.Diff([]string{"a", "b", "c"}, namesOf(abc)); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
	short := abc[:2]
	_ = short.After("b", x) // must not write over c
	if diff := cmp.Diff([]string{"a", "b", "c"}, namesOf(abc)); diff != "" {
		t.Errorf("changed through a part of it (-want +got):\n%s", diff)
	}
}

// A name that is not there is a mistake of the program.
func TestStackPanics(t *testing.T) {
	abc := client.Stack{{Name: "a"}, {Name: "b"}}
	for name, f := range map[string]func(){
		"replace": func() { abc.Replace("z", nil) },
		"before":  func() { abc.Before("z", client.Stage{}) },
		"after":   func() { abc.After("z", client.Stage{}) },
		"nil":     func() { client.Stack(nil).Replace("z", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if text := fmt.Sprint(recover()); !strings.Contains(text, `"z"`) {
					t.Errorf("panic %s", text)
				}
			}()
			f()
			t.Error("no panic")
		})
	}
}
