package keyring

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/kerbchain/kerbchain/internal/ccache"
)

// Names that MIT gives to keys.
const (
	collectionPrefix     = "_krb_"
	persistentCollection = "_krb"
	primaryKey           = "krb_ccache:primary"
	principalKey         = "__krb5_princ__"
	offsetsKey           = "__krb5_time_offsets__"
)

// ownsThread reports whether operations have a thread to themselves, since they
// link the collection, or what holds it, to the thread's keyring.
func (r residual) ownsThread() bool {
	return r.anchor == anchorPersistent || r.anchor == anchorUser
}

// run carries out op on the right thread, and explains its error.
func (r residual) run(op func() error) error {
	if r.ownsThread() {
		return r.explain(ownThread(op))
	}
	return r.explain(callersThread(op))
}

// session returns the session keyring as it is to be written to: where there is
// none, the kernel shows the user's default one in its stead, and some versions
// make a new one, which nobody else sees, as soon as something is written.
func session() (serial, error) {
	s, err := unix.KeyctlGetKeyringID(int(sessionRing), false)
	if err != nil {
		return 0, fault("keyctl_get_keyring_id", err)
	}
	u, err := unix.KeyctlGetKeyringID(int(userSessionRing), false)
	if err == nil && s == u {
		return userSessionRing, nil
	}
	return sessionRing, nil
}

// parent returns the keyring that holds the collection, and the collection's
// name there.
func (r residual) parent(ctx context.Context) (ring serial, name string, err error) {
	name = collectionPrefix + r.collection
	switch r.anchor {
	case anchorThread:
		return threadRing, name, nil
	case anchorProcess:
		return processRing, name, nil
	case anchorUser:
		return userRing, name, nil
	case anchorPersistent:
		ring, err = persistent(ctx, r.user())
		return ring, persistentCollection, err
	default:
		ring, err = session()
		return ring, name, err
	}
}

// persistent returns a user's persistent keyring, linked to the thread's. The
// kernel makes it if it is not there, and lets it live on for three days.
func persistent(ctx context.Context, uid int) (serial, error) {
	id, err := withQuota(ctx, func() (serial, error) {
		id, err := unix.KeyctlInt(unix.KEYCTL_GET_PERSISTENT, uid, int(threadRing), 0, 0)
		return serial(id), fault("keyctl_get_persistent", err)
	})
	if errors.Is(err, unix.EOPNOTSUPP) && uid == os.Geteuid() {
		return userRing, nil
	}
	return id, err
}

// find returns the keyring of the collection. What is below the user's keyring
// can be read only if it is also below the session's or the thread's.
func (r residual) find(ctx context.Context) (serial, error) {
	ring, name, err := r.parent(ctx)
	if err != nil {
		return 0, err
	}
	id, err := search(ring, kindRing, name, 0)
	if err != nil || ring != userRing {
		return id, err
	}
	if same, err := search(sessionRing, kindRing, name, 0); err == nil && same == id {
		return id, nil
	}
	return withQuota(ctx, func() (serial, error) { return search(ring, kindRing, name, threadRing) })
}

// findOrMake is find, and makes the collection if it is not there.
func (r residual) findOrMake(ctx context.Context) (serial, error) {
	if r.anchor == anchorPersistent && r.user() != os.Geteuid() {
		return 0, ccache.ErrNotOurs
	}
	id, err := r.find(ctx)
	if !absent(err) {
		return id, err
	}
	ring, name, err := r.parent(ctx)
	if err != nil {
		return 0, err
	}
	return withQuota(ctx, func() (serial, error) {
		if ring != userRing {
			return addRing(ring, name)
		}
		id, err := addRing(threadRing, name)
		if err == nil {
			err = link(id, ring)
		}
		return id, err
	})
}

// primary returns the name of the primary cache in a collection.
func (r residual) primary(collection serial) (string, error) {
	key, err := search(collection, kindUser, primaryKey, 0)
	if absent(err) {
		return r.initial(), nil
	}
	if err != nil {
		return "", err
	}
	b, err := read(key)
	if absent(err) {
		return r.initial(), nil
	}
	if err != nil {
		return "", err
	}
	return parsePrimary(b)
}

// findCache returns the keyring of one cache.
func (r residual) findCache(ctx context.Context, cache string) (serial, error) {
	collection, err := r.find(ctx)
	if err == nil {
		var id serial
		if id, err = search(collection, kindRing, cache, 0); err == nil {
			return id, nil
		}
	}
	if !absent(err) || !r.oldStyle(cache) {
		return 0, err
	}
	// MIT looks for what an old version of it made only as long as the
	// collection is without a primary cache.
	if collection != 0 {
		if _, primary := search(collection, kindUser, primaryKey, 0); primary == nil {
			return 0, err
		}
	}
	return search(sessionRing, kindRing, cache, 0)
}

// ours gives [ccache.ErrNotOurs] for a key of another user's.
func ours(id serial) error {
	d, err := describe(id)
	if err == nil && d.uid != os.Geteuid() {
		err = ccache.ErrNotOurs
	}
	return err
}
