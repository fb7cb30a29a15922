package keytab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/kerbchain/kerbchain/internal/regularfile"
)

// LockTimeout bounds the wait for a keytab that another program writes to.
const LockTimeout = time.Second

// Read returns the bytes of a keytab file. It takes the shared lock that MIT's
// library takes, waits for it until ctx ends or [LockTimeout] is over, and goes
// without where the file system knows no locks. The file must be a regular one of
// at most [MaxSize] bytes.
func Read(ctx context.Context, path string) ([]byte, error) {
	f, err := regularfile.Open(path, os.O_RDONLY, nil)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	ctx, cancel := context.WithTimeout(ctx, LockTimeout)
	defer cancel()
	if err := regularfile.Lock(ctx, f, false); errors.Is(err, regularfile.ErrLocked) {
		return nil, err
	}
	b, _, err := regularfile.ReadAll(f, MaxSize)
	if err != nil {
		return nil, fmt.Errorf("read it: %w", err)
	}
	return b, nil
}
