package spnego

import (
	"fmt"

	"golang.org/x/crypto/cryptobyte/asn1"
)

// A State is the negState of a NegTokenResp (RFC 4178 section 4.2.2). The zero
// value says that the member is absent, as it is in the answers of some Java
// acceptors; no state is ever taken from its absence.
type State uint8

// States in the order of their wire values, which are one less.
const (
	StateAbsent State = iota
	AcceptCompleted
	AcceptIncomplete
	Reject
	RequestMIC
)

// String returns the name RFC 4178 gives.
func (s State) String() string {
	switch s {
	case StateAbsent:
		return "absent"
	case AcceptCompleted:
		return "accept-completed"
	case AcceptIncomplete:
		return "accept-incomplete"
	case Reject:
		return "reject"
	case RequestMIC:
		return "request-mic"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// A Resp is a NegTokenResp. Byte fields are nil when the member is absent and
// empty, not nil, when it is there with no contents.
type Resp struct {
	State         State
	SupportedMech OID // "" when absent
	ResponseToken []byte
	MechListMIC   []byte
}

// Format writes the state and sizes, for every verb.
func (r Resp) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "NegTokenResp %s, %s, token of %d bytes, MIC of %d bytes",
		r.State, r.SupportedMech, len(r.ResponseToken), len(r.MechListMIC))
}

// Append appends the encoding of r to dst. A State that is none of the named
// ones is left out.
func (r Resp) Append(dst []byte) []byte {
	body := 0
	if r.State > StateAbsent && r.State <= RequestMIC {
		body += tlvLen(tlvLen(1))
	}
	if r.SupportedMech != "" {
		body += tlvLen(tlvLen(len(r.SupportedMech)))
	}
	if r.ResponseToken != nil {
		body += tlvLen(tlvLen(len(r.ResponseToken)))
	}
	if r.MechListMIC != nil {
		body += tlvLen(tlvLen(len(r.MechListMIC)))
	}
	dst = grow(dst, tlvLen(tlvLen(body)))
	dst = appendHead(dst, tagNegResp, tlvLen(body))
	dst = appendHead(dst, asn1.SEQUENCE, body)
	if r.State > StateAbsent && r.State <= RequestMIC {
		dst = append(appendHead(appendHead(dst, field(0), 3), asn1.ENUM, 1), byte(r.State-1))
	}
	if r.SupportedMech != "" {
		dst = appendField(dst, 1, asn1.OBJECT_IDENTIFIER, string(r.SupportedMech))
	}
	if r.ResponseToken != nil {
		dst = appendField(dst, 2, asn1.OCTET_STRING, r.ResponseToken)
	}
	if r.MechListMIC != nil {
		dst = appendField(dst, 3, asn1.OCTET_STRING, r.MechListMIC)
	}
	return dst
}

// ParseResp decodes a NegTokenResp. Every member may be absent. A mechListMIC
// that repeats the responseToken is left out: Windows 2000 sends one, and it
// is no MIC. Byte fields point into b. Errors wrap ErrMalformed.
func ParseResp(b []byte) (Resp, error) {
	r, _, err := parseResp(b)
	return r, err
}

// parseResp also reports whether Append gives back b.
func parseResp(b []byte) (r Resp, canonical bool, err error) {
	bad := func(what string) (Resp, bool, error) {
		return Resp{}, false, fmt.Errorf("NegTokenResp of %d bytes: %s: %w", len(b), what, ErrMalformed)
	}
	seq, ok := readOnly(b, tagNegResp)
	if ok {
		seq, ok = readOnly(seq, asn1.SEQUENCE)
	}
	if !ok {
		return bad("not one sequence")
	}
	state, present, ok := readField(&seq, 0, asn1.ENUM)
	if !ok || present && (len(state) != 1 || state[0] > byte(RequestMIC-1)) {
		return bad("negState")
	}
	if present {
		r.State = State(state[0] + 1)
	}
	mech, present, ok := readMember(&seq, 1)
	if !ok {
		return bad("supportedMech")
	}
	if present {
		if r.SupportedMech, ok = readOID(&mech); !ok || !mech.Empty() {
			return bad("supportedMech")
		}
	}
	token, present, ok := readField(&seq, 2, asn1.OCTET_STRING)
	if !ok {
		return bad("responseToken")
	}
	if present {
		r.ResponseToken = []byte(token)
	}
	mic, present, ok := readField(&seq, 3, asn1.OCTET_STRING)
	if !ok {
		return bad("mechListMIC")
	}
	unknown, ok := skipUnknown(&seq, 3)
	if !ok {
		return bad("unknown member")
	}
	canonical = unknown == 0
	if present {
		if len(mic) > 0 && string(mic) == string(r.ResponseToken) {
			canonical = false
		} else {
			r.MechListMIC = []byte(mic)
		}
	}
	return r, canonical, nil
}
