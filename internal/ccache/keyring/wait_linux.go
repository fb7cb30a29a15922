package keyring

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// pause waits before all tries but the first two: a millisecond, and twice as
// long each time. It ends with ctx.
func pause(ctx context.Context, try int) error {
	if try < 2 {
		return nil
	}
	t := time.NewTimer(time.Millisecond << (try - 2))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// quotaTries is how often a key is made that is too much for the user's quota,
// with pauses of 255 milliseconds in all.
const quotaTries = 10

// withQuota calls add again if there is no quota left: what keys took that are
// linked nowhere any more, as those of a cache that was replaced or of a thread
// that ended, the kernel gives back some milliseconds later.
func withQuota(ctx context.Context, add func() (serial, error)) (id serial, err error) {
	for try := range quotaTries {
		if err := pause(ctx, try); err != nil {
			return 0, err
		}
		if id, err = add(); !errors.Is(err, unix.EDQUOT) {
			break
		}
	}
	return id, err
}
