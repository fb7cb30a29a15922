package release

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A published repository is a local one in the place of the module's: go fetches
// the module from there, by git, and all others as it always does.
type published struct {
	version string
	env     []string
}

// publish makes a repository of the tree as it stands, and tags it.
func publish(t *testing.T) published {
	t.Helper()
	repo, home := t.TempDir(), t.TempDir()
	copyTree(t, repo)
	p := published{version: "v0.0.1-test", env: []string{
		"GIT_CONFIG_COUNT=1",
		"GIT_CONFIG_KEY_0=url.file://" + filepath.ToSlash(repo) + ".insteadOf",
		"GIT_CONFIG_VALUE_0=https://" + module,
		"GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_CONFIG_SYSTEM=" + os.DevNull,
		// The module is fetched by git, without a proxy and a sum database, into a
		// cache that ends with the test.
		"GOPRIVATE=" + module, "GOFLAGS=-modcacherw", "GOWORK=off",
		"GOMODCACHE=" + filepath.Join(home, "mod"), "GOBIN=" + filepath.Join(home, "bin"),
		"GOPROXY=" + proxies(t),
	}}
	git := func(args ...string) {
		run(t, repo, []string{"GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_CONFIG_SYSTEM=" + os.DevNull},
			"git", append([]string{"-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"}, args...)...)
	}
	git("init", "-q", "-b", "main")
	git("add", "-A", "-f")
	git("commit", "-q", "-m", "the tree as it stands")
	git("tag", p.version)
	return p
}

// proxies puts what the machine has fetched before the proxies that are set.
func proxies(t *testing.T) string {
	t.Helper()
	out := strings.Split(strings.TrimSpace(run(t, ".", nil, "go", "env", "GOMODCACHE", "GOPROXY")), "\n")
	if len(out) != 2 {
		t.Fatalf("go env said %q", out)
	}
	return "file://" + filepath.ToSlash(out[0]) + "/cache/download," + out[1]
}

// Somebody with a module of their own gets ours, and builds what the README shows
// first.
func TestGoGet(t *testing.T) {
	p := publish(t)
	dir := t.TempDir()
	run(t, dir, p.env, "go", "mod", "init", "example.com/stranger")
	run(t, dir, p.env, "go", "get", module+"@"+p.version)
	block := goBlocks(t, "README.md")[0]
	if !strings.Contains(block.text, "client.New(") {
		t.Fatalf("the README's first program is\n%s", block.text)
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(program(t, block)), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, dir, p.env, "go", "mod", "tidy")
	run(t, dir, p.env, "go", "build", "-o", os.DevNull, ".")
	if listed := run(t, dir, p.env, "go", "list", "-m", module); strings.TrimSpace(listed) != module+" "+p.version {
		t.Errorf("the program was built with %s", listed)
	}
}

// Somebody without a module installs the command, and sees it work.
func TestGoInstall(t *testing.T) {
	p := publish(t)
	dir := t.TempDir()
	run(t, dir, p.env, "go", "install", module+"/cmd/kerbchain@"+p.version)
	bin := strings.TrimSpace(run(t, dir, p.env, "go", "env", "GOBIN"))
	if out := run(t, dir, nil, filepath.Join(bin, "kerbchain"), "demo"); !strings.Contains(out, "All three went as told") {
		t.Errorf("the demonstration said:\n%s", out)
	}
}
