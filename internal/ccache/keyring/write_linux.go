package keyring

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kerbchain/kerbchain/internal/ccache"
)

// Add puts credentials into the cache. One that is there for the same server is
// overwritten. As with MIT, each ends with its ticket, and the cache with the
// last of them; one that is past its end is kept until then.
func (s *store) Add(ctx context.Context, credentials ...ccache.Credential) error {
	var entries []entry
	for i := range credentials {
		var err error
		if entries, err = appendCredential(entries, &credentials[i]); err != nil {
			return s.at.explain(err)
		}
	}
	return s.onRing(ctx, func(ring serial) error {
		if err := ours(ring); err != nil {
			return err
		}
		return s.add(ctx, ring, entries, credentials)
	})
}

// add puts entries into a keyring, those of the credentials among them the last,
// and lets all end in time.
func (s *store) add(ctx context.Context, ring serial, entries []entry, credentials []ccache.Credential) error {
	there, err := list(ring)
	if err != nil {
		return err
	}
	// Principal and time offsets are no entries.
	if err := ccache.Fits(len(there) + len(entries) - (maxKeys - ccache.MaxEntries)); err != nil {
		return err
	}
	ids := make([]serial, len(entries))
	for i, e := range entries {
		var err error
		if ids[i], err = withQuota(ctx, func() (serial, error) { return s.addEntry(ring, e) }); err != nil {
			return err
		}
	}
	all, _, err := contents(ring)
	if err != nil {
		return err
	}
	var end time.Time
	var offset time.Duration
	for _, e := range all {
		// What cannot be read has no end that could be told; Load complains.
		switch e.name {
		case principalKey:
		case offsetsKey:
			if d, err := parseOffsets(e.payload); err == nil {
				offset = d
			}
		default:
			var c ccache.Cache
			if err := c.Append(e.payload); err == nil {
				end = later(end, lastEnd(c.Credentials))
			}
		}
	}
	now := time.Now().Add(offset)
	for i := range credentials {
		if left := credentials[i].EndTime.Sub(now); left > 0 {
			// Another program may have emptied the cache meanwhile.
			if err := expire(ids[len(ids)-len(credentials)+i], left); err != nil && !absent(err) && !errors.Is(err, fs.ErrPermission) {
				return err
			}
		}
	}
	if end.IsZero() {
		return nil
	}
	return expire(ring, end.Sub(now))
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// addEntry makes one key: credentials of type big_key, where the kernel has it
// and no old version of MIT's library needs to read them.
func (s *store) addEntry(ring serial, e entry) (serial, error) {
	if e.name == principalKey || e.name == offsetsKey || s.at.anchor == anchorLegacy {
		return addKey(ring, kindUser, e.name, e.payload)
	}
	id, err := addKey(ring, kindBig, e.name, e.payload)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENODEV) {
		id, err = addKey(ring, kindUser, e.name, e.payload)
	}
	return id, err
}

// scratch is a keyring in the thread's keyring.
const scratch = "_kerbchain_new"

// Replace makes a keyring aside, fills it, and links it into the collection. The
// kernel displaces the link to the old one in the same step, so that readers who
// look the cache up see one or the other, and a failure leaves the old one.
// MIT's kinit empties and fills the old one; a program that has it open through
// MIT's library has to open the cache anew after Replace. Both caches count
// against the user's quota for a moment.
//
// If the collection is not there it is made, without a primary key: the cache is
// the primary one if it bears the collection's name.
func (s *store) Replace(ctx context.Context, c *ccache.Cache) error {
	entries, err := disassemble(c, s.at.oldStyle(s.at.cache))
	if err != nil {
		return s.at.explain(err)
	}
	return s.run(ctx, func() error {
		old, err := s.at.findCache(ctx, s.at.cache)
		if err == nil {
			err = ours(old)
		}
		if err != nil && !absent(err) {
			return err
		}
		collection, err := s.at.findOrMake(ctx)
		if err != nil {
			return err
		}
		return s.replace(ctx, collection, entries, c)
	})
}

func (s *store) replace(ctx context.Context, collection serial, entries []entry, c *ccache.Cache) (err error) {
	aside, err := withQuota(ctx, func() (serial, error) { return addRing(threadRing, scratch) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlink(aside, threadRing)) }()
	ring, err := withQuota(ctx, func() (serial, error) { return addRing(aside, s.at.cache) })
	if err != nil {
		return err
	}
	if err := s.add(ctx, ring, entries, c.Credentials); err != nil {
		return err
	}
	if err := link(ring, collection); err != nil {
		return err
	}
	if !s.at.oldStyle(s.at.cache) {
		return nil
	}
	anchor, err := session()
	if err != nil {
		return err
	}
	return link(ring, anchor)
}
