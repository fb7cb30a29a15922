package keyring

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/kerbchain/kerbchain/internal/ccache"
)

// store is one cache.
type store struct {
	c  *collection
	at residual
}

// Name is anchor, collection and cache.
func (s *store) Name() ccache.Name { return s.at.name(s.at.cache) }

func (s *store) run(ctx context.Context, op func() error) error { return s.c.run(ctx, s.at, op) }

// lookups bounds how often a cache is looked up that is replaced again and
// again.
const lookups = 64

// onRing looks the cache up and calls op with its keyring. If another program
// puts a new keyring in its place meanwhile, the old one is no longer there, or
// no longer ours to read, and all is done again.
func (s *store) onRing(ctx context.Context, op func(ring serial) error) error {
	var last serial
	for try := 1; ; try++ {
		var found serial
		err := s.run(ctx, func() error {
			ring, err := s.at.findCache(ctx, s.at.cache)
			if err != nil {
				return err
			}
			found = ring
			return op(ring)
		})
		gone := errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
		if !gone || found == 0 || found == last || try == lookups {
			return err
		}
		last = found
	}
}

// State is a SHA-256 over serial numbers and payloads of all keys: kinit gives a
// key that is there a new payload and leaves it its number.
func (s *store) State(ctx context.Context) (state string, err error) {
	err = s.onRing(ctx, func(ring serial) (err error) {
		state, err = fingerprint(ring)
		return err
	})
	return state, err
}

func fingerprint(ring serial) (string, error) {
	ids, err := list(ring)
	if err != nil {
		return "", err
	}
	slices.Sort(ids)
	h := sha256.New()
	size := 0
	for _, id := range append([]serial{ring}, ids...) {
		var b []byte
		known := uint32(1)
		if id != ring {
			if b, err = read(id); err != nil {
				known = 0 // run out, unlinked, or of a type that cannot be read
			}
		}
		if size += len(b); size > ccache.MaxSize {
			return "", tooLarge()
		}
		var head [12]byte
		binary.BigEndian.PutUint32(head[:], uint32(int32(id)))
		binary.BigEndian.PutUint32(head[4:], known)
		binary.BigEndian.PutUint32(head[8:], uint32(len(b)))
		h.Write(head[:])
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// loadTries is how often Load looks at a cache that is being written, with
// pauses between.
const loadTries = 7

// Load reads the cache. kinit empties a cache before it fills it: one that
// changed while it was read, or has no principal or no credentials, is read again,
// a few times. What has no principal then is not there.
func (s *store) Load(ctx context.Context) (*ccache.Cache, error) {
	var c *ccache.Cache
	for try := range loadTries {
		if err := pause(ctx, try); err != nil {
			return nil, err
		}
		settled := false
		err := s.onRing(ctx, func(ring serial) error {
			entries, consistent, err := contents(ring)
			if err != nil {
				return err
			}
			c, err = assemble(entries)
			settled = consistent && c != nil && len(c.Credentials) > 0
			return err
		})
		if err != nil {
			return nil, err
		}
		if settled {
			break
		}
	}
	if c == nil {
		return nil, fmt.Errorf("credential cache %s: %w: it has no principal, as when a program that makes it is interrupted; run kinit", s.at, fs.ErrNotExist)
	}
	return c, nil
}
