package spnego

import (
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/internal/der"
)

// Tags of RFC 4178 section 4.2 and RFC 2743 section 3.1.
const (
	tagFrame     = asn1.Tag(0x60) // [APPLICATION 0], constructed
	tagNegInit   = asn1.Tag(0xa0) // NegotiationToken [0]
	tagNegResp   = asn1.Tag(0xa1) // NegotiationToken [1]
	tagAPRep     = asn1.Tag(0x6f) // [APPLICATION 15], RFC 4120 section 5.5.2
	tagKRBError  = asn1.Tag(0x7e) // [APPLICATION 30], RFC 4120 section 5.9.1
	tagGenString = asn1.Tag(27)
)

// field is the tag of member n of a sequence.
func field(n uint8) asn1.Tag {
	return asn1.Tag(n).ContextSpecific().Constructed()
}

// headLen is the size of tag and length before n bytes of contents.
func headLen(n int) int {
	size := 2
	if n > 0x7f {
		for ; n > 0; n >>= 8 {
			size++
		}
	}
	return size
}

// tlvLen is the size of an element with n bytes of contents.
func tlvLen(n int) int { return headLen(n) + n }

// grow makes room for n more bytes, and no more: the tokens built here are
// built once.
func grow(dst []byte, n int) []byte {
	if cap(dst)-len(dst) >= n {
		return dst
	}
	return append(make([]byte, 0, len(dst)+n), dst...)
}

// appendHead writes a tag and the length n.
func appendHead(dst []byte, tag asn1.Tag, n int) []byte {
	dst = append(dst, byte(tag))
	if n <= 0x7f {
		return append(dst, byte(n))
	}
	octets := headLen(n) - 2
	dst = append(dst, 0x80|byte(octets))
	for i := octets - 1; i >= 0; i-- {
		dst = append(dst, byte(n>>(8*i)))
	}
	return dst
}

// appendField writes contents as element tag inside member [n].
func appendField[T string | []byte](dst []byte, n uint8, tag asn1.Tag, contents T) []byte {
	dst = appendHead(dst, field(n), tlvLen(len(contents)))
	dst = appendHead(dst, tag, len(contents))
	return append(dst, contents...)
}

func appendOID(dst []byte, o OID) []byte {
	dst = appendHead(dst, asn1.OBJECT_IDENTIFIER, len(o))
	return append(dst, o...)
}

// readOID reads one object identifier.
func readOID(s *cryptobyte.String) (OID, bool) {
	var id cryptobyte.String
	if !der.Take(s, &id, asn1.OBJECT_IDENTIFIER) || len(id) == 0 || len(id) > maxOID {
		return "", false
	}
	return intern(id), true
}

// readOnly reads the contents of element tag, which must be all of s.
func readOnly(s cryptobyte.String, tag asn1.Tag) (cryptobyte.String, bool) {
	var contents cryptobyte.String
	ok := der.Take(&s, &contents, tag) && s.Empty()
	return contents, ok
}

// readMember reads the contents of member [n] of s. It reports whether the member is
// present, and whether all is well.
func readMember(s *cryptobyte.String, n uint8) (contents cryptobyte.String, present, ok bool) {
	if !s.PeekASN1Tag(field(n)) {
		return nil, false, true
	}
	ok = der.Take(s, &contents, field(n))
	return contents, true, ok
}

// readField is readMember for one that holds one element tag and nothing else, whose
// contents it returns.
func readField(s *cryptobyte.String, n uint8, tag asn1.Tag) (contents cryptobyte.String, present, ok bool) {
	member, present, ok := readMember(s, n)
	if !present || !ok {
		return nil, present, ok
	}
	contents, ok = readOnly(member, tag)
	return contents, true, ok
}

// skipUnknown passes over members with a number above last, for which both
// sequences of RFC 4178 section 4.2 leave room. It reports how many there were.
func skipUnknown(s *cryptobyte.String, last uint8) (n int, ok bool) {
	for ; !s.Empty(); n++ {
		var tag asn1.Tag
		var member cryptobyte.String
		if !s.ReadAnyASN1(&member, &tag) || tag <= field(last) || tag > field(30) {
			return n, false
		}
	}
	return n, true
}
