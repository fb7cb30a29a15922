//go:build interop

package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A wine is what Windows programs run in: a folder with Windows' files and registry,
// and the overlay for building them. All tests share one.
type wine struct{ dir, overlay string }

// wines makes it when it is first asked for. TestMain ends it.
var wines = sync.OnceValues(func() (*wine, error) {
	dir, err := binDir()
	if err != nil {
		return nil, err
	}
	w := &wine{filepath.Join(dir, "wine"), filepath.Join(dir, "wine", "overlay")}
	if err := os.Mkdir(w.dir, 0o700); err != nil {
		return nil, err
	}
	for _, line := range [][]string{{"../../.ci/wine-overlay", w.overlay}, {wine64, "wineboot", "--init"}} {
		cmd := exec.Command(line[0], line[1:]...)
		cmd.Env = append(os.Environ(), w.environ(nil).list()...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return w, fmt.Errorf("%s: %w\n%s", strings.Join(line, " "), err, out)
		}
	}
	// Wine's services start with its first program and end after its last one, and have
	// the output of the first. So one program waits, whose output goes nowhere, until the
	// tests end.
	idle := exec.Command(wine64, "cmd")
	idle.Env = w.environ(nil).list()
	idle.SysProcAttr = attributes(nil)
	if _, err := idle.StdinPipe(); err != nil {
		return w, err
	}
	return w, idle.Start()
})

// Where the package wine64 has its programs, which are on no search path.
const (
	wine64     = "/usr/lib/wine/wine64"
	wineserver = "/usr/lib/wine/wineserver64"
)

// startWine returns the wine.
func startWine(t *testing.T) *wine {
	t.Helper()
	if _, err := os.Stat(wine64); err != nil {
		t.Fatalf("%v: install the Debian package wine64 (.ci/packages does)", err)
	}
	w, err := wines()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// end ends what still runs there.
func (w *wine) end() {
	for _, flag := range []string{"-k", "-w"} {
		cmd := exec.Command(wineserver, flag)
		cmd.Env = w.environ(nil).list()
		cmd.Run() // fails where nothing runs any more
	}
}

// environ returns env for programs in Wine, which take it for Windows' environment, and
// pass it to MIT's library.
func (w *wine) environ(env environment) environment {
	e := environment{
		"WINEPREFIX": filepath.Join(w.dir, "prefix"), "HOME": w.dir, "WINEDEBUG": "-all", "LC_ALL": "C.UTF-8",
		"WINEDLLOVERRIDES": "mscoree,mshtml,winemenubuilder.exe=", // no .NET, no browser, no menus of the desktop
	}
	for name, value := range env {
		if name != "HOME" {
			e[name] = value
		}
	}
	return e
}

// run runs a Windows program to its end.
func (w *wine) run(t *testing.T, env environment, program string, args ...string) result {
	t.Helper()
	return run(t, w.environ(env), "", wine64, append([]string{program}, args...)...)
}

// build has the go command build or test for Windows, and returns what it says.
func (w *wine) build(t *testing.T, args ...string) ([]byte, error) {
	t.Helper()
	args = slices.Insert(args, 1, "-overlay", filepath.Join(w.overlay, "overlay.json"))
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), w.environ(environment{"GOOS": "windows", "GOARCH": "amd64", "CGO_ENABLED": "0"}).list()...)
	cmd.Env = append(cmd.Env, "HOME="+os.Getenv("HOME")) // where the go command has its caches
	return cmd.CombinedOutput()
}

// program builds a Windows program, and returns its path.
func (w *wine) program(t *testing.T, name string, args ...string) string {
	t.Helper()
	path := filepath.Join(w.dir, name)
	if out, err := w.build(t, slices.Insert(args, 1, "-o", path)...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// windowsPath is how Windows programs name a file.
func windowsPath(path string) string { return "Z:" + strings.ReplaceAll(path, "/", `\`) }

// notInWine are packages, and tests of others, that do not run in Wine 8. Tests of what
// Windows does not have skip themselves. docs/support.md has the list.
var notInWine = []struct{ name, why string }{
	{"internal/arch", "runs the go command, and reads the same sources as on Linux"},
	{"internal/ccache/kcm", "Unix sockets, which Wine lacks"},
	{"internal/stage.TestReopened", "Unix sockets"},
	{"client.TestPrincipalOfEveryRequest", "Unix sockets"},
	{"client.TestPrincipalOfTunnels", "Unix sockets"},
	{"internal/ccache.TestLinkedMember", "symbolic links, which Wine does not make"},
	{"client.TestMatrix", "takes minutes there, and tests what is the same on all systems"},
	{"client.TestOptionsTogether", "takes minutes there, and tests what is the same on all systems"},
}

// TestWindows runs the tests of the module as built for Windows.
func TestWindows(t *testing.T) {
	w := startWine(t)
	page := readAll(t, "../../docs/support.md")
	const path = "github.com/kerbchain/kerbchain"
	var left []string // packages
	var skip []string // tests
	for _, n := range notInWine {
		if line := fmt.Sprintf("| `%s` | %s |\n", n.name, n.why); !strings.Contains(page, line) {
			t.Errorf("docs/support.md does not have %q", line)
		}
		if dir, test, ok := strings.Cut(n.name, ".Test"); ok {
			skip = append(skip, "^Test"+test+"$")
		} else {
			left = append(left, path+"/"+dir)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}", "./...")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	n := len(packages)
	packages = slices.DeleteFunc(packages, func(p string) bool { return slices.Contains(left, p) })
	if n-len(packages) != len(left) || len(packages) < 50 {
		t.Fatalf("%d packages with tests, of which %d are to be left out: %q", n, len(left), packages)
	}
	test := func(packages []string, flags ...string) (out []byte, failed []string) {
		args := append([]string{"test", "-exec", wine64, "-timeout", "20m", "-skip", strings.Join(skip, "|")}, flags...)
		out, err := w.build(t, append(args, packages...)...)
		ok := map[string]bool{}
		for line := range strings.Lines(string(out)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "ok" {
				ok[f[1]] = true
			}
		}
		failed = slices.DeleteFunc(slices.Clone(packages), func(p string) bool { return ok[p] })
		if err == nil && len(failed) > 0 || err != nil && len(failed) == 0 {
			t.Fatalf("%v, and %d packages have failed:\n%s", err, len(failed), out)
		}
		return out, failed
	}
	out, failed := test(packages)
	if 0 < len(failed) && len(failed) < 5 {
		// Everything takes some ten times as long there, and tests of deadlines beside
		// others may be late: once more, one at a time.
		t.Logf("failed beside others: %q\n%s", failed, clip(string(out)))
		out, failed = test(failed, "-p", "1")
	}
	if len(failed) > 0 {
		t.Fatalf("failed: %q\n%s", failed, out)
	}
}
