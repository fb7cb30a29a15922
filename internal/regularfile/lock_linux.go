package regularfile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// tryLock takes a lock of the open file description, as MIT does, which
// contends with fcntl locks of other processes and also between files opened
// in one process. Kernels before 3.15 do not know it; the lock is the process's
// then, and any other closing of the file gives it up.
func tryLock(f *os.File, exclusive bool) error {
	err := fcntlLock(f, unix.F_OFD_SETLK, exclusive)
	if errors.Is(err, unix.EINVAL) {
		err = fcntlLock(f, unix.F_SETLK, exclusive)
	}
	return err
}
