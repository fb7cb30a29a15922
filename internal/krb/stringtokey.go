package krb

import (
	"context"
	"crypto/pbkdf2"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"

	//lint:ignore SA1019 RFC 4757 makes RC4 keys of passwords with MD4
	"golang.org/x/crypto/md4"

	"github.com/kerbchain/kerbchain/internal/panics"
)

// MaxIterations bounds the PBKDF2 iteration count that a KDC may ask for: less
// than half a second of work. MIT's and AD's default is 4096, RFC 8009's 32768.
const MaxIterations = 1 << 20

// ErrIterations: a count of iterations is outside of what is accepted.
var ErrIterations = errors.New("iteration count of string-to-key not accepted")

// StringToKey turns a password into a key (RFC 3962 section 4, RFC 8009 section
// 4, RFC 4757 section 2). params is the s2kparams of the KDC, empty for the
// default. It is the work of up to half a second, which cannot be cut short; see
// [StringToKeyContext].
//
// Any count of iterations from 1 to [MaxIterations] is taken. Whoever has the
// count from somebody else asks [CheckIterations] first.
func StringToKey(etype int32, password, salt string, params []byte) (Key, error) {
	info, err := usable(etype)
	if err != nil {
		return Key{}, err
	}
	if etype == RC4HMAC {
		h := md4.New()
		for _, u := range utf16.Encode([]rune(password)) {
			h.Write([]byte{byte(u), byte(u >> 8)})
		}
		return NewKey(etype, h.Sum(nil))
	}
	n, err := info.count(params)
	if err != nil {
		return Key{}, err
	}
	full := []byte(salt)
	if info.approved() {
		full = append(append([]byte(info.name), 0), salt...) // RFC 8009 section 4
	}
	value, err := pbkdf2.Key(info.hash, password, full, int(n), info.keyLen)
	if err != nil {
		return Key{}, fmt.Errorf("string to key for %s: %w", info.name, err)
	}
	temporary, err := NewKey(etype, value)
	if err != nil {
		return Key{}, err
	}
	return temporary.final()
}

// StringToKeyContext is StringToKey, left when ctx ends. What was begun then
// still comes to its end, of which nobody is told.
func StringToKeyContext(ctx context.Context, etype int32, password, salt string, params []byte) (Key, error) {
	if err := context.Cause(ctx); err != nil {
		return Key{}, fmt.Errorf("key of the password: %w", err)
	}
	if ctx.Done() == nil {
		return StringToKey(etype, password, salt, params)
	}
	type result struct {
		key Key
		err error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() { done <- r }()
		defer panics.Into(&r.err)
		r.key, r.err = StringToKey(etype, password, salt, params)
	}()
	select {
	case r := <-done:
		return r.key, r.err
	case <-ctx.Done():
		return Key{}, fmt.Errorf("key of the password: %w", context.Cause(ctx))
	}
}

// CheckIterations refuses s2kparams that ask for fewer iterations than is the
// default of etype (RFC 3962 section 4, RFC 8009 section 4), as MIT does: a
// KDC's KRB-ERROR is not authenticated, and whoever forges one that asks for a
// single iteration can guess passwords as fast as he can encrypt. Errors wrap
// [ErrIterations].
func CheckIterations(etype int32, params []byte) error {
	info, err := usable(etype)
	if err != nil || info.iterations == 0 {
		return err
	}
	n, err := info.count(params)
	if err == nil && n < info.iterations {
		err = fmt.Errorf("%w: %d for %s, below %d", ErrIterations, n, info.name, info.iterations)
	}
	return err
}

// count reads s2kparams.
func (i *etypeInfo) count(params []byte) (uint32, error) {
	if len(params) == 0 {
		return i.iterations, nil
	}
	if len(params) != 4 {
		return 0, fmt.Errorf("string-to-key parameters of %d bytes for %s, want 4", len(params), i.name)
	}
	n := binary.BigEndian.Uint32(params)
	if n == 0 || n > MaxIterations {
		return 0, fmt.Errorf("%w: %d for %s, outside 1 to %d", ErrIterations, n, i.name, MaxIterations)
	}
	return n, nil
}

// foldedKerberos is the 128-fold of "kerberos" (RFC 3961 appendix A.1).
var foldedKerberos = [16]byte{'k', 'e', 'r', 'b', 'e', 'r', 'o', 's', 0x7b, 0x9b, 0x5b, 0x2b, 0x93, 0x13, 0x2b, 0x93}

// final makes the key of a password of what PBKDF2 gave, which is the key k.
func (k Key) final() (Key, error) {
	d, err := k.m.deriving()
	if err != nil {
		return Key{}, err
	}
	if d.mac != nil {
		return NewKey(k.m.etype, d.kdf([]byte("kerberos"), nil, k.m.info.keyLen))
	}
	return NewKey(k.m.etype, d.feedback(foldedKerberos))
}
