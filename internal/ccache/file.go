package ccache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kerbchain/kerbchain/internal/regularfile"
)

// ErrOtherClient: credentials are not added to a cache that holds those of
// another principal, as after somebody ran kinit for it.
var ErrOtherClient = errors.New("the credential cache is another principal's")

// A FileStore is a cache in a file: one of type FILE, or a member of a DIR
// collection. It is a [Store], and a [Collection] of that one.
//
// Load and Add take the locks that MIT's library takes, shared and exclusive,
// and wait for them until the context ends. Where the file system knows no locks
// Load goes without. The file need not be writable for Load. Writing is not
// possible on Windows ([errors.ErrUnsupported]).
type FileStore struct {
	name Name
	path string
	may  func(context.Context, Owner) error // whose files are read; nil: anybody's
}

var (
	_ Store      = (*FileStore)(nil)
	_ Collection = (*FileStore)(nil)
)

// OpenFile returns the cache in a file, which need not exist.
func OpenFile(path string) *FileStore { return &FileStore{name: Name{"FILE", path}, path: path} }

// Open returns the collection that n names, of type FILE or DIR; nothing of it
// need exist. Other types give an [*UnsupportedTypeError].
func Open(n Name) (Collection, error) {
	switch n.Type {
	case "FILE":
		return OpenFile(n.Residual), nil
	case "DIR":
		return openDir(n)
	}
	return nil, &UnsupportedTypeError{n}
}

// Name returns FILE:path or DIR::path.
func (s *FileStore) Name() Name { return s.name }

// Primary returns s.
func (s *FileStore) Primary(context.Context) (Store, error) { return s, nil }

// Stores returns s if its file exists.
func (s *FileStore) Stores(context.Context) ([]Store, error) {
	switch _, err := os.Stat(s.path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, s.failed(err)
	}
	return []Store{s}, nil
}

// State is made of device, inode, size and the times of the last change.
func (s *FileStore) State(context.Context) (string, error) {
	state, err := stateOf(s.path)
	if err != nil {
		return "", s.failed(err)
	}
	return state, nil
}

// attempts bounds how often a file is opened that was replaced meanwhile.
const attempts = 1000

// Load reads the file, opened anew each time since kinit replaces it. Of one with
// a torn tail it gives what is before ([Cache.Torn]).
func (s *FileStore) Load(ctx context.Context) (*Cache, error) {
	for i := 1; ; i++ {
		c, replaced, err := s.load(ctx)
		if replaced && i < attempts && ctx.Err() == nil {
			continue // what kdestroy takes away it overwrites first
		}
		switch pe, ok := errors.AsType[*ParseError](err); {
		case ok:
			pe.Name = s.name.String()
			return nil, pe
		case err != nil:
			return nil, s.failed(err)
		case c.Torn != nil:
			c.Torn.Name = s.name.String()
		}
		return c, nil
	}
}

// load reads the file once. What is not whole may have been replaced meanwhile.
func (s *FileStore) load(ctx context.Context) (_ *Cache, replaced bool, _ error) {
	b, info, err := s.read(ctx)
	if err != nil {
		return nil, false, err
	}
	c, err := Parse(b)
	return c, (err != nil || c.Torn != nil) && !isAt(info, s.path), err
}

func (s *FileStore) read(ctx context.Context) ([]byte, fs.FileInfo, error) {
	f, err := regularfile.Open(s.path, os.O_RDONLY, nil)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if err := s.mayRead(ctx, f); err != nil {
		return nil, nil, err
	}
	if err := regularfile.Lock(ctx, f, false); errors.Is(err, regularfile.ErrLocked) {
		return nil, nil, err
	}
	return readWhole(f)
}

