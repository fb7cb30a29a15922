// Package negotiation is the initiator's side of SPNEGO (RFC 4178) for Kerberos
// alone: what becomes of the acceptor's tokens, whoever carries out the mechanism in
// them.
package negotiation

import (
	"errors"
	"fmt"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
	"github.com/kerbchain/kerbchain/middleware"
)

// A Mechanism is a security context of Kerberos that an [Exchange] is about.
type Mechanism interface {
	// SPN returns the service principal that was asked for.
	SPN() string
	// Accept takes the acceptor's framed AP-REP. Its error is that of the exchange.
	Accept(token []byte) error
	// Established reports whether the acceptor has proved itself, or was not asked
	// to.
	Established() bool
	// MIC returns a token over msg, and VerifyMIC checks the acceptor's.
	MIC(msg []byte) ([]byte, error)
	VerifyMIC(msg, mic []byte) error
	// Fail returns the error of an exchange that failed for a reason, with the names
	// of those concerned. err may be nil.
	Fail(reason middleware.Reason, err error) *middleware.Error
}

// An Exchange is what SPNEGO remembers from one token to the next. The zero value is
// one that has offered Kerberos ([spnego.AppendInit]).
type Exchange struct{ micSent bool }

// mechList is what our NegTokenInit offers, and what a mechListMIC covers.
var mechList = spnego.AppendMechList(nil, []spnego.OID{spnego.KRB5})

// Opens reports whether a token is one that may come before our first: none at all,
// or the hints of some acceptors.
func Opens(token []byte) bool {
	kind := spnego.Classify(token)
	return kind == spnego.Empty || kind == spnego.NegTokenInit
}

// Answer takes the acceptor's token, and returns ours if one is owed.
func (e *Exchange) Answer(m Mechanism, token []byte) ([]byte, error) {
	switch spnego.Classify(token) {
	case spnego.NegTokenResp:
	case spnego.APRep, spnego.KRBError:
		return nil, accept(m, token)
	default:
		return nil, Refuse(m, token, nil)
	}
	resp, err := spnego.ParseResp(token)
	if err != nil {
		return nil, m.Fail(middleware.ReasonMalformed, err)
	}
	if resp.SupportedMech != "" && !resp.SupportedMech.IsKRB5() {
		return nil, m.Fail(middleware.ReasonWrongMechanism, fmt.Errorf("the server selected %s", resp.SupportedMech))
	}
	if resp.State == spnego.Reject {
		// A KRB-ERROR within says more than the rejection itself.
		if spnego.Classify(resp.ResponseToken) == spnego.KRBError {
			return nil, accept(m, resp.ResponseToken)
		}
		return nil, m.Fail(middleware.ReasonRefused, errors.New("the server rejected the negotiation"))
	}
	if len(resp.ResponseToken) > 0 {
		if err := accept(m, resp.ResponseToken); err != nil {
			return nil, err
		}
	}
	if !m.Established() {
		return nil, m.Fail(middleware.ReasonNoToken, fmt.Errorf("the server answered %s without proof of its identity", resp.State))
	}
	if len(resp.MechListMIC) > 0 {
		if err := m.VerifyMIC(mechList, resp.MechListMIC); err != nil {
			return nil, m.Fail(middleware.ReasonWrongKey, err)
		}
	}
	unfinished := resp.State == spnego.RequestMIC || resp.State == spnego.AcceptIncomplete
	if !unfinished || e.micSent {
		return nil, nil
	}
	// RFC 4178 section 5: the acceptor wants the list of mechanisms protected.
	e.micSent = true
	mic, err := m.MIC(mechList)
	if err != nil {
		return nil, m.Fail(middleware.ReasonNone, err)
	}
	out := spnego.Resp{MechListMIC: mic}
	if len(resp.MechListMIC) > 0 {
		out.State = spnego.AcceptCompleted
	}
	return out.Append(nil), nil
}

// Refuse returns the error of a token that cannot continue the exchange; err says
// why, nil for what it is.
func Refuse(m Mechanism, token []byte, err error) error {
	kind := spnego.Classify(token)
	if err == nil {
		err = fmt.Errorf("the server sent %s", kind)
	}
	switch kind {
	case spnego.Empty:
		return m.Fail(middleware.ReasonRefused, nil)
	case spnego.NTLMSSP, spnego.NEGOEXTS:
		return m.Fail(middleware.ReasonWrongMechanism, err)
	}
	return m.Fail(middleware.ReasonMalformed, err)
}

// Reply returns the AP-REP in a framed token, framed by Kerberos' own name, for a
// mechanism that others carry out: libraries take what follows one, and do not know the
// name that Windows 2000 has for Kerberos. The error is that of the exchange.
func Reply(m Mechanism, token []byte) ([]byte, error) {
	_, id, inner, err := spnego.Unframe(token)
	switch {
	case errors.Is(err, spnego.ErrMechanism):
		return nil, m.Fail(middleware.ReasonWrongMechanism, err)
	case err != nil || id != spnego.TokAPRep:
		return nil, Refuse(m, token, err)
	}
	if err := krb.CheckAPRep(inner); err != nil {
		return nil, m.Fail(middleware.ReasonMalformed, err)
	}
	return spnego.Frame(spnego.TokAPRep, inner), nil
}

// accept gives the acceptor's framed token to m. A KRB-ERROR is the error of the exchange: it
// proves nothing, so that whoever carries out Kerberos need not see it.
func accept(m Mechanism, token []byte) error {
	if spnego.Classify(token) != spnego.KRBError {
		return m.Accept(token)
	}
	_, _, inner, _ := spnego.Unframe(token) // as Classify does
	said, err := krb.ParseKRBError(inner)
	if err != nil {
		return m.Fail(middleware.ReasonMalformed, err)
	}
	e := m.Fail(middleware.ReasonKRBError, said)
	e.Code, e.Hint = said.Code, serverHint(said, m.SPN())
	return e
}

// serverHint says what to try when a server sends a KRB-ERROR.
func serverHint(said *krb.KRBError, spn string) string {
	switch said.Code {
	case krb.CodeBadIntegrity, krb.CodeModified, krb.CodeBadKvno, krb.CodeNoKey, krb.CodeNotUs:
		return "the server cannot use a ticket for " + spn + ": its keytab is stale or holds another principal, or the principal belongs to another account than the service runs as (setspn -Q), or the name leads to another server"
	case krb.CodeSkew, krb.CodeTicketNotYet:
		return "the clocks of client and server are too far apart: check time synchronisation on both"
	case krb.CodeTicketExpired:
		return "the server takes the ticket for expired: check its clock, and renew with kinit"
	case krb.CodeRepeat:
		return "the server has seen this token before: something between sent the request twice"
	case krb.CodeBadMatch:
		return "the server finds that ticket and authenticator differ: get a fresh ticket with kinit"
	case krb.CodeGeneric:
		if said.Text == "" {
			return "the server gave no reason: its log may have one"
		}
	}
	return ""
}
