package release

import (
	"encoding/json"
	"os"
	"os/exec"
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

// nested are the modules within this one that are for others to get. Each is tagged like
// this one, after the name of its folder.
var nested = []string{"otelkerb"}

// publish makes a repository of the tree as it stands, as the commit that follows on those
// that there are, and tags it.
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
		// cache that ends with the test; what is built names no file of that, and is built once.
		"GOPRIVATE=" + module, "GOFLAGS=-modcacherw -trimpath", "GOWORK=off",
		"GOMODCACHE=" + filepath.Join(home, "mod"), "GOBIN=" + filepath.Join(home, "bin"),
		"GOPROXY=" + proxies(t),
	}}
	git := func(args ...string) {
		run(t, repo, []string{"GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_CONFIG_SYSTEM=" + os.DevNull},
			"git", append([]string{"-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"}, args...)...)
	}
	git("init", "-q", "-b", "main")
	// Nested modules require commits of before.
	git("fetch", "-q", "--no-tags", history(t), "HEAD")
	git("reset", "-q", "--soft", "FETCH_HEAD")
	git("add", "-A", "-f")
	git("commit", "-q", "--allow-empty", "-m", "the tree as it stands")
	git("tag", p.version)
	for _, dir := range nested {
		git("tag", dir+"/"+p.version)
	}
	return p
}

// history is a repository with the commits that led to the tree.
func history(t *testing.T) string {
	t.Helper()
	dir := strings.TrimSpace(run(t, root, nil, "git", "rev-parse", "--path-format=absolute", "--git-common-dir"))
	if strings.TrimSpace(run(t, root, nil, "git", "rev-parse", "--is-shallow-repository")) == "true" {
		t.Fatal("the checkout is shallow, and nested modules require earlier commits: git fetch --unshallow")
	}
	return dir
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
	const get = "    go get " + module + "/client\n"
	if page, err := os.ReadFile(filepath.Join(root, "README.md")); err != nil || !strings.Contains(string(page), get) {
		t.Errorf("the README does not say %q: %v", get, err)
	}
	run(t, dir, p.env, "go", "get", module+"/client@"+p.version)
	block := goBlocks(t, "README.md")[0]
	if !strings.Contains(block.text, "client.New(") {
		t.Fatalf("the README's first program is\n%s", block.text)
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(program(t, block)), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, dir, p.env, "go", "build", "-o", os.DevNull, ".") // with what client is built of, and without go mod tidy
	run(t, dir, p.env, "go", "mod", "tidy")
	run(t, dir, p.env, "go", "build", "-o", os.DevNull, ".")
	if listed := run(t, dir, p.env, "go", "list", "-m", module); strings.TrimSpace(listed) != module+" "+p.version {
		t.Errorf("the program was built with %s", listed)
	}
}

// Somebody gets a nested module alone. Its replace directive counts for nobody else, so
// that the version of this module that it requires must exist, and must have what it uses.
func TestGoGetNested(t *testing.T) {
	p := publish(t)
	for _, dir := range nested {
		t.Run(dir, func(t *testing.T) {
			required := strings.Fields(run(t, filepath.Join(root, dir), nil, "go", "list", "-m", "-f", "{{.Version}}", module))[0]
			home := t.TempDir()
			run(t, home, p.env, "go", "mod", "init", "example.com/stranger")
			run(t, home, p.env, "go", "get", module+"/"+dir+"@"+p.version)
			block := goBlocks(t, filepath.Join(dir, "README.md"))[0]
			if !strings.Contains(block.text, dir+".New(") {
				t.Fatalf("the first program of %s/README.md is\n%s", dir, block.text)
			}
			if err := os.WriteFile(filepath.Join(home, "main.go"), []byte(program(t, block)), 0o644); err != nil {
				t.Fatal(err)
			}
			run(t, home, p.env, "go", "mod", "tidy")
			run(t, home, p.env, "go", "build", "-o", os.DevNull, ".")
			for path, want := range map[string]string{module + "/" + dir: p.version, module: required} {
				if listed := run(t, home, p.env, "go", "list", "-m", path); strings.TrimSpace(listed) != path+" "+want {
					t.Errorf("the program was built with %s, want version %s", listed, want)
				}
			}
			// The two are of one release to those who get both.
			run(t, home, p.env, "go", "get", module+"@"+p.version)
			run(t, home, p.env, "go", "build", "-o", os.DevNull, ".")
		})
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

// Somebody has a module of their own, the README's first program in it, and a realm
// of the command to try it with: the first answer is 200.
func TestFirst200(t *testing.T) {
	p := publish(t)
	dir := t.TempDir()
	run(t, dir, p.env, "go", "install", module+"/cmd/kerbchain@"+p.version)
	run(t, dir, p.env, "go", "mod", "init", "example.com/stranger")
	run(t, dir, p.env, "go", "get", module+"@"+p.version)
	const url = `"https://intranet.example.com/report"`
	block := goBlocks(t, "README.md")[0]
	if strings.Count(block.text, url) != 1 {
		t.Fatalf("the README's first program is\n%s", block.text)
	}
	block.text = strings.Replace(block.text, url, `os.Getenv("KERBCHAIN_URL")`, 1) + "fmt.Println(resp.StatusCode)\n"
	text := strings.Replace(program(t, block), "func main() {}", "func main() {\n\tif err := block(); err != nil {\n\t\tpanic(err)\n\t}\n}", 1)
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, dir, p.env, "go", "mod", "tidy")
	run(t, dir, p.env, "go", "build", "-o", "program", ".")

	bin := strings.TrimSpace(run(t, dir, p.env, "go", "env", "GOBIN"))
	kdc := exec.Command(filepath.Join(bin, "kerbchain"), "kdc", "--dir", filepath.Join(dir, "krb"),
		"--format", "json", "--exit-with-stdin", "--user", "alice:secret", "--web")
	stdin, err := kdc.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := kdc.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := kdc.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stdin.Close()
		if err := kdc.Wait(); err != nil {
			t.Errorf("the realm ended with %v", err)
		}
	}()
	vars := map[string]string{}
	if err := json.NewDecoder(stdout).Decode(&vars); err != nil {
		t.Fatal(err)
	}
	var env []string
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	if out := run(t, dir, env, filepath.Join(dir, "program")); out != "200\n" {
		t.Errorf("the program said %q", out)
	}
}
