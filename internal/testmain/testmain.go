// Package testmain runs the tests of a package: with a collector that has less to do, and an eye
// on goroutines that they leave.
package testmain

import (
	"flag"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"

	"go.uber.org/goleak"
)

// Run is for TestMain, and does not return. Tests make much and keep little: with the usual
// collector, which runs each time a heap of 4 MB is full, one part in five of what they cost was
// its work. Beyond 512 MB it works harder. Benchmarks and fuzzing have the usual one, and so has
// whoever sets GOGC.
func Run(m *testing.M, ignored ...goleak.Option) {
	flag.Parse()
	if !given("test.bench") && !given("test.fuzz") && os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
		debug.SetMemoryLimit(min(512<<20, debug.SetMemoryLimit(-1)))
	}
	goleak.VerifyTestMain(m, ignored...)
}

// RunTogether is Run for a package whose parallel tests wait, for other processes, say, or for
// nobody to answer: 16 of them at once, however few processors there are. A -parallel of the
// caller's counts.
func RunTogether(m *testing.M, ignored ...goleak.Option) {
	if err := flag.Set("test.parallel", strconv.Itoa(max(16, runtime.GOMAXPROCS(0)))); err != nil {
		panic(err)
	}
	Run(m, ignored...)
}

func given(name string) bool {
	f := flag.Lookup(name)
	return f != nil && f.Value.String() != ""
}
