package spnego

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
)

// Token identifiers of the framed Kerberos tokens (RFC 4121 section 4.1).
const (
	TokAPReq    uint16 = 0x0100
	TokAPRep    uint16 = 0x0200
	TokKRBError uint16 = 0x0300
)

// Frame returns inner framed as a token of KRB5: 60 L 06 09 OID tokID inner
// (RFC 4121 section 4.1).
func Frame(tokID uint16, inner []byte) []byte {
	return AppendFrame(nil, tokID, inner)
}

// AppendFrame appends what Frame returns to dst. It allocates once, and not at
// all where dst has the room.
func AppendFrame(dst []byte, tokID uint16, inner []byte) []byte {
	dst = grow(dst, frameLen(len(inner)))
	return append(AppendFrameHead(dst, tokID, len(inner)), inner...)
}

// AppendFrameHead appends what AppendFrame puts in front of n bytes.
func AppendFrameHead(dst []byte, tokID uint16, n int) []byte {
	dst = appendHead(dst, tagFrame, tlvLen(len(KRB5))+2+n)
	dst = appendOID(dst, KRB5)
	return binary.BigEndian.AppendUint16(dst, tokID)
}

// frameLen is the length of a framed token with n bytes inside.
func frameLen(n int) int {
	return tlvLen(tlvLen(len(KRB5)) + 2 + n)
}

// Unframe opens the frame of a Kerberos token under any of the mechanism's
// three names. inner points into b. Errors wrap ErrMalformed, or ErrMechanism
// with oid returned when the frame is another mechanism's.
func Unframe(b []byte) (oid OID, tokID uint16, inner []byte, err error) {
	oid, rest, ok := unframe(b)
	if !ok {
		return "", 0, nil, fmt.Errorf("framed token of %d bytes: %w", len(b), ErrMalformed)
	}
	if !oid.IsKRB5() {
		return oid, 0, nil, fmt.Errorf("framed token of %d bytes: want Kerberos, have %s: %w", len(b), oid, ErrMechanism)
	}
	if !rest.ReadUint16(&tokID) {
		return "", 0, nil, fmt.Errorf("framed token of %d bytes: no token identifier: %w", len(b), ErrMalformed)
	}
	return oid, tokID, rest, nil
}

// unframe opens a frame of any mechanism (RFC 2743 section 3.1).
func unframe(b []byte) (OID, cryptobyte.String, bool) {
	rest, ok := readOnly(b, tagFrame)
	if !ok {
		return "", nil, false
	}
	oid, ok := readOID(&rest)
	return oid, rest, ok
}
