//go:build unix

package ccache

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// Locks are between processes: the test binary is its own second process.
const childEnv = "KERBCHAIN_CCACHE_TEST_CHILD"

func TestMain(m *testing.M) {
	if task := os.Getenv(childEnv); task != "" {
		if err := runChild(strings.Fields(task)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// runChild carries out a task: "hold read PATH" and "try write PATH" with the
// locks of POSIX that any program takes, "add PATH NAME COUNT", "full PATH".
func runChild(task []string) error {
	switch task[0] {
	case "hold", "try":
		f, err := os.OpenFile(task[2], os.O_RDWR, 0)
		if err != nil {
			return err
		}
		l := unix.Flock_t{Type: unix.F_RDLCK}
		if task[1] == "write" {
			l.Type = unix.F_WRLCK
		}
		switch err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &l); {
		case err == nil:
			fmt.Println("locked")
		case err == unix.EAGAIN || err == unix.EACCES:
			fmt.Println("excluded")
		default:
			return err
		}
		if task[0] == "hold" {
			_, err = io.Copy(io.Discard, os.Stdin)
		}
		return err
	case "add":
		var count int
		if _, err := fmt.Sscan(task[3], &count); err != nil {
			return err
		}
		c, err := OpenFile(task[1]).Load(context.Background())
		if err != nil {
			return err
		}
		for i := range count {
			if err := OpenFile(task[1]).Add(context.Background(), like(c.Credentials[1], task[2], i)); err != nil {
				return err
			}
		}
		return nil
	case "full":
		return addToFull(task[1])
	}
	return fmt.Errorf("no such task: %q", task)
}

// A child is a second process at work.
type child struct {
	tb    testing.TB
	cmd   *exec.Cmd
	stdin io.Closer
	out   *bufio.Reader
}

func startChild(tb testing.TB, task ...string) *child {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(self)
	// The race detector makes a process wait for a second before it ends.
	cmd.Env = append(os.Environ(), childEnv+"="+strings.Join(task, " "), "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	return &child{tb, cmd, stdin, bufio.NewReader(stdout)}
}

// line waits for one of what the child says.
func (c *child) line() string {
	c.tb.Helper()
	s, err := c.out.ReadString('\n')
	if err != nil {
		c.tb.Errorf("the second process said %q: %v", s, err)
	}
	return strings.TrimSpace(s)
}

// end lets the child finish and returns the rest of what it says.
func (c *child) end() string {
	c.tb.Helper()
	if err := c.stdin.Close(); err != nil {
		c.tb.Error(err)
	}
	rest, err := io.ReadAll(c.out)
	if err != nil {
		c.tb.Error(err)
	}
	if err := c.cmd.Wait(); err != nil {
		c.tb.Errorf("the second process: %v: %s", err, rest)
	}
	return strings.TrimSpace(string(rest))
}