// Add appends in one write, in the format that the file has. Nothing is added
// to a file of another principal ([ErrOtherClient]), nor behind half a
// credential ([ErrTruncated]): whoever reads on would take the one for the rest
// of the other. Nor is a file made so long that it would not be read. Of a write
// that fails nothing remains.
func (s *FileStore) Add(ctx context.Context, credentials ...Credential) error {
	if len(credentials) == 0 {
		return nil
	}
	err := writable()
	for i := 1; err == nil; i++ {
		var replaced bool
		replaced, err = s.add(ctx, credentials)
		if err == nil && !replaced {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err == nil && i == attempts {
			err = fmt.Errorf("replaced by others %d times meanwhile", attempts)
		}
	}
	if pe, ok := errors.AsType[*ParseError](err); ok {
		pe.Name = s.name.String()
		return fmt.Errorf("nothing added: %w; run kinit", err)
	}
	return s.failed(fmt.Errorf("nothing added: %w", err))
}

func (s *FileStore) add(ctx context.Context, credentials []Credential) (replaced bool, _ error) {
	f, err := regularfile.Open(s.path, os.O_RDWR|os.O_APPEND, ours)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if err := regularfile.Lock(ctx, f, true); err != nil {
		return false, err
	}
	b, info, err := readWhole(f)
	if err != nil {
		return false, err
	}
	if !isAt(info, s.path) {
		return true, nil
	}
	c, p, err := parseFile(b)
	switch {
	case err != nil:
		return false, err
	case c.Torn != nil:
		return false, c.Torn
	}
	if err := Fits(p.entries + len(credentials)); err != nil {
		return false, err
	}
	w := &writer{layout: p.layout}
	for i := range credentials {
		if client := credentials[i].Client; !client.Equal(c.Client) {
			return false, fmt.Errorf("%w: %s, not %s", ErrOtherClient, c.Client, client)
		}
		w.credential(&credentials[i])
		if w.err != nil {
			return false, fmt.Errorf("credential for %s: %w", credentials[i].Server, w.err)
		}
	}
	if len(b)+len(w.b) > MaxSize {
		return false, fmt.Errorf("the file would exceed %d bytes", MaxSize)
	}
	if n, err := f.Write(w.b); err != nil {
		return false, errors.Join(err, takeBack(f, len(b), n))
	}
	return false, f.Close() // where a network file system says that it failed
}

// takeBack removes the last n bytes of a file that had size bytes before, unless
// somebody who respects no locks wrote on.
func takeBack(f *os.File, size, n int) error {
	info, err := f.Stat()
	if err != nil || info.Size() != int64(size)+int64(n) {
		return err
	}
	return f.Truncate(int64(size))
}

// Replace makes a new file, of mode 0600, and moves it to where the old one is
// or, being a symbolic link, to where that link is. The missing directory of a
// DIR collection is made, with mode 0700, as MIT does.
func (s *FileStore) Replace(ctx context.Context, c *Cache) error {
	if err := cmp.Or(writable(), ctx.Err()); err != nil {
		return s.failed(err)
	}
	b, err := c.Marshal()
	if err != nil {
		return err
	}
	if len(b) > MaxSize {
		return s.failed(fmt.Errorf("the file would exceed %d bytes", MaxSize))
	}
	if err := s.replace(b); err != nil {
		return s.failed(fmt.Errorf("not replaced: %w", err))
	}
	return nil
}

func (s *FileStore) replace(b []byte) (err error) {
	dir := filepath.Dir(s.path)
	if s.name.Type == "DIR" {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	switch info, err := os.Lstat(s.path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink == 0 && !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", s.path)
	default:
		if err := ours(info); err != nil {
			return err
		}
	}
	// Not to be taken for a member of a collection.
	f, err := os.CreateTemp(dir, ".krb5cc-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(b)
	if err = errors.Join(err, f.Chmod(0o600), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), s.path)
}

// failed says of which cache an error is, and what to do.
func (s *FileStore) failed(err error) error {
	hint := ""
	if errors.Is(err, fs.ErrNotExist) {
		hint = "; run kinit, or set KRB5CCNAME to a cache that exists"
	}
	return fmt.Errorf("credential cache %s: %w%s", s.name, err, hint)
}

// readWhole reads a file that may be too large to be a cache.
func readWhole(f *os.File) ([]byte, fs.FileInfo, error) {
	b, info, err := regularfile.ReadAll(f, MaxSize)
	if errors.Is(err, regularfile.ErrTooLarge) {
		err = tooLarge("file")
	}
	return b, info, err
}

// isAt reports whether a file that was opened is the one of that path now.
func isAt(opened fs.FileInfo, path string) bool {
	there, err := os.Stat(path)
	return err == nil && os.SameFile(opened, there)
}
