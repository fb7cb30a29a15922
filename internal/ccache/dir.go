package ccache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// A DIR cache is a directory of FILE caches whose names begin with "tkt", and a
// file "primary" that names the one to use. "DIR:/path" is the collection,
// "DIR::/path/tktabc" one cache in it.
const (
	primaryFile   = "primary"
	defaultMember = "tkt"
	maxPrimary    = 64   // bytes, MIT's own bound
	maxMembers    = 4096 // caches looked at in search of a principal
)

// File returns the path of the file that a cache of type FILE or DIR is in. Of
// a collection that is its primary cache or, if a principal is wanted, the first
// that is that principal's, the primary one asked first. The file itself need
// not exist. Other types give an [*UnsupportedTypeError].
func File(n Name, want krb.Principal) (string, error) {
	switch n.Type {
	case "FILE":
		return n.Residual, nil
	case "DIR":
	default:
		return "", &UnsupportedTypeError{n}
	}
	if path, ok := strings.CutPrefix(n.Residual, ":"); ok {
		if !member(filepath.Base(path)) {
			return "", fmt.Errorf("credential cache %s: want DIR::/directory/%sNAME", n, defaultMember)
		}
		return path, nil
	}
	primary, err := primaryOf(n)
	if err != nil || want.IsZero() || holds(filepath.Join(n.Residual, primary), want) {
		return filepath.Join(n.Residual, primary), err
	}
	entries, err := os.ReadDir(n.Residual)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("credential cache %s: %w", n, err)
	}
	looked := 0
	for _, e := range entries {
		if !member(e.Name()) || e.Name() == primary {
			continue
		}
		if looked++; looked > maxMembers {
			return "", fmt.Errorf("credential cache %s: more than %d caches in the directory", n, maxMembers)
		}
		if path := filepath.Join(n.Residual, e.Name()); holds(path, want) {
			return path, nil
		}
	}
	return "", fmt.Errorf("credential cache %s: none of its caches is for %s: %w; run kinit %s, which adds one", n, want, fs.ErrNotExist, want)
}

// member reports whether a file of that name is a cache of its directory.
func member(name string) bool {
	return strings.HasPrefix(name, defaultMember) && !strings.ContainsAny(name, "/\x00")
}

func primaryOf(n Name) (string, error) {
	b, err := readFile(filepath.Join(n.Residual, primaryFile))
	if errors.Is(err, fs.ErrNotExist) {
		return defaultMember, nil // as MIT has it for a directory that is new
	}
	if err != nil {
		return "", fmt.Errorf("credential cache %s: %w", n, err)
	}
	name := strings.TrimSuffix(string(b[:min(len(b), maxPrimary+1)]), "\n")
	if len(name) >= maxPrimary || !member(name) || strings.Contains(name, "\n") {
		return "", fmt.Errorf("credential cache %s: the file %s in it does not name a cache: want one line that begins with %q; run kswitch",
			n, primaryFile, defaultMember)
	}
	return name, nil
}

// holds reports whether the cache in a file is the principal's. A cache that
// cannot be read is nobody's.
func holds(path string, want krb.Principal) bool {
	c, err := Load(Name{"FILE", path})
	return err == nil && c.Client.Equal(want)
}

// Members returns the caches of a DIR collection, the primary one first, and
// the others by name.
func Members(n Name) ([]Name, error) {
	if n.Type != "DIR" || strings.HasPrefix(n.Residual, ":") {
		return nil, fmt.Errorf("credential cache %s is no collection of type DIR", n)
	}
	primary, err := primaryOf(n)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(n.Residual)
	if err != nil {
		return nil, fmt.Errorf("credential cache %s: %w", n, err)
	}
	var out []Name
	for _, e := range entries {
		if member(e.Name()) && !e.IsDir() && len(out) < maxMembers {
			out = append(out, Name{"DIR", ":" + filepath.Join(n.Residual, e.Name())})
		}
	}
	slices.SortStableFunc(out, func(a, b Name) int {
		switch p := ":" + filepath.Join(n.Residual, primary); {
		case a.Residual == p && b.Residual != p:
			return -1
		case b.Residual == p && a.Residual != p:
			return 1
		}
		return 0
	})
	return out, nil
}
