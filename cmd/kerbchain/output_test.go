package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
)

// brokenWriter fails with one error.
type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

// printing are command lines of which each prints something.
func printing(l *lab) [][]string {
	url := l.server.URL()
	keytab := l.write("alice.keytab", l.Keytab("alice"))
	lines := [][]string{
		{"help"}, {"--help"}, {"-h"}, {"help", "get"}, {"version"}, {"--version"}, {"man"}, {"completion", "bash"}, {"completion", "zsh"}, {"completion", "fish"},
		{"demo"}, {"get", url}, {"get", "-i", url}, {"get", "-I", url}, {"get", "-S", "-s", url}, {"get", "-w", "%{http_code}", "-o", l.dir + "/out", url}, {"get", "-i", "-L", url + "/moved"},
		{"doctor", url}, {"doctor", "--json", url}, {"explain", "TlRMTVNTUAABAAAA"}, {"klist"}, {"klist", url}, {"klist", "-k", keytab},
		{"kdc", "--dir", l.dir + "/kdc", "--for", "1m"}, {"kdc", "--dir", l.dir + "/kdc", "--for", "1m", "--format", "json"},
	}
	for _, c := range commands() {
		lines = append(lines, []string{c.name, "--help"})
	}
	return lines
}

// TestOutputFails: whatever prints has the status of an output that cannot be written, and
// says once what failed; but for a pipe that was closed, which is meant.
func TestOutputFails(t *testing.T) {
	t.Parallel()
	l := newLab(t, fakeweb.ServerOptions{})
	getenv := func(name string) string { return l.env[name] }
	full := &fs.PathError{Op: "write", Path: "/dev/stdout", Err: errors.New("no space left on device")}
	closed := &fs.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EPIPE}
	for _, args := range printing(l) {
		for _, err := range []error{full, closed} {
			var stderr bytes.Buffer
			code := run(t.Context(), args, world{stdin: strings.NewReader(""), stdout: brokenWriter{err}, stderr: &stderr, getenv: getenv})
			want := "kerbchain: the output cannot be written: write /dev/stdout: no space left on device\n"
			if err == closed {
				want = ""
			}
			said := stderr.String()
			if args[0] == "kdc" && args[1] == "--dir" { // which says what it is first
				_, said, _ = strings.Cut(said, "\n")
			}
			if code != exitOutput || said != want {
				t.Errorf("%q, %v: exit status %d: %q", args, err, code, stderr.String())
			}
		}
	}
	if _, err := os.Stat("/dev/full"); err != nil {
		return
	}
	if code, _, stderr := l.run("", "get", "-o", "/dev/full", l.server.URL()); code != exitOutput || strings.Count(stderr, "\n") != 1 {
		t.Errorf("-o of a full device: exit status %d: %s", code, stderr)
	}
}
