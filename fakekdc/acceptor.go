package fakekdc

import (
	"fmt"
	"slices"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

// AcceptOptions are what a service wants of the token that it accepts. The zero value
// takes tickets for every service of the realm.
type AcceptOptions struct {
	// Service is the one whose keys open the ticket, such as "imap/mail.example".
	// Empty means all services of the realm.
	Service string
	// Bindings is the mode of channel bindings.
	Bindings Bindings
	// EndPoint is the application data of the connection's channel bindings (RFC
	// 5929), "tls-server-end-point:" and a hash of the certificate; nil where the
	// connection has none.
	EndPoint []byte
}

// An AcceptError is why a token was refused.
type AcceptError struct {
	Code   int32 // of the KRB-ERROR (RFC 4120 section 7.5.9); 60 where none fits
	Reason string
}

// Error returns the code's name and the reason.
func (e *AcceptError) Error() string {
	return fmt.Sprintf("token refused: %s: %s", krb.ErrorName(e.Code), e.Reason)
}

// Accept is a service's side of one security context (RFC 2743 section 2.2.2), for
// protocols other than HTTP: SASL, SSH and others that carry tokens. It takes the
// initiator's token, of SPNEGO (RFC 4178) with Kerberos as the first mechanism or of
// Kerberos alone (RFC 4121 section 4.1), as bytes and without base64. The response is
// of the same kind and goes back to the initiator; it is nil where none is owed. A
// [Handler] verifies tokens by the same rules: a token is good for once.
//
// A token that is refused is an [*AcceptError]; the response, if there is one, tells
// the initiator so. A context takes one leg: an initiator that sends no token of
// Kerberos at first is refused.
func (r *Realm) Accept(token []byte, o AcceptOptions) (response []byte, caller Caller, err error) {
	d := demand{bindings: o.Bindings, endPoint: o.EndPoint}
	if o.Service != "" {
		p, err := r.lookupText(o.Service)
		if err != nil {
			return nil, Caller{}, err
		}
		d.service = p.name
	}
	in, no := openOffer(token)
	var a *acceptance
	if no == nil {
		a, no = r.acceptOffer(in, d)
	}
	if no != nil {
		return r.refusalToken(in, no, d.service), Caller{}, &AcceptError{no.code, no.text}
	}
	if a.caller.Mutual {
		if response, err = a.proof(); err != nil {
			return nil, Caller{}, err
		}
	}
	if !in.raw {
		response = spnego.Resp{State: spnego.AcceptCompleted, SupportedMech: spnego.KRB5, ResponseToken: response}.Append(nil)
	}
	return response, a.caller, nil
}

// An offer is what an initiator's first token holds.
type offer struct {
	framed []byte // the mechanism's own token; nil if it is to come
	mechs  []byte // DER of MechTypeList, which MICs cover
	raw    bool   // it is not SPNEGO's
}

// openOffer reads the first token of an initiator.
func openOffer(token []byte) (offer, *refusal) {
	switch kind := spnego.Classify(token); kind {
	case spnego.APReq:
		return offer{framed: token, raw: true}, nil
	case spnego.NegTokenInit:
	default:
		return offer{raw: true}, refuse(krb.CodeGeneric, "token is neither SPNEGO nor Kerberos: "+kind.String())
	}
	in, err := spnego.ParseInit(token)
	if err != nil {
		return offer{}, refuse(krb.CodeGeneric, "malformed NegTokenInit")
	}
	at := slices.IndexFunc(in.MechTypes, spnego.OID.IsKRB5)
	if at < 0 {
		return offer{}, refuse(krb.CodeGeneric, "Kerberos is not among the mechanisms")
	}
	o := offer{mechs: slices.Clone(in.MechTypesDER)}
	if at == 0 { // else it is the token of another mechanism (RFC 4178 section 4.2.2)
		o.framed = in.MechToken
	}
	return o, nil
}

func (r *Realm) acceptOffer(in offer, d demand) (*acceptance, *refusal) {
	if in.framed == nil {
		return nil, refuse(krb.CodeGeneric, "Kerberos is not the initiator's first mechanism, and has no token")
	}
	return r.acceptFramed(in.framed, d)
}

// acceptFramed takes the mechanism's own token (RFC 4121 section 4.1).
func (r *Realm) acceptFramed(framed []byte, d demand) (*acceptance, *refusal) {
	_, id, inner, err := spnego.Unframe(framed)
	if err != nil || id != spnego.TokAPReq {
		return nil, refuse(krb.CodeGeneric, "no AP-REQ in the token")
	}
	return r.accept(inner, d)
}

// proof returns the genuine AP-REP, framed.
func (a *acceptance) proof() ([]byte, error) {
	rep, err := a.apRep(a.session, a.auth.CTime, a.auth.Cusec)
	if err != nil {
		return nil, err
	}
	return spnego.Frame(spnego.TokAPRep, rep), nil
}

// refusalToken tells the initiator of a refusal, nil where it would not listen: one
// that wants no proof of the service reads no token.
func (r *Realm) refusalToken(in offer, no *refusal, service krb.Principal) []byte {
	if !wantsMutual(in.framed) {
		if in.raw {
			return nil
		}
		return spnego.Resp{State: spnego.Reject}.Append(nil)
	}
	framed, err := r.krbError(no, service)
	if err != nil || in.raw {
		return framed
	}
	return spnego.Resp{State: spnego.Reject, ResponseToken: framed}.Append(nil)
}

// wantsMutual reads the option of a framed AP-REQ that may be of no good otherwise.
func wantsMutual(framed []byte) bool {
	_, id, inner, err := spnego.Unframe(framed)
	if err != nil || id != spnego.TokAPReq {
		return false
	}
	req, err := krb.ParseAPReq(inner)
	return err == nil && req.Options&krb.APMutualRequired != 0
}

// krbError returns a KRB-ERROR of a service, framed. The zero service is not named.
func (r *Realm) krbError(no *refusal, service krb.Principal) ([]byte, error) {
	now := r.now()
	if service.IsZero() {
		service = krb.NewPrincipal(r.realm, "service")
	}
	e := krb.KRBError{Code: no.code, Text: no.text, STime: now, Susec: now.Nanosecond() / 1000, Server: service}
	b, err := e.Marshal()
	if err != nil {
		return nil, err
	}
	return spnego.Frame(spnego.TokKRBError, b), nil
}
