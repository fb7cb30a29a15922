package fakekdc

import (
	"slices"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// userToUser opens the ticket-granting ticket of the server, whose session key
// is to seal the ticket (RFC 4120 section 3.3.3), and returns the encryption
// type of the new session key: that of the other, which the server has to know,
// if the client knows it.
func (r *Realm) userToUser(q *request, rep *reply, server *principal, now time.Time) (etype int32, no *refusal) {
	second, no := r.openSecond(q, now, false)
	if no != nil {
		return 0, no
	}
	if !second.server.Equal(krb.TGS(r.realm, r.realm)) {
		return 0, refuse(krb.CodePolicy, "second ticket is no ticket-granting ticket of this realm")
	}
	if !second.client.Equal(server.name) {
		return 0, refuse(krb.CodeServerNoMatch, "second ticket is another's")
	}
	rep.under = second.session
	if etype = second.session.Etype(); !slices.Contains(q.Etypes, etype) {
		etype = server.choose(q.Etypes)
	}
	return etype, nil
}

// openSecond opens the first of the additional tickets. cross says that it is a
// cross-realm one.
func (r *Realm) openSecond(q *request, now time.Time, cross bool) (*grant, *refusal) {
	if len(q.tickets) == 0 {
		return nil, refuse(krb.CodeBadOption, "no second ticket")
	}
	t := q.tickets[0]
	if (t.Server.Realm != r.realm) != cross {
		return nil, refuse(krb.CodePolicy, "second ticket is of another realm")
	}
	p := r.lookup(t.Server)
	if p == nil {
		return nil, refuse(krb.CodeServerUnknown, "second ticket is for no one known")
	}
	g, no := p.openTicket(t, "second ticket")
	if no != nil {
		return nil, no
	}
	if code := g.usable(now, 0); code != 0 {
		return nil, refuse(code, "second ticket")
	}
	return g, nil
}
