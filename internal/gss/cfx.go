package gss

import (
	"crypto/hmac"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// Tokens of RFC 4121 section 4.2.
const (
	sentByAcceptor = 1
	sealed         = 2
	acceptorSubkey = 4

	tokWrap   = 0x0504
	tokMIC    = 0x0404
	cfxHeader = 16
	cfxBlock  = 16                          // of the ciphers, and of their confounders
	maxHead   = 2*cfxHeader + 24 + cfxBlock // before data that come last, with the longest MAC
)

// A cfx is the header of a Wrap token (RFC 4121 section 4.2.6.2).
type cfx struct {
	flags   byte
	ec, rrc uint16
	seq     uint64
}

func (h cfx) append(dst []byte) []byte {
	dst = append(dst, tokWrap>>8, tokWrap&0xff, h.flags, 0xff)
	dst = binary.BigEndian.AppendUint16(dst, h.ec)
	dst = binary.BigEndian.AppendUint16(dst, h.rrc)
	return binary.BigEndian.AppendUint64(dst, h.seq)
}

func (c *Channel) parseCFX(b []byte) (h cfx, err error) {
	if len(b) < cfxHeader {
		return h, fmt.Errorf("%w: %d bytes, no header", ErrMalformed, len(b))
	}
	if id := binary.BigEndian.Uint16(b); id != tokWrap || b[3] != 0xff {
		return h, fmt.Errorf("%w: begins with %x, want a wrap token of RFC 4121", ErrMalformed, b[:4])
	}
	h = cfx{b[2], binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:]), binary.BigEndian.Uint64(b[8:])}
	return h, c.checkFlags(h.flags)
}

// appendCFX appends a wrap token.
func (c *Channel) appendCFX(dst, plain []byte, conf bool) ([]byte, error) {
	seal, _ := c.usages(false)
	h := cfx{flags: c.flags(false), seq: c.send}
	mac := c.key.MACSize()
	if !conf {
		dst = slices.Grow(dst, cfxHeader+len(plain)+mac)
		head := h.append(nil)
		h.ec = uint16(mac)
		dst = append(h.append(dst), plain...)
		// The checksum is over the header with both counts 0.
		sum, err := c.key.Checksum(seal, plain, head)
		if err != nil {
			return nil, err
		}
		c.send++
		return append(dst, sum...), nil
	}
	h.flags |= sealed
	start := len(dst)
	total := cfxHeader + cfxBlock + len(plain) + cfxHeader + mac
	dst = h.append(slices.Grow(dst, total))[:start+total]
	rest := dst[start+cfxHeader:]
	p := krb.Pieces{Confounder: rest[:cfxBlock], Body: rest[cfxBlock:][:len(plain)]}
	rest = rest[cfxBlock+len(plain):]
	p.Trailer, p.MAC = rest[:cfxHeader], rest[cfxHeader:]
	copy(p.Body, plain)
	h.append(p.Trailer[:0])
	if err := c.key.SealPieces(seal, p); err != nil {
		return nil, err
	}
	c.send++
	return dst, nil
}

// sealCFX appends a sealed token that is rotated so that its data come last:
// header, encrypted copy of the header, MAC, confounder, data.
func (c *Channel) sealCFX(dst, plain []byte) ([]byte, int, error) {
	seal, _ := c.usages(false)
	h := cfx{flags: c.flags(false) | sealed, seq: c.send}
	mac := c.key.MACSize()
	head := cfxHeader + cfxHeader + mac + cfxBlock
	start := len(dst)
	dst = slices.Grow(dst, head+len(plain))[:start+head+len(plain)]
	out := dst[start:]
	p := krb.Pieces{
		Confounder: out[head-cfxBlock : head], Body: out[head:],
		Trailer: out[cfxHeader : 2*cfxHeader], MAC: out[2*cfxHeader : head-cfxBlock],
	}
	copy(p.Body, plain)
	h.append(p.Trailer[:0])
	h.rrc = uint16(cfxHeader + mac)
	h.append(out[:0])
	if err := c.key.SealPieces(seal, p); err != nil {
		return nil, 0, err
	}
	c.send++
	return dst, head, nil
}

