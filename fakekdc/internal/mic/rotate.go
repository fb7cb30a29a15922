package mic

import (
	"encoding/binary"
	"slices"
)

// Rotated lays out a token that carries a message in clear as Windows does: the checksum stands
// before the message, and the header says that it was moved there (RFC 4121 section 4.2.5).
// The go-ldap library reads no other form. token is not that of RC4, and not rotated.
func Rotated(token []byte) []byte {
	const countAt, rotationAt, bodyAt = 4, 6, 16 // section 4.2.6.2
	out := slices.Clone(token[:bodyAt])
	sum := len(token) - int(binary.BigEndian.Uint16(token[countAt:]))
	binary.BigEndian.PutUint16(out[rotationAt:], uint16(len(token)-sum))
	return append(append(out, token[sum:]...), token[bodyAt:sum]...)
}
