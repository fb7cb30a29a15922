// Package der reads elements of DER (X.690) as cryptobyte does, at less cost where they
// are of the lengths that tokens have.
package der

import (
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Take reads an element as [cryptobyte.String.ReadASN1] does.
func Take(s, out *cryptobyte.String, tag asn1.Tag) bool {
	b := *s
	if len(b) < 4 || b[0] != byte(tag) {
		return s.ReadASN1(out, tag)
	}
	// The length, written in as few bytes as it can be.
	head, n := 2, int(b[1])
	switch {
	case n <= 0x7f:
	case n == 0x81 && b[2] > 0x7f:
		head, n = 3, int(b[2])
	case n == 0x82 && b[2] != 0:
		head, n = 4, int(b[2])<<8|int(b[3])
	default:
		return s.ReadASN1(out, tag)
	}
	if len(b)-head < n {
		return false
	}
	*out, *s = b[head:head+n], b[head+n:]
	return true
}

// TakeInt reads INTEGER of 64 bits, written in as few bytes as its sign allows.
func TakeInt(s *cryptobyte.String, out *int64) bool {
	var b cryptobyte.String
	if !Take(s, &b, asn1.INTEGER) || len(b) < 1 || len(b) > 8 {
		return false
	}
	v := int64(int8(b[0]))
	if len(b) > 1 && v == int64(int8(b[1]))>>7 { // the first byte is of no use
		return false
	}
	for _, c := range b[1:] {
		v = v<<8 | int64(c)
	}
	*out = v
	return true
}
