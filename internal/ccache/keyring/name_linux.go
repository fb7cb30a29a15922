package keyring

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/kerbchain/kerbchain/internal/ccache"
)

const cacheType = "KEYRING"

// Anchors.
const (
	anchorPersistent = "persistent"
	anchorProcess    = "process"
	anchorThread     = "thread"
	anchorSession    = "session"
	anchorUser       = "user"
	anchorLegacy     = "legacy"
)

// maxName is the kernel's bound on the name of a key, less what is put before
// the name of a collection.
const maxName = 4096 - 1 - len(collectionPrefix)

// residual is what a name says after "KEYRING:".
type residual struct {
	anchor     string
	collection string
	cache      string // of one cache; empty for the collection
	uid        int    // with anchor persistent; -1 for one's own
}

// parseName splits as MIT does: at the first two colons; without a colon the
// anchor is legacy.
func parseName(n ccache.Name) (residual, error) {
	r := residual{uid: -1}
	anchor, rest, ok := strings.Cut(n.Residual, ":")
	if !ok {
		anchor, rest = anchorLegacy, n.Residual
	}
	collection, cache, one := strings.Cut(rest, ":")
	r.anchor, r.collection, r.cache = anchor, collection, cache
	bad := func(format string, args ...any) (residual, error) {
		return residual{}, fmt.Errorf("credential cache %q: "+format, append([]any{n.String()}, args...)...)
	}
	switch anchor {
	case anchorProcess, anchorThread, anchorSession, anchorUser, anchorLegacy:
	case anchorPersistent:
		if collection == "" {
			break
		}
		// The largest number is the kernel's word for no user.
		uid, err := strconv.ParseUint(collection, 10, 32)
		if err != nil || uid == 1<<32-1 {
			return bad("persistent keyrings are one for each user: want KEYRING:persistent:UID with a numerical user id or none, not %q", collection)
		}
		r.uid = int(uid)
	default:
		return bad("unknown anchor %q: want persistent, user, session, process, thread or legacy, as in KEYRING:session:NAME", anchor)
	}
	switch {
	case one && cache == "":
		return bad("want a name of a cache after the last colon, or no colon there")
	case len(collection) > maxName || len(cache) > maxName:
		return bad("want names of at most %d bytes", maxName)
	case strings.ContainsRune(rest, 0):
		return bad("want a name without zero bytes")
	}
	return r, nil
}

// name returns the name of one cache.
func (r residual) name(cache string) ccache.Name {
	return ccache.Name{Type: cacheType, Residual: r.anchor + ":" + r.collection + ":" + cache}
}

// String returns the name as it is spelled in full.
func (r residual) String() string {
	if r.cache != "" {
		return r.name(r.cache).String()
	}
	return cacheType + ":" + r.anchor + ":" + r.collection
}

// initial is the name of the primary cache in a collection that does not say.
func (r residual) initial() string {
	if r.collection == "" {
		return "tkt"
	}
	return r.collection
}

// user returns the user whose persistent keyring is meant.
func (r residual) user() int {
	if r.uid >= 0 {
		return r.uid
	}
	return os.Geteuid()
}

// oldStyle reports whether a cache must be readable to old versions of MIT's
// library, which look for it in the session keyring itself.
func (r residual) oldStyle(cache string) bool {
	return r.anchor == anchorLegacy && cache == r.collection
}
