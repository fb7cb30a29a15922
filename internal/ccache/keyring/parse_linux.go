package keyring

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/kerbchain/kerbchain/internal/ccache"
)

func truncated(offset int, want string) error {
	return &ccache.ParseError{Offset: offset, Want: want, Err: ccache.ErrTruncated}
}

func malformed(offset int, want string) error {
	return &ccache.ParseError{Offset: offset, Want: want, Err: ccache.ErrMalformed}
}

const collectionVersion = 1

// parsePrimary reads the payload of krb_ccache:primary. What follows the name is
// not looked at.
func parsePrimary(b []byte) (string, error) {
	if len(b) < 8 {
		return "", truncated(len(b), "version and length of the primary cache's name (8 bytes)")
	}
	if v := binary.BigEndian.Uint32(b); v != collectionVersion {
		return "", malformed(0, fmt.Sprintf("version %d of the collection, not %d", collectionVersion, v))
	}
	n := binary.BigEndian.Uint32(b[4:])
	if uint64(n) > uint64(len(b)-8) {
		return "", truncated(4, fmt.Sprintf("a name that fits into the %d bytes that remain, not %d", len(b)-8, n))
	}
	name := b[8 : 8+n]
	if n == 0 || n > uint32(maxName) || bytes.IndexByte(name, 0) >= 0 {
		return "", malformed(8, fmt.Sprintf("a name of 1 to %d bytes, none of them zero; run kswitch", maxName))
	}
	return string(name), nil
}

// parseOffsets reads the payload of __krb5_time_offsets__.
func parseOffsets(b []byte) (time.Duration, error) {
	if len(b) < 8 {
		return 0, truncated(len(b), "seconds and microseconds of the KDC offset (8 bytes)")
	}
	s, us := int32(binary.BigEndian.Uint32(b)), int32(binary.BigEndian.Uint32(b[4:]))
	if us <= -1e6 || us >= 1e6 {
		return 0, malformed(4, "a KDC offset with less than a million microseconds")
	}
	return time.Duration(s)*time.Second + time.Duration(us)*time.Microsecond, nil
}

// marshalOffsets is the reverse.
func marshalOffsets(d time.Duration) ([]byte, error) {
	s, us := d/time.Second, d%time.Second/time.Microsecond
	if s < math.MinInt32 || s > math.MaxInt32 {
		return nil, fmt.Errorf("KDC offset %v exceeds 32 bits of seconds", d)
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(int32(s)))
	return binary.BigEndian.AppendUint32(b, uint32(int32(us))), nil
}

// description is what the kernel says about a key.
type description struct {
	kind string // type: keyring, user, big_key
	uid  int
	name string // what MIT calls the key's name and the kernel its description
}

// parseDescription reads type;uid;gid;permissions;name, with a zero byte at the
// end. The name may have semicolons of its own.
func parseDescription(b []byte) (description, error) {
	f := bytes.SplitN(bytes.TrimSuffix(b, []byte{0}), []byte{';'}, 5)
	if len(f) < 5 {
		return description{}, malformed(0, "type;uid;gid;permissions;name of a key")
	}
	uid, err := strconv.ParseUint(string(f[1]), 10, 32)
	if err != nil {
		return description{}, malformed(len(f[0])+1, "the user id of a key's owner")
	}
	return description{kind: string(f[0]), uid: int(uid), name: string(f[4])}, nil
}

// parseSerials reads the payload of a keyring: serial numbers in the machine's
// byte order.
func parseSerials(b []byte) []serial {
	out := make([]serial, 0, len(b)/4)
	for ; len(b) >= 4; b = b[4:] {
		out = append(out, serial(int32(binary.NativeEndian.Uint32(b))))
	}
	return out
}
