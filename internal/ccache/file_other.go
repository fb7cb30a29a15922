//go:build !unix

package ccache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// writable says that it is not: whose a file is, and who else is writing it, is
// told in ways that are not carried out here.
func writable() error {
	return fmt.Errorf("writing to a cache file on this system: %w", errors.ErrUnsupported)
}

func ours(fs.FileInfo) error { return writable() }

// OwnerOf returns false: files belong to no user ids here.
func OwnerOf(fs.FileInfo) (uid int, ok bool) { return 0, false }

func stateOf(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%x %x", info.Size(), info.ModTime().UnixNano()), nil
}
