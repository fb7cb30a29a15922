package fakekdc

import (
	"crypto/hmac"
	"crypto/md5"
	"net/netip"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc/internal/pac"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// tgs is the ticket-granting service (RFC 4120 section 3.3). It fills in the
// client's name for the record.
func (r *Realm) tgs(q *request, now time.Time, e *Exchange) (*reply, *refusal) {
	req, no := r.openTGSReq(q, now, e)
	if no != nil {
		return nil, no
	}
	no = r.unarmorTGS(q, req)
	e.armored(q)
	if no != nil {
		return nil, no
	}
	tgt, auth := req.ticket, req.auth
	if no := r.fitting(q, tgt); no != nil {
		return nil, no
	}
	if no := r.openPAC(tgt, false); no != nil {
		return nil, no
	}
	rep := &reply{kind: TGS, nonce: q.Nonce, key: req.key(), usage: krb.UsageTGSRepSessionKey}
	if !auth.Subkey.IsZero() {
		rep.usage = krb.UsageTGSRepSubkey
	}
	if q.has(krb.OptionRenew | krb.OptionValidate) {
		if no := tgt.isOf(tgt.client.Name()); no != nil {
			return nil, no
		}
		return rep, r.renewal(rep, q, tgt, now)
	}
	if q.Realm != r.realm {
		return nil, refuse(krb.CodeServerUnknown, "this is the KDC of "+r.realm)
	}
	server := r.findServer(q)
	if server == nil {
		return nil, refuse(krb.CodeServerUnknown, "server unknown")
	}
	who, no := r.speaksFor(q, rep, tgt, server, now, e)
	if no != nil {
		return nil, no
	}
	g := grant{
		client: who.name, server: server.name,
		flags:    who.ticket.flags & (krb.FlagPreAuthent | krb.FlagForwarded | krb.FlagProxy),
		authTime: who.ticket.authTime, addresses: tgt.addresses, authData: who.authData, pac: who.pac,
	}
	if server.name.SameName(q.Server) {
		g.server.Type = q.Server.Type
	}
	parties := []*principal{server}
	if who.client != nil {
		parties = append(parties, who.client)
	}
	if code := firstCode(parties...); code != 0 {
		return nil, refuse(code, "policy")
	}
	if server.userToUser && !q.has(krb.OptionEncTktInSKey) {
		return nil, refuse(krb.CodeMustUseUserToUser, "only user to user")
	}
	sessionEtype := server.choose(q.Etypes)
	if q.has(krb.OptionEncTktInSKey) {
		if sessionEtype, no = r.userToUser(q, rep, server, now); no != nil {
			return nil, no
		}
	}
	if sessionEtype == 0 {
		return nil, refuse(krb.CodeEtypeNoSupport, "no encryption type in common")
	}
	if no := r.addAuthData(q, &g, tgt, auth); no != nil {
		return nil, no
	}
	if no := r.cross(&g, who.ticket, q); no != nil {
		return nil, no
	}
	var invalid uint32
	if g.start, invalid, no = postdated(q, now, parties...); no != nil {
		return nil, no
	}
	g.flags |= invalid | allowed(q.Options&who.flags, parties...)
	if q.has(krb.OptionForwarded | krb.OptionProxy) {
		g.flags |= q.Options & (krb.FlagForwarded | krb.FlagProxy)
		g.addresses = q.Addresses
	}
	end := tgt.end
	if who.ticket.end.Before(end) {
		end = who.ticket.end
	}
	p, ok := r.period(q, g.start, end, who.ticket.renewTill, who.flags&krb.FlagRenewable != 0, parties...)
	if !ok {
		return nil, refuse(krb.CodeNeverValid, "requested times are over")
	}
	g.end, g.renewTill = p.end, p.renewTill
	return rep, r.issue(rep, g, sessionEtype, who.client, server)
}

// fitting refuses options that the ticket does not allow (RFC 4120 section
// 3.3.3), and tickets for others than the ticket-granting service unless it is
// the same ticket that is asked for.
func (r *Realm) fitting(q *request, t *grant) *refusal {
	for _, rule := range [...]struct {
		options, flag uint32
		text          string
	}{
		{krb.OptionForwarded, krb.FlagForwardable, "ticket is not forwardable"},
		{krb.OptionProxy, krb.FlagProxiable, "ticket is not proxiable"},
		{krb.OptionAllowPostdate | krb.OptionPostdated, krb.OptionAllowPostdate, "ticket allows no postdating"},
		{krb.OptionValidate, krb.FlagInvalid, "ticket is valid already"},
		{krb.OptionRenew, krb.FlagRenewable, "ticket is not renewable"},
	} {
		if q.has(rule.options) && t.flags&rule.flag == 0 {
			return refuse(krb.CodeBadOption, rule.text)
		}
	}
	if q.has(krb.OptionAnonymous) {
		return refuse(krb.CodeBadOption, "no anonymous tickets")
	}
	if q.has(krb.OptionProxy) && q.Server.IsTGS() {
		return refuse(krb.CodeBadOption, "ticket-granting tickets cannot be proxies")
	}
	same := q.Server.SameName(t.server)
	switch {
	case q.has(krb.OptionRenew | krb.OptionValidate):
		if !same {
			return refuse(krb.CodeServerNoMatch, "the ticket is for "+t.server.String())
		}
	case t.server.SameName(krb.TGS(r.realm, r.realm)):
	case !same || !q.has(krb.OptionForwarded|krb.OptionProxy):
		return refuse(krb.CodeNotUs, "not a ticket-granting ticket")
	}
	return nil
}

// A subject is whom a ticket is to be of: the one who asks for it, or another for
// whom a service asks ([MS-SFU]).
type subject struct {
	name     krb.Principal
	client   *principal // nil for one of another realm
	ticket   *grant     // that speaks for the subject
	flags    uint32     // that the new ticket may have
	authData []byte
	pac      []pac.Buffer
}

func (r *Realm) speaksFor(q *request, rep *reply, tgt *grant, server *principal, now time.Time, e *Exchange) (*subject, *refusal) {
	// The client may be of another realm, or gone since it logged in.
	client := r.lookup(tgt.client)
	if tgt.client.Realm != r.realm {
		client = nil
	} else if client == nil {
		return nil, refuse(krb.CodeClientUnknown, "client no longer known")
	} else if client.refuse != 0 {
		return nil, refuse(client.refuse, "policy")
	}
	user, no := readForUser(q, tgt, rep)
	if no != nil {
		return nil, no
	}
	if user != nil && !q.alone {
		e.For = nameOf(user.name)
		return r.toSelf(q, rep, tgt, client, server, user, e)
	}
	crossed := tgt.server.Realm != r.realm
	if crossed && tgt.client.Realm == r.realm {
		return nil, refuse(krb.CodePolicy, "another realm speaks for a client of this one")
	}
	if q.has(krb.OptionCNameInAddlTkt) {
		if no := tgt.isOf(tgt.client.Name()); no != nil {
			return nil, no
		}
		if crossed {
			return r.toProxyAcross(q, rep, tgt, server, now, e)
		}
		return r.toProxy(q, rep, tgt, client, server, now, e)
	}
	if no := tgt.isOf(tgt.client.Name()); no != nil {
		// What leads on to where the service may act for the user has the user's.
		if _, ok := tgt.delegated(""); !ok || !r.elsewhere(server) {
			return nil, no
		}
	}
	return &subject{name: tgt.client, client: client, ticket: tgt, flags: tgt.flags, authData: tgt.authData, pac: tgt.pac}, nil
}

// elsewhere reports whether tickets for the server lead to another realm.
func (r *Realm) elsewhere(server *principal) bool {
	return server.name.IsTGS() && server.name.Components[1] != r.realm
}

// refers reports whether the server is a realm that is nearer to the one asked for.
func (r *Realm) refers(q *request, server *principal) bool {
	return r.elsewhere(server) && !server.name.SameName(q.Server)
}

// addAuthData adds what the client wants to have in the ticket (RFC 4120 section
// 5.2.6), but nothing that is for KDCs to say.
func (r *Realm) addAuthData(q *request, g, tgt *grant, auth *krb.Authenticator) *refusal {
	if q.AuthData == nil {
		return nil
	}
	key, usage := tgt.session, krb.UsageTGSReqAuthDataSession
	if !auth.Subkey.IsZero() {
		key, usage = auth.Subkey, krb.UsageTGSReqAuthDataSubkey
	}
	ed, err := krb.ParseEncrypted(q.AuthData)
	if err != nil {
		return refuse(krb.CodeGeneric, "malformed authorization data")
	}
	plain, err := key.OpenData(usage, ed)
	if err != nil {
		return refuse(krb.CodeBadIntegrity, "authorization data do not decrypt")
	}
	_, rest, err := splitAuthData(plain, true)
	if err == nil {
		g.authData, err = joinAuthData(g.authData, rest)
	}
	if err != nil {
		return refuse(krb.CodeGeneric, "malformed authorization data")
	}
	return nil
}

// openTGSReq opens the AP-REQ of a TGS-REQ and checks all that proves who asks.
func (r *Realm) openTGSReq(q *request, now time.Time, e *Exchange) (*apReq, *refusal) {
	value, found := q.find(krb.PATGSReq)
	if !found {
		return nil, refuse(krb.CodePADataNoSupport, "no ticket-granting ticket")
	}
	req, no := openAPReq(value, func(server krb.Principal) (*principal, *refusal) {
		if p := r.lookup(server); p != nil {
			return p, nil
		}
		return nil, refuse(krb.CodeNotUs, "ticket is not for this realm")
	})
	if no != nil {
		return nil, no
	}
	tgt := req.ticket
	e.Client = nameOf(tgt.client)
	if tgt.server.Realm != r.realm {
		e.Via = tgt.server.Realm
	}
	times := *tgt
	if q.has(krb.OptionValidate) {
		times.flags &^= krb.FlagInvalid
	}
	if code := times.usable(now, 0); code != 0 {
		return nil, refuse(code, "ticket-granting ticket")
	}
	if no := req.authenticate(krb.UsageTGSReqAuth, now, r.skew); no != nil {
		return nil, no
	}
	if !q.Client.IsZero() && !q.Client.SameName(tgt.client) {
		return nil, refuse(krb.CodeBadMatch, "ticket is another client's")
	}
	if tgt.addresses != nil && !holdsAddress(tgt.addresses, q.sender) {
		return nil, refuse(krb.CodeBadAddress, "ticket is for other addresses")
	}
	if no := checkBody(q, tgt, req.auth); no != nil {
		return nil, no
	}
	if !r.tgsSeen.Add(req.auth, tgt.server, q.raw, now, r.skew) {
		return nil, refuse(krb.CodeRepeat, "authenticator was used before")
	}
	return req, nil
}

// checkBody verifies the checksum that binds the body to the authenticator.
func checkBody(q *request, tgt *grant, auth *krb.Authenticator) *refusal {
	if auth.Checksum.Value == nil {
		return refuse(krb.CodeInappChecksum, "authenticator has no checksum")
	}
	if auth.Checksum.Type == krb.ChecksumRSAMD5 && tgt.session.Etype() == krb.RC4HMAC {
		// Heimdal's choice with such keys, which KDCs of MIT and Windows take: it
		// needs no key, since the authenticator is sealed.
		if sum := md5.Sum(q.body); !hmac.Equal(sum[:], auth.Checksum.Value) {
			return refuse(krb.CodeModified, "request was changed")
		}
		return nil
	}
	if auth.Checksum.Type != tgt.session.ChecksumType() {
		return refuse(krb.CodeSumTypeNoSupport, "checksum is not of the session key's type")
	}
	if err := tgt.session.VerifyChecksum(krb.UsageTGSReqChecksum, auth.Checksum.Value, q.body); err != nil {
		return refuse(krb.CodeModified, "request was changed")
	}
	return nil
}

// holdsAddress reports whether HostAddresses (RFC 4120 section 5.2.5) have the
// address among them. A sender that is not known, and a list in which no address
// of the Internet is, leave nothing to compare.
func holdsAddress(der []byte, sender netip.Addr) bool {
	if !sender.IsValid() {
		return true
	}
	list, err := krb.ParseHostAddresses(der)
	if err != nil {
		return false
	}
	none := true
	for _, a := range list {
		if a.Type != krb.AddressIPv4 && a.Type != krb.AddressIPv6 {
			continue
		}
		none = false
		if ip, ok := a.IP(); ok && ip == sender.Unmap() {
			return true
		}
	}
	return none
}

// renewal gives the ticket a new session key and another life as long as the
// one it had, or makes a postdated one valid (RFC 4120 section 3.3.3). As with
// MIT's KDC, an initial ticket stays one.
func (r *Realm) renewal(rep *reply, q *request, old *grant, now time.Time) *refusal {
	if old.server.Realm != r.realm {
		return refuse(krb.CodeNotUs, "the ticket to renew is of another realm")
	}
	g := *old
	g.flags &^= krb.FlagInvalid
	if no := r.cross(&g, old, q); no != nil {
		return no
	}
	if q.has(krb.OptionRenew) {
		g.start = now.Truncate(time.Second)
		if !old.renewTill.After(g.start) {
			return refuse(krb.CodeTicketExpired, "renewable life is over")
		}
		g.end = g.start.Add(old.end.Sub(old.start))
		if g.renewTill.Before(g.end) {
			g.end = g.renewTill
		}
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
	etype := server.choose(q.Etypes)
	if etype == 0 {
		return refuse(krb.CodeEtypeNoSupport, "no encryption type in common")
	}
	return r.issue(rep, g, etype, client, server)
}
