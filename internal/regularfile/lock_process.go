//go:build aix || solaris

package regularfile

import (
	"os"

	"golang.org/x/sys/unix"
)

// tryLock takes a lock of the process. Any other closing of the file gives it
// up.
func tryLock(f *os.File, exclusive bool) error { return fcntlLock(f, unix.F_SETLK, exclusive) }
