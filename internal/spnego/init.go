package spnego

import (
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// An Init is a NegTokenInit (RFC 4178 section 4.2.1), or the NegTokenInit2
// with hints that Windows and MIT acceptors open with ([MS-SPNG] section
// 2.2.1). Byte fields are nil when the member is absent and empty, not nil,
// when it is there with no contents.
type Init struct {
	// MechTypes are the mechanisms, most wanted first. It is nil when the
	// member is absent, which NegTokenInit2 allows; it is never empty.
	MechTypes []OID
	// MechTypesDER is the MechTypeList as received, with its SEQUENCE header:
	// the bytes that a mechListMIC covers (RFC 4178 section 5). Append
	// ignores it.
	MechTypesDER []byte
	// MechToken is a token of the first mechanism.
	MechToken   []byte
	MechListMIC []byte
	// HintName makes Append write a NegTokenInit2.
	HintName string
}

// maxMechs bounds the list of mechanisms that is read. Windows sends four.
const maxMechs = 64

// Format writes the mechanisms and sizes, for every verb.
func (i Init) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "NegTokenInit %v, token of %d bytes, MIC of %d bytes",
		i.MechTypes, len(i.MechToken), len(i.MechListMIC))
}

// Append appends the encoding of i to dst, the frame of RFC 2743 section 3.1
// included.
func (i Init) Append(dst []byte) []byte {
	mechs, hints, body := mechListLen(i.MechTypes), tlvLen(tlvLen(len(i.HintName))), 0
	if len(i.MechTypes) > 0 {
		body += tlvLen(tlvLen(mechs))
	}
	if i.MechToken != nil {
		body += tlvLen(tlvLen(len(i.MechToken)))
	}
	micField := uint8(3)
	if i.HintName != "" {
		body += tlvLen(tlvLen(hints))
		micField = 4
	}
	if i.MechListMIC != nil {
		body += tlvLen(tlvLen(len(i.MechListMIC)))
	}
	dst = appendInitHead(grow(dst, initLen(body)), body)
	if len(i.MechTypes) > 0 {
		dst = appendHead(dst, field(0), tlvLen(mechs))
		dst = appendMechList(dst, i.MechTypes, mechs)
	}
	if i.MechToken != nil {
		dst = appendField(dst, 2, asn1.OCTET_STRING, i.MechToken)
	}
	if i.HintName != "" {
		dst = appendHead(dst, field(3), tlvLen(hints))
		dst = appendHead(dst, asn1.SEQUENCE, hints)
		dst = appendField(dst, 0, tagGenString, i.HintName)
	}
	if i.MechListMIC != nil {
		dst = appendField(dst, micField, asn1.OCTET_STRING, i.MechListMIC)
	}
	return dst
}

// EncodeInit returns the NegTokenInit that offers mechs, most wanted first,
// with a token of the first of them. A nil mechToken is left out.
func EncodeInit(mechs []OID, mechToken []byte) []byte {
	return Init{MechTypes: mechs, MechToken: mechToken}.Append(nil)
}

// AppendInit appends to dst the NegTokenInit that offers KRB5 alone, with its
// token mechToken. A single mechanism needs no mechListMIC (RFC 4178 section
// 5). It allocates once, and not at all where dst has the room.
func AppendInit(dst, mechToken []byte) []byte {
	dst = grow(dst, initLen(krb5InitLen(len(mechToken))))
	return append(appendKRB5InitHead(dst, len(mechToken)), mechToken...)
}

// MaxHead is how many bytes AppendInitFrameHead appends at most, to tokens of 64 KiB.
const MaxHead = 80

// AppendInitFrameHead appends what AppendInit(dst, Frame(tokID, inner)) would put in
// front of an inner token of n bytes.
func AppendInitFrameHead(dst []byte, tokID uint16, n int) []byte {
	dst = appendKRB5InitHead(dst, frameLen(n))
	return AppendFrameHead(dst, tokID, n)
}

// AppendMechList appends the MechTypeList of mechs with its SEQUENCE header,
// the bytes that a mechListMIC covers (RFC 4178 section 5).
func AppendMechList(dst []byte, mechs []OID) []byte {
	return appendMechList(dst, mechs, mechListLen(mechs))
}

// appendKRB5InitHead writes all of a NegTokenInit but its last n bytes, the
// mechToken.
func appendKRB5InitHead(dst []byte, n int) []byte {
	mechs := tlvLen(len(KRB5))
	dst = appendInitHead(dst, krb5InitLen(n))
	dst = appendHead(dst, field(0), tlvLen(mechs))
	dst = appendHead(dst, asn1.SEQUENCE, mechs)
	dst = appendOID(dst, KRB5)
	dst = appendHead(dst, field(2), tlvLen(n))
	return appendHead(dst, asn1.OCTET_STRING, n)
}

