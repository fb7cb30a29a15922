package regularfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// TestReadersKeepNobodyFromReplacing: a file that is open for reading can be renamed, and
// another be made in its place, or removed, and whoever has it open reads on in the old one.
// Where one that was removed is made anew, Windows' file systems differ.
func TestReadersKeepNobodyFromReplacing(t *testing.T) {
	for name, away := range map[string]func(path string) error{
		"renamed": func(path string) error { return os.Rename(path, path+".old") },
		"removed": os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := Open(path, os.O_RDONLY, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := away(path); err != nil {
				t.Fatal(err)
			}
			if name == "renamed" || runtime.GOOS != "windows" {
				if err := os.WriteFile(path, []byte("the new one"), 0o600); err != nil {
					t.Error(err)
				}
			}
			if b, _, err := ReadAll(f, 100); err != nil || string(b) != "old" {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
}

// TestNothingToOpen: what is not there, or cannot be, is an error that says so.
func TestNothingToOpen(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "none"), os.O_RDONLY, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	for _, path := range []string{dir, "", filepath.Join(dir, "a\x00b")} {
		if f, err := Open(path, os.O_RDONLY, nil); err == nil {
			f.Close()
			t.Errorf("%q was opened", path)
		}
	}
}
