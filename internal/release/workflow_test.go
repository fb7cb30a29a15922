package release

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// A workflow is what of a workflow file is looked at.
type workflow struct {
	On   map[string]any
	Jobs map[string]struct {
		If       string
		RunsOn   string `yaml:"runs-on"`
		Strategy struct{ Matrix map[string][]string }
		Steps    []struct {
			Uses, Run string
			With      map[string]string
		}
	}
}

// byMajor is an action pinned by its major version.
var byMajor = regexp.MustCompile(`^[\w.-]+/[\w.-]+@v[0-9]+$`)

// targets are those of the Makefile.
func targets(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`).FindAllStringSubmatch(string(b), -1) {
		out = append(out, m[1])
	}
	if !slices.Contains(out, "check") {
		t.Fatalf("targets %q", out)
	}
	return out
}

// The public CI runs what is there: targets of the Makefile, .ci/run, and tests on
// the three systems, with actions that are pinned.
func TestWorkflow(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, ".github/workflows/ci.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var w workflow
	if err := yaml.Unmarshal(b, &w); err != nil {
		t.Fatal(err)
	}
	for _, event := range []string{"push", "pull_request", "schedule"} {
		if _, ok := w.On[event]; !ok {
			t.Errorf("does not run on %s", event)
		}
	}
	known := targets(t)
	var runs []string
	systems := map[string]bool{}
	for name, job := range w.Jobs {
		if job.RunsOn == "" || len(job.Steps) == 0 {
			t.Errorf("job %s: runs on %q, %d steps", name, job.RunsOn, len(job.Steps))
		}
		for _, step := range job.Steps {
			if (step.Uses == "") == (step.Run == "") {
				t.Errorf("job %s: a step uses %q and runs %q", name, step.Uses, step.Run)
			}
			if step.Uses != "" && !byMajor.MatchString(step.Uses) {
				t.Errorf("job %s: %s is not pinned by its major version", name, step.Uses)
			}
			if step.Run == "go test ./..." {
				for _, os := range job.Strategy.Matrix["os"] {
					systems[os] = true
				}
			}
			runs = append(runs, step.Run)
			words := strings.Fields(step.Run)
			if len(words) > 1 && words[0] == "make" && !slices.Contains(known, words[1]) {
				t.Errorf("job %s: the Makefile has no target %s", name, words[1])
			}
			if len(words) > 0 && strings.HasPrefix(words[0], ".ci/") {
				if info, err := os.Stat(filepath.Join(root, words[0])); err != nil || info.Mode()&0o111 == 0 {
					t.Errorf("job %s: %s cannot be run (%v)", name, words[0], err)
				}
			}
		}
	}
	for _, want := range []string{".ci/run", "make vuln"} {
		if !slices.Contains(runs, want) {
			t.Errorf("nothing runs %s", want)
		}
	}
	if !slices.ContainsFunc(runs, func(s string) bool { return strings.HasPrefix(s, "make fuzz") }) {
		t.Error("nothing fuzzes")
	}
	if !systems["windows-latest"] || !systems["macos-latest"] {
		t.Errorf("tests run on %v", systems)
	}
}

var made = regexp.MustCompile("`make ([a-z][a-z0-9-]*)")

// Pages, and what continuous integration runs, name targets that the Makefile has.
func TestPagesNameTargets(t *testing.T) {
	known := targets(t)
	n := 0
	for _, name := range files(t) {
		if ext := filepath.Ext(name); ext != ".md" || name == "CHANGELOG.md" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range made.FindAllStringSubmatch(string(b), -1) {
			n++
			if !slices.Contains(known, m[1]) {
				t.Errorf("%s: the Makefile has no target %s", name, m[1])
			}
		}
	}
	if n < 4 {
		t.Errorf("%d mentions only", n)
	}
}

// Every module of the repository is as go mod tidy would have it.
func TestTidy(t *testing.T) {
	n := 0
	for _, name := range files(t) {
		if filepath.Base(name) != "go.mod" {
			continue
		}
		n++
		run(t, filepath.Join(root, filepath.Dir(name)), []string{"GOWORK=off", "GOFLAGS=-mod=mod"}, "go", "mod", "tidy", "-diff")
	}
	if n < 4 {
		t.Errorf("%d modules only", n)
	}
}
