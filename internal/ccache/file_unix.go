//go:build unix

package ccache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// openFlags let no pipe that was put in the file's place keep us waiting.
const openFlags = unix.O_NONBLOCK | unix.O_NOCTTY

func writable() error { return nil }

// ours gives an error for a file that is another user's, also to root.
func ours(info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && int64(st.Uid) == int64(os.Geteuid()) {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrNotOurs, fs.ErrPermission)
}

func stateOf(path string) (string, error) {
	var st unix.Stat_t
	if err := again(func() error { return unix.Stat(path, &st) }); err != nil {
		return "", &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return fmt.Sprintf("%x %x %x %x.%x %x.%x", st.Dev, st.Ino, st.Size, st.Mtim.Sec, st.Mtim.Nsec, st.Ctim.Sec, st.Ctim.Nsec), nil
}

// onFile calls with the file's descriptor, which stays open meanwhile.
func onFile(f *os.File, call func(fd uintptr) error) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := c.Control(func(fd uintptr) { failed = again(func() error { return call(fd) }) }); err != nil {
		return err
	}
	return failed
}

// again repeats a call that a signal interrupted.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
