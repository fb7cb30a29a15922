package krb

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
)

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
