// Package files replaces the files of an earlier realm by those of another.
package files

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kerbchain/kerbchain/internal/firstline"
)

// Name makes a file's name of a principal's.
func Name(principal string) string {
	return strings.Map(func(c rune) rune {
		if c == '/' || c == filepath.Separator || c == filepath.ListSeparator {
			return '+'
		}
		return c
	}, principal)
}

// Write writes files, of mode 0600, by their paths. Where mark is there already and begins
// with line, the files are replaced, each at once. Otherwise it is an error if one of
// them is there, and nothing is written.
func Write(mark, line string, content map[string][]byte) error {
	if err := mayReplace(mark, line, content); err != nil {
		return fmt.Errorf("%w; name another folder, or remove it", err)
	}
	// mark comes first, since it tells whose the others are.
	if err := write(mark, content[mark]); err != nil {
		return err
	}
	for path, b := range content {
		if path == mark {
			continue
		}
		if err := write(path, b); err != nil {
			return err
		}
	}
	return nil
}

func mayReplace(mark, line string, content map[string][]byte) error {
	there, err := firstline.Check(mark, line)
	if there || err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(content)) {
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%s is there, and no krb5.conf of a test realm beside it", path)
		}
	}
	return nil
}

// write puts a new file of mode 0600 in the place of what is there.
func write(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
