package fakekdc

import (
	"fmt"

	"github.com/kerbchain/kerbchain/fakekdc/internal/offer"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

// Bindings say what a service makes of channel bindings (RFC 5056), in the terms of
// Windows' Extended Protection. Where a connection has none, BindingsRequired refuses
// everyone, and the others accept.
type Bindings uint8

// Modes of channel bindings.
const (
	// BindingsWhenSupported refuses bindings to another connection, and
	// clients that claim to know of bindings and send none. It accepts clients
	// that send none otherwise.
	BindingsWhenSupported Bindings = iota
	// BindingsRequired accepts the right bindings alone.
	BindingsRequired
	// BindingsOff does not look at them.
	BindingsOff
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
	// NoSubkey leaves the acceptor's subkey out of the AP-REP.
	NoSubkey bool
}

// An AcceptError is why a token was refused.
type AcceptError struct {
	Code     int32 // of the KRB-ERROR (RFC 4120 section 7.5.9); 60 where none fits
	Reason   string
	Response []byte // goes back to the initiator; nil where it would not listen
}

// Error returns the code's name and the reason.
func (e *AcceptError) Error() string {
	return fmt.Sprintf("token refused: %s: %s", krb.ErrorName(e.Code), e.Reason)
}

// Accept is a service's side of one security context (RFC 2743 section 2.2.2), for
// protocols other than HTTP: SASL, SSH and others that carry tokens. It takes the
// initiator's token, of SPNEGO (RFC 4178) with Kerberos as the first mechanism or of
// Kerberos alone (RFC 4121 section 4.1), as bytes and without base64. A token is good
// for once. Package fakeweb verifies tokens by the same rules.
//
// A token that is refused is an [*AcceptError]. A context takes one leg: an initiator
// that sends no token of Kerberos at first is refused.
func (r *Realm) Accept(token []byte, o AcceptOptions) (*SecurityContext, error) {
	d := demand{AcceptOptions: o}
	if o.Service != "" {
		p, err := r.lookupText(o.Service)
		if err != nil {
			return nil, err
		}
		d.service = p.name
	}
	in, err := offer.Open(token)
	var a *acceptance
	var no *refusal
	switch {
	case err != nil:
		no = refuse(krb.CodeGeneric, err.Error())
	case in.Framed == nil:
		no = refuse(krb.CodeGeneric, "Kerberos is not the initiator's first mechanism, and has no token")
	default:
		a, no = r.acceptFramed(in.Framed, d)
	}
	if no != nil {
		return nil, &AcceptError{no.code, no.text, r.refusalToken(in, no, d.service)}
	}
	out := &SecurityContext{a: a}
	if a.caller.Mutual {
		if out.response, err = a.proof(); err != nil {
			return nil, err
		}
	}
	if !in.Raw {
		out.response = spnego.Resp{State: spnego.AcceptCompleted, SupportedMech: spnego.KRB5, ResponseToken: out.response}.Append(nil)
	}
	return out, nil
}

// acceptFramed takes the mechanism's own token (RFC 4121 section 4.1).
func (r *Realm) acceptFramed(framed []byte, d demand) (*acceptance, *refusal) {
	inner, err := offer.APReq(framed)
	if err != nil {
		return nil, refuse(krb.CodeGeneric, err.Error())
	}
	return r.accept(inner, d)
}

// proof returns the genuine AP-REP, framed.
func (a *acceptance) proof() ([]byte, error) {
	rep, err := krb.MakeAPRep(a.session, &krb.EncAPRepPart{
		CTime: a.auth.CTime, Cusec: a.auth.Cusec, Subkey: a.subkey, Seq: a.seq, HasSeq: true,
	})
	if err != nil {
		return nil, err
	}
	return spnego.Frame(spnego.TokAPRep, rep), nil
}

// refusalToken tells the initiator of a refusal, nil where it would not listen: one
// that wants no proof of the service reads no token.
func (r *Realm) refusalToken(in offer.Offer, no *refusal, service krb.Principal) []byte {
	if !offer.WantsMutual(in.Framed) {
		if in.Raw {
			return nil
		}
		return spnego.Resp{State: spnego.Reject}.Append(nil)
	}
	if service.IsZero() {
		service = krb.NewPrincipal(r.realm, "service")
	}
	framed, err := offer.Refusal(service, r.now(), no.code, no.text)
	if err != nil || in.Raw {
		return framed
	}
	return spnego.Resp{State: spnego.Reject, ResponseToken: framed}.Append(nil)
}
