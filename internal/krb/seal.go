package krb

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"errors"
	"fmt"
	"hash"
	"sync"
)

var errNoKey = errors.New("no key")

// Seal encrypts plain and protects its integrity (RFC 3961 section 5.3, RFC
// 8009 section 5, RFC 4757 section 5). The result is new memory.
func (k Key) Seal(usage uint32, plain []byte) ([]byte, error) {
	return k.AppendSeal(nil, usage, plain)
}

// AppendSeal is Seal, appending to dst.
func (k Key) AppendSeal(dst []byte, usage uint32, plain []byte) ([]byte, error) {
	if k.m == nil {
		return nil, errNoKey
	}
	info := &k.m.info
	start := len(dst)
	total := info.confounder + len(plain) + info.mac
	if cap(dst)-start < total {
		grown := make([]byte, start, start+total)
		copy(grown, dst)
		dst = grown
	}
	dst = dst[:start+total]
	head, _ := k.room()
	copy(dst[start+head:], plain)
	return dst, k.seal(usage, dst[start:])
}

// room returns how many bytes of a sealed message stand before what is sealed, and
// behind it.
func (k Key) room() (head, tail int) {
	switch {
	case k.m == nil:
		return 0, 0
	case k.m.etype == RC4HMAC:
		return k.Overhead(), 0
	}
	return k.m.info.confounder, k.m.info.mac
}

// seal encrypts, where it is, what stands in message with room around it.
func (k Key) seal(usage uint32, message []byte) error {
	if k.m == nil {
		return errNoKey
	}
	from, err := k.m.sealer(usage)
	if err != nil {
		return err
	}
	s := from.get()
	defer from.put(s)
	if k.m.etype == RC4HMAC {
		s.sealRC4(message)
		return nil
	}
	info := &k.m.info
	body, sum := message[:len(message)-info.mac], message[len(message)-info.mac:]
	rand.Read(body[:info.confounder])
	if info.encryptThenMAC {
		s.cts.encrypt(body)
		s.mac.Write(zeroBlock[:])
		s.mac.Write(body)
	} else {
		s.mac.Write(body)
		s.cts.encrypt(body)
	}
	copy(sum, s.mac.sum(info.mac))
	return nil
}

// Open decrypts what [Key.Seal] made. The result is new memory. It returns
// [ErrTooShort] or [ErrIntegrity].
func (k Key) Open(usage uint32, sealed []byte) ([]byte, error) {
	return k.open(usage, bytes.Clone(sealed))
}

// open is Open where the message is. With an error nothing of the plaintext is left.
func (k Key) open(usage uint32, message []byte) ([]byte, error) {
	if k.m == nil {
		return nil, errNoKey
	}
	info := &k.m.info
	if len(message) < info.confounder+info.mac {
		return nil, ErrTooShort
	}
	if k.m.etype == RC4HMAC {
		return k.m.openRC4(usage, message)
	}
	from, err := k.m.sealer(usage)
	if err != nil {
		return nil, err
	}
	s := from.get()
	defer from.put(s)
	body, sum := message[:len(message)-info.mac], message[len(message)-info.mac:]
	if info.encryptThenMAC {
		s.mac.Write(zeroBlock[:])
		s.mac.Write(body)
		s.cts.decrypt(body)
	} else {
		s.cts.decrypt(body)
		s.mac.Write(body)
	}
	if !hmac.Equal(s.mac.sum(info.mac), sum) {
		clear(body)
		return nil, ErrIntegrity
	}
	return body[info.confounder:], nil
}

// OpenData is Open for an EncryptedData, whose etype must be the key's.
func (k Key) OpenData(usage uint32, ed EncryptedData) ([]byte, error) {
	if ed.Etype != k.Etype() {
		return nil, fmt.Errorf("%w: encrypted with %s, the key is for %s", ErrEtype, EtypeName(ed.Etype), EtypeName(k.Etype()))
	}
	return k.Open(usage, ed.Cipher)
}

