package krb

import (
	"crypto/aes"
	"crypto/hmac"
	"crypto/rand"
	"fmt"
)

// Pieces are one sealed message that does not lie in one piece of memory, as
// the per-message tokens of GSS-API want it: what [Key.Seal] returns is
// Confounder, Body, Trailer and MAC after one another, where Body and Trailer
// are the plaintext.
type Pieces struct {
	Confounder []byte // 16 bytes
	Body       []byte // of any length
	Trailer    []byte // 16 bytes
	MAC        []byte // MACSize bytes
}

func (k Key) checkPieces(p Pieces) error {
	if k.m == nil {
		return errNoKey
	}
	if k.m.etype == RC4HMAC {
		return fmt.Errorf("%w: no sealing in pieces with %s", ErrEtype, k.m.info.name)
	}
	if len(p.Confounder) != aes.BlockSize || len(p.Trailer) != aes.BlockSize || len(p.MAC) != k.m.info.mac {
		return fmt.Errorf("pieces of %d, %d and %d bytes around the body, want %d, %d and %d",
			len(p.Confounder), len(p.Trailer), len(p.MAC), aes.BlockSize, aes.BlockSize, k.m.info.mac)
	}
	return nil
}

// SealPieces encrypts Body and Trailer where they are, and fills Confounder and
// MAC. The pieces must not overlap. Keys of RC4 cannot: [ErrEtype].
func (k Key) SealPieces(usage uint32, p Pieces) error {
	if err := k.checkPieces(p); err != nil {
		return err
	}
	from, err := k.m.sealer(usage)
	if err != nil {
		return err
	}
	s := from.get()
	defer from.put(s)
	rand.Read(p.Confounder) // never fails since Go 1.24
	if k.m.info.encryptThenMAC {
		s.mac.Write(zeroBlock[:])
		s.cts.encryptPieces(p)
	}
	s.mac.Write(p.Confounder)
	s.mac.Write(p.Body)
	s.mac.Write(p.Trailer)
	if !k.m.info.encryptThenMAC {
		s.cts.encryptPieces(p)
	}
	copy(p.MAC, s.mac.sum(len(p.MAC)))
	return nil
}

// OpenPieces decrypts what [Key.SealPieces] or [Key.Seal] made, where it is. On
// [ErrIntegrity] no plaintext is left in the pieces.
func (k Key) OpenPieces(usage uint32, p Pieces) error {
	if err := k.checkPieces(p); err != nil {
		return err
	}
	from, err := k.m.sealer(usage)
	if err != nil {
		return err
	}
	s := from.get()
	defer from.put(s)
	if k.m.info.encryptThenMAC {
		s.mac.Write(zeroBlock[:])
	} else {
		s.cts.decryptPieces(p)
	}
	s.mac.Write(p.Confounder)
	s.mac.Write(p.Body)
	s.mac.Write(p.Trailer)
	if !hmac.Equal(s.mac.sum(len(p.MAC)), p.MAC) {
		clear(p.Confounder)
		clear(p.Body)
		clear(p.Trailer)
		return ErrIntegrity
	}
	if k.m.info.encryptThenMAC {
		s.cts.decryptPieces(p)
	}
	return nil
}

// beforeTrailer is the block that comes before the trailer when the body ends
// with a whole one.
func (p Pieces) beforeTrailer() []byte {
	if n := len(p.Body); n > 0 {
		return p.Body[n-aes.BlockSize:]
	}
	return p.Confounder
}

// encryptPieces is encrypt over confounder, body and trailer.
func (c *cts) encryptPieces(p Pieces) {
	const size = aes.BlockSize
	cbc := c.encrypter()
	odd := len(p.Body) % size
	whole := len(p.Body) - odd
	cbc.CryptBlocks(p.Confounder, p.Confounder)
	cbc.CryptBlocks(p.Body[:whole], p.Body[:whole])
	if odd == 0 {
		cbc.CryptBlocks(p.Trailer, p.Trailer)
		swap(p.beforeTrailer(), p.Trailer)
		return
	}
	// What is left is one block and a part of one: the odd bytes and the
	// trailer, filled up with zeros. The blocks change places, and of the one
	// that comes last no more is kept than there was.
	var end, out [2 * size]byte
	copy(end[copy(end[:], p.Body[whole:]):], p.Trailer)
	cbc.CryptBlocks(end[:], end[:])
	copy(out[:], end[size:])
	copy(out[size:], end[:odd])
	copy(p.Trailer, out[copy(p.Body[whole:], out[:]):])
}

// decryptPieces is decrypt over confounder, body and trailer.
func (c *cts) decryptPieces(p Pieces) {
	const size = aes.BlockSize
	cbc := c.decrypter()
	odd := len(p.Body) % size
	whole := len(p.Body) - odd
	if odd == 0 {
		swap(p.beforeTrailer(), p.Trailer)
	}
	cbc.CryptBlocks(p.Confounder, p.Confounder)
	cbc.CryptBlocks(p.Body[:whole], p.Body[:whole])
	if odd == 0 {
		cbc.CryptBlocks(p.Trailer, p.Trailer)
		return
	}
	var end, blocks [2 * size]byte
	copy(end[copy(end[:], p.Body[whole:]):], p.Trailer)
	last, prev := blocks[size:], blocks[:size]
	copy(last, end[:size])
	// The bytes that were not kept are those that decrypting the last block
	// shows in place of the zeros.
	c.block.Decrypt(prev, last)
	copy(prev, end[size:size+odd])
	cbc.CryptBlocks(blocks[:], blocks[:])
	copy(p.Trailer, blocks[copy(p.Body[whole:], blocks[:]):])
}

func swap(a, b []byte) {
	var t [aes.BlockSize]byte
	copy(t[:], a)
	copy(a, b)
	copy(b, t[:])
}
