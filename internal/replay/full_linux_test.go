package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"

	"github.com/kerbchain/kerbchain/internal/childtest"
)

func TestMain(m *testing.M) {
	childtest.Main(m, map[string]func([]string) error{"full": func(args []string) error { return spillOnFull(args[0]) }})
}

// spillOnFull sends bodies whose temporary file does not get beyond a limit to the size
// of files, as on a disk that is full: the kernel writes what has room.
func spillOnFull(dir string) error {
	whole := make([]byte, 300<<10)
	_, _ = rand.NewChaCha8([32]byte{}).Read(whole)
	// From the largest, since a limit cannot be raised again.
	for _, room := range []uint64{300<<10 - 1, 128<<10 + 1, 128 << 10, 64<<10 + 5, 1001, 1000, 1, 0} {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: room, Max: room}); err != nil {
			return err
		}
		for _, ahead := range []bool{false, true} {
			for _, length := range []int64{-1, int64(len(whole))} {
				for how, reader := range map[string]io.Reader{"": bytes.NewReader(whole), ", a few bytes at a time": iotest.HalfReader(bytes.NewReader(whole))} {
					if err := sendOnFull(dir, whole, reader, length, ahead); err != nil {
						return fmt.Errorf("room for %d bytes, %d declared, ahead %v%s: %w", room, length, ahead, how, err)
					}
				}
			}
		}
	}
	fmt.Println("whole")
	return nil
}

func sendOnFull(dir string, whole []byte, reader io.Reader, length int64, ahead bool) error {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://a.test/", io.NopCloser(reader))
	if err != nil {
		return err
	}
	r.ContentLength = length
	b, err := New(r, Options{Limit: 1000, SpillLimit: 1 << 20, SpillDir: dir, Ahead: ahead})
	if err != nil {
		return err
	}
	defer b.Close()
	first, err := b.Next()
	if err != nil {
		return err
	}
	if ahead && !b.Once() {
		return errors.New("said to be good for more than one attempt")
	}
	got, err := io.ReadAll(first.Body)
	if err != nil || !bytes.Equal(got, whole) {
		return fmt.Errorf("%d of %d bytes were sent, or others: %w", len(got), len(whole), err)
	}
	if err := first.Body.Close(); err != nil {
		return err
	}
	if _, err := b.Next(); !errors.Is(err, ErrNotReplayable) || !errors.Is(err, unix.EFBIG) && !strings.Contains(err.Error(), unix.EFBIG.Error()) {
		return fmt.Errorf("another attempt: %w", err)
	}
	if err := b.Close(); err != nil {
		return err
	}
	left, err := os.ReadDir(dir)
	if err == nil && len(left) != 0 {
		err = fmt.Errorf("files that are left: %v", left)
	}
	return err
}

// A disk that gets full on the way is no reason not to send the body, once and whole.
func TestSpillOnAFullDisk(t *testing.T) {
	if got := childtest.Start(t, "full", t.TempDir()).End(); got != "whole" {
		t.Error(got)
	}
}
