package gss

import (
	"fmt"
	"math/bits"

	"github.com/kerbchain/kerbchain/internal/spnego"
)

// The frame of RFC 2743 section 3.1: 60 L 06 l OID and then the token. Its
// length covers data that lie elsewhere, so that a DER reader cannot read it.
const (
	frameTag = 0x60
	oidTag   = 0x06
)

// appendLength appends a DER length.
func appendLength(dst []byte, n int) []byte {
	if n <= 0x7f {
		return append(dst, byte(n))
	}
	octets := (bits.Len(uint(n)) + 7) / 8
	dst = append(dst, 0x80|byte(octets))
	for i := octets - 1; i >= 0; i-- {
		dst = append(dst, byte(n>>(8*i)))
	}
	return dst
}

// readFrame reads the start of a frame that, with what lies elsewhere, has total
// bytes. It returns where the token starts.
func readFrame(b []byte, total int) (int, error) {
	bad := func(what string) (int, error) {
		return 0, fmt.Errorf("%w: %s, want a token framed for Kerberos (RFC 2743)", ErrMalformed, what)
	}
	if len(b) < 2 || b[0] != frameTag {
		return bad("no frame")
	}
	i, n := 2, int(b[1])
	if octets := n &^ 0x80; n > 0x7f {
		// Four octets are more than any message needs.
		if octets > 4 || len(b) < 2+octets {
			return bad("bad length")
		}
		var v uint64
		for _, x := range b[2 : 2+octets] {
			v = v<<8 | uint64(x)
		}
		if v <= 0x7f || v>>(8*(octets-1)) == 0 { // of no octets, or of too many, is no DER
			return bad("bad length")
		}
		i, n = 2+octets, int(v)
	}
	if n != total-i {
		return bad(fmt.Sprintf("length %d of %d bytes", n, total-i))
	}
	if len(b) < i+2 || b[i] != oidTag || len(b) < i+2+int(b[i+1]) {
		return bad("no mechanism")
	}
	end := i + 2 + int(b[i+1])
	if !spnego.OID(b[i+2 : end]).IsKRB5() {
		return bad("another mechanism")
	}
	return end, nil
}
