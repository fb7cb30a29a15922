package release

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const module = "github.com/kerbchain/kerbchain"

// root is the tree under test, seen from this folder.
const root = "../.."

// run runs a command in a folder with further variables, and returns what it
// wrote to its standard output.
func run(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return string(out)
}

// files lists the files of the tree as it stands, as git would commit them.
func files(t *testing.T) []string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(root, ".git")); err != nil {
		t.Fatalf("the tree under test is no git checkout: %v", err)
	}
	var list []string
	for name := range strings.SplitSeq(run(t, root, nil, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"), "\x00") {
		if name == "" {
			continue
		}
		info, err := os.Lstat(filepath.Join(root, name))
		if err != nil {
			continue // deleted, and not committed yet
		}
		if !info.Mode().IsRegular() {
			t.Errorf("%s is no regular file (%s): zips of modules leave such out", name, info.Mode())
			continue
		}
		list = append(list, name)
	}
	if len(list) < 100 {
		t.Fatalf("the tree has %d files only", len(list))
	}
	tested := "tested is the commit " + run(t, root, nil, "git", "describe", "--always", "--abbrev=12")
	if changed := run(t, root, nil, "git", "status", "--porcelain"); changed != "" {
		tested += "and with it what is not committed yet:\n" + changed
	}
	t.Log(tested)
	return list
}

// copyTree copies the tree as it stands into an empty folder.
func copyTree(t *testing.T, dir string) {
	t.Helper()
	for _, name := range files(t) {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
