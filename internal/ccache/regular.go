package ccache

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// openRegular opens a regular file, following symbolic links as MIT does. A file
// for which may, if there is one, returns an error is not opened.
func openRegular(path string, flags int, may func(fs.FileInfo) error) (_ *os.File, err error) {
	check := func(info fs.FileInfo, err error) error {
		switch {
		case err != nil:
			return err
		case !info.Mode().IsRegular():
			return fmt.Errorf("%s is not a regular file", path)
		case may != nil:
			return may(info)
		}
		return nil
	}
	// Asked before as well: to open a device may do something.
	if err := check(os.Stat(path)); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, flags|openFlags, 0)
	if err != nil {
		return nil, err
	}
	if err := check(f.Stat()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// readAll reads from the start a file that may be too large to be a cache.
func readAll(f *os.File) ([]byte, fs.FileInfo, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if info.Size() > MaxSize {
		return nil, nil, tooLarge("file")
	}
	b := bytes.NewBuffer(make([]byte, 0, info.Size()+bytes.MinRead))
	_, err = b.ReadFrom(io.LimitReader(f, MaxSize+1))
	return b.Bytes(), info, err
}

// isAt reports whether a file that was opened is the one of that path now.
func isAt(opened fs.FileInfo, path string) bool {
	there, err := os.Stat(path)
	return err == nil && os.SameFile(opened, there)
}
