package krb

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"encoding/binary"
	"fmt"
	"hash"
	"math/bits"
)

// What follows the key usage in the constant that a key is derived with (RFC
// 3961 section 5.3, RFC 8009 section 5).
const (
	forEncryption byte = 0xAA
	forIntegrity  byte = 0x55
	forChecksums  byte = 0x99
)

// A deriver derives keys of a key. It is for one goroutine, and what it returns is good
// until it is used again.
type deriver struct {
	info  *etypeInfo
	block cipher.Block // of RFC 3961's types
	mac   hash.Hash    // of RFC 8009's
	in    []byte
	state [aes.BlockSize]byte
	out   [64]byte
}

// deriving returns the deriver of m, or another while that is in use.
func (m *material) deriving() (*deriver, error) {
	if d := m.deriver.Swap(nil); d != nil {
		return d, nil
	}
	d := &deriver{info: &m.info}
	if m.info.encryptThenMAC {
		d.mac = hmac.New(m.info.hash, m.bytes())
		return d, nil
	}
	block, err := aes.NewCipher(m.bytes())
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	d.block = block
	return d, nil
}

func (d *deriver) key(usage uint32, purpose byte) []byte {
	var constant [5]byte
	binary.BigEndian.PutUint32(constant[:], usage)
	constant[4] = purpose
	if d.mac != nil {
		n := d.info.mac
		if purpose == forEncryption {
			n = d.info.keyLen
		}
		return d.kdf(constant[:], nil, n)
	}
	var state [aes.BlockSize]byte
	fold(&state, constant)
	return d.feedback(state)
}

// feedback is DR of RFC 3961 section 5.1: the cipher's feedback of the folded
// constant.
func (d *deriver) feedback(state [aes.BlockSize]byte) []byte {
	d.state = state
	out := d.out[:0]
	for len(out) < d.info.keyLen {
		d.block.Encrypt(d.state[:], d.state[:])
		out = append(out, d.state[:]...)
	}
	return out[:d.info.keyLen]
}

// kdf is KDF-HMAC-SHA2 of RFC 8009 section 3, for n bytes and no more than one
// hash.
func (d *deriver) kdf(label, context []byte, n int) []byte {
	d.in = append(d.in[:0], 0, 0, 0, 1)
	d.in = append(append(d.in, label...), 0)
	d.in = append(d.in, context...)
	d.in = binary.BigEndian.AppendUint32(d.in, uint32(8*n))
	d.mac.Reset()
	d.mac.Write(d.in)
	return d.mac.Sum(d.out[:0])[:n]
}

// fold is n-fold of RFC 3961 section 5.1, from 5 bytes to 16: 16 copies of the
// input, each turned right by 13 more bits than the one before, are cut into 5
// numbers of 16 bytes and added with the carry going around.
func fold(out *[aes.BlockSize]byte, in [5]byte) {
	const (
		width = 8 * len(in)
		turn  = 13
		mask  = 1<<width - 1
	)
	v := uint64(in[0])<<32 | uint64(binary.BigEndian.Uint32(in[1:]))
	var copies [len(in) * aes.BlockSize]byte
	for i := 0; i < len(copies); i += len(in) {
		copies[i] = byte(v >> 32)
		binary.BigEndian.PutUint32(copies[i+1:], uint32(v))
		v = (v>>turn | v<<(width-turn)) & mask
	}
	var high, low, carries uint64
	for i := 0; i < len(copies); i += aes.BlockSize {
		var c uint64
		low, c = bits.Add64(low, binary.BigEndian.Uint64(copies[i+8:]), 0)
		high, c = bits.Add64(high, binary.BigEndian.Uint64(copies[i:]), c)
		carries += c
	}
	for carries != 0 {
		var c uint64
		low, c = bits.Add64(low, carries, 0)
		high, carries = bits.Add64(high, 0, c)
	}
	binary.BigEndian.PutUint64(out[:], high)
	binary.BigEndian.PutUint64(out[8:], low)
}
