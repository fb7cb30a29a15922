// Package panics turns panics in goroutines of ours into errors: a program that
// imports this module has no way to recover there, and would end.
package panics

import (
	"fmt"
	"runtime"
	"strings"
)

// Into, deferred, puts a panic into err, in place of what is there. The error
// names the value and the line that panicked, and wraps a value that is an error
// itself.
func Into(err *error) {
	p := recover()
	if p == nil {
		return
	}
	if e, ok := p.(error); ok {
		*err = fmt.Errorf("panic at %s: %w", where(), e)
		return
	}
	*err = fmt.Errorf("panic at %s: %v", where(), p)
}

// where returns function and line of the innermost frame that panicked.
func where() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs[:])])
	panicked := false
	for {
		f, more := frames.Next()
		switch {
		case f.Function == "runtime.gopanic":
			panicked = true
		case panicked && !strings.HasPrefix(f.Function, "runtime."):
			return fmt.Sprintf("%s:%d", f.Function, f.Line)
		}
		if !more {
			return "an unknown line"
		}
	}
}
