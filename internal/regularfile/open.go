package regularfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// ErrTooLarge: the file is larger than the reader allows.
var ErrTooLarge = errors.New("file too large")

// ErrIrregular: there is a folder, pipe or device.
var ErrIrregular = errors.New("not a regular file")

// Open opens a regular file, following symbolic links as MIT does. Pipes,
// devices and directories are refused without a wait. A file for which may, if
// there is one, returns an error is not opened. Whoever removes or renames the file while
// it is read is not kept from it.
func Open(path string, flags int, may func(fs.FileInfo) error) (_ *os.File, err error) {
	check := func(info fs.FileInfo, err error) error {
		switch {
		case err != nil:
			return err
		case !info.Mode().IsRegular():
			return fmt.Errorf("%s is %w", path, ErrIrregular)
		case may != nil:
			return may(info)
		}
		return nil
	}
	// Asked before as well: to open a device may do something.
	if err := check(os.Stat(path)); err != nil {
		return nil, err
	}
	f, err := openFile(path, flags)
	if err != nil {
		return nil, err
	}
	if err := check(f.Stat()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// ReadAll reads a file from where it stands, and what it is. One of more than
// most bytes gives an error that wraps [ErrTooLarge], and is not read.
func ReadAll(f *os.File, most int64) ([]byte, fs.FileInfo, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	tooLarge := fmt.Errorf("%w: more than %d bytes", ErrTooLarge, most)
	if info.Size() > most {
		return nil, info, tooLarge
	}
	b := bytes.NewBuffer(make([]byte, 0, info.Size()+bytes.MinRead))
	_, err = b.ReadFrom(io.LimitReader(f, most+1))
	if err == nil && int64(b.Len()) > most {
		return nil, info, tooLarge // it grew meanwhile
	}
	return b.Bytes(), info, err
}
