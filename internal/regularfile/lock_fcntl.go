//go:build aix || linux || solaris

package regularfile

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// fcntlLock carries out a locking command of fcntl on a whole file.
func fcntlLock(f *os.File, command int, exclusive bool) error {
	l := unix.Flock_t{Type: unix.F_RDLCK, Whence: io.SeekStart}
	if exclusive {
		l.Type = unix.F_WRLCK
	}
	err := onFile(f, func(fd uintptr) error { return unix.FcntlFlock(fd, command, &l) })
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) { // POSIX allows both
		return ErrLocked
	}
	return err
}
