package regularfile

import (
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// OpenFlags are none that this system knows.
const OpenFlags = 0

// openFile opens a file. For reading it is shared with whoever removes or renames it
// meanwhile, which os.OpenFile does not: a program that replaces a cache or keytab would fail
// whenever somebody reads it.
func openFile(path string, flags int) (*os.File, error) {
	if flags != os.O_RDONLY {
		return os.OpenFile(path, flags, 0)
	}
	failed := func(err error) (*os.File, error) { return nil, &fs.PathError{Op: "open", Path: path, Err: err} }
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return failed(err)
	}
	h, err := windows.CreateFile(name, windows.GENERIC_READ, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE,
		nil, windows.OPEN_EXISTING, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		return failed(err)
	}
	return os.NewFile(uintptr(h), path), nil
}
