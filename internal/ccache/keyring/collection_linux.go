package keyring

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/kerbchain/kerbchain/internal/ccache"
)

// Open returns the caches that a name of type KEYRING stands for: a collection,
// or one cache in it. The kernel is not asked yet. It is an error for the name
// to be none that MIT's library takes; another type gives an
// [*ccache.UnsupportedTypeError].
//
// Errors of the collection and its caches unwrap to a [syscall.Errno] where the
// kernel gave one: EACCES and EPERM wrap [io/fs.ErrPermission].
func Open(n ccache.Name) (ccache.Collection, error) {
	if n.Type != cacheType {
		return nil, &ccache.UnsupportedTypeError{Name: n}
	}
	r, err := parseName(n)
	if err != nil {
		return nil, err
	}
	return &collection{r, make(chan struct{}, maxThreads)}, nil
}

// maxThreads bounds the threads of one collection's operations.
const maxThreads = 4

// maxCaches is the bound of [ccache.Collection].
const maxCaches = 4096

type collection struct {
	at    residual
	slots chan struct{}
}

// run carries out op when there is a slot, unless ctx ends before.
func (c *collection) run(ctx context.Context, at residual, op func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
		return at.run(op)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *collection) store(cache string) *store {
	at := c.at
	at.cache = cache
	return &store{c, at}
}

// Primary returns the one cache that was named, or the one that the collection
// names.
func (c *collection) Primary(ctx context.Context) (ccache.Store, error) {
	if c.at.cache != "" {
		return c.store(c.at.cache), ctx.Err()
	}
	var name string
	err := c.run(ctx, c.at, func() error {
		ring, err := c.at.find(ctx)
		if absent(err) {
			name = c.at.initial()
			return nil
		}
		if err == nil {
			name, err = c.at.primary(ring)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return c.store(name), nil
}

// Stores returns the caches in the collection, the primary one first, and the
// others by name.
func (c *collection) Stores(ctx context.Context) ([]ccache.Store, error) {
	var names []string
	err := c.run(ctx, c.at, func() (err error) {
		names, err = c.at.caches(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := make([]ccache.Store, len(names))
	for i, name := range names {
		out[i] = c.store(name)
	}
	return out, nil
}

func (r residual) caches(ctx context.Context) ([]string, error) {
	first := r.cache
	ring, err := r.find(ctx)
	if err == nil && first == "" {
		first, err = r.primary(ring)
	}
	if err != nil && !absent(err) {
		return nil, err
	}
	if first == "" {
		first = r.initial()
	}
	var names []string
	if ring != 0 && r.cache == "" {
		if names, err = rings(ring); err != nil {
			return nil, err
		}
	}
	slices.Sort(names)
	names = slices.DeleteFunc(names, func(name string) bool { return name == first })
	switch _, err := r.findCache(ctx, first); {
	case err == nil:
		names = slices.Insert(names, 0, first)
	case !absent(err):
		return nil, err
	}
	return names[:min(len(names), maxCaches)], nil
}

// rings returns the names of the keyrings in a keyring. One that has run out is
// still listed by the kernel for a while.
func rings(ring serial) ([]string, error) {
	ids, err := list(ring)
	if absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, id := range ids {
		d, err := describe(id)
		if err == nil && d.kind == kindRing {
			err = alive(id)
		}
		switch {
		case absent(err), errors.Is(err, fs.ErrPermission) && d.name == "":
		case err != nil && !errors.Is(err, fs.ErrPermission):
			return nil, err
		case d.kind == kindRing && d.name != "":
			names = append(names, d.name)
		}
	}
	return names, nil
}
