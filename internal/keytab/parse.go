package keytab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/secret"
)

// MaxSize is the largest file that is read, in bytes: some hundred thousand keys.
const MaxSize = 16 << 20

// maxComponents bounds a principal; real ones have two or three.
const maxComponents = 64

// Why reading stopped before the end of the file.
var (
	// ErrFormat: the bytes are no keytab.
	ErrFormat = errors.New("not a keytab file")
	// ErrTorn: the file ends in the middle of an entry, or an entry is damaged.
	// The entries before it are good.
	ErrTorn = errors.New("keytab ends in the middle of an entry")
)

// An Entry is one key of one principal. It does not print its key.
type Entry struct {
	Principal krb.Principal
	Time      time.Time // when it was written
	Kvno      uint32    // key version number
	Etype     int32     // encryption type (RFC 3961)
	key       secret.Bytes
}

// Key returns the key. Its error says that the type is one that we cannot use, or
// that the bytes are too many or too few for it.
func (e Entry) Key() (krb.Key, error) {
	if e.key.IsZero() {
		return krb.Key{}, errors.New("no key")
	}
	return krb.NewKey(e.Etype, e.key.Reveal())
}

// Format writes all but the key.
func (e Entry) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "[key of %s, version %d, type %s]", e.Principal, e.Kvno, krb.EtypeName(e.Etype))
}

// Version returns that of a file's format, 1 or 2, or [ErrFormat].
func Version(b []byte) (int, error) {
	if len(b) < 2 || b[0] != 5 || b[1] != 1 && b[1] != 2 {
		return 0, ErrFormat
	}
	return int(b[1]), nil
}

// Entries yields the entries of a file, in its order. Where reading must stop
// before the end, the last pair has the reason, which wraps [ErrFormat] or
// [ErrTorn], and no entry. Integers of format 1 are taken to have the byte order
// of this machine, as by MIT krb5.
func Entries(b []byte) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		version, err := Version(b)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		var order binary.ByteOrder = binary.BigEndian
		if version == 1 {
			order = binary.NativeEndian
		}
		for off := 2; len(b)-off >= 4; {
			size := int64(int32(order.Uint32(b[off:])))
			at := off
			off += 4
			switch {
			case size == 0:
				return // MIT writes that where the next entry is to be
			case size == math.MinInt32:
				yield(Entry{}, fmt.Errorf("%w: at offset %d, a hole of no size", ErrTorn, at))
				return
			case size < 0: // a hole, where an entry was removed
				off += int(min(-size, int64(len(b)-off)))
				continue
			}
			r := record{order: order, version: version, b: b[off:min(int64(len(b)), int64(off)+size)], size: size}
			e, ok := r.entry()
			if !ok {
				yield(Entry{}, fmt.Errorf("%w: at offset %d, of %d bytes, which want %s", ErrTorn, at, size, r.want))
				return
			}
			if !yield(e, nil) {
				return
			}
			off += len(r.b)
		}
	}
}

// A record is an entry that is being read.
type record struct {
	order   binary.ByteOrder
	version int
	b       []byte // what there is of it
	off     int
	size    int64  // what there should be
	want    string // what was missing or wrong
}

func (r *record) take(n int, want string) ([]byte, bool) {
	if len(r.b)-r.off < n {
		r.want = want
		return nil, false
	}
	out := r.b[r.off : r.off+n : r.off+n]
	r.off += n
	return out, true
}

func (r *record) uint16(want string) (int, bool) {
	b, ok := r.take(2, want)
	if !ok {
		return 0, false
	}
	return int(r.order.Uint16(b)), true
}

// counted reads bytes after their length, which is 1 to 32767: MIT stops at
// others.
func (r *record) counted(want string) ([]byte, bool) {
	n, ok := r.uint16("the length of " + want)
	if !ok {
		return nil, false
	}
	if n == 0 || n > math.MaxInt16 {
		r.want = want + " of 1 to 32767 bytes"
		return nil, false
	}
	return r.take(n, want)
}

func (r *record) entry() (e Entry, ok bool) {
	count, ok := r.uint16("the number of components")
	if !ok {
		return e, false
	}
	if r.version == 1 {
		count-- // the realm was counted
	}
	if count < 1 || count > maxComponents {
		r.want = fmt.Sprintf("1 to %d components", maxComponents)
		return e, false
	}
	realm, ok := r.counted("the realm")
	if !ok {
		return e, false
	}
	components := make([]string, count)
	for i := range components {
		c, ok := r.counted("a component")
		if !ok {
			return e, false
		}
		components[i] = string(c)
	}
	e.Principal = krb.NewPrincipal(string(realm), components...)
	if r.version == 2 {
		kind, ok := r.take(4, "the type of the name")
		if !ok {
			return e, false
		}
		e.Principal.Type = int32(r.order.Uint32(kind))
	}
	fixed, ok := r.take(7, "time, version and type of the key")
	if !ok {
		return e, false
	}
	e.Time = time.Unix(int64(r.order.Uint32(fixed)), 0)
	e.Kvno = uint32(fixed[4])
	e.Etype = int32(int16(r.order.Uint16(fixed[5:])))
	key, ok := r.counted("the key")
	if !ok {
		return e, false
	}
	e.key = secret.New(key)
	// More than 8 bits of the version, where there is room left; zeros are what
	// the entry was padded with to fill a hole.
	if r.size-int64(r.off) >= 4 {
		more, ok := r.take(4, "the version in 32 bits")
		if !ok {
			return e, false
		}
		if kvno := r.order.Uint32(more); kvno != 0 {
			e.Kvno = kvno
		}
	}
	return e, true
}
