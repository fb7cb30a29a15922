//go:build unix

package regularfile

import (
	"testing"

	"github.com/kerbchain/kerbchain/internal/childtest"
)

func TestMain(m *testing.M) { childtest.Main(m, nil) }

// try returns what a second process says that tries to take a lock.
func try(tb testing.TB, kind, path string) string {
	tb.Helper()
	return childtest.Start(tb, "try", kind, path).End()
}

// hold starts a second process that holds a lock until it ends.
func hold(tb testing.TB, kind, path string) (said string, end func()) {
	tb.Helper()
	c := childtest.Start(tb, "hold", kind, path)
	return c.Line(), func() { c.End() }
}
