package ccache

import (
	"context"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
)

// An Owner is whose a cache file is.
type Owner struct {
	Name Name // of the cache
	Path string
	UID  int
}

// Exposed reports whether the file, or what a symbolic link of that name leads to,
// is in a folder such as /tmp where everybody may put files that others cannot
// remove.
func (o Owner) Exposed() bool {
	exposed := func(path string) bool {
		info, err := os.Stat(filepath.Dir(path))
		return err == nil && info.Mode()&fs.ModeSticky != 0 && info.Mode().Perm()&0o022 != 0
	}
	if exposed(o.Path) {
		return true
	}
	target, err := filepath.EvalSymlinks(o.Path)
	return err == nil && exposed(target)
}

// User names a user by id and, if there is one, by name: "1000 (alice)".
func User(uid int) string {
	id := strconv.Itoa(uid)
	if u, err := user.LookupId(id); err == nil {
		return id + " (" + u.Username + ")"
	}
	return id
}

// OpenFor is [Open] for a reader that is particular about whose files it reads:
// may is asked, before a file is read, with the owner of the very file that was
// opened. Its error is that of Load. On systems without user ids it is not asked.
func OpenFor(n Name, may func(context.Context, Owner) error) (Collection, error) {
	c, err := Open(n)
	switch c := c.(type) {
	case *FileStore:
		c.may = may
	case dirCollection:
		c.may = may
		return c, err
	}
	return c, err
}

// mayRead asks whether a file that was opened may be read.
func (s *FileStore) mayRead(ctx context.Context, f *os.File) error {
	if s.may == nil {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	uid, ok := OwnerOf(info)
	if !ok {
		return nil
	}
	return s.may(ctx, Owner{s.name, s.path, uid})
}
