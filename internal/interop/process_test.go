//go:build interop

package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	patience = 30 * time.Second // for a program to answer or to end
	interval = 10 * time.Millisecond
)

// tempDir is a folder that other users can enter, which those of t.TempDir are
// not: Apache refuses to work as root. Its path is short enough for a socket.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "interop-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// freePorts returns loopback addresses that nothing listens at, on TCP or UDP.
func freePorts(t *testing.T, n int) []string {
	t.Helper()
	var addrs []string
	for range 100 * n {
		tcp, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer tcp.Close() // all of them at the end, so that they differ
		addr := tcp.Addr().String()
		udp, err := net.ListenPacket("udp4", addr)
		if err != nil {
			continue
		}
		defer udp.Close()
		if addrs = append(addrs, addr); len(addrs) == n {
			return addrs
		}
	}
	t.Fatalf("found no %d free ports", n)
	return nil
}

func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}

// An environment is what programs get, and nothing of ours but PATH.
type environment map[string]string

func (e environment) with(name, value string) environment {
	c := environment{name: value}
	for k, v := range e {
		if k != name {
			c[k] = v
		}
	}
	return c
}

func (e environment) list() []string {
	out := []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	for k, v := range e {
		out = append(out, k+"="+v)
	}
	return out
}

// A result is how a program ended.
type result struct {
	code           int
	stdout, stderr string
	line           string
}

func (r result) String() string {
	return fmt.Sprintf("%s\nexit status %d\nstdout: %s\nstderr: %s", r.line, r.code, clip(r.stdout), clip(r.stderr))
}

// run runs a program to its end.
func run(t *testing.T, env environment, stdin, name string, args ...string) result {
	t.Helper()
	return runFor(t, patience, env, stdin, name, args...)
}

// runFor is run for a program that has more to do.
func runFor(t *testing.T, limit time.Duration, env environment, stdin, name string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = env.list()
	cmd.Stdin = strings.NewReader(stdin)
	cmd.WaitDelay = patience / 3
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	r := result{line: filepath.Base(name) + " " + strings.Join(args, " "), stdout: out.String(), stderr: errs.String()}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("%s: %v\n%v", name, errors.Join(err, ctx.Err()), r)
	}
	r.code = cmd.ProcessState.ExitCode()
	return r
}

// must runs a program that has to succeed.
func must(t *testing.T, env environment, stdin, name string, args ...string) result {
	t.Helper()
	r := run(t, env, stdin, name, args...)
	if r.code != 0 {
		t.Fatalf("failed: %v", r)
	}
	return r
}

// serve starts a server that ends with the test, and returns when all its
// addresses take connections.
func serve(t *testing.T, env environment, as *syscall.Credential, addrs []string, name string, args ...string) *os.Process {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = env.list()
	cmd.SysProcAttr = attributes(as)
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cmd.Wait()
	}()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(patience):
			t.Errorf("%s did not end when told to", name)
			cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("output of %s: %s", name, clip(out.String()))
		}
	})
	for _, addr := range addrs {
		if !await(t, func() bool { return listening(addr) }, ended) {
			t.Fatalf("%s does not listen at %s", name, addr)
		}
	}
	return cmd.Process
}

func listening(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err == nil {
		c.Close()
	}
	return err == nil
}

// await polls until done, for as long as patience lasts or until given up.
func await(t *testing.T, done func() bool, givenUp <-chan struct{}) bool {
	t.Helper()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	limit := time.After(patience)
	for !done() {
		select {
		case <-tick.C:
		case <-limit:
			return false
		case <-givenUp:
			return false
		}
	}
	return true
}

// showOnFailure logs the ends of files if the test fails.
func showOnFailure(t *testing.T, paths ...string) {
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for _, path := range paths {
			b, err := os.ReadFile(path)
			t.Logf("%s (%v):\n%s", filepath.Base(path), err, clip(string(b)))
		}
	})
}

// clip keeps the end of a long text.
func clip(s string) string {
	const limit = 8 << 10
	if len(s) > limit {
		return "[...] " + s[len(s)-limit:]
	}
	return s
}

func readAll(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
