package regularfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// ErrLocked: somebody else holds a lock that excludes ours.
var ErrLocked = errors.New("locked by another process")

// Lock locks a whole file, shared or exclusive, until it is closed. Having to
// wait, it asks again and again, since a call that waits could not be ended; when
// the context ends the error wraps [ErrLocked] and the context's. Others mean that
// the file system knows no locks.
func Lock(ctx context.Context, f *os.File, exclusive bool) error {
	const first, most = time.Millisecond, 16 * time.Millisecond
	for wait := first; ; wait = min(2*wait, most) {
		err := tryLock(f, exclusive)
		if !errors.Is(err, ErrLocked) {
			return err
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("%w: %w", err, ctx.Err())
		}
	}
}
