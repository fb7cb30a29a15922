package keytab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/kerbchain/kerbchain/internal/regularfile"
)

// LockPatience bounds the wait for a keytab that another program writes to.
const LockPatience = time.Second

// Read returns the bytes of a keytab file. It takes the shared lock that MIT's
// library takes, waits for it until ctx ends or [LockPatience] is over, and goes
// without where the file system knows no locks. The file must be a regular one of
// at most [MaxSize] bytes.
func Read(ctx context.Context, path string) ([]byte, error) {
	f, err := regularfile.Open(path, os.O_RDONLY, nil)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	ctx, cancel := context.WithTimeout(ctx, LockPatience)
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
