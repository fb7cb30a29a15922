package fakekdc

import (
	"bytes"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// An apReq is an AP-REQ that is being opened (RFC 4120 section 3.2.3). For whom
// tickets must be, when they are valid, and how often an authenticator may come is for
// the services that take them.
type apReq struct {
	options uint32
	ticket  *grant
	raw     []byte             // DER of the ticket
	auth    *krb.Authenticator // nil before authenticate

	sealed krb.EncryptedData // the authenticator
}

// openAPReq opens the ticket of an AP-REQ with the key of its server, if that is one
// of the service's.
func openAPReq(b []byte, server func(krb.Principal) (*principal, *refusal)) (*apReq, *refusal) {
	m, err := krb.ParseAPReq(b)
	if err != nil {
		return nil, refuse(krb.CodeGeneric, "malformed AP-REQ")
	}
	p, no := server(m.Ticket.Server)
	if no != nil {
		return nil, no
	}
	t, no := p.openTicket(m.Ticket, "ticket")
	if no != nil {
		return nil, no
	}
	return &apReq{options: m.Options, ticket: t, raw: bytes.Clone(m.RawTicket), sealed: m.Authenticator}, nil
}

// openTicket opens a ticket for the principal. The text names it in refusals.
func (p *principal) openTicket(t krb.TicketFields, what string) (*grant, *refusal) {
	key, code := p.find(t.EncPart.Etype, t.EncPart.Kvno)
	if code != 0 {
		return nil, refuse(code, "no key for the "+what)
	}
	g, err := openTicket(t, key)
	if err != nil {
		return nil, refuse(krb.CodeBadIntegrity, what+" does not decrypt")
	}
	return g, nil
}

// authenticate opens the authenticator: who sends it has the session key, is the
// ticket's client, and has the same time.
func (a *apReq) authenticate(usage uint32, now time.Time, skew time.Duration) *refusal {
	plain, err := a.ticket.session.OpenData(usage, a.sealed)
	if err != nil {
		return refuse(krb.CodeBadIntegrity, "authenticator does not decrypt")
	}
	if a.auth, err = krb.ParseAuthenticator(plain); err != nil {
		return refuse(krb.CodeGeneric, "malformed authenticator")
	}
	if !a.auth.Client.Equal(a.ticket.client) {
		return refuse(krb.CodeBadMatch, "authenticator and ticket name different clients")
	}
	if now.Sub(a.auth.CTime.Add(time.Duration(a.auth.Cusec)*time.Microsecond)).Abs() > skew {
		return refuse(krb.CodeSkew, "clock skew too great")
	}
	return nil
}

// key returns what protects further messages: the client's subkey if it has one.
func (a *apReq) key() krb.Key {
	if !a.auth.Subkey.IsZero() {
		return a.auth.Subkey
	}
	return a.ticket.session
}
