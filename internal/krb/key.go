package krb

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"fmt"
	"io"
	"sync/atomic"
)

// A Key is a Kerberos key, ready for use: what is derived from it is derived
// once per key usage. Copies share that work. It is safe for concurrent use,
// never prints itself, and its zero value holds no key.
type Key struct{ m *material }

type material struct {
	etype int32
	info  etypeInfo
	// Where no dumper follows it. Even fmt follows one pointer, past Format, when a Key in
	// an unexported field meets a verb such as %s, and those that go by reflect follow all.
	value   atomic.Pointer[[maxKey]byte]
	sealers atomic.Pointer[sealer]  // that were in use, the newest first
	deriver atomic.Pointer[deriver] // nil while it is in use
}

// maxKey is the length of the longest key.
const maxKey = 32

// newMaterial returns that of a key whose value is still to be filled in.
func newMaterial(etype int32, info etypeInfo) *material {
	one := &struct {
		material
		value [maxKey]byte
	}{}
	one.material.etype, one.material.info = etype, info
	one.material.value.Store(&one.value)
	return &one.material
}

// bytes returns the key itself, not a copy.
func (m *material) bytes() []byte { return m.value.Load()[:m.info.keyLen] }

// NewKey copies value, which must have the length that etype demands.
func NewKey(etype int32, value []byte) (Key, error) {
	info, err := usable(etype)
	if err != nil {
		return Key{}, err
	}
	if len(value) != info.keyLen {
		return Key{}, fmt.Errorf("key of %d bytes for %s, want %d", len(value), info.name, info.keyLen)
	}
	m := newMaterial(etype, info)
	copy(m.bytes(), value)
	return Key{m}, nil
}

// GenerateKey returns a random key.
func GenerateKey(etype int32) (Key, error) {
	info, err := usable(etype)
	if err != nil {
		return Key{}, err
	}
	m := newMaterial(etype, info)
	rand.Read(m.bytes()) // never fails since Go 1.24
	return Key{m}, nil
}

// IsZero reports whether k holds no key.
func (k Key) IsZero() bool { return k.m == nil }

// Etype returns the encryption type, 0 for the zero Key.
func (k Key) Etype() int32 {
	if k.m == nil {
		return 0
	}
	return k.m.etype
}

// Bytes returns a copy of the key itself, for caches and keytabs.
func (k Key) Bytes() []byte {
	if k.m == nil {
		return nil
	}
	return bytes.Clone(k.m.bytes())
}

// ChecksumType returns the checksum type that goes with the key (RFC 3961
// section 4), 0 for the zero Key.
func (k Key) ChecksumType() int32 {
	if k.m == nil {
		return 0
	}
	return k.m.info.checksum
}

// Overhead returns how many bytes Seal adds to a message.
func (k Key) Overhead() int {
	if k.m == nil {
		return 0
	}
	return k.m.info.confounder + k.m.info.mac
}

// MACSize returns the length of a checksum in bytes.
func (k Key) MACSize() int {
	if k.m == nil {
		return 0
	}
	return k.m.info.mac
}

// Equal reports whether both keys are the same, in constant time.
func (k Key) Equal(o Key) bool {
	if k.m == nil || o.m == nil {
		return k.m == o.m
	}
	return k.m.etype == o.m.etype && hmac.Equal(k.m.bytes(), o.m.bytes())
}

// Format writes the encryption type alone, whatever the verb.
func (k Key) Format(f fmt.State, _ rune) {
	if k.m == nil {
		io.WriteString(f, "[no key]")
		return
	}
	io.WriteString(f, "[key "+k.m.info.name+"]")
}

// MarshalText returns what Format writes.
func (k Key) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(k)), nil }
