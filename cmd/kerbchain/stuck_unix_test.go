//go:build unix

package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
)

// TestStuck: neither who says nothing nor who takes nothing keeps the command past its
// time, or past Ctrl-C.
func TestStuck(t *testing.T) {
	t.Parallel()
	l := newLab(t, fakeweb.ServerOptions{})
	written, read := filepath.Join(l.dir, "written"), filepath.Join(l.dir, "read")
	for _, path := range []string{written, read} {
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Skip(err)
		}
	}
	endless := fakeweb.Serve(l.Realm, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for b := make([]byte, 1<<16); r.Context().Err() == nil; {
			w.Write(b)
		}
	}), fakeweb.ServerOptions{})
	reading := fakeweb.Serve(l.Realm, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done() // neither reads nor answers
	}), fakeweb.ServerOptions{})
	big := l.zeros("big", 64<<20)
	for name, args := range map[string][]string{
		"standard input, for a body":        {"get", "-d", "@-", l.server.URL()},
		"standard input, for a password":    {"get", "--principal", "alice", "--password-file", "-", l.server.URL()},
		"standard input, for a format":      {"get", "-w", "@-", l.server.URL()},
		"standard input, for the doctor":    {"doctor", "--principal", "alice", "--password-file", "-", l.server.URL()},
		"standard input, for a token":       {"explain", "-"},
		"a pipe that nobody writes to":      {"get", "--data-binary", "@" + read, l.server.URL()},
		"a pipe that nobody reads":          {"get", "-o", written, l.server.URL()},
		"standard output that nobody takes": {"get", "--mutual", "optional", endless.URL()},
		"an upload":                         {"get", "--mutual", "optional", "--data-binary", "@" + big, reading.URL()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for want, more := range map[int][]string{exitNetwork: {"-m", "0.2"}, exitInterrupted: nil} {
				if want == exitNetwork && args[0] != "get" {
					continue
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				cmd := asCommand(ctx, t, l.env, append(args, more...)...)
				stdin, err := cmd.StdinPipe()
				if err != nil {
					t.Fatal(err)
				}
				defer stdin.Close()
				stdout, err := cmd.StdoutPipe() // which nobody reads
				if err != nil {
					t.Fatal(err)
				}
				defer stdout.Close()
				var stderr bytes.Buffer
				cmd.Stderr = &stderr
				if want == exitInterrupted {
					err = interrupt(t, cmd)
				} else {
					err = cmd.Run()
				}
				if exitCode(err) != want || strings.Count(stderr.String(), "\n") == 0 {
					t.Errorf("%v, want exit status %d: %s", err, want, stderr.String())
				}
			}
		})
	}
}

// zeros is write for as many of them, which take no room.
func (l *lab) zeros(name string, size int64) string {
	l.t.Helper()
	path := l.write(name, nil)
	if err := os.Truncate(path, size); err != nil {
		l.t.Fatal(err)
	}
	return path
}

// interrupt runs a command, and interrupts it until it ends.
func interrupt(t *testing.T, cmd *exec.Cmd) error {
	t.Helper()
	ready, other, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer ready.Close()
	defer other.Close()
	cmd.ExtraFiles, cmd.Env = []*os.File{other}, append(cmd.Env, asTheCommand+"=interrupted")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	other.Close()
	if n, err := ready.Read(make([]byte, 1)); err != io.EOF {
		t.Error(n, err)
	}
	ended := make(chan struct{})
	go func() {
		for {
			select {
			case <-ended:
				return
			case <-time.After(100 * time.Millisecond):
				cmd.Process.Signal(os.Interrupt)
			}
		}
	}()
	defer close(ended)
	return cmd.Wait()
}

// TestBadInput: files of other kinds than one expects.
func TestBadInput(t *testing.T) {
	t.Parallel()
	l := newLab(t, fakeweb.ServerOptions{})
	url := l.server.URL() + "/sum"
	fifo := func(content string) string {
		path := filepath.Join(t.TempDir(), "fifo")
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Skip(err)
		}
		go os.WriteFile(path, []byte(content), 0o600)
		return path
	}
	long := l.write("long", bytes.Repeat([]byte("x"), maxLine+2))
	for name, tc := range map[string]struct {
		args  []string
		stdin io.Reader
		code  int
		says  string
	}{
		"a pipe":                     {args: []string{"--data-binary", "@" + fifo("a\nb")}, says: "POST 3 bytes"},
		"nothing":                    {args: []string{"--data-binary", "@" + os.DevNull}, says: "POST 0 bytes"},
		"a folder":                   {args: []string{"--data-binary", "@" + l.dir}, code: exitUsage, says: "is a directory"},
		"a folder, -d":               {args: []string{"-d", "@" + l.dir}, code: exitUsage, says: "is a directory"},
		"output to a folder":         {args: []string{"-o", l.dir}, code: exitOutput, says: "is a directory"},
		"a password, and then more":  {args: []string{"--principal", "alice", "--password-file", "-", "-d", "@-"}, stdin: strings.NewReader(password + "\nrest"), says: "POST 4 bytes"},
		"a password of many letters": {args: []string{"--principal", "alice", "--password-file", long}, code: exitUsage, says: "65536 bytes"},
		"a password from a folder":   {args: []string{"--principal", "alice", "--password-file", l.dir}, code: exitUsage, says: "is a directory"},
		"a key that is missing":      {args: []string{"--cert", long, "--key", "/nonexistent"}, code: exitUsage, says: "/nonexistent"},
		"a URL for a host":           {args: []string{"--allowed-hosts", "a.example, http://x/"}, code: exitConfiguration, says: "--allowed-hosts: \"http://x/\" is no host: write app.example"},
		"no host at all":             {args: []string{"--allowed-hosts", ","}, code: exitConfiguration, says: "--allowed-hosts: there is no host in the list"},
		"a keytab of nothing":        {args: []string{"--keytab", os.DevNull}, code: exitCredentials, says: "not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			restore(t, filepath.Join(l.dir, "cc"))
			if tc.stdin == nil {
				tc.stdin = strings.NewReader("")
			}
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), append(append([]string{"get"}, tc.args...), url),
				world{stdin: tc.stdin, stdout: &stdout, stderr: &stderr, getenv: func(name string) string { return l.env[name] }})
			if code != tc.code || !strings.Contains(stdout.String()+stderr.String(), tc.says) {
				t.Errorf("exit status %d: %s%s", code, stdout.String(), stderr.String())
			}
		})
	}
}

// TestFullDisk: what cannot be written is an error, wherever it goes.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	l := newLab(t, fakeweb.ServerOptions{})
	getenv := func(name string) string { return l.env[name] }
	for _, args := range [][]string{
		{"get", l.server.URL()}, {"get", "-o", "/dev/full", l.server.URL()}, {"get", "-i", "-o", "/dev/full", l.server.URL()},
		{"get", "-I", "-L", l.server.URL() + "/moved"}, {"get", "-o", os.DevNull, "-w", "x", l.server.URL()},
		{"klist"}, {"explain", "oQcwBaADCgEA"}, {"version"}, {"man"}, {"completion", "bash"},
		{"kdc", "--dir", t.TempDir(), "--for", "1m"},
	} {
		var stderr bytes.Buffer
		if code := run(t.Context(), args, world{stdin: strings.NewReader(""), stdout: full, stderr: &stderr, getenv: getenv}); code != exitOutput || !strings.Contains(stderr.String(), "no space left") {
			t.Errorf("%q: exit status %d: %s", args, code, stderr.String())
		}
	}
}
