package arch

import (
	"debug/elf"
	"fmt"
	"go/build"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

const purego = "github.com/ebitengine/purego"

// TestNobodyLinksForeignCode: who does not import gssapi himself has nothing of it in
// his program, nor of what calls C for it.
func TestNobodyLinksForeignCode(t *testing.T) {
	t.Parallel()
	unwanted := []string{purego, module + "/gssapi", "runtime/cgo"}
	for _, system := range systems {
		deps := linked(t, system, ".", "./client", "./middleware/...", "./tunnel", "./kerberos", "./fakekdc")
		if !slices.Contains(deps, module+"/kerberos") || !slices.Contains(deps, "net/http") {
			t.Fatalf("%s: the listing is of something else: %q", system, deps)
		}
		for _, p := range deps {
			if slices.ContainsFunc(unwanted, func(u string) bool { return within(p, u) }) {
				t.Errorf("%s: %s is linked by somebody who did not ask for it", system, p)
			}
		}
	}
	if deps := linked(t, "linux", "./gssapi"); !slices.Contains(deps, purego) {
		t.Errorf("gssapi does without purego, or the listing is none: %q", deps)
	}
}

// TestTheCommandAlone: what only the command needs, the library does not link.
func TestTheCommandAlone(t *testing.T) {
	t.Parallel()
	modules := []string{"github.com/spf13/pflag", "github.com/schollz/progressbar/v3", "github.com/mitchellh/colorstring",
		"github.com/rivo/uniseg", "golang.org/x/term", "software.sslmate.com/src/go-pkcs12"}
	library := linked(t, "linux", ".", "./client/...", "./middleware/...", "./tunnel", "./kerberos/...", "./gssapi", "./doctor", "./fakekdc/...")
	command := linked(t, "linux", "./cmd/...")
	for _, m := range modules {
		of := func(p string) bool { return within(p, m) }
		if slices.ContainsFunc(library, of) {
			t.Errorf("%s is linked by who imports the library", m)
		}
		if !slices.ContainsFunc(command, of) {
			t.Errorf("the command does without %s, or the listing is none", m)
		}
	}
}

// TestCommandLinks: the command can load the GSS-API library where it is linked
// dynamically anyway, or where its builder says so, and nowhere else.
func TestCommandLinks(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		system string
		cgo    bool
		tags   []string
		loads  bool
	}{
		"Linux, static":      {system: "linux"},
		"Linux, static, tag": {system: "linux", tags: []string{"gssapi"}, loads: true},
		"Linux, cgo":         {system: "linux", cgo: true, loads: true},
		"macOS":              {system: "darwin", loads: true},
		"FreeBSD, static":    {system: "freebsd"},
		"FreeBSD, cgo":       {system: "freebsd", cgo: true, loads: true},
		"Windows":            {system: "windows"},
		"Windows, cgo":       {system: "windows", cgo: true},
		"OpenBSD, static":    {system: "openbsd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := build.Default
			c.GOOS, c.GOARCH, c.CgoEnabled, c.BuildTags = tc.system, "amd64", tc.cgo, tc.tags
			deps := map[string]bool{}
			imports(t, &c, module+"/cmd/kerbchain", deps)
			if !deps[module+"/client"] || deps[purego] != deps[module+"/gssapi"] {
				t.Fatalf("the listing is of something else: %v", deps)
			}
			if loads := deps[module+"/gssapi"]; loads != tc.loads {
				t.Errorf("it links the package that loads the library: %t", loads)
			}
		})
	}
}

