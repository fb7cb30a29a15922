package fakekdc

import (
	"encoding/base64"
	"time"

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
func (v *visit) token(a *acceptance) *answer {
	switch v.q.Token {
	case TokenNone:
		return nil
	case TokenState:
		return v.resp(spnego.Resp{State: spnego.AcceptCompleted, SupportedMech: v.oid()})
	case TokenReject:
		return v.resp(spnego.Resp{State: spnego.Reject})
	case TokenNTLM:
		return v.bytes(ntlmChallenge())
	case TokenGarbage:
		return v.bytes([]byte("\x00no token of any kind\xff"))
	case TokenNotBase64:
		return &answer{line: v.scheme + " ~~~not~base64~~~"}
	case TokenEmpty:
		return &answer{line: v.scheme}
	case TokenKRBError:
		if framed, err := v.krbError(refuse(krb.CodeModified, "as ordered")); err == nil {
			return v.mech(framed, spnego.AcceptCompleted)
		}
		return nil
	case TokenGenuine:
		if !a.caller.Mutual {
			if v.raw {
				return nil
			}
			return v.resp(spnego.Resp{State: spnego.AcceptCompleted, SupportedMech: v.oid()})
		}
		framed, err := v.proof(a)
		if err != nil {
			return nil // which the client takes for what it is
		}
		out := v.mech(framed, spnego.AcceptCompleted)
		out.genuine = true
		return out
	}
	framed, err := v.lie(a)
	if err != nil {
		return nil
	}
	return v.mech(framed, spnego.AcceptCompleted)
}

// proof returns the genuine AP-REP, framed, and keeps it for TokenReplayed.
func (v *visit) proof(a *acceptance) ([]byte, error) {
	framed, err := a.proof()
	if err == nil {
		v.h.remember(a.session, framed, true)
	}
	return framed, err
}

// lie returns an AP-REP that proves nothing, framed.
func (v *visit) lie(a *acceptance) ([]byte, error) {
	session, ctime, cusec := a.session, a.auth.CTime, a.auth.Cusec
	var err error
	switch v.q.Token {
	case TokenForged, TokenForeign:
		if session, err = krb.GenerateKey(a.session.Etype()); err != nil {
			return nil, err
		}
		if v.q.Token == TokenForeign {
			ctime, cusec = v.h.realm.now(), 1
		}
	case TokenReplayed:
		if earlier := v.h.remember(session, nil, false); earlier != nil {
			return earlier, nil
		}
		// This is the session's first; as an earlier one would have been.
		ctime = ctime.Add(-time.Second)
	}
	rep, err := a.apRep(session, ctime, cusec)
	if err != nil {
		return nil, err
	}
	return spnego.Frame(spnego.TokAPRep, rep), nil
}

// krbError returns a KRB-ERROR of the service, framed.
func (v *visit) krbError(no *refusal) ([]byte, error) {
	service := v.h.service
	if service.IsZero() {
		service = krb.NewPrincipal(v.h.realm.realm, "HTTP", v.r.Host)
	}
	return v.h.realm.krbError(no, service)
}
