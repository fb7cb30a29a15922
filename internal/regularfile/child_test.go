//go:build unix

package regularfile

import (
	"bufio"
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
const childEnv = "KERBCHAIN_REGULARFILE_TEST_CHILD"

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
// locks of POSIX that any program takes.
func runChild(task []string) error {
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
}

// try returns what a second process says that tries to take a lock.
func try(tb testing.TB, kind, path string) string {
	tb.Helper()
	said, end := hold(tb, "try", kind, path)
	end()
	return said
}

// hold starts a second process that holds a lock until end is called.
func hold(tb testing.TB, task, kind, path string) (said string, end func()) {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(self)
	// The race detector makes a process wait for a second before it ends.
	cmd.Env = append(os.Environ(), childEnv+"="+strings.Join([]string{task, kind, path}, " "), "GORACE=atexit_sleep_ms=0")
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
	said, err = bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		tb.Errorf("the second process said %q: %v", said, err)
	}
	return strings.TrimSpace(said), func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			tb.Error(err)
		}
	}
}