// imports adds what the module's package p imports, itself or by others of the module. It reads
// the sources itself: for nine environments, the go command would take seconds.
func imports(t *testing.T, c *build.Context, p string, all map[string]bool) {
	t.Helper()
	if all[p] {
		return
	}
	if all[p] = true; !within(p, module) {
		return
	}
	read, err := c.ImportDir(filepath.Join("../..", strings.TrimPrefix(p, module)), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, next := range read.Imports {
		imports(t, c, next, all)
	}
}

// TestStatic: the command needs no C library where it is built without cgo, and nothing of
// package sspi is in it, which is for Windows. The same holds then for any program with package
// client, which it has whole.
func TestStatic(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "command")
	build := exec.Command("go", "build", "-buildvcs=false", "-ldflags=-w", "-o", program, "./cmd/kerbchain")
	build.Dir = "../.."
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOFLAGS=-mod=readonly")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	symbols, err := file.Symbols()
	links := func(part string) bool {
		return slices.ContainsFunc(symbols, func(s elf.Symbol) bool { return strings.Contains(s.Name, part) })
	}
	if err != nil || !links(module+"/client.New") || !links(module+"/kerberos.NewInitiator") {
		t.Fatalf("no listing of a client: %v", err)
	}
	for _, unwanted := range []string{"ebitengine/purego", module + "/gssapi", module + "/sspi"} {
		if links(unwanted) {
			t.Errorf("%s is linked", unwanted)
		}
	}
	if file.Section(".interp") != nil {
		t.Error("the program is linked dynamically")
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return
	}
	out, err := exec.Command(program, "get", "--credentials", "system", "http://localhost/").CombinedOutput()
	for _, want := range []string{"statically", "CGO_ENABLED=1", "-tags gssapi", "--credentials own"} {
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("want %q: %v: %s", want, err, out)
		}
	}
}

// A listed package is what the go command says of one of the module.
type listed struct{ imports, deps []string }

// patterns are the packages that others import, and the command. They start with a dot:
// others are looked for in modules that nobody builds with, too, which a machine need not
// have.
var patterns = []string{".", "./client/...", "./middleware/...", "./tunnel", "./kerberos/...", "./gssapi", "./doctor", "./fakekdc/...", "./cmd/..."}

// systems are those for which packages are listed, without cgo.
var systems = []string{"linux", "darwin", "freebsd", "windows"}

// listings are those of each system, which are made once for all tests.
var listings sync.Map // from a system to a func() (map[string]listed, error)

// theListing lists the packages that match [patterns] for a system, by their paths from the
// module's root.
func theListing(t *testing.T, system string) map[string]listed {
	t.Helper()
	once, _ := listings.LoadOrStore(system, sync.OnceValues(func() (map[string]listed, error) {
		cmd := exec.Command("go", append([]string{"list", "-buildvcs=false", "-deps", "-f", `{{if not .Standard}}{{.ImportPath}};{{join .Imports " "}};{{join .Deps " "}}{{end}}`}, patterns...)...)
		cmd.Dir = "../.."
		cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH=amd64", "CGO_ENABLED=0", "GOFLAGS=-mod=readonly")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("%v: %w\n%s", cmd, err, stderr.String())
		}
		all := map[string]listed{}
		for line := range strings.Lines(string(out)) {
			parts := strings.Split(line, ";")
			if len(parts) != 3 {
				return nil, fmt.Errorf("%v: %q", cmd, line)
			}
			if !within(parts[0], module) {
				continue
			}
			all[strings.TrimPrefix(strings.TrimPrefix(parts[0], module), "/")] = listed{strings.Fields(parts[1]), strings.Fields(parts[2])}
		}
		return all, nil
	}))
	all, err := once.(func() (map[string]listed, error))()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// linked lists the packages that are linked into programs for a system with those that match
// patterns, some of [patterns] or of what these match.
func linked(t *testing.T, system string, patterns ...string) []string {
	t.Helper()
	var out []string
	all := theListing(t, system)
	for _, pattern := range patterns {
		dir := strings.TrimPrefix(strings.TrimPrefix(pattern, "."), "/")
		below, deep := strings.CutSuffix(dir, "/...")
		found := false
		for p, of := range all {
			if p == dir || deep && within(p, below) {
				found = true
				out = append(append(out, strings.TrimSuffix(module+"/"+p, "/")), of.deps...)
			}
		}
		if !found {
			t.Fatalf("%s is not listed", pattern)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
