package krb

import (
	"crypto/fips140"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"slices"
)

type etypeInfo struct {
	name           string
	keyLen         int
	confounder     int
	mac            int
	checksum       int32
	iterations     uint32 // of PBKDF2 by default, 0 where keys are made otherwise
	hash           func() hash.Hash
	encryptThenMAC bool // as in RFC 8009; the MAC of others covers the plaintext
}

func infoOf(etype int32) (etypeInfo, bool) {
	switch etype {
	case AES128SHA1:
		return etypeInfo{"aes128-cts-hmac-sha1-96", 16, 16, 12, 15, 4096, sha1.New, false}, true
	case AES256SHA1:
		return etypeInfo{"aes256-cts-hmac-sha1-96", 32, 16, 12, 16, 4096, sha1.New, false}, true
	case AES128SHA256:
		return etypeInfo{"aes128-cts-hmac-sha256-128", 16, 16, 16, 19, 32768, sha256.New, true}, true
	case AES256SHA384:
		return etypeInfo{"aes256-cts-hmac-sha384-192", 32, 16, 24, 20, 32768, sha512.New384, true}, true
	case RC4HMAC:
		return etypeInfo{"arcfour-hmac", 16, 8, 16, -138, 0, md5.New, false}, true
	}
	return etypeInfo{}, false
}

// EtypeName returns the name of an encryption type as krb5.conf spells it, or
// "etype N" for one that is not supported.
func EtypeName(etype int32) string {
	if info, ok := infoOf(etype); ok {
		return info.name
	}
	return fmt.Sprintf("etype %d", etype)
}

// Supported reports whether keys of etype can be used.
func Supported(etype int32) bool { return CheckEtype(etype) == nil }

// CheckEtype says why keys of etype cannot be used, nil if they can. Errors wrap
// [ErrEtype].
func CheckEtype(etype int32) error {
	_, err := usable(etype)
	return err
}

// usable returns what is known of an etype that can be used.
func usable(etype int32) (etypeInfo, error) {
	info, ok := infoOf(etype)
	switch {
	case !ok:
		return etypeInfo{}, fmt.Errorf("%w: %d (supported: 17, 18, 19, 20, and 23 when allowed)", ErrEtype, etype)
	case fips140.Enforced() && !info.approved():
		return etypeInfo{}, fmt.Errorf("%w: %s", ErrNotApproved, info.name)
	}
	return info, nil
}

// approved reports whether FIPS 140-3 approves of what the etype is made of:
// SHA-1 and MD5 panic where GODEBUG has fips140=only.
func (i *etypeInfo) approved() bool { return i.encryptThenMAC }

// DefaultEtypes returns the supported etypes in order of preference, RC4 last and
// only when allowed. Where FIPS 140-3 is enforced, only those of RFC 8009 are.
func DefaultEtypes(allowRC4 bool) []int32 {
	out := []int32{AES256SHA1, AES128SHA1, AES256SHA384, AES128SHA256}
	if allowRC4 {
		out = append(out, RC4HMAC)
	}
	return slices.DeleteFunc(out, func(etype int32) bool { return !Supported(etype) })
}

var (
	// ErrIntegrity: a message was not made with this key, or was changed.
	ErrIntegrity = errors.New("integrity check failed")
	// ErrTooShort: a message is shorter than its encryption type allows.
	ErrTooShort = errors.New("message too short for its encryption type")
	// ErrEtype: an encryption type is not supported, or not the key's.
	ErrEtype = errors.New("encryption type not supported")
	// ErrNotApproved is an ErrEtype: GODEBUG=fips140=only leaves aes128-sha2 and
	// aes256-sha2 (19 and 20, RFC 8009) alone.
	ErrNotApproved = fmt.Errorf("%w where FIPS 140-3 is enforced (GODEBUG=fips140=only allows aes256-sha2 and aes128-sha2)", ErrEtype)
)
