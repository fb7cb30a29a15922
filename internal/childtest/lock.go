//go:build unix

package childtest

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lock takes a lock for reading or writing, and says whether it got it. The lock is
// the file's as long as that is open.
func lock(kind, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	l := unix.Flock_t{Type: unix.F_RDLCK}
	if kind == "write" {
		l.Type = unix.F_WRLCK
	}
	switch err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &l); {
	case err == nil:
		fmt.Println("locked")
	case err == unix.EAGAIN || err == unix.EACCES:
		fmt.Println("excluded")
	default:
		return nil, err
	}
	return f, nil
}
