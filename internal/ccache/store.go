package ccache

import (
	"context"
	"errors"
)

// A Store is one credential cache, wherever it is kept. It holds nothing open
// between calls and is safe for concurrent use. Errors about a cache that is not
// there wrap [io/fs.ErrNotExist], those about one that we may not touch
// [io/fs.ErrPermission]; bytes that are no cache give a [*ParseError].
type Store interface {
	// Name is that of this one cache, as MIT spells it.
	Name() Name
	// State tells one state of the cache from another: as long as it is the
	// same, Load gives the same. It is cheap beside Load, and means nothing to
	// anybody else.
	State(ctx context.Context) (string, error)
	// Load reads the whole cache.
	Load(ctx context.Context) (*Cache, error)
	// Add appends credentials, as MIT does with service tickets that it
	// fetched. It is an error wrapping [ErrNotOurs] for the cache to belong to
	// somebody else. A cache that is not there is not made.
	Add(ctx context.Context, credentials ...Credential) error
	// Replace puts c in place of all that the cache holds, as kinit does.
	// Readers see either the old or the new. Whose it is counts as for Add.
	Replace(ctx context.Context, c *Cache) error
}

// A Collection is what a cache name stands for: one cache, or several of which
// one is the primary. It is safe for concurrent use.
type Collection interface {
	// Primary returns the cache to use when nothing else decides. It need not
	// hold anything, nor exist.
	Primary(ctx context.Context) (Store, error)
	// Stores returns the caches that exist, the primary one first if it does,
	// at most 4096.
	Stores(ctx context.Context) ([]Store, error)
}

// ErrNotOurs: a cache is not written to because it belongs to another user.
var ErrNotOurs = errors.New("the credential cache belongs to another user")
