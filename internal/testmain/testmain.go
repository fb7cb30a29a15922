// Package testmain runs the tests of a package: with a collector that has less to do, and an eye
// on goroutines that they leave.
package testmain

import (
	"flag"
	"os"
	"runtime/debug"
	"testing"

	"go.uber.org/goleak"
)

// Run is for TestMain, and does not return. Tests make much and keep little: with the usual
// collector, which runs each time a heap of 4 MB is full, one part in five of what they cost was
// its work. Benchmarks and fuzzing have the usual one, and so has whoever sets GOGC.
func Run(m *testing.M, ignored ...goleak.Option) {
	flag.Parse()
	if !given("test.bench") && !given("test.fuzz") && os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
		debug.SetMemoryLimit(512 << 20)
	}
	goleak.VerifyTestMain(m, ignored...)
}

func given(name string) bool {
	f := flag.Lookup(name)
	return f != nil && f.Value.String() != ""
}
