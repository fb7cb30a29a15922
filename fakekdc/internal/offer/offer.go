// Package offer reads what an initiator sends first, of SPNEGO (RFC 4178) or of the
// Kerberos mechanism alone (RFC 4121), and writes how an acceptor refuses it.
package offer

import (
	"errors"
	"slices"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

// An Offer is what an initiator's first token holds.
type Offer struct {
	Framed []byte // the mechanism's own token; nil if it is to come
	Mechs  []byte // DER of MechTypeList, which MICs cover
	Raw    bool   // it is not SPNEGO's
}

// Open reads the first token of an initiator.
func Open(token []byte) (Offer, error) {
	switch kind := spnego.Classify(token); kind {
	case spnego.APReq:
		return Offer{Framed: token, Raw: true}, nil
	case spnego.NegTokenInit:
	default:
		return Offer{Raw: true}, errors.New("token is neither SPNEGO nor Kerberos: " + kind.String())
	}
	in, err := spnego.ParseInit(token)
	if err != nil {
		return Offer{}, errors.New("malformed NegTokenInit")
	}
	at := slices.IndexFunc(in.MechTypes, spnego.OID.IsKRB5)
	if at < 0 {
		return Offer{}, errors.New("no Kerberos among the mechanisms")
	}
	o := Offer{Mechs: slices.Clone(in.MechTypesDER)}
	if at == 0 { // else it is the token of another mechanism (RFC 4178 section 4.2.2)
		o.Framed = in.MechToken
	}
	return o, nil
}

// APReq returns the AP-REQ in the mechanism's own token.
func APReq(framed []byte) ([]byte, error) {
	_, id, inner, err := spnego.Unframe(framed)
	if err != nil || id != spnego.TokAPReq {
		return nil, errors.New("no AP-REQ in the token")
	}
	return inner, nil
}

// WantsMutual reads the option of a framed AP-REQ that may be of no good otherwise. An
// initiator without it reads no token of the acceptor's.
func WantsMutual(framed []byte) bool {
	inner, err := APReq(framed)
	if err != nil {
		return false
	}
	req, err := krb.ParseAPReq(inner)
	return err == nil && req.Options&krb.APMutualRequired != 0
}

// Refusal returns a KRB-ERROR of the service, framed.
func Refusal(service krb.Principal, now time.Time, code int32, text string) ([]byte, error) {
	e := krb.KRBError{Code: code, Text: text, STime: now, Susec: now.Nanosecond() / 1000, Server: service}
	b, err := e.Marshal()
	if err != nil {
		return nil, err
	}
	return spnego.Frame(spnego.TokKRBError, b), nil
}
