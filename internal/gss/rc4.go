package gss

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/rc4"
	"encoding/binary"
	"fmt"
	"hash"
	"slices"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

// Tokens of RFC 4757 section 7, which are those of RFC 1964 section 1.2 with
// other algorithms.
const (
	tokMICRC4  = 0x0101
	tokWrapRC4 = 0x0201

	usageWrapRC4 = 13
	usageMICRC4  = 15

	rc4Body    = 32 // identifier and algorithms, number, checksum, confounder: 8 bytes each
	maxPadding = 8
)

var (
	rc4MICOptions  = [...]byte{0x11, 0, 0xff, 0xff, 0xff, 0xff}
	rc4WrapHeader  = [...]byte{2, 1, 0x11, 0, 0x10, 0, 0xff, 0xff}
	rc4ClearHeader = [...]byte{2, 1, 0x11, 0, 0xff, 0xff, 0xff, 0xff}
)

// rc4Keys are made of the key once.
type rc4Keys struct {
	number *keyed // for sequence numbers
	seal   *keyed
}

// A keyed is HMAC-MD5 under one key. The sums, which are keys, are behind a pointer of
// their own: fmt follows the first one where a verb is wrong.
type keyed struct {
	mac hash.Hash
	sum *[md5.Size]byte
}

func newKeyed(key []byte) *keyed { return &keyed{hmac.New(md5.New, key), new([md5.Size]byte)} }

// of returns the sum of data, which is good until the next.
func (k *keyed) of(data []byte) []byte {
	k.mac.Reset()
	k.mac.Write(data)
	return k.mac.Sum(k.sum[:0])
}

// numberKey returns the key that encrypts the number of the message with this
// checksum.
func (c *Channel) numberKey(sum []byte) []byte { return c.rc4Keys().number.of(sum) }

// sealKey returns the key that encrypts the message of this number.
func (c *Channel) sealKey(number []byte) []byte { return c.rc4Keys().seal.of(number[:4]) }

func (c *Channel) rc4Keys() *rc4Keys {
	if c.rc4 == nil {
		k := c.key.Bytes()
		number := newKeyed(k).of(make([]byte, 4))
		for i := range k {
			k[i] ^= 0xf0
		}
		seal := newKeyed(k).of(make([]byte, 4))
		clear(k)
		c.rc4 = &rc4Keys{newKeyed(number), newKeyed(seal)}
	}
	return c.rc4
}

// sealRC4 appends a token with pad bytes of padding, 0 or 1, and returns the
// length of what comes before its data.
func (c *Channel) sealRC4(dst, plain []byte, conf bool, pad int) ([]byte, int, error) {
	header := rc4WrapHeader
	if !conf {
		header = rc4ClearHeader
	}
	start := len(dst)
	n := 2 + len(spnego.KRB5) + rc4Body + len(plain) + pad
	dst = appendLength(append(slices.Grow(dst, 6+n), frameTag), n)
	dst = append(append(dst, oidTag, byte(len(spnego.KRB5))), spnego.KRB5...)
	body := len(dst)
	dst = append(dst, header[:]...)
	dst = dst[:body+rc4Body+len(plain)+pad]
	token := dst[body:]
	number, sum, text := token[8:16], token[16:24], token[24:]
	rand.Read(text[:8])
	copy(text[8:], plain)
	if pad != 0 {
		text[len(text)-1] = 1
	}
	full, err := c.key.Checksum(usageWrapRC4, header[:], text)
	if err != nil {
		return nil, 0, err
	}
	copy(sum, full)
	putNumber(number, uint32(c.send), c.direction(false))
	if conf {
		if err := xorRC4(c.sealKey(number[:]), text); err != nil {
			return nil, 0, err
		}
	}
	if err := xorRC4(c.numberKey(sum), number); err != nil {
		return nil, 0, err
	}
	c.send++
	return dst, body + rc4Body - start, nil
}

// openRC4 opens a token where its data are. header is all that comes before
// them, of which the last 32 bytes follow the frame.
func (c *Channel) openRC4(header, data []byte, o opening) (plain []byte, conf bool, err error) {
	token := header[len(header)-rc4Body:]
	switch [8]byte(token[:8]) {
	case rc4WrapHeader:
		conf = true
	case rc4ClearHeader:
		if o.sealed {
			return nil, false, ErrNotSealed
		}
	default:
		return nil, false, fmt.Errorf("%w: algorithms %x, want those of RFC 4757", ErrMalformed, token[:8])
	}
	var number, confounder [8]byte
	copy(number[:], token[8:16])
	sum := token[16:24]
	copy(confounder[:], token[24:])
	if err := xorRC4(c.numberKey(sum), number[:]); err != nil {
		return nil, false, err
	}
	if conf {
		if err := xorRC4(c.sealKey(number[:]), confounder[:], data); err != nil {
			return nil, false, err
		}
	}
	full, err := c.key.Checksum(usageWrapRC4, token[:8], confounder[:], data)
	if err == nil && !hmac.Equal(full[:8], sum) {
		err = krb.ErrIntegrity
	}
	if err == nil {
		err = c.checkNumber(number)
	}
	plain = data
	if err == nil && o.padded {
		plain, err = unpad(data)
	}
	if err == nil {
		err = c.received(uint64(binary.BigEndian.Uint32(number[:])))
	}
	if err != nil {
		clear(data)
		return nil, false, err
	}
	return plain, conf, nil
}

