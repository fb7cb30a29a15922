package ccache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kerbchain/kerbchain/internal/childtest"
)

// addToFull adds what does not fit under the limit that it sets to the size of
// its files, as on a disk that is full: the kernel writes the first part.
func addToFull(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	limit := uint64(len(b)) + 200
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
		return err
	}
	c, err := Parse(b)
	if err != nil {
		return err
	}
	err = OpenFile(path).Add(context.Background(), c.Credentials[0])
	if !errors.Is(err, unix.EFBIG) {
		return fmt.Errorf("added: %w", err)
	}
	fmt.Println("refused")
	return nil
}

// replaceFull puts a cache in place of one under a limit that is too small for it.
func replaceFull(path string) error {
	c, err := OpenFile(path).Load(context.Background())
	if err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 200, Max: 200}); err != nil {
		return err
	}
	if err := OpenFile(path).Replace(context.Background(), c); !errors.Is(err, unix.EFBIG) {
		return fmt.Errorf("replaced: %w", err)
	}
	fmt.Println("refused")
	return nil
}

// What could not be written whole takes nothing's place, and is not left behind.
func TestReplaceOnAFullDisk(t *testing.T) {
	path := file(t, 4)
	if got := childtest.Start(t, "replace-full", path).End(); got != "refused" {
		t.Error(got)
	}
	if !bytes.Equal(read(t, path), testFile(t, 4)) {
		t.Error("the file was changed")
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
}

func TestHalfAWriteIsTakenBack(t *testing.T) {
	path := file(t, 4)
	if got := childtest.Start(t, "full", path).End(); got != "refused" {
		t.Error(got)
	}
	if !bytes.Equal(read(t, path), testFile(t, 4)) {
		t.Error("the file was changed")
	}
	if err := OpenFile(path).Add(t.Context(), parse(t, testFile(t, 4)).Credentials[0]); err != nil {
		t.Error(err)
	}
}

// A reader needs no more than to read.
func TestLoadReadOnly(t *testing.T) {
	dir, err := os.MkdirTemp("", "ccache")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := dir + "/cc"
	write(t, path, testFile(t, 4))
	if err := errors.Join(os.Chmod(path, 0o444), os.Chmod(dir, 0o555)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		if os.Geteuid() == 0 {
			// To root modes mean nothing; this thread is nobody from here on,
			// and ends with the goroutine.
			runtime.LockOSThread()
			if err := unix.Setfsuid(65534); err != nil {
				done <- err
				return
			}
		}
		if f, err := os.OpenFile(path, os.O_RDWR, 0); err == nil {
			f.Close()
			done <- errors.New("the file can be written")
			return
		}
		_, err := OpenFile(path).Load(t.Context())
		done <- err
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
