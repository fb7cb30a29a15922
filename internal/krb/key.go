package krb

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/rc4"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"sync"
	"sync/atomic"
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

// A Key is a Kerberos key, ready for use: what is derived from it is derived
// once per key usage. Copies share that work. It is safe for concurrent use,
// never prints itself, and its zero value holds no key.
type Key struct{ m *material }

type material struct {
	etype int32
	info  etypeInfo
	// Behind a second pointer: fmt follows the first one, past Format, when a
	// Key in an unexported field meets a verb such as %s.
	value   *[maxKey]byte
	derived atomic.Pointer[derived]
}

// maxKey is the length of the longest key.
const maxKey = 32

// derived are the keys of a key that were in use, by key usage. Those are small
// numbers; what lies beyond is derived each time.
type derived struct {
	seals     [maxUsage]atomic.Pointer[sealer]
	checksums [maxUsage]atomic.Pointer[macs]
}

const maxUsage = 64

// newMaterial returns that of a key whose value is still to be filled in.
func newMaterial(etype int32, info etypeInfo) *material {
	return &material{etype: etype, info: info, value: new([maxKey]byte)}
}

// bytes returns the key itself, not a copy.
func (m *material) bytes() []byte { return m.value[:m.info.keyLen] }

// keys returns what was derived so far. Many keys are never derived from: a subkey
// of a context that protects no messages.
func (m *material) keys() *derived {
	if d := m.derived.Load(); d != nil {
		return d
	}
	m.derived.CompareAndSwap(nil, new(derived))
	return m.derived.Load()
}

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

// macs hands out keyed HMAC states: Reset brings one back to after its key.
type macs struct{ pool sync.Pool }

// A mac is one of them, with room for its sum.
type mac struct {
	hash.Hash
	room [64]byte
}

// sum returns the first n bytes of the sum, which are good until m is used again.
func (m *mac) sum(n int) []byte { return m.Sum(m.room[:0])[:n] }

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
	d, err := m.deriver()
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(d.key(usage, forEncryption))
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	s := newSealer(block, m.info.hash, d.key(usage, forIntegrity))
	if usage < maxUsage {
		m.keys().seals[usage].Store(s)
	}
	return s, nil
}

func (m *material) checksummer(usage uint32) (*macs, error) {
	if usage < maxUsage {
		if c := m.keys().checksums[usage].Load(); c != nil {
			return c, nil
		}
	}
	d, err := m.deriver()
	if err != nil {
		return nil, err
	}
	c := newMACs(m.info.hash, d.key(usage, forChecksums))
	if usage < maxUsage {
		m.keys().checksums[usage].Store(c)
	}
	return c, nil
}

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
	switch {
	case k.m == nil:
		return errNoKey
	case k.m.etype == RC4HMAC:
		k.m.sealRC4(message, usage)
		return nil
	}
	from, err := k.m.sealer(usage)
	if err != nil {
		return err
	}
	s := from.get()
	defer from.put(s)
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
	if k.m.etype == RC4HMAC {
		inner := md5.New()
		inner.Write(le32(usageRC4(usage)))
		for _, d := range data {
			inner.Write(d)
		}
		return hmacMD5(hmacMD5(k.m.bytes(), []byte("signaturekey\x00")), inner.Sum(nil)), nil
	}
	c, err := k.m.checksummer(usage)
	if err != nil {
		return nil, err
	}
	h := c.get()
	defer c.put(h)
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

var zeroBlock [aes.BlockSize]byte

// A cts encrypts and decrypts with one key: CBC with ciphertext stealing, zero IV and
// the last two blocks always swapped (RFC 3962 section 5).
type cts struct {
	block      cipher.Block
	enc, dec   cipher.BlockMode // made at need
	last, prev [aes.BlockSize]byte
}

// encrypt encrypts b, at least one block, in place.
func (c *cts) encrypt(b []byte) {
	const size = aes.BlockSize
	if len(b) == size {
		c.block.Encrypt(b, b)
		return
	}
	full := (len(b) - 1) / size * size // all but the last, maybe partial, block
	d := len(b) - full
	c.encrypter().CryptBlocks(b[:full], b[:full])
	clear(c.last[copy(c.last[:], b[full:]):])
	prev := b[full-size : full]
	subtle.XORBytes(c.last[:], c.last[:], prev)
	c.block.Encrypt(c.last[:], c.last[:])
	copy(b[full:], prev[:d])
	copy(prev, c.last[:])
}

func (c *cts) decrypt(b []byte) {
	const size = aes.BlockSize
	if len(b) == size {
		c.block.Decrypt(b, b)
		return
	}
	full := (len(b) - 1) / size * size
	d := len(b) - full
	c.block.Decrypt(c.last[:], b[full-size:full])
	copy(c.prev[:], b[full:])
	copy(c.prev[d:], c.last[d:])
	subtle.XORBytes(b[full:], b[full:], c.last[:d])
	copy(b[full-size:full], c.prev[:])
	c.decrypter().CryptBlocks(b[:full], b[:full])
	clear(c.last[:])
}

// encrypter returns CBC from its beginning. Most modes can be set back to that.
func (c *cts) encrypter() cipher.BlockMode {
	if !rewound(c.enc) {
		c.enc = cipher.NewCBCEncrypter(c.block, zeroBlock[:])
	}
	return c.enc
}

func (c *cts) decrypter() cipher.BlockMode {
	if !rewound(c.dec) {
		c.dec = cipher.NewCBCDecrypter(c.block, zeroBlock[:])
	}
	return c.dec
}

// rewound sets a mode back to its beginning, if it can be.
func rewound(m cipher.BlockMode) bool {
	r, ok := m.(interface{ SetIV([]byte) })
	if ok {
		r.SetIV(zeroBlock[:])
	}
	return ok
}

func le32(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }

func hmacMD5(key []byte, data ...[]byte) []byte {
	h := hmac.New(md5.New, key)
	for _, d := range data {
		h.Write(d)
	}
	return h.Sum(nil)
}

// usageRC4 maps a key usage to the message type of RFC 4757 section 3. For a
// TGS-REP under the subkey that says 8, but Windows, MIT and Heimdal use 9.
func usageRC4(usage uint32) uint32 {
	switch usage {
	case UsageASRepEncPart:
		return 8
	case UsageAcceptorSign:
		return 13
	}
	return usage
}

func (m *material) sealRC4(message []byte, usage uint32) {
	k1 := hmacMD5(m.bytes(), le32(usageRC4(usage)))
	sum, body := message[:16], message[16:]
	rand.Read(body[:8])
	copy(sum, hmacMD5(k1, body))
	xorRC4(hmacMD5(k1, sum), body)
}

func (m *material) openRC4(usage uint32, message []byte) ([]byte, error) {
	try := func(usage uint32) bool {
		k1 := hmacMD5(m.bytes(), le32(usageRC4(usage)))
		key := hmacMD5(k1, message[:16])
		xorRC4(key, message[16:])
		if hmac.Equal(hmacMD5(k1, message[16:]), message[:16]) {
			return true
		}
		xorRC4(key, message[16:]) // as it was
		return false
	}
	if try(usage) || usage == UsageTGSRepSubkey && try(UsageTGSRepSessionKey) { // as the RFC has it
		return message[24:], nil
	}
	clear(message[16:])
	return nil, ErrIntegrity
}

func xorRC4(key, b []byte) {
	c, err := rc4.NewCipher(key)
	if err != nil {
		panic(err) // an HMAC-MD5 is 16 bytes, within RC4's bounds
	}
	c.XORKeyStream(b, b)
}