// openCFX opens a token of any rotation and leaves it as it is.
func (c *Channel) openCFX(token []byte, o opening) (plain []byte, conf bool, err error) {
	h, err := c.parseCFX(token)
	if err != nil {
		return nil, false, err
	}
	if o.sealed && h.flags&sealed == 0 {
		return nil, false, ErrNotSealed
	}
	rest := token[cfxHeader:]
	if h.flags&sealed == 0 {
		plain, err = c.verifyCFX(h, token[:cfxHeader], unrotate(rest, int(h.rrc)))
	} else {
		plain, err = c.decryptCFX(h, token[:cfxHeader], unrotate(rest, int(h.rrc)))
		if err != nil && h.ec != 0 {
			// Windows counts the filler bytes into the rotation, which the count
			// does not say (MS-KILE section 3.4.5.4.1). The count is no secret and
			// not protected, and all the rest must fit as ever.
			if p, e := c.decryptCFX(h, token[:cfxHeader], unrotate(rest, int(h.rrc)+int(h.ec))); e == nil {
				plain, err = p, nil
			}
		}
	}
	if err != nil {
		return nil, false, err
	}
	if err := c.received(h.seq); err != nil {
		clear(plain)
		return nil, false, err
	}
	return plain, h.flags&sealed != 0, nil
}

// unrotate returns a copy of b as it was before it was rotated to the right (RFC
// 4121 section 4.2.5).
func unrotate(b []byte, n int) []byte {
	if len(b) > 0 {
		n %= len(b)
		return append(append(make([]byte, 0, len(b)), b[n:]...), b[:n]...)
	}
	return nil
}

// verifyCFX takes what follows the header, rotation undone.
func (c *Channel) verifyCFX(h cfx, header, rest []byte) ([]byte, error) {
	mac := c.key.MACSize()
	if int(h.ec) != mac || len(rest) < mac {
		return nil, fmt.Errorf("%w: checksum of %d bytes in %d, want %d", ErrMalformed, h.ec, len(rest), mac)
	}
	seal, _ := c.usages(true)
	plain, sum := rest[:len(rest)-mac:len(rest)-mac], rest[len(rest)-mac:]
	var zero [cfxHeader]byte
	copy(zero[:], header)
	clear(zero[4:8])
	if err := c.key.VerifyChecksum(seal, sum, plain, zero[:]); err != nil {
		return nil, err
	}
	return plain, nil
}

// decryptCFX takes what follows the header, rotation undone, and decrypts it
// where it is.
func (c *Channel) decryptCFX(h cfx, header, rest []byte) ([]byte, error) {
	mac := c.key.MACSize()
	n := len(rest) - cfxBlock - cfxHeader - mac // data and filler
	if n < int(h.ec) {
		return nil, fmt.Errorf("%w: %d bytes, too few for a sealed token", ErrMalformed, cfxHeader+len(rest))
	}
	p := krb.Pieces{
		Confounder: rest[:cfxBlock], Body: rest[cfxBlock:][:n],
		Trailer: rest[cfxBlock+n:][:cfxHeader], MAC: rest[cfxBlock+n+cfxHeader:],
	}
	if err := c.decryptPieces(p, header); err != nil {
		return nil, err
	}
	return p.Body[: n-int(h.ec) : n-int(h.ec)], nil
}

// decryptPieces also compares the header with its encrypted copy, without which
// the counts and the number would be anybody's (CVE-2024-37370). The rotation
// count alone is not protected.
func (c *Channel) decryptPieces(p krb.Pieces, header []byte) error {
	seal, _ := c.usages(true)
	if err := c.key.OpenPieces(seal, p); err != nil {
		return err
	}
	if !hmac.Equal(header[:6], p.Trailer[:6]) || !hmac.Equal(header[8:], p.Trailer[8:]) {
		clear(p.Body)
		return fmt.Errorf("%w: the header is not the one that was sealed", krb.ErrIntegrity)
	}
	return nil
}

// openPiecesCFX opens a token whose data come last, where they are. ok is false
// for a token that is laid out otherwise.
func (c *Channel) openPiecesCFX(header, data []byte) (plain []byte, ok bool, err error) {
	mac := c.key.MACSize()
	if len(header) != 2*cfxHeader+mac+cfxBlock {
		return nil, false, nil
	}
	h, err := c.parseCFX(header)
	if err != nil {
		return nil, true, err
	}
	if h.flags&sealed == 0 || h.ec != 0 || int(h.rrc) != cfxHeader+mac {
		return nil, false, nil
	}
	// The caller's header stays as it is.
	if c.head == nil {
		c.head = make([]byte, maxHead)
	}
	head := c.head[:copy(c.head, header)]
	p := krb.Pieces{
		Confounder: head[len(head)-cfxBlock:], Body: data,
		Trailer: head[cfxHeader : 2*cfxHeader], MAC: head[2*cfxHeader : len(head)-cfxBlock],
	}
	if err := c.decryptPieces(p, header[:cfxHeader]); err != nil {
		return nil, true, err
	}
	if err := c.received(h.seq); err != nil {
		clear(data)
		return nil, true, err
	}
	return data, true, nil
}
