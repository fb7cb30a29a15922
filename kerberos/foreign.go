package kerberos

import (
	"context"
	"fmt"
	"io/fs"
	"os"

	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/middleware"
)

// mayRead decides whether a cache file of another user is read. Whoever places a file
// under the name that a user's programs look for, in a folder such as /tmp, decides as
// whom they act, and holds the keys by which servers prove themselves to them. So under a
// default name only files of one's own are read, and so in any folder where everybody may
// create files. Another file that was named is read, as MIT krb5 does, and its owner is
// told to the trace.
func (s *Source) mayRead(ctx context.Context, o ccache.Owner, given bool) error {
	if s.ours(o.UID) {
		return nil
	}
	exposed := o.Exposed()
	if !given || exposed {
		return &foreignCacheError{owner: ccache.User(o.UID), exposed: exposed}
	}
	if middleware.Tracing(ctx) {
		middleware.Emit(ctx, middleware.ForeignCacheEvent{Cache: o.Name.String(), Owner: ccache.User(o.UID)})
	}
	return nil
}

// ours reports whether files of a user are this process's own: those of its effective
// user or, in a setuid program, of the user who runs it.
func ours(uid int) bool { return uid == os.Geteuid() || uid == os.Getuid() }

// A foreignCacheError says that a cache is not used because of its owner.
type foreignCacheError struct {
	owner   string
	exposed bool // in a folder where everybody may create files
}

func (e *foreignCacheError) Error() string {
	if e.exposed {
		return fmt.Sprintf("it belongs to user %s, in a folder where everybody may put files, and is not used", e.owner)
	}
	return fmt.Sprintf("it belongs to user %s, and is not used by default", e.owner)
}

func (e *foreignCacheError) Unwrap() error { return fs.ErrPermission }

func (e *foreignCacheError) hint() string {
	if e.exposed {
		return "remove that file, or run kinit with another name in KRB5CCNAME; if it is to be used all the same, copy it to a folder of your own"
	}
	return "run kinit with another name in KRB5CCNAME; if it is to be used all the same, name it there"
}
