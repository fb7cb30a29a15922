package krb

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"errors"
	"fmt"
	"hash"
	"sync"
	"sync/atomic"
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
func (k Key) Checksum(usage uint32, data ...[]byte) (sum []byte, err error) {
	err = k.checksum(usage, data, func(b []byte) { sum = bytes.Clone(b) })
	return sum, err
}

// VerifyChecksum compares in constant time and returns [ErrIntegrity] when the
// sums differ.
func (k Key) VerifyChecksum(usage uint32, sum []byte, data ...[]byte) error {
	same := false
	if err := k.checksum(usage, data, func(b []byte) { same = hmac.Equal(b, sum) }); err != nil {
		return err
	}
	if !same {
		return ErrIntegrity
	}
	return nil
}

// checksum gives use the checksum, which is good until it returns.
func (k Key) checksum(usage uint32, data [][]byte, use func([]byte)) error {
	if k.m == nil {
		return errNoKey
	}
	from, err := k.m.checksummer(usage)
	if err != nil {
		return err
	}
	s := from.get()
	defer from.put(s)
	if k.m.etype == RC4HMAC {
		use(s.mac.of(digestRC4(usage, data)))
		return nil
	}
	for _, d := range data {
		s.mac.Write(d)
	}
	use(s.mac.sum(k.m.info.mac))
	return nil
}

// A sealer is ready for one key usage: to encrypt, or to make checksums. It hands out
// what that is done with, one for each who does at the same time.
type sealer struct {
	usage    uint32
	purpose  byte         // forEncryption or forChecksums
	block    cipher.Block // nil for checksums, and for RC4
	hash     func() hash.Hash
	key      [maxKey]byte // of the HMAC
	keyLen   int
	spare    atomic.Pointer[seal] // most keys are used by one at a time
	more     atomic.Bool          // there was something in pool; to ask an unused one costs memory
	pool     sync.Pool
	previous *sealer
}

// A seal is ready for one message.
type seal struct {
	mac mac
	cts cts
}

func (s *sealer) get() *seal {
	one := s.spare.Swap(nil)
	if one == nil && s.more.Load() {
		one, _ = s.pool.Get().(*seal)
	}
	if one == nil {
		return &seal{mac: mac{Hash: hmac.New(s.hash, s.key[:s.keyLen])}, cts: cts{block: s.block}}
	}
	one.mac.Reset()
	return one
}

func (s *sealer) put(one *seal) {
	if !s.spare.CompareAndSwap(nil, one) {
		s.more.Store(true)
		s.pool.Put(one)
	}
}

// A mac is a keyed HMAC, with room for its sum: Reset brings it back to after its key.
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

// sealer returns the one that encrypts for a usage.
func (m *material) sealer(usage uint32) (*sealer, error) { return m.ready(usage, forEncryption) }

// checksummer returns the one that makes checksums for a usage.
func (m *material) checksummer(usage uint32) (*sealer, error) { return m.ready(usage, forChecksums) }

// maxUsage bounds what is kept with a key. The usages of RFC 4120 are below it; for
// one beyond, keys are derived each time.
const maxUsage = 64

func (m *material) ready(usage uint32, purpose byte) (*sealer, error) {
	for s := m.sealers.Load(); s != nil; s = s.previous {
		if s.usage == usage && s.purpose == purpose {
			return s, nil
		}
	}
	s := &sealer{usage: usage, purpose: purpose, hash: m.info.hash}
	if err := m.prepare(s); err != nil {
		return nil, err
	}
	for usage < maxUsage {
		if s.previous = m.sealers.Load(); m.sealers.CompareAndSwap(s.previous, s) {
			break
		}
	}
	return s, nil
}

// prepare derives what s needs.
func (m *material) prepare(s *sealer) error {
	switch {
	case m.etype == RC4HMAC && s.purpose == forEncryption:
		s.keyLen = copy(s.key[:], hmacMD5(m.bytes(), le32(usageRC4(s.usage))))
		return nil
	case m.etype == RC4HMAC:
		s.keyLen = copy(s.key[:], hmacMD5(m.bytes(), []byte("signaturekey\x00")))
		return nil
	}
	d, err := m.deriving()
	if err != nil {
		return err
	}
	defer m.deriver.Store(d)
	if s.purpose == forChecksums {
		s.keyLen = copy(s.key[:], d.key(s.usage, forChecksums))
		return nil
	}
	if s.block, err = aes.NewCipher(d.key(s.usage, forEncryption)); err != nil {
		return fmt.Errorf("derive key: %w", err)
	}
	s.keyLen = copy(s.key[:], d.key(s.usage, forIntegrity))
	return nil
}
