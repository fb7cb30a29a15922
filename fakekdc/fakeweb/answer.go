package fakeweb

import (
	"encoding/base64"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/internal/offer"
	visited "github.com/kerbchain/kerbchain/fakekdc/internal/visit"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

// An answer is a challenge line of the service. An empty line is none.
type answer struct {
	line    string
	genuine bool // it proves the service
}

// bytes makes an answer of a token.
func (v *visit) bytes(token []byte) *answer {
	return &answer{line: v.scheme + " " + base64.StdEncoding.EncodeToString(token)}
}

func (v *visit) resp(r spnego.Resp) *answer {
	if v.q.NoState {
		r.State, r.SupportedMech = spnego.StateAbsent, ""
	}
	return v.bytes(r.Append(nil))
}

// mech makes an answer of the mechanism's own token, within SPNEGO where the
// client and the quirks would have it.
func (v *visit) mech(framed []byte, state spnego.State) *answer {
	if v.raw || v.q.Raw {
		return v.bytes(framed)
	}
	r := spnego.Resp{State: state, ResponseToken: framed}
	if state != spnego.Reject { // MIT names no mechanism then
		r.SupportedMech = v.oid()
	}
	return v.resp(r)
}

func (v *visit) oid() spnego.OID {
	if v.q.MicrosoftOID {
		return spnego.MSKRB5
	}
	return spnego.KRB5
}

// token is what the service proves itself with, or pretends to; nil for none.
func (v *visit) token(sc *fakekdc.SecurityContext) *answer {
	switch v.q.Proof {
	case ProofNone:
		return nil
	case ProofState:
		return v.resp(spnego.Resp{State: spnego.AcceptCompleted, SupportedMech: v.oid()})
	case ProofReject:
		return v.resp(spnego.Resp{State: spnego.Reject})
	case ProofNTLM:
		return v.bytes(ntlmChallenge())
	case ProofGarbage:
		return v.bytes([]byte("\x00no token of any kind\xff"))
	case ProofNotBase64:
		return &answer{line: v.scheme + " ~~~not~base64~~~"}
	case ProofEmpty:
		return &answer{line: v.scheme}
	case ProofKRBError:
		if framed, err := v.krbError(refuse(krb.CodeModified, "as ordered")); err == nil {
			return v.mech(framed, spnego.AcceptCompleted)
		}
		return nil
	case ProofGenuine:
		if !sc.Caller().Mutual {
			if v.raw {
				return nil
			}
			return v.resp(spnego.Resp{State: spnego.AcceptCompleted, SupportedMech: v.oid()})
		}
		out := v.mech(v.proof(sc), spnego.AcceptCompleted)
		out.genuine = true
		return out
	}
	framed, err := v.lie(sc.Keys())
	if err != nil {
		return nil // which the client takes for what it is
	}
	return v.mech(framed, spnego.AcceptCompleted)
}

// proof returns the genuine AP-REP, framed, and keeps it for ProofReplayed.
func (v *visit) proof(sc *fakekdc.SecurityContext) []byte {
	v.h.remember(sc.Keys().Session, sc.Response(), true)
	return sc.Response()
}

// lie returns an AP-REP that proves nothing, framed.
func (v *visit) lie(keys fakekdc.Keys) ([]byte, error) {
	session, err := visited.Key(keys.Session)
	if err != nil {
		return nil, err
	}
	at := keys.Time
	switch v.q.Proof {
	case ProofForged, ProofForeign:
		if session, err = krb.GenerateKey(session.Etype()); err != nil {
			return nil, err
		}
		if v.q.Proof == ProofForeign {
			at = v.h.realm.Now().Truncate(time.Second).Add(time.Microsecond)
		}
	case ProofReplayed:
		if earlier := v.h.remember(keys.Session, nil, false); earlier != nil {
			return earlier, nil
		}
		// This is the session's first; as an earlier one would have been.
		at = at.Add(-time.Second)
	}
	subkey, err := visited.Key(keys.Acceptor)
	if err != nil {
		return nil, err
	}
	rep, err := krb.MakeAPRep(session, &krb.EncAPRepPart{
		CTime: at.Truncate(time.Second), Cusec: at.Nanosecond() / 1000, Subkey: subkey, Seq: keys.SendSeq, HasSeq: true,
	})
	if err != nil {
		return nil, err
	}
	return spnego.Frame(spnego.TokAPRep, rep), nil
}

// krbError returns a KRB-ERROR of the service, framed.
func (v *visit) krbError(no *fakekdc.AcceptError) ([]byte, error) {
	service := krb.NewPrincipal(v.h.realm.Name(), "HTTP", v.r.Host)
	if v.h.service != "" {
		if named, err := krb.ParsePrincipal(v.h.service); err == nil {
			service = named // else it is none of the realm's, and no ticket was taken
		}
	}
	return offer.Refusal(service, v.h.realm.Now(), no.Code, no.Reason)
}
