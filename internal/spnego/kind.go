package spnego

import (
	"bytes"
	"fmt"

	"golang.org/x/crypto/cryptobyte/asn1"
)

// A Kind says what a token that followed "Negotiate" is, by its outermost
// bytes.
type Kind uint8

// Kinds of tokens, and what a client may make of each.
const (
	Unknown      Kind = iota // nothing known, or a broken frame: refuse
	Empty                    // no bytes: a plain challenge
	NegTokenResp             // the acceptor's answer: ParseResp
	NegTokenInit             // the acceptor's hints (or, at a server, a client's offer): ParseInit
	APReq                    // framed without SPNEGO: a client's offer
	APRep                    // framed without SPNEGO: the acceptor's proof; Unframe
	KRBError                 // framed without SPNEGO: the acceptor's reason; Unframe
	BareAPRep                // no frame (DCE style), not legal over HTTP: refuse
	BareKRBError             // no frame, not legal over HTTP: good for a message
	NTLMSSP                  // the server goes on with NTLM: refuse
	NEGOEXTS                 // the server goes on with NegoEx: refuse
)

// String returns the name of the kind.
func (k Kind) String() string {
	names := [...]string{"unknown", "empty", "NegTokenResp", "NegTokenInit", "AP-REQ", "AP-REP",
		"KRB-ERROR", "bare AP-REP", "bare KRB-ERROR", "NTLM", "NegoEx"}
	if int(k) >= len(names) {
		return fmt.Sprintf("kind %d", uint8(k))
	}
	return names[k]
}

// Classify looks at the outermost bytes of token. A kind is a promise about
// these alone: what is inside may still be refused by the parser it is for.
func Classify(token []byte) Kind {
	switch {
	case len(token) == 0:
		return Empty
	case bytes.HasPrefix(token, []byte("NTLMSSP\x00")):
		return NTLMSSP
	case bytes.HasPrefix(token, []byte("NEGOEXTS")):
		return NEGOEXTS
	}
	tag := asn1.Tag(token[0])
	if _, ok := readOnly(token, tag); !ok {
		return Unknown
	}
	switch tag {
	case tagFrame:
		return classifyFrame(token)
	case tagNegResp:
		return NegTokenResp
	case tagAPRep:
		return BareAPRep
	case tagKRBError:
		return BareKRBError
	}
	return Unknown
}

func classifyFrame(token []byte) Kind {
	oid, rest, ok := unframe(token)
	var tokID uint16
	switch {
	case !ok:
		return Unknown
	case oid == SPNEGO && rest.PeekASN1Tag(tagNegInit):
		return NegTokenInit
	case !oid.IsKRB5() || !rest.ReadUint16(&tokID):
		return Unknown
	case tokID == TokAPReq:
		return APReq
	case tokID == TokAPRep:
		return APRep
	case tokID == TokKRBError:
		return KRBError
	}
	return Unknown
}
