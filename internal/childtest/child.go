//go:build unix

package childtest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/internal/testmain"
)

// taskOf is set for the second process alone.
const taskOf = "KERBCHAIN_TEST_CHILD"

// Main is for TestMain. In the second process it carries out the task; in the first
// it runs the tests, and looks for goroutines that they leave. Beside those that are
// given there are the tasks "hold read PATH" and "try write PATH", with the locks of
// POSIX that any program takes: the child says "locked" or "excluded", and holds
// on until its end.
func Main(m *testing.M, tasks map[string]func(args []string) error) {
	task := os.Getenv(taskOf)
	if task == "" {
		testmain.Run(m)
		return
	}
	if err := carryOut(strings.Split(task, "\n"), tasks); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

func carryOut(task []string, tasks map[string]func(args []string) error) error {
	switch name, args := task[0], task[1:]; {
	case tasks[name] != nil:
		return tasks[name](args)
	case len(args) == 2 && name == "hold":
		f, err := lock(args[0], args[1])
		if err == nil {
			_, err = io.Copy(io.Discard, os.Stdin)
		}
		runtime.KeepAlive(f) // to close it is to unlock
		return err
	case len(args) == 2 && name == "try":
		_, err := lock(args[0], args[1])
		return err
	}
	return fmt.Errorf("no such task: %q", task)
}

// A Child is a second process at work.
type Child struct {
	tb    testing.TB
	cmd   *exec.Cmd
	stdin io.Closer
	out   *bufio.Reader
}

// Start starts a second process with a task of words without line breaks. [Child.End]
// must be called.
func Start(tb testing.TB, task ...string) *Child {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(self)
	// The race detector makes a process wait for a second before it ends.
	cmd.Env = append(os.Environ(), taskOf+"="+strings.Join(task, "\n"), "GORACE=atexit_sleep_ms=0")
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
	return &Child{tb, cmd, stdin, bufio.NewReader(stdout)}
}

// Line waits for one of what the child says.
func (c *Child) Line() string {
	c.tb.Helper()
	s, err := c.out.ReadString('\n')
	if err != nil {
		c.tb.Errorf("the second process said %q: %v", s, err)
	}
	return strings.TrimSpace(s)
}

// End lets the child finish, which must succeed, and returns the rest of what it
// says.
func (c *Child) End() string {
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
