package keyring

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kerbchain/kerbchain/internal/ccache"
)

// A serial names a key or keyring to the kernel. Negative ones are the
// KEY_SPEC_ constants: keyrings of the thread that asks.
type serial int

const (
	threadRing      serial = unix.KEY_SPEC_THREAD_KEYRING
	processRing     serial = unix.KEY_SPEC_PROCESS_KEYRING
	sessionRing     serial = unix.KEY_SPEC_SESSION_KEYRING
	userRing        serial = unix.KEY_SPEC_USER_KEYRING
	userSessionRing serial = unix.KEY_SPEC_USER_SESSION_KEYRING
)

// Types of keys.
const (
	kindRing = "keyring"
	kindUser = "user"    // up to 32767 bytes
	kindBig  = "big_key" // up to 1 MiB, most of it outside of the user's quota
)

const (
	maxPayload = 1 << 20               // bytes of one key
	maxKeys    = ccache.MaxEntries + 2 // keys in one keyring: principal and time offsets are no entries
)

var errChanging = errors.New("the key grows faster than it can be read")

// fault names the call that failed. Errors unwrap to a [unix.Errno].
func fault(call string, err error) error {
	if err == nil {
		return nil
	}
	return os.NewSyscallError(call, err)
}

// absent reports whether an error says that there is no such key, or none any
// more.
func absent(err error) bool {
	return errors.Is(err, unix.ENOKEY) || errors.Is(err, unix.EKEYEXPIRED) || errors.Is(err, unix.EKEYREVOKED)
}

// search looks for a key below ring, however deep, and links it to the keyring
// link, if not 0.
func search(ring serial, kind, name string, link serial) (serial, error) {
	id, err := unix.KeyctlSearch(int(ring), kind, name, int(link))
	return serial(id), fault("keyctl_search", err)
}

// ask reads with KEYCTL_READ or KEYCTL_DESCRIBE, at most limit bytes. What is
// read may change its length meanwhile.
func ask(call string, op int, id serial, limit int) ([]byte, error) {
	buf := make([]byte, min(2048, limit))
	for range 8 {
		n, err := unix.KeyctlBuffer(op, int(id), buf, 0)
		switch {
		case err != nil:
			return nil, fault(call, err)
		case n <= len(buf):
			return buf[:n:n], nil
		case n > limit:
			return nil, malformed(limit, fmt.Sprintf("a key of at most %d bytes, not %d", limit, n))
		}
		buf = make([]byte, n)
	}
	return nil, fault(call, errChanging)
}

func read(id serial) ([]byte, error) { return ask("keyctl_read", unix.KEYCTL_READ, id, maxPayload) }

// list returns what a keyring holds.
func list(ring serial) ([]serial, error) {
	b, err := ask("keyctl_read", unix.KEYCTL_READ, ring, 4*maxKeys)
	if pe, ok := errors.AsType[*ccache.ParseError](err); ok {
		pe.Want = fmt.Sprintf("at most %d keys in a keyring", maxKeys)
	}
	return parseSerials(b), err
}

// alive returns the error that reading a key would, without reading it.
func alive(id serial) error {
	_, err := unix.KeyctlBuffer(unix.KEYCTL_READ, int(id), nil, 0)
	return fault("keyctl_read", err)
}

// describe tells about a key, be it alive or not.
func describe(id serial) (description, error) {
	b, err := ask("keyctl_describe", unix.KEYCTL_DESCRIBE, id, 8192)
	if err != nil {
		return description{}, err
	}
	return parseDescription(b)
}

// addKey makes a key in ring, or gives the one of that type and name that is
// there a new payload and no end.
func addKey(ring serial, kind, name string, payload []byte) (serial, error) {
	id, err := unix.AddKey(kind, name, payload, int(ring))
	return serial(id), fault("add_key", err)
}

// addRing makes an empty keyring in ring. It displaces one of the same name.
func addRing(ring serial, name string) (serial, error) { return addKey(ring, kindRing, name, nil) }

// link puts a key into ring. It displaces one of the same type and name.
func link(key, ring serial) error {
	_, err := unix.KeyctlInt(unix.KEYCTL_LINK, int(key), int(ring), 0, 0)
	return fault("keyctl_link", err)
}

func unlink(key, ring serial) error {
	_, err := unix.KeyctlInt(unix.KEYCTL_UNLINK, int(key), int(ring), 0, 0)
	return fault("keyctl_unlink", err)
}

// expire lets a key end after d, which is raised to a second: to the kernel 0
// means never.
func expire(key serial, d time.Duration) error {
	s := min(max(d/time.Second, 1), 1<<31-1)
	_, err := unix.KeyctlInt(unix.KEYCTL_SET_TIMEOUT, int(key), int(s), 0, 0)
	return fault("keyctl_set_timeout", err)
}

func tooLarge() error {
	return malformed(ccache.MaxSize, fmt.Sprintf("at most %d bytes of keys", ccache.MaxSize))
}

// explain turns an error into one about the cache or collection r.
func (r residual) explain(err error) error {
	if err == nil {
		return nil
	}
	if pe, ok := errors.AsType[*ccache.ParseError](err); ok {
		pe.Name = r.String()
		return pe
	}
	switch {
	case absent(err) && (r.anchor == anchorProcess || r.anchor == anchorThread):
		return fmt.Errorf("credential cache %s: %w (%w): the %s keyring of another program or thread cannot be reached; use KEYRING:session:%s, or hold runtime.LockOSThread from making the cache to using it",
			r, fs.ErrNotExist, err, r.anchor, r.collection)
	case absent(err):
		return fmt.Errorf("credential cache %s: %w (%w); run kinit, or set KRB5CCNAME to a cache that exists", r, fs.ErrNotExist, err)
	case errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("credential cache %s: %w: the user's quota of keys is used up; raise /proc/sys/kernel/keys/maxbytes and maxkeys, or use a cache of type FILE", r, err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("credential cache %s: %w: the kernel takes no name over 4095 bytes, and without big_key no ticket over 32767 bytes; use a cache of type FILE", r, err)
	case r.anchor == anchorPersistent && r.uid >= 0 && errors.Is(err, unix.EPERM):
		return fmt.Errorf("credential cache %s: %w: only the user %d and processes with CAP_SETUID can use it", r, err, r.uid)
	case errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("credential cache %s: %w: the kernel refuses to handle keys, as it does in many containers; use a cache of type FILE", r, err)
	}
	return fmt.Errorf("credential cache %s: %w", r, err)
}
