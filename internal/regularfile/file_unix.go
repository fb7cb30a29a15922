//go:build unix

package regularfile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// OpenFlags let no pipe that was put in the file's place keep us waiting.
const OpenFlags = unix.O_NONBLOCK | unix.O_NOCTTY

func openFile(path string, flags int) (*os.File, error) {
	return os.OpenFile(path, flags|OpenFlags, 0)
}

// onFile calls with the file's descriptor, which stays open meanwhile.
func onFile(f *os.File, call func(fd uintptr) error) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := c.Control(func(fd uintptr) { failed = Again(func() error { return call(fd) }) }); err != nil {
		return err
	}
	return failed
}

// Again repeats a system call that a signal interrupted.
func Again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
