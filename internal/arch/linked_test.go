package arch

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const purego = "github.com/ebitengine/purego"

// TestNobodyLinksForeignCode: who does not import gssapi himself has nothing of it in
// his program, nor of what calls C for it.
func TestNobodyLinksForeignCode(t *testing.T) {
	unwanted := []string{purego, module + "/gssapi", "runtime/cgo"}
	for _, system := range []string{"linux", "darwin", "freebsd", "windows"} {
		deps := linked(t, []string{"GOOS=" + system, "CGO_ENABLED=0"}, ".", "./client", "./middleware/...", "./tunnel", "./kerberos", "./fakekdc")
		if !slices.Contains(deps, module+"/kerberos") || !slices.Contains(deps, "net/http") {
			t.Fatalf("%s: the listing is of something else: %q", system, deps)
		}
		for _, p := range deps {
			if slices.ContainsFunc(unwanted, func(u string) bool { return within(p, u) }) {
				t.Errorf("%s: %s is linked by somebody who did not ask for it", system, p)
			}
		}
	}
	if deps := linked(t, []string{"GOOS=linux", "CGO_ENABLED=0"}, "./gssapi"); !slices.Contains(deps, purego) {
		t.Errorf("gssapi does without purego, or the listing is none: %q", deps)
	}
}

// TestTheCommandAlone: what only the command needs, the library does not link.
func TestTheCommandAlone(t *testing.T) {
	modules := []string{"github.com/spf13/pflag", "github.com/schollz/progressbar/v3", "github.com/mitchellh/colorstring",
		"github.com/rivo/uniseg", "golang.org/x/term", "software.sslmate.com/src/go-pkcs12"}
	library := linked(t, []string{"GOOS=linux", "CGO_ENABLED=0"}, ".", "./client/...", "./middleware/...", "./tunnel", "./kerberos/...", "./gssapi", "./doctor", "./fakekdc/...")
	command := linked(t, []string{"GOOS=linux", "CGO_ENABLED=0"}, "./cmd/...")
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
	for name, tc := range map[string]struct {
		env   []string
		loads bool
	}{
		"Linux, static":      {[]string{"GOOS=linux", "CGO_ENABLED=0"}, false},
		"Linux, static, tag": {[]string{"GOOS=linux", "CGO_ENABLED=0", "GOFLAGS=-mod=readonly -tags=gssapi"}, true},
		"Linux, cgo":         {[]string{"GOOS=linux", "CGO_ENABLED=1"}, true},
		"macOS":              {[]string{"GOOS=darwin", "CGO_ENABLED=0"}, true},
		"FreeBSD, static":    {[]string{"GOOS=freebsd", "CGO_ENABLED=0"}, false},
		"FreeBSD, cgo":       {[]string{"GOOS=freebsd", "CGO_ENABLED=1"}, true},
		"Windows":            {[]string{"GOOS=windows", "CGO_ENABLED=0"}, false},
		"Windows, cgo":       {[]string{"GOOS=windows", "CGO_ENABLED=1"}, false},
		"OpenBSD, static":    {[]string{"GOOS=openbsd", "CGO_ENABLED=0"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			deps := linked(t, tc.env, "./cmd/kerbchain")
			if !slices.Contains(deps, module+"/client") {
				t.Fatalf("the listing is of something else: %q", deps)
			}
			if loads := slices.Contains(deps, module+"/gssapi"); loads != tc.loads || slices.Contains(deps, purego) != tc.loads {
				t.Errorf("it links the package that loads the library: %t", loads)
			}
		})
	}
}

// TestStatic: a program with package client alone needs no C library, nor does the
// command without cgo, and nothing of package sspi is in them, which is for Windows.
func TestStatic(t *testing.T) {
	dir := t.TempDir()
	alone := filepath.Join(dir, "main.go")
	const text = "package main\nimport \"" + module + "/client\"\nfunc main() { println(client.New(client.Options{})) }\n"
	if err := os.WriteFile(alone, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, source := range map[string]string{"client": alone, "command": "./cmd/kerbchain"} {
		t.Run(name, func(t *testing.T) {
			program := filepath.Join(dir, name)
			build := exec.Command("go", "build", "-o", program, source)
			build.Dir = "../.."
			build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOFLAGS=-mod=readonly")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			symbols, err := exec.Command("go", "tool", "nm", program).Output()
			if err != nil || !bytes.Contains(symbols, []byte(module+"/kerberos.NewInitiator")) {
				t.Fatalf("no listing of a client: %v", err)
			}
			for _, unwanted := range []string{"ebitengine/purego", module + "/gssapi", module + "/sspi"} {
				if bytes.Contains(symbols, []byte(unwanted)) {
					t.Errorf("%s is linked", unwanted)
				}
			}
			file, err := elf.Open(program)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			if file.Section(".interp") != nil {
				t.Error("the program is linked dynamically")
			}
			if name != "command" || runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
				return
			}
			out, err := exec.Command(program, "get", "--credentials", "system", "http://localhost/").CombinedOutput()
			for _, want := range []string{"statically", "CGO_ENABLED=1", "-tags gssapi", "--credentials own"} {
				if err == nil || !strings.Contains(string(out), want) {
					t.Errorf("want %q: %v: %s", want, err, out)
				}
			}
		})
	}
}

// linked lists the packages that are linked into programs with those that match
// patterns, in an environment. Patterns start with a dot: others are looked for in modules
// that nobody builds with, too, which a machine need not have.
func linked(t *testing.T, env []string, patterns ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-deps"}, patterns...)...)
	cmd.Dir = "../.."
	cmd.Env = append(append(os.Environ(), "GOARCH=amd64", "GOFLAGS=-mod=readonly"), env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, stderr.String())
	}
	return strings.Fields(string(out))
}
