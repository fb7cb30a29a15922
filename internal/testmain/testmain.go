// Package testmain runs the tests of a package: with a collector that has less to do, an eye on
// goroutines that they leave, and nothing of what the environment says of Kerberos and proxies.
package testmain

import (
	"flag"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// Run is for TestMain, and does not return. Tests make much and keep little: with the usual
// collector, which runs each time a heap of 4 MB is full, one part in five of what they cost was
// its work. Beyond 512 MB it works harder. Benchmarks and fuzzing have the usual one, and so has
// whoever sets GOGC.
func Run(m *testing.M, ignored ...goleak.Option) {
	flag.Parse()
	forget()
	if !given("test.bench") && !given("test.fuzz") && os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
		debug.SetMemoryLimit(min(512<<20, debug.SetMemoryLimit(-1)))
	}
	goleak.VerifyTestMain(m, ignored...)
}

// forget takes what would have tests ask for other realms, caches and proxies than their own out of
// the environment.
func forget() {
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		switch upper := strings.ToUpper(name); {
		case strings.HasPrefix(upper, "KRB5"), strings.HasSuffix(upper, "_PROXY"), upper == "REQUEST_METHOD":
			if err := os.Unsetenv(name); err != nil {
				panic(err)
			}
		}
	}
}

// SocketDir returns a folder for sockets, which ends with the test: their paths have 104 bytes at
// most on some systems, and a folder for temporary files may be long.
func SocketDir(tb testing.TB) string {
	tb.Helper()
	in := os.TempDir()
	if len(in) > 80 {
		in = "/tmp"
	}
	dir, err := os.MkdirTemp(in, "s")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	return dir
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