// krb5InitLen is how many bytes the members of a NegTokenInit take that offers KRB5
// alone, with a mechToken of n bytes.
func krb5InitLen(n int) int {
	return tlvLen(tlvLen(tlvLen(len(KRB5)))) + tlvLen(tlvLen(n))
}

// initLen is the length of a NegTokenInit whose members take body bytes.
func initLen(body int) int { return tlvLen(framedLen(body)) }

func framedLen(body int) int { return tlvLen(len(SPNEGO)) + tlvLen(tlvLen(body)) }

// appendInitHead writes what precedes the members of a NegTokenInit, which take body
// bytes.
func appendInitHead(dst []byte, body int) []byte {
	dst = appendHead(dst, tagFrame, framedLen(body))
	dst = appendOID(dst, SPNEGO)
	dst = appendHead(dst, tagNegInit, tlvLen(body))
	return appendHead(dst, asn1.SEQUENCE, body)
}

func mechListLen(mechs []OID) (n int) {
	for _, m := range mechs {
		n += tlvLen(len(m))
	}
	return n
}

func appendMechList(dst []byte, mechs []OID, n int) []byte {
	dst = appendHead(dst, asn1.SEQUENCE, n)
	for _, m := range mechs {
		dst = appendOID(dst, m)
	}
	return dst
}

// ParseInit decodes a NegTokenInit or NegTokenInit2 in its frame. reqFlags and
// members it does not know are passed over, and so are hints it cannot read.
// Byte fields point into b. Errors wrap ErrMalformed, or ErrMechanism when the
// frame is not one of SPNEGO.
func ParseInit(b []byte) (Init, error) {
	i, _, err := parseInit(b)
	return i, err
}

// parseInit also reports whether Append gives back b.
func parseInit(b []byte) (i Init, canonical bool, err error) {
	bad := func(what string) (Init, bool, error) {
		return Init{}, false, fmt.Errorf("NegTokenInit of %d bytes: %s: %w", len(b), what, ErrMalformed)
	}
	oid, rest, ok := unframe(b)
	if !ok {
		return bad("frame")
	}
	if oid != SPNEGO {
		return Init{}, false, fmt.Errorf("NegTokenInit of %d bytes: frame of %s: %w", len(b), oid, ErrMechanism)
	}
	seq, ok := readOnly(rest, tagNegInit)
	if ok {
		seq, ok = readOnly(seq, asn1.SEQUENCE)
	}
	if !ok {
		return bad("not one sequence")
	}
	canonical = true

	member, present, ok := readMember(&seq, 0)
	if !ok {
		return bad("mechTypes")
	}
	if present {
		i.MechTypesDER = []byte(member)
		if i.MechTypes, ok = readMechList(member); !ok {
			return bad("mechTypes")
		}
	}
	if seq.PeekASN1Tag(field(1)) {
		canonical = false
		if !seq.SkipASN1(field(1)) {
			return bad("reqFlags")
		}
	}
	token, present, ok := readField(&seq, 2, asn1.OCTET_STRING)
	if !ok {
		return bad("mechToken")
	}
	if present {
		i.MechToken = []byte(token)
	}

	// Member 3 is the MIC in one form of the token and the hints in the other.
	last := uint8(3)
	if member, present, ok = readMember(&seq, 3); !ok {
		return bad("mechListMIC")
	}
	if mic, isMIC := readOnly(member, asn1.OCTET_STRING); present && isMIC {
		i.MechListMIC = []byte(mic)
	} else {
		if present {
			if i.HintName, ok = readHintName(member); !ok || i.HintName == "" {
				canonical = false
			}
		}
		last = 4
		if mic, present, ok = readField(&seq, 4, asn1.OCTET_STRING); !ok {
			return bad("mechListMIC")
		} else if present {
			i.MechListMIC = []byte(mic)
			canonical = canonical && i.HintName != ""
		}
	}
	unknown, ok := skipUnknown(&seq, last)
	if !ok {
		return bad("unknown member")
	}
	return i, canonical && unknown == 0, nil
}

// readMechList reads a MechTypeList that names at least one mechanism.
func readMechList(s cryptobyte.String) ([]OID, bool) {
	list, ok := readOnly(s, asn1.SEQUENCE)
	if !ok || list.Empty() {
		return nil, false
	}
	mechs := make([]OID, 0, 4)
	for !list.Empty() {
		m, ok := readOID(&list)
		if !ok || len(mechs) == maxMechs {
			return nil, false
		}
		mechs = append(mechs, m)
	}
	return mechs, true
}

// readHintName reads negHints, and reports whether it was a name alone.
func readHintName(s cryptobyte.String) (string, bool) {
	hints, ok := readOnly(s, asn1.SEQUENCE)
	if !ok {
		return "", false
	}
	name, present, ok := readField(&hints, 0, tagGenString)
	if !present || !ok {
		return "", false
	}
	return string(name), hints.Empty()
}
