package fakekdc

import (
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// tgs is the ticket-granting service (RFC 4120 section 3.3). It fills in the
// client's name for the record.
func (r *Realm) tgs(q *request, now time.Time, e *Exchange) (*reply, *refusal) {
	tgt, auth, no := r.openTGSReq(q, now, e)
	if no != nil {
		return nil, no
	}
	if q.options&(optPostdated|optProxy|optUserToUser|optConstrained|optValidate) != 0 {
		return nil, refuse(krb.CodeBadOption, "option not supported")
	}
	rep := &reply{kind: TGS, nonce: q.nonce, key: tgt.session, usage: krb.UsageTGSRepSessionKey}
	if !auth.Subkey.IsZero() {
		rep.key, rep.usage = auth.Subkey, krb.UsageTGSRepSubkey
	}
	if q.options&optRenew != 0 {
		return rep, r.renewal(rep, q, tgt, now)
	}
	if !tgt.server.SameName(krb.TGS(r.realm, r.realm)) {
		return nil, refuse(krb.CodeNotUs, "not a ticket-granting ticket")
	}
	if tgt.server.Realm != r.realm && tgt.client.Realm == r.realm {
		return nil, refuse(krb.CodePolicy, "another realm speaks for a client of this one")
	}
	if q.realm != r.realm {
		return nil, refuse(krb.CodeServerUnknown, "this is the KDC of "+r.realm)
	}
	server := r.findServer(q)
	if server == nil {
		return nil, refuse(krb.CodeServerUnknown, "server unknown")
	}
	// The client may be of another realm, or gone since it logged in.
	client := r.lookup(tgt.client)
	if tgt.client.Realm != r.realm {
		client = nil
	} else if client == nil {
		return nil, refuse(krb.CodeClientUnknown, "client no longer known")
	}
	parties := []*principal{server}
	if client != nil {
		parties = append(parties, client)
	}
	if code := firstCode(parties...); code != 0 {
		return nil, refuse(code, "policy")
	}
	sessionEtype := server.choose(q.etypes)
	if sessionEtype == 0 {
		return nil, refuse(krb.CodeEtypeNoSupport, "no encryption type in common")
	}
	g := grant{
		client: tgt.client, server: server.name,
		flags:    tgt.flags & krb.FlagPreAuthent,
		authTime: tgt.authTime, start: now.Truncate(time.Second),
		addresses: tgt.addresses, authData: tgt.authData,
	}
	if server.name.SameName(q.server) {
		g.server.Type = q.server.Type
	}
	if no := r.cross(&g, tgt, q); no != nil {
		return nil, no
	}
	g.flags |= allowed(q.options&tgt.flags, parties...)
	if q.options&optForwarded != 0 {
		if tgt.flags&krb.FlagForwardable == 0 {
			return nil, refuse(krb.CodeBadOption, "ticket-granting ticket is not forwardable")
		}
		g.flags |= krb.FlagForwarded
		g.addresses = q.addresses
	} else {
		g.flags |= tgt.flags & krb.FlagForwarded
	}
	p, ok := r.period(q, g.start, tgt.end, tgt.renewTill, tgt.flags&krb.FlagRenewable != 0, parties...)
	if !ok {
		return nil, refuse(codeNeverValid, "requested times are over")
	}
	g.end, g.renewTill = p.end, p.renewTill
	return rep, r.issue(rep, g, sessionEtype, client, server)
}

// openTGSReq opens the AP-REQ of a TGS-REQ and checks all that proves who asks.
func (r *Realm) openTGSReq(q *request, now time.Time, e *Exchange) (*grant, *krb.Authenticator, *refusal) {
	value, found := q.find(paTGSReq)
	if !found {
		return nil, nil, refuse(codePADataType, "no ticket-granting ticket")
	}
	req, err := krb.ParseAPReq(value)
	if err != nil {
		return nil, nil, refuse(krb.CodeGeneric, "malformed AP-REQ")
	}
	server := r.lookup(req.Ticket.Server)
	if server == nil {
		return nil, nil, refuse(krb.CodeNotUs, "ticket is not for this realm")
	}
	key, code := server.find(req.Ticket.EncPart.Etype, req.Ticket.EncPart.Kvno)
	if code != 0 {
		return nil, nil, refuse(code, "no key for the ticket")
	}
	tgt, err := openTicket(req.Ticket, key)
	if err != nil {
		return nil, nil, refuse(krb.CodeBadIntegrity, "ticket does not decrypt")
	}
	e.Client = nameOf(tgt.client)
	if tgt.server.Realm != r.realm {
		e.Via = tgt.server.Realm
	}
	if code := tgt.usable(now, 0); code != 0 {
		return nil, nil, refuse(code, "ticket-granting ticket")
	}
	plain, err := tgt.session.OpenData(krb.UsageTGSReqAuth, req.Authenticator)
	if err != nil {
		return nil, nil, refuse(krb.CodeBadIntegrity, "authenticator does not decrypt")
	}
	auth, err := krb.ParseAuthenticator(plain)
	if err != nil {
		return nil, nil, refuse(krb.CodeGeneric, "malformed authenticator")
	}
	if !auth.Client.Equal(tgt.client) || !q.client.IsZero() && !q.client.SameName(tgt.client) {
		return nil, nil, refuse(krb.CodeBadMatch, "ticket is another client's")
	}
	if age(now, auth).Abs() > r.skew {
		return nil, nil, refuse(krb.CodeSkew, "clock skew too great")
	}
	if no := checkBody(q, tgt, auth); no != nil {
		return nil, nil, no
	}
	if !r.tgsSeen.add(auth, tgt.server, q.raw, now, r.skew) {
		return nil, nil, refuse(krb.CodeRepeat, "authenticator was used before")
	}
	return tgt, auth, nil
}

// checkBody verifies the checksum that binds the body to the authenticator.
func checkBody(q *request, tgt *grant, auth *krb.Authenticator) *refusal {
	if auth.Checksum.Value == nil {
		return refuse(codeInappChecksum, "authenticator has no checksum")
	}
	if auth.Checksum.Type != tgt.session.ChecksumType() {
		return refuse(codeSumType, "checksum is not of the session key's type")
	}
	if err := tgt.session.VerifyChecksum(krb.UsageTGSReqChecksum, auth.Checksum.Value, q.body); err != nil {
		return refuse(krb.CodeModified, "request was changed")
	}
	return nil
}

func age(now time.Time, a *krb.Authenticator) time.Duration {
	return now.Sub(a.CTime.Add(time.Duration(a.Cusec) * time.Microsecond))
}

// renewal gives the ticket a new session key and another life as long as the
// one it had (RFC 4120 section 3.3.3).
func (r *Realm) renewal(rep *reply, q *request, old *grant, now time.Time) *refusal {
	if old.server.Realm != r.realm {
		return refuse(krb.CodeNotUs, "the ticket to renew is of another realm")
	}
	if !q.server.SameName(old.server) {
		return refuse(krb.CodeServerUnknown, "the ticket to renew is for "+old.server.String())
	}
	if old.flags&krb.FlagRenewable == 0 || old.renewTill.IsZero() {
		return refuse(krb.CodeBadOption, "ticket is not renewable")
	}
	g := *old
	g.flags &^= krb.FlagInitial
	g.start = now.Truncate(time.Second)
	if !old.renewTill.After(g.start) {
		return refuse(krb.CodeTicketExpired, "renewable life is over")
	}
	g.end = g.start.Add(old.end.Sub(old.start))
	if g.renewTill.Before(g.end) {
		g.end = g.renewTill
	}
	server := r.lookup(old.server)
	if server == nil {
		return refuse(krb.CodeServerUnknown, "server unknown")
	}
	var client *principal
	if g.client.Realm == r.realm {
		if client = r.lookup(g.client); client == nil {
			return refuse(krb.CodeClientUnknown, "client no longer known")
		}
		if client.refuse != 0 {
			return refuse(client.refuse, "policy")
		}
	}
	etype := server.choose(q.etypes)
	if etype == 0 {
		return refuse(krb.CodeEtypeNoSupport, "no encryption type in common")
	}
	return r.issue(rep, g, etype, client, server)
}
