// Package firstline tells files that this module wrote for tests from others of the
// same name, by the line that they begin with.
package firstline

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Check reports whether a file is there, and refuses any but a regular one that begins
// with the line, which a newline ends. A symbolic link is not followed.
func Check(path, line string) (there bool, err error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !info.Mode().IsRegular():
		return true, fmt.Errorf("%s is there, and is no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return true, err
	}
	defer f.Close()
	b := make([]byte, len(line)+1)
	if _, err := io.ReadFull(f, b); err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return true, err
	}
	if string(b) != line+"\n" {
		return true, fmt.Errorf("%s is there, and does not begin with the line %q of files that may be replaced", path, line)
	}
	return true, nil
}
