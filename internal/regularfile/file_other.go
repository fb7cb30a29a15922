//go:build !unix

package regularfile

import (
	"errors"
	"os"
)

// OpenFlags are none that this system knows.
const OpenFlags = 0

func tryLock(*os.File, bool) error { return errors.ErrUnsupported }
