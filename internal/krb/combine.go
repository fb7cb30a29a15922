package krb

import (
	"bytes"
	"crypto/aes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"errors"
)

// foldedPRF is the 128-fold of "prf" (RFC 3961 section 5.1).
var foldedPRF = [aes.BlockSize]byte{0xc0, 0x8b, 0xe5, 0x21, 0x22, 0xf8, 0xf0, 0x23, 0x39, 0x89, 0x08, 0xfd, 0xbc, 0x08, 0xce, 0x21}

// PRF is the pseudo-random function of the key's encryption type (RFC 3962 section
// 6, RFC 8009 section 5, RFC 4757 as MIT krb5 carries it out).
func (k Key) PRF(in []byte) ([]byte, error) {
	if k.m == nil {
		return nil, errNoKey
	}
	if k.m.etype == RC4HMAC {
		h := hmac.New(sha1.New, k.m.bytes())
		h.Write(in)
		return h.Sum(nil), nil
	}
	d, err := k.m.deriving()
	if err != nil {
		return nil, err
	}
	defer k.m.deriver.Store(d)
	if d.mac != nil {
		return bytes.Clone(d.kdf([]byte("prf"), in, d.mac.Size())), nil
	}
	block, err := aes.NewCipher(d.feedback(foldedPRF))
	if err != nil {
		return nil, err
	}
	sum := sha1.Sum(in)
	out := make([]byte, aes.BlockSize)
	block.Encrypt(out, sum[:aes.BlockSize])
	return out, nil
}

var errPRFLength = errors.New("more bytes than PRF+ can make")

// PRFPlus is PRF+ of RFC 6113 section 5.1, for n bytes.
func (k Key) PRFPlus(pepper []byte, n int) ([]byte, error) {
	var out []byte
	in := append([]byte{0}, pepper...)
	for len(out) < n {
		if in[0]++; in[0] == 0 {
			return nil, errPRFLength
		}
		block, err := k.PRF(in)
		if err != nil {
			return nil, err
		}
		out = append(out, block...)
	}
	return out[:n], nil
}

// Combine is KRB-FX-CF2 of RFC 6113 section 5.1: a key of the type of a that nobody
// has who does not have both.
func Combine(a, b Key, pepperA, pepperB string) (Key, error) {
	if a.m == nil || b.m == nil {
		return Key{}, errNoKey
	}
	n := a.m.info.keyLen
	left, err := a.PRFPlus([]byte(pepperA), n)
	if err != nil {
		return Key{}, err
	}
	right, err := b.PRFPlus([]byte(pepperB), n)
	if err != nil {
		return Key{}, err
	}
	subtle.XORBytes(left, left, right)
	return NewKey(a.m.etype, left)
}
