//go:build unix

package ccache

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kerbchain/kerbchain/internal/regularfile"
)

func writable() error { return nil }

// ours gives an error for a file that is another user's, also to root.
func ours(info fs.FileInfo) error {
	if uid, ok := OwnerOf(info); ok && uid == os.Geteuid() {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrNotOurs, fs.ErrPermission)
}

// OwnerOf returns the id of the user whose a file is.
func OwnerOf(info fs.FileInfo) (uid int, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), true
}

func stateOf(path string) (string, error) {
	var st unix.Stat_t
	if err := regularfile.Again(func() error { return unix.Stat(path, &st) }); err != nil {
		return "", &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return fmt.Sprintf("%x %x %x %x.%x %x.%x", st.Dev, st.Ino, st.Size, st.Mtim.Sec, st.Mtim.Nsec, st.Ctim.Sec, st.Ctim.Nsec), nil
}