// openWholeRC4 opens a token that is in one piece and leaves it as it is.
func (c *Channel) openWholeRC4(token []byte, o opening) ([]byte, bool, error) {
	body, err := readFrame(token, len(token))
	if err != nil {
		return nil, false, err
	}
	cut := body + rc4Body
	if len(token) < cut {
		return nil, false, fmt.Errorf("%w: %d bytes, too few for RFC 4757", ErrMalformed, len(token))
	}
	return c.openRC4(token[:cut], append([]byte(nil), token[cut:]...), o)
}

// openPiecesRC4 opens a token whose data are elsewhere, where they are. ok is
// false for a token that is cut at another place.
func (c *Channel) openPiecesRC4(header, data []byte, o opening) (plain []byte, ok bool, err error) {
	body, err := readFrame(header, len(header)+len(data))
	if err != nil || len(header) != body+rc4Body {
		return nil, false, nil
	}
	plain, _, err = c.openRC4(header, data, o)
	return plain, true, err
}

// checkNumber checks the direction that fills up a sequence number.
func (c *Channel) checkNumber(number [8]byte) error {
	var theirs, ours [8]byte
	putNumber(theirs[:], binary.BigEndian.Uint32(number[:]), c.direction(true))
	putNumber(ours[:], binary.BigEndian.Uint32(number[:]), c.direction(false))
	switch {
	case hmac.Equal(number[:], theirs[:]):
		return nil
	case hmac.Equal(number[:], ours[:]):
		return ErrDirection
	}
	return fmt.Errorf("%w: sequence number without a direction", krb.ErrIntegrity)
}

// unpad takes off the padding: 1 to 8 bytes that each say how many they are
// (RFC 1964 section 1.2.2.3). RFC 4757 wants one.
func unpad(b []byte) ([]byte, error) {
	if n := len(b); n > 0 {
		pad := int(b[n-1])
		if pad >= 1 && pad <= maxPadding && pad <= n {
			for _, x := range b[n-pad:] {
				if int(x) != pad {
					pad = 0
					break
				}
			}
			if pad != 0 {
				return b[: n-pad : n-pad], nil
			}
		}
	}
	return nil, fmt.Errorf("%w: no padding, want that of RFC 4757", ErrMalformed)
}

// micRC4 makes the token of RFC 4757 section 7.2.
func (c *Channel) micRC4(seq uint32, fromPeer bool, msg []byte) ([]byte, error) {
	header := append([]byte{1, 1}, rc4MICOptions[:]...)
	sum, err := c.key.Checksum(usageMICRC4, header, msg)
	if err != nil {
		return nil, err
	}
	sum = sum[:8]
	var number [8]byte
	putNumber(number[:], seq, c.direction(fromPeer))
	if err := xorRC4(c.numberKey(sum), number[:]); err != nil {
		return nil, err
	}
	return spnego.Frame(tokMICRC4, slices.Concat(rc4MICOptions[:], number[:], sum)), nil
}

// numberOfMIC returns the number in a MIC of RFC 4757, as the peer wrote it.
func (c *Channel) numberOfMIC(token []byte) (uint32, bool) {
	_, id, inner, err := spnego.Unframe(token)
	if err != nil || id != tokMICRC4 || len(inner) != len(rc4MICOptions)+16 {
		return 0, false
	}
	inner = inner[len(rc4MICOptions):]
	number := [8]byte(inner)
	if err := xorRC4(c.numberKey(inner[8:]), number[:]); err != nil {
		return 0, false
	}
	return binary.BigEndian.Uint32(number[:]), true
}

func putNumber(b []byte, seq uint32, direction byte) {
	binary.BigEndian.PutUint32(b, seq)
	b[4], b[5], b[6], b[7] = direction, direction, direction, direction
}

// xorRC4 runs one stream over the pieces.
func xorRC4(key []byte, pieces ...[]byte) error {
	stream, err := rc4.NewCipher(key)
	if err != nil {
		return err
	}
	for _, b := range pieces {
		stream.XORKeyStream(b, b)
	}
	return nil
}
