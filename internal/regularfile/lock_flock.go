//go:build unix && !aix && !linux && !solaris

package regularfile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// tryLock takes a lock of the open file. On the BSDs and macOS it contends with
// fcntl locks of other processes.
func tryLock(f *os.File, exclusive bool) error {
	how := unix.LOCK_SH
	if exclusive {
		how = unix.LOCK_EX
	}
	err := onFile(f, func(fd uintptr) error { return unix.Flock(int(fd), how|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}