// Checksum returns the keyed checksum of the concatenated data (RFC 3961
// section 5.4, RFC 4757 section 4).
func (k Key) Checksum(usage uint32, data ...[]byte) ([]byte, error) {
	if k.m == nil {
		return nil, errNoKey
	}
	c, err := k.m.checksummer(usage)
	if err != nil {
		return nil, err
	}
	h := c.get()
	defer c.put(h)
	if k.m.etype == RC4HMAC {
		return bytes.Clone(h.of(digestRC4(usage, data))), nil
	}
	for _, d := range data {
		h.Write(d)
	}
	return bytes.Clone(h.sum(k.m.info.mac)), nil
}

// VerifyChecksum compares in constant time and returns [ErrIntegrity] when the
// sums differ.
func (k Key) VerifyChecksum(usage uint32, sum []byte, data ...[]byte) error {
	want, err := k.Checksum(usage, data...)
	if err != nil {
		return err
	}
	if !hmac.Equal(want, sum) {
		return ErrIntegrity
	}
	return nil
}

// macs hands out keyed HMAC states: Reset brings one back to after its key.
type macs struct{ pool sync.Pool }

// A mac is one of them, with room for its sum.
type mac struct {
	hash.Hash
	room [64]byte
}

// sum returns the first n bytes of the sum, which are good until m is used again.
func (m *mac) sum(n int) []byte { return m.Sum(m.room[:0])[:n] }

// of returns the sum of data alone, which is good until m is used again.
func (m *mac) of(data []byte) []byte {
	m.Reset()
	m.Write(data)
	return m.Sum(m.room[:0])
}

func newMACs(h func() hash.Hash, key []byte) *macs {
	m := &macs{}
	m.pool.New = func() any { return &mac{Hash: hmac.New(h, key)} }
	return m
}

func (m *macs) get() *mac {
	h := m.pool.Get().(*mac)
	h.Reset()
	return h
}

func (m *macs) put(h *mac) { m.pool.Put(h) }

// A sealer hands out what a key encrypts and decrypts with, one for each who does at
// the same time.
type sealer struct{ pool sync.Pool }

func newSealer(block cipher.Block, h func() hash.Hash, integrity []byte) *sealer {
	s := &sealer{}
	s.pool.New = func() any { return &seal{mac: mac{Hash: hmac.New(h, integrity)}, cts: cts{block: block}} }
	return s
}

// A seal is ready for one message.
type seal struct {
	mac mac
	cts cts
}

func (s *sealer) get() *seal {
	one := s.pool.Get().(*seal)
	one.mac.Reset()
	return one
}

func (s *sealer) put(one *seal) { s.pool.Put(one) }

func (m *material) sealer(usage uint32) (*sealer, error) {
	if usage < maxUsage {
		if s := m.keys().seals[usage].Load(); s != nil {
			return s, nil
		}
	}
	s, err := m.deriveSealer(usage)
	if err == nil && usage < maxUsage {
		m.keys().seals[usage].Store(s)
	}
	return s, err
}

func (m *material) deriveSealer(usage uint32) (*sealer, error) {
	if m.etype == RC4HMAC {
		return newSealer(nil, md5.New, hmacMD5(m.bytes(), le32(usageRC4(usage)))), nil
	}
	d, err := m.deriver()
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(d.key(usage, forEncryption))
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	return newSealer(block, m.info.hash, d.key(usage, forIntegrity)), nil
}

func (m *material) checksummer(usage uint32) (*macs, error) {
	if usage < maxUsage {
		if c := m.keys().checksums[usage].Load(); c != nil {
			return c, nil
		}
	}
	c, err := m.deriveMACs(usage)
	if err == nil && usage < maxUsage {
		m.keys().checksums[usage].Store(c)
	}
	return c, err
}

func (m *material) deriveMACs(usage uint32) (*macs, error) {
	if m.etype == RC4HMAC {
		return newMACs(md5.New, hmacMD5(m.bytes(), []byte("signaturekey\x00"))), nil
	}
	d, err := m.deriver()
	if err != nil {
		return nil, err
	}
	return newMACs(m.info.hash, d.key(usage, forChecksums)), nil
}
