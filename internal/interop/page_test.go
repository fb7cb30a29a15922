//go:build interop

package interop

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// installs are lines of the page that fetch the command, which is here already.
var installs = regexp.MustCompile(`(?m)^.*go install .*\n`)

// TestPageOfFakeKDC runs what docs/fakekdc.md gives to shells, to pytest and to a public CI,
// as it stands there, in a folder with a blank in its name.
func TestPageOfFakeKDC(t *testing.T) {
	t.Parallel()
	page := readAll(t, "../../docs/fakekdc.md")
	between := func(from, to string) string {
		_, rest, ok := strings.Cut(page, from)
		text, _, ended := strings.Cut(rest, to)
		if !ok || !ended {
			t.Fatalf("the page has no %q before %q", from, to)
		}
		return installs.ReplaceAllString(text, "")
	}
	in := func(t *testing.T) (dir string, env environment) {
		dir = filepath.Join(t.TempDir(), "a folder")
		must(t, nil, "", "mkdir", dir)
		return dir, environment{"HOME": dir, "PATH": filepath.Dir(kerbchain(t)) + ":" + filepath.Dir(tool(t, "curl")) + ":/usr/bin:/bin"}
	}
	const hello = "hello alice@EXAMPLE.TEST\n"

	t.Run("shell", func(t *testing.T) {
		dir, env := in(t)
		script := strings.ReplaceAll(between("a command runs the same realm:\n\n", "\n\n"), "    ", "")
		// What its terminal is to a shell, a file is here.
		r := run(t, env, "", "sh", "-ec", "cd \"$0\"; exec 2>errors\n"+strings.Replace(script, " &\n", " >out &\n", 1)+"\nkill $!; wait $!", dir)
		if r.code != 0 || r.stdout != hello {
			t.Errorf("%v\n%s", r, readAll(t, filepath.Join(dir, "errors")))
		}
	})
	t.Run("pytest", func(t *testing.T) {
		dir, env := in(t)
		program := `import json, os, pathlib, subprocess, sys, types
pytest = types.SimpleNamespace(fixture=lambda **_: lambda f: f)
` + between("```python\n", "```") + `
class Factory:
    def mktemp(self, name): return pathlib.Path(sys.argv[1])
fixture = realm(Factory())
url = next(fixture)
print(subprocess.check_output(["curl", "-sf", "--negotiate", "-u", ":", url]).decode(), end="")
next(fixture, None)
`
		if r := run(t, env, "", tool(t, "python3"), "-c", program, dir); r.code != 0 || r.stdout != hello {
			t.Error(r)
		}
	})
	t.Run("public CI", func(t *testing.T) {
		dir, env := in(t)
		steps := strings.Split(between("```yaml\n", "```"), "- run: ")
		if len(steps) != 3 {
			t.Fatalf("%d steps: %q", len(steps)-1, steps)
		}
		first := strings.ReplaceAll(strings.TrimPrefix(steps[1], "|\n"), "    ", "")
		must(t, env.with("GITHUB_ENV", filepath.Join(dir, "env")), "", "sh", "-ec", "cd \"$0\"; exec 2>errors\n"+first+"echo $! >pid", dir)
		defer must(t, nil, "", "sh", "-c", "kill $(cat \"$0/pid\")", dir)
		for line := range strings.Lines(readAll(t, filepath.Join(dir, "env"))) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			env = env.with(name, value)
		}
		if r := run(t, env, "", "sh", "-ec", strings.TrimSpace(steps[2])+" --silent"); r.code != 0 || r.stdout != hello {
			t.Error(r)
		}
	})
}
