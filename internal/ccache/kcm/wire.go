package kcm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/kerbchain/kerbchain/internal/ccache"
)

type opcode uint16

const (
	opInitialize       opcode = 4  // name, principal
	opStore            opcode = 6  // name, credential
	opGetPrincipal     opcode = 8  // name -> principal
	opGetCredUUIDList  opcode = 9  // name -> UUIDs
	opGetCredByUUID    opcode = 10 // name, UUID -> credential
	opGetCacheUUIDList opcode = 18 // -> UUIDs
	opGetCacheByUUID   opcode = 19 // UUID -> name
	opGetDefaultCache  opcode = 20 // -> name
	opGetKDCOffset     opcode = 22 // name -> seconds
	opSetKDCOffset     opcode = 23 // name, seconds

	// Extensions of MIT.
	opGetCredList opcode = 13001 // name -> count, {length, credential}
	opReplace     opcode = 13002 // name, seconds, principal, count, {length, credential}
)

func (o opcode) String() string {
	switch o {
	case opInitialize:
		return "INITIALIZE"
	case opStore:
		return "STORE"
	case opGetPrincipal:
		return "GET_PRINCIPAL"
	case opGetCredUUIDList:
		return "GET_CRED_UUID_LIST"
	case opGetCredByUUID:
		return "GET_CRED_BY_UUID"
	case opGetCacheUUIDList:
		return "GET_CACHE_UUID_LIST"
	case opGetCacheByUUID:
		return "GET_CACHE_BY_UUID"
	case opGetDefaultCache:
		return "GET_DEFAULT_CACHE"
	case opGetKDCOffset:
		return "GET_KDC_OFFSET"
	case opSetKDCOffset:
		return "SET_KDC_OFFSET"
	case opGetCredList:
		return "GET_CRED_LIST"
	case opReplace:
		return "REPLACE"
	}
	return fmt.Sprintf("operation %d", uint16(o))
}

func (o opcode) writes() bool {
	return o == opInitialize || o == opStore || o == opSetKDCOffset || o == opReplace
}

const (
	// maxMessage bounds requests and replies, in bytes, as MIT and sssd do.
	maxMessage = 10 << 20
	firstRead  = 16 << 10
)

type uuid [16]byte

// request returns the bytes of one request, to be sent in one write: sssd takes
// what its first read brings for the whole.
func request(op opcode, params ...[]byte) []byte {
	n := 4
	for _, p := range params {
		n += len(p)
	}
	out := make([]byte, 0, 4+n)
	out = binary.BigEndian.AppendUint32(out, uint32(n))
	out = append(out, 2, 0)
	out = binary.BigEndian.AppendUint16(out, uint16(op))
	for _, p := range params {
		out = append(out, p...)
	}
	return out
}

func stringz(s string) []byte { return append([]byte(s), 0) }

func u32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }

// readReply returns status and bytes of one reply. The error is io.EOF if not a
// byte came, else a [*ccache.ParseError] or what reading gave.
func readReply(r io.Reader) (status int32, body []byte, err error) {
	var head [8]byte
	if n, err := io.ReadFull(r, head[:]); err != nil {
		if err == io.ErrUnexpectedEOF {
			err = truncated(n, "a reply's length and status")
		}
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	status = int32(binary.BigEndian.Uint32(head[4:]))
	if n > maxMessage {
		return 0, nil, malformed(0, fmt.Sprintf("a reply of at most %d bytes, not %d", maxMessage, n))
	}
	body, err = readN(r, int(n))
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = truncated(len(head)+len(body), fmt.Sprintf("a reply of %d bytes", n))
	}
	return status, body, err
}

// readN reads n bytes into memory that grows with what arrives.
func readN(r io.Reader, n int) ([]byte, error) {
	b := make([]byte, 0, min(n, firstRead))
	for len(b) < n {
		if len(b) == cap(b) {
			b = slices.Grow(b, min(len(b), n-len(b)))
		}
		m, err := io.ReadFull(r, b[len(b):min(cap(b), n)])
		b = b[:len(b)+m]
		if err != nil {
			return b, err
		}
	}
	return b, nil
}

// parseName reads a name and nothing else.
func parseName(b []byte) (string, error) {
	switch end := bytes.IndexByte(b, 0); {
	case end < 0:
		return "", truncated(len(b), "a NUL byte after the name of a cache")
	case end == 0 || end > maxName:
		return "", malformed(0, fmt.Sprintf("the name of a cache, 1 to %d bytes", maxName))
	case end < len(b)-1:
		return "", malformed(end+1, "the end of the reply after the name of a cache")
	default:
		return string(b[:end]), nil
	}
}

func parseUUIDs(b []byte) ([]uuid, error) {
	if len(b)%len(uuid{}) != 0 {
		return nil, truncated(len(b), "identifiers of 16 bytes")
	}
	out := make([]uuid, 0, len(b)/len(uuid{}))
	for id := range slices.Chunk(b, len(uuid{})) {
		out = append(out, uuid(id))
	}
	return out, nil
}

func parseOffset(b []byte) (int32, error) {
	if len(b) != 4 {
		return 0, malformed(0, fmt.Sprintf("a clock offset of 4 bytes, not %d", len(b)))
	}
	return int32(binary.BigEndian.Uint32(b)), nil
}

// parseList cuts what GET_CRED_LIST gives into credentials.
func parseList(b []byte) ([][]byte, error) {
	if len(b) < 4 {
		return nil, truncated(0, "a number of credentials")
	}
	count, off := binary.BigEndian.Uint32(b), 4
	if uint64(count)*4 > uint64(len(b)-off) {
		return nil, truncated(0, fmt.Sprintf("a number of credentials that fits into %d bytes, not %d", len(b)-off, count))
	}
	if count > ccache.MaxEntries {
		return nil, tooMany(count)
	}
	out := make([][]byte, 0, count)
	for range count {
		if len(b)-off < 4 {
			return nil, truncated(off, "the length of a credential")
		}
		n := binary.BigEndian.Uint32(b[off:])
		off += 4
		if uint64(n) > uint64(len(b)-off) {
			return nil, truncated(off, fmt.Sprintf("a credential of %d bytes, %d remain", n, len(b)-off))
		}
		end := off + int(n)
		out = append(out, b[off:end:end])
		off = end
	}
	if off < len(b) {
		return nil, malformed(off, "the end of the list of credentials")
	}
	return out, nil
}

func tooMany[N int | uint32](n N) error {
	return malformed(0, fmt.Sprintf("a cache of at most %d credentials, not %d", ccache.MaxEntries, n))
}

func truncated(off int, want string) error {
	return &ccache.ParseError{Offset: off, Want: want, Err: ccache.ErrTruncated}
}

func malformed(off int, want string) error {
	return &ccache.ParseError{Offset: off, Want: want, Err: ccache.ErrMalformed}
}
