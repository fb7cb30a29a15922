package arch

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestNobodyLinksForeignCode: who does not import gssapi himself has nothing of it in
// his program, nor of what calls C for it.
func TestNobodyLinksForeignCode(t *testing.T) {
	unwanted := []string{"github.com/ebitengine/purego", module + "/gssapi", "runtime/cgo"}
	for _, system := range []string{"linux", "darwin", "freebsd", "windows"} {
		deps := linked(t, system, ".", "./client", "./middleware/...", "./tunnel", "./kerberos", "./fakekdc", "./cmd/...")
		if !slices.Contains(deps, module+"/kerberos") || !slices.Contains(deps, "net/http") {
			t.Fatalf("%s: the listing is of something else: %q", system, deps)
		}
		for _, p := range deps {
			if slices.ContainsFunc(unwanted, func(u string) bool { return within(p, u) }) {
				t.Errorf("%s: %s is linked by somebody who did not ask for it", system, p)
			}
		}
	}
	if deps := linked(t, "linux", "./gssapi"); !slices.Contains(deps, unwanted[0]) {
		t.Errorf("gssapi does without purego, or the listing is none: %q", deps)
	}
}

// TestTheCommandAlone: what only the command needs, the library does not link.
func TestTheCommandAlone(t *testing.T) {
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

// TestClientAlone: a program with package client alone needs no C library, and nothing
// of package sspi is in it, which is for Windows.
func TestClientAlone(t *testing.T) {
	dir := t.TempDir()
	source, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "main")
	const text = "package main\nimport \"" + module + "/client\"\nfunc main() { println(client.New(client.Options{})) }\n"
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
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
}

// linked lists the packages that are linked into programs with those that match
// patterns, without cgo. Patterns start with a dot: others are looked for in modules
// that nobody builds with, too, which a machine need not have.
func linked(t *testing.T, system string, patterns ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-deps"}, patterns...)...)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH=amd64", "CGO_ENABLED=0", "GOFLAGS=-mod=readonly")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, stderr.String())
	}
	return strings.Fields(string(out))
}
