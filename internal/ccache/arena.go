package ccache

import "strings"

// An arena holds many short strings in few pieces of memory, each as large as
// all before it together, to a limit.
type arena struct {
	text  strings.Builder // what was taken from it stays as it is
	parts []string
}

const (
	minText, maxText   = 64, 16 << 10 // bytes
	minParts, maxParts = 4, 1024
)

func (a *arena) string(b []byte) string {
	if len(b) > a.text.Cap()-a.text.Len() {
		size := max(len(b), min(2*a.text.Cap(), maxText), minText)
		a.text.Reset()
		a.text.Grow(size)
	}
	start := a.text.Len()
	a.text.Write(b)
	return a.text.String()[start:]
}

// list returns n empty strings.
func (a *arena) list(n int) []string {
	start := len(a.parts)
	if n > cap(a.parts)-start {
		a.parts, start = make([]string, 0, max(n, min(2*cap(a.parts), maxParts), minParts)), 0
	}
	a.parts = a.parts[:start+n]
	return a.parts[start : start+n : start+n]
}
