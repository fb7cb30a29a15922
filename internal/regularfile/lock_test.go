//go:build unix

package regularfile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func newFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := Open(path, os.O_RDWR, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func lockKind(exclusive bool) string {
	if exclusive {
		return "write"
	}
	return "read"
}

// What other programs lock with fcntl excludes us, and the other way round.
func TestLocksAreThoseOfFcntl(t *testing.T) {
	path := newFile(t, "x")
	for name, tc := range map[string]struct {
		ours, theirs bool // exclusive
		both         bool
	}{
		"two readers":        {false, false, true},
		"we write":           {true, false, false},
		"they write":         {false, true, false},
		"both want to write": {true, true, false},
	} {
		t.Run(name+", we first", func(t *testing.T) {
			f := open(t, path)
			if err := Lock(t.Context(), f, tc.ours); err != nil {
				t.Fatal(err)
			}
			if got := try(t, lockKind(tc.theirs), path); (got == "locked") != tc.both {
				t.Errorf("the other process is %s", got)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if got := try(t, lockKind(tc.theirs), path); got != "locked" {
				t.Errorf("after we closed the file the other process is %s", got)
			}
		})
		t.Run(name+", they first", func(t *testing.T) {
			got, end := hold(t, lockKind(tc.theirs), path)
			if got != "locked" {
				t.Fatalf("nobody holds a lock, and the other process is %s", got)
			}
			f := open(t, path)
			if err := tryLock(f, tc.ours); (err == nil) != tc.both || err != nil && !errors.Is(err, ErrLocked) {
				t.Errorf("we get %v", err)
			}
			end()
			if err := tryLock(f, tc.ours); err != nil {
				t.Errorf("after they ended we get %v", err)
			}
		})
	}
}

// Two files opened in one process exclude each other too.
func TestLocksWithinAProcess(t *testing.T) {
	path := newFile(t, "x")
	a, b := open(t, path), open(t, path)
	if err := tryLock(a, true); err != nil {
		t.Fatal(err)
	}
	for _, exclusive := range []bool{false, true} {
		if err := tryLock(b, exclusive); !errors.Is(err, ErrLocked) {
			t.Errorf("exclusive %v: %v", exclusive, err)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := tryLock(b, true); err != nil {
		t.Error(err)
	}
}

// A wait ends with the context, whose cause is the error's.
func TestLockWaitsForTheContext(t *testing.T) {
	path := newFile(t, "x")
	got, end := hold(t, "write", path)
	defer end()
	if got != "locked" {
		t.Fatal(got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := Lock(ctx, open(t, path), false); !errors.Is(err, ErrLocked) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestOnlyRegularFilesAreOpened(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, dir, "/dev/zero"} {
		if f, err := Open(path, os.O_RDONLY, nil); err == nil {
			f.Close()
			t.Errorf("%s was opened", path)
		}
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(newFile(t, "x"), link); err != nil {
		t.Fatal(err)
	}
	open(t, link)
	denied := errors.New("denied")
	if _, err := Open(link, os.O_RDONLY, func(os.FileInfo) error { return denied }); !errors.Is(err, denied) {
		t.Errorf("a file that may not be opened: %v", err)
	}
}

func TestReadAllIsBounded(t *testing.T) {
	path := newFile(t, "0123456789")
	for most, want := range map[int64]error{9: ErrTooLarge, 10: nil, 11: nil} {
		b, _, err := ReadAll(open(t, path), most)
		if !errors.Is(err, want) || err == nil && string(b) != "0123456789" || err != nil && b != nil {
			t.Errorf("at most %d: %q %v", most, b, err)
		}
	}
	if runtime.GOOS != "linux" {
		return
	}
	// procfs says 0 of what has more: the size that is told is no bound.
	if _, _, err := ReadAll(open(t, "/proc/self/comm"), 1); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a file that hides its size: %v", err)
	}
}
