//go:build !unix && !windows

package regularfile

import "os"

// OpenFlags are none that this system knows.
const OpenFlags = 0

func openFile(path string, flags int) (*os.File, error) { return os.OpenFile(path, flags, 0) }
