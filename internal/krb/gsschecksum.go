package krb

import "encoding/binary"

// GSSChecksum is what GSS-API says in the place of an authenticator's checksum, of type
// [ChecksumGSSAPI] (RFC 4121 section 4.1.1).
type GSSChecksum struct {
	Bindings   [16]byte // hash of the channel bindings; zero for none
	Flags      uint32   // GSSDeleg and others
	Delegation []byte   // KRB-CRED; sent with GSSDeleg alone
}

// Append appends the value, and nothing else than RFC 4121 describes.
func (c *GSSChecksum) Append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(c.Bindings)))
	dst = append(dst, c.Bindings[:]...)
	dst = binary.LittleEndian.AppendUint32(dst, c.Flags)
	if c.Flags&GSSDeleg != 0 {
		dst = binary.LittleEndian.AppendUint16(dst, 1)
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(c.Delegation)))
		dst = append(dst, c.Delegation...)
	}
	return dst
}

// ParseGSSChecksum reads the value. What follows may be extensions, which mean nothing
// to us. Delegation shares memory with b.
func ParseGSSChecksum(b []byte) (GSSChecksum, error) {
	var c GSSChecksum
	if len(b) < 24 || binary.LittleEndian.Uint32(b) != uint32(len(c.Bindings)) {
		return GSSChecksum{}, malformed("GSS-API checksum")
	}
	copy(c.Bindings[:], b[4:])
	c.Flags = binary.LittleEndian.Uint32(b[20:])
	if c.Flags&GSSDeleg == 0 {
		return c, nil
	}
	rest := b[24:]
	if len(rest) < 4 || binary.LittleEndian.Uint16(rest) != 1 || len(rest)-4 < int(binary.LittleEndian.Uint16(rest[2:])) {
		return GSSChecksum{}, malformed("delegation in the GSS-API checksum")
	}
	c.Delegation = rest[4:][:binary.LittleEndian.Uint16(rest[2:])]
	return c, nil
}
