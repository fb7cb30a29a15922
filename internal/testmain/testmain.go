// Package testmain runs the tests of a package: with a collector that has less to do, an eye on
// goroutines that they leave, and nothing of what the environment says of Kerberos and proxies.
package testmain

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
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
	inMemory()
	if !given("test.bench") && !given("test.fuzz") && os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
		debug.SetMemoryLimit(min(512<<20, debug.SetMemoryLimit(-1)))
	}
	goleak.VerifyTestMain(m, append(slices.Clip(ignored), goleak.Cleanup(func(code int) {
		if err := files.remove(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
		os.Exit(code)
	}))...)
}

// File writes a file and returns its path. It stands in one folder with those of other tests, under
// a name of its own that ends in name, and goes when all tests are over: to make folders and to
// remove them, as TempDir does, is more than half of what the system does for many a test.
func File(tb testing.TB, name string, b []byte) string {
	tb.Helper()
	path, err := files.write(name, b)
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

// files are those of [File].
var files folder

type folder struct {
	mu  sync.Mutex
	dir string // "" until there is a file
}

func (d *folder) write(name string, b []byte) (string, error) {
	dir, err := d.made()
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, "*-"+name)
	if err != nil {
		return "", err
	}
	_, err = f.Write(b)
	return f.Name(), errors.Join(err, f.Close())
}

func (d *folder) made() (dir string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dir == "" {
		d.dir, err = os.MkdirTemp("", "tests")
	}
	return d.dir, err
}

func (d *folder) remove() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return os.RemoveAll(d.dir) // nothing, where it is ""
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
