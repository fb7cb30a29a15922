package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestVersion(t *testing.T) {
	code, stdout, stderr := runWith(t.Context(), nil, "", "version")
	if code != exitOK || !strings.HasPrefix(stdout, "kerbchain ") || !strings.Contains(stdout, "go1.") || stderr != "" {
		t.Errorf("exit status %d: %q, %q", code, stdout, stderr)
	}
	for _, args := range [][]string{{"version", "x"}, {"man", "x"}, {"completion"}, {"completion", "tcsh"}} {
		if code, _, _ := runWith(t.Context(), nil, "", args...); code != exitUsage {
			t.Errorf("%v: exit status %d", args, code)
		}
	}
}

// TestCompletion: scripts and the manual know every command and flag, and shells that
// are here complete by them.
func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"bash", "zsh", "fish", "man"} {
		args := []string{"completion", name}
		if name == "man" {
			args = []string{"man"}
		}
		code, script, stderr := runWith(t.Context(), nil, "", args...)
		if code != exitOK {
			t.Fatalf("%s: exit status %d: %s", name, code, stderr)
		}
		for _, c := range commands() {
			c.eachFlag(func(f *pflag.Flag) {
				want := f.Name
				if name == "man" {
					want = roff("--" + f.Name)
				}
				if !strings.Contains(script, c.name) || !strings.Contains(script, want) {
					t.Errorf("%s does not know kerbchain %s --%s", name, c.name, f.Name)
				}
			})
		}
		path := filepath.Join(t.TempDir(), "_kerbchain")
		if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		try := map[string][]string{
			"bash": {"--norc", "-c", `. "$1"
COMP_WORDS=(kerbchain ex) COMP_CWORD=1; _kerbchain; echo "${COMPREPLY[@]}"
COMP_WORDS=(kerbchain get --data-b) COMP_CWORD=2; _kerbchain; echo "${COMPREPLY[@]}"
COMP_WORDS=(kerbchain completion z) COMP_CWORD=2; _kerbchain; echo "${COMPREPLY[@]}"`, "bash", path},
			"fish": {"--no-config", "-c", `source $argv[1]; complete -C "kerbchain ex"; complete -C "kerbchain get --data-b"; complete -C "kerbchain completion z"`, path},
			"zsh": {"-f", "-c", `autoload -U compinit; compinit -D 2>/dev/null; . "$1"
_describe() { print -l -- ${(P)@[-1]} }; _files() { : }
words=(kerbchain ex) CURRENT=2; _kerbchain; words=(kerbchain get --data-b) CURRENT=3; _kerbchain; words=(kerbchain completion z) CURRENT=3; _kerbchain`, "zsh", path},
		}[name]
		shell, err := exec.LookPath(name)
		if try == nil || err != nil {
			t.Logf("%s is not tried here", name)
			continue
		}
		out, err := exec.Command(shell, try...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		for _, want := range []string{"explain", "--data-binary", "zsh"} {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s does not complete %q:\n%s", name, want, out)
			}
		}
	}
}
