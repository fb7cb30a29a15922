package panics

import (
	"errors"
	"io"
	"regexp"
	"runtime"
	"testing"
)

func TestInto(t *testing.T) {
	for name, tc := range map[string]struct {
		work  func() error
		text  string // a pattern; empty for no error
		wraps error
	}{
		"none":     {func() error { return nil }, "", nil},
		"an error": {func() error { return io.EOF }, "^EOF$", io.EOF},
		"a string": {func() error { panic("odd") }, `^panic at .*panics\.TestInto\.func\d+:\d+: odd$`, nil},
		"a value":  {func() error { panic(42) }, `: 42$`, nil},
		"wrapped":  {func() error { panic(io.ErrNoProgress) }, `^panic at .*: multiple Read calls`, io.ErrNoProgress},
		"of the run time": {func() error {
			var none []int
			return map[bool]error{true: io.EOF}[none[len(none)] == 0]
		}, `^panic at .*panics\.TestInto.*index out of range`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			err := func() (err error) {
				defer Into(&err)
				return tc.work()
			}()
			switch {
			case tc.text == "":
				if err != nil {
					t.Error(err)
				}
			case err == nil || !regexp.MustCompile(tc.text).MatchString(err.Error()):
				t.Errorf("got %v, want a match for %s", err, tc.text)
			case tc.wraps != nil && !errors.Is(err, tc.wraps):
				t.Errorf("%v does not wrap %v", err, tc.wraps)
			}
		})
	}
	var rt runtime.Error
	err := func() (err error) {
		defer Into(&err)
		var none []int
		return map[int]error{0: nil}[none[len(none)]]
	}()
	if !errors.As(err, &rt) {
		t.Errorf("%v wraps no runtime.Error", err)
	}
}
