package ccache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kerbchain/kerbchain/internal/regularfile"
)

// A DIR cache is a directory of FILE caches whose names begin with "tkt", and a
// file "primary" that names the one to use. "DIR:/path" is the collection,
// "DIR::/path/tktabc" one cache in it.
const (
	primaryFile   = "primary"
	defaultMember = "tkt"
	maxPrimary    = 64      // bytes, MIT's own bound
	maxMembers    = 4096    // caches
	maxEntries    = 1 << 16 // files looked at in search of them
)

func openDir(n Name) (Collection, error) {
	path, ok := strings.CutPrefix(n.Residual, ":")
	if !ok {
		return dirCollection{path: n.Residual}, nil
	}
	if !member(filepath.Base(path)) {
		return nil, fmt.Errorf("credential cache %s: want DIR::/directory/%sNAME", n, defaultMember)
	}
	return &FileStore{name: n, path: path}, nil
}

// member reports whether a file of that name is a cache of its directory.
func member(name string) bool {
	return strings.HasPrefix(name, defaultMember) && !strings.ContainsAny(name, "/\x00")
}

// A dirCollection is a directory, by its path.
type dirCollection struct {
	path string
	may  func(context.Context, Owner) error // as in FileStore
}

func (d dirCollection) member(name string) *FileStore {
	path := filepath.Join(d.path, name)
	return &FileStore{Name{"DIR", ":" + path}, path, d.may}
}

func (d dirCollection) failed(err error) error {
	return fmt.Errorf("credential cache %s: %w", Name{"DIR", d.path}, err)
}

// Primary returns the one that the file "primary" names, or "tkt" if that file
// is missing, as in a directory that is new.
func (d dirCollection) Primary(context.Context) (Store, error) {
	name, err := d.primary()
	if err != nil {
		return nil, d.failed(err)
	}
	return d.member(name), nil
}

func (d dirCollection) primary() (string, error) {
	f, err := regularfile.Open(filepath.Join(d.path, primaryFile), os.O_RDONLY, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return defaultMember, nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPrimary+1))
	if err != nil {
		return "", err
	}
	return parsePrimary(b)
}

// parsePrimary reads the file "primary". MIT wants a newline at the end; a hand
// may have left it out.
func parsePrimary(b []byte) (string, error) {
	name, rest, _ := strings.Cut(string(b[:min(len(b), maxPrimary+1)]), "\n")
	if len(name) >= maxPrimary || rest != "" || !member(name) || strings.Contains(name, `\`) {
		return "", fmt.Errorf("the file %s in it does not name a cache: want one line that begins with %q; run kswitch", primaryFile, defaultMember)
	}
	return name, nil
}

// Stores returns the primary one first and the others by name. As in MIT's
// library, a file "primary" that names none does not hide the others, and a
// directory that is missing holds none.
func (d dirCollection) Stores(context.Context) ([]Store, error) {
	names, err := d.members()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, d.failed(err)
	}
	slices.Sort(names)
	out := make([]Store, 0, len(names)+1)
	primary, err := d.primary()
	if err == nil {
		s := d.member(primary)
		if info, err := os.Stat(s.path); err == nil && info.Mode().IsRegular() {
			out = append(out, s)
		}
	}
	for _, name := range names {
		if name != primary && len(out) < maxMembers {
			out = append(out, d.member(name))
		}
	}
	return out, nil
}

// members returns names of caches, in the order of the directory.
func (d dirCollection) members() ([]string, error) {
	f, err := os.Open(d.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// On Windows the error of listing a file is that of a directory which is missing.
	switch info, err := f.Stat(); {
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, fmt.Errorf("%s is no directory", d.path)
	}
	var out []string
	for range maxEntries / 256 {
		entries, err := f.ReadDir(256)
		for _, e := range entries {
			regular := e.Type().IsRegular() || e.Type()&fs.ModeSymlink != 0
			if regular && member(e.Name()) && len(out) < maxMembers {
				out = append(out, e.Name())
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
