package fakekdc

import (
	"crypto/hmac"
	"slices"
	"time"

	//lint:ignore SA1019 MS-SFU has clients with RC4 keys hash with MD4
	"golang.org/x/crypto/md4"

	"github.com/kerbchain/kerbchain/fakekdc/internal/pac"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// A forUser is the user for whom a service asks, S4U2Self ([MS-SFU] section 2.2).
type forUser struct {
	name        krb.Principal // with the realm
	certificate []byte        // DER; nil for none
	// Of PA-S4U-X509-USER, which is answered in kind:
	answer  bool
	nonce   uint32
	options uint32
	sum     krb.Checksum
	key     krb.Key
}

// readForUser returns the user for whom the request is, nil if it is the
// client's own. Clients send both forms; the newer one counts.
func readForUser(q *request, tgt *grant, rep *reply) (*forUser, *refusal) {
	if value, found := q.find(krb.PAS4UX509User); found {
		return readX509User(value, q, rep.key)
	}
	if value, found := q.find(krb.PAForUser); found {
		return readPAForUser(value, tgt.session)
	}
	return nil, nil
}

// readPAForUser reads PA-FOR-USER-ENC. Its checksum is that of RC4 whatever the
// session key is, but MIT's clients of old took that of the key.
func readPAForUser(value []byte, session krb.Key) (*forUser, *refusal) {
	p, err := krb.ParsePAForUser(value)
	if err != nil {
		return nil, refuse(krb.CodeGeneric, "malformed PA-FOR-USER")
	}
	sum, data, good := p.Checksum, p.Covered(), false
	switch sum.Type {
	case krb.ChecksumHMACMD5:
		good = hmac.Equal(sum.Value, session.ChecksumHMACMD5(krb.UsageNonKerberosChecksum, data))
	case session.ChecksumType():
		good = session.VerifyChecksum(krb.UsageNonKerberosChecksum, sum.Value, data) == nil
	default:
		return nil, refuse(krb.CodeInappChecksum, "PA-FOR-USER has a checksum without a key")
	}
	if !good {
		return nil, refuse(krb.CodeModified, "PA-FOR-USER was changed")
	}
	return &forUser{name: p.User}, nil
}

// readX509User reads PA-S4U-X509-USER.
func readX509User(value []byte, q *request, key krb.Key) (*forUser, *refusal) {
	p, err := krb.ParsePAS4UX509(value)
	if err != nil {
		return nil, refuse(krb.CodeGeneric, "malformed PA-S4U-X509-USER")
	}
	id, err := krb.ParseS4UUserID(p.UserID)
	if err != nil {
		return nil, refuse(krb.CodeGeneric, "malformed PA-S4U-X509-USER")
	}
	u := &forUser{name: id.User, certificate: id.Certificate, answer: true, nonce: id.Nonce, options: id.Options, sum: p.Checksum, key: key}
	want, ok := s4uSum(key, u.sum.Type, krb.UsageS4UX509Request, p.UserID)
	if !ok {
		return nil, refuse(krb.CodeInappChecksum, "PA-S4U-X509-USER has a checksum that does not go with the key")
	}
	if !hmac.Equal(want, u.sum.Value) || u.nonce != uint32(q.Nonce) {
		return nil, refuse(krb.CodeModified, "PA-S4U-X509-USER was changed")
	}
	if u.name.IsZero() && u.certificate == nil {
		return nil, refuse(krb.CodeClientUnknown, "no user is named")
	}
	return u, nil
}

// s4uSum is the checksum of PA-S4U-X509-USER. With keys of RC4, clients take one
// that needs no key.
func s4uSum(key krb.Key, kind int32, usage uint32, data []byte) (sum []byte, ok bool) {
	if kind == krb.ChecksumRSAMD4 && key.Etype() == krb.RC4HMAC {
		h := md4.New()
		h.Write(data)
		return h.Sum(nil), true
	}
	if kind != key.ChecksumType() {
		return nil, false
	}
	sum, err := key.Checksum(usage, data)
	return sum, err == nil
}

// toSelf gives a service a ticket for itself of a user (S4U2Self, [MS-SFU] section
// 3.2.5.1). A service of another realm is sent back there with a ticket-granting ticket
// that has the user's PAC, and by that PAC its own realm knows the user of another.
func (r *Realm) toSelf(q *request, rep *reply, tgt *grant, service, server *principal, u *forUser, e *Exchange) (*subject, *refusal) {
	var user *principal
	if u.name.Realm == r.realm {
		if user = r.findUser(u); user == nil {
			return nil, refuse(krb.CodeClientUnknown, "user unknown")
		}
		u.name = user.name
	}
	e.For = nameOf(u.name)
	crossed, refers := tgt.server.Realm != r.realm, r.refers(q, server)
	if !refers && (service == nil || !server.name.Equal(service.name)) {
		return nil, refuse(krb.CodeBadMatch, "a service may ask for tickets for itself alone")
	}
	if q.has(notInitial) {
		return nil, refuse(krb.CodeBadOption, "option not for S4U2Self")
	}
	owner := tgt.client.Name()
	switch {
	case refers && !crossed && q.refer == "":
		return nil, refuse(krb.CodeServerUnknown, "the service is not of this realm, and its ticket is")
	case user != nil && crossed && !refers:
		return nil, refuse(krb.CodeClientUnknown, "user and service are of this realm, and the ticket is another's")
	case user == nil && !crossed:
		return nil, refuse(krb.CodePolicy, "user is of another realm")
	case user == nil && u.name.IsZero():
		return nil, refuse(krb.CodePolicy, "users of other realms are not known by certificates")
	case user == nil:
		owner = u.name.String()
	}
	if crossed && tgt.pac == nil {
		return nil, refuse(krb.CodeTGTRevoked, "nothing but a PAC tells whose the ticket of another realm is")
	}
	if no := tgt.isOf(owner); no != nil {
		return nil, no
	}
	if no := u.reply(rep); no != nil {
		return nil, no
	}
	s := &subject{name: u.name, client: user, ticket: tgt, flags: tgt.flags}
	name := u.name.Name()
	if refers {
		s.name, name = tgt.client, u.name.String()
	} else if !service.trusted && len(service.delegateTo) > 0 {
		s.flags &^= krb.FlagForwardable
	}
	switch {
	case user == nil:
		s.pac = pac.Named(tgt.pac, name, tgt.authTime)
	case r.pac:
		s.pac = r.newPAC(user, name, tgt.authTime)
	}
	return s, nil
}

// findUser returns the user of this realm whom a service means, nil for none.
func (r *Realm) findUser(u *forUser) *principal {
	if u.certificate != nil {
		user := r.byCertificate(u.certificate)
		if user != nil && !u.name.IsZero() && !user.name.SameName(u.name) {
			return nil
		}
		return user
	}
	if user := r.lookup(u.name); user != nil {
		return user
	}
	text := u.name.Name()
	if u.name.Type == krb.NTEnterprise && len(u.name.Components) == 1 {
		text = u.name.Components[0]
	}
	return r.aliased(text)
}

// reply answers PA-S4U-X509-USER ([MS-SFU] section 3.2.5.1.2), with the user's
// true name: MIT's clients compare it with that of the ticket.
func (u *forUser) reply(rep *reply) *refusal {
	if !u.answer {
		return nil
	}
	usage := krb.UsageS4UX509Request
	if u.options&krb.S4UReplyUsage != 0 {
		usage = krb.UsageS4UX509Reply
	}
	id, err := krb.S4UUserID{Nonce: u.nonce, User: u.name, Options: u.options & krb.S4UReplyUsage}.Marshal()
	if err != nil {
		return refuse(krb.CodeGeneric, err.Error())
	}
	sum, ok := s4uSum(u.key, u.sum.Type, usage, id)
	if !ok {
		return refuse(krb.CodeInappChecksum, "no checksum for PA-S4U-X509-USER")
	}
	value, err := krb.PAS4UX509{UserID: id, Checksum: krb.Checksum{Type: u.sum.Type, Value: sum}}.Marshal()
	if err != nil {
		return refuse(krb.CodeGeneric, err.Error())
	}
	rep.padata = append(rep.padata, krb.PAData{Type: krb.PAS4UX509User, Value: value})
	if u.options&krb.S4UReplyUsage != 0 && u.key.Etype() == krb.RC4HMAC {
		// What has no key outside is repeated inside.
		rep.sealed = append(rep.sealed, krb.PAData{Type: krb.PAS4UX509User, Value: slices.Concat(u.sum.Value, sum)})
	}
	return nil
}

// toProxy gives a service a ticket for another service, of a user who has used
// the first: the second ticket is the evidence (S4U2Proxy, [MS-SFU] section
// 3.2.5.2). Where the other one is of another realm, it gets a ticket-granting ticket
// that leads there and has the user's PAC.
func (r *Realm) toProxy(q *request, rep *reply, tgt *grant, service, server *principal, now time.Time, e *Exchange) (*subject, *refusal) {
	if no := q.mayProxy(); no != nil {
		return nil, no
	}
	if service == nil {
		return nil, refuse(krb.CodeBadOption, "delegation by a service of another realm")
	}
	evidence, no := r.openSecond(q, now, false)
	if no != nil {
		return nil, no
	}
	e.For = nameOf(evidence.client)
	if !evidence.server.Equal(service.name) {
		return nil, refuse(krb.CodeServerNoMatch, "second ticket is for "+evidence.server.String())
	}
	if no := r.openPAC(evidence, true); no != nil {
		return nil, no
	}
	refers := r.refers(q, server)
	if (r.pac || refers) && evidence.pac == nil {
		return nil, refuse(krb.CodeModified, "second ticket has no PAC")
	}
	s := &subject{name: evidence.client, ticket: evidence, flags: evidence.flags, authData: evidence.authData, pac: evidence.pac}
	if s.name.Realm == r.realm {
		if s.client = r.lookup(s.name); s.client == nil {
			return nil, refuse(krb.CodeClientUnknown, "user no longer known")
		}
	}
	if refers {
		no = mayDelegateAcross(q, s)
	} else {
		no = mayDelegate(q, s, service, server)
	}
	if no != nil {
		return nil, no
	}
	if s.pac != nil {
		shown := &grant{pac: s.pac}
		if no := shown.delegate(q.Server, service.name); no != nil {
			return nil, no
		}
		s.pac = shown.pac
	}
	if refers {
		// The ticket is the service's, and so is its path.
		head := *tgt
		head.authTime, head.end = evidence.authTime, evidence.end
		s.pac = pac.Named(s.pac, s.name.String(), evidence.authTime)
		s.name, s.ticket, s.flags = service.name, &head, tgt.flags
	}
	rep.knowsRBCD(q)
	return s, nil
}

// toProxyAcross gives a service of another realm a ticket for one of this realm, of a
// user: the second ticket is what [Realm.toProxy] of its own realm gave it.
func (r *Realm) toProxyAcross(q *request, rep *reply, tgt *grant, server *principal, now time.Time, e *Exchange) (*subject, *refusal) {
	if no := q.mayProxy(); no != nil {
		return nil, no
	}
	evidence, no := r.openSecond(q, now, true)
	if no != nil {
		return nil, no
	}
	if !evidence.client.Equal(tgt.client) {
		return nil, refuse(krb.CodeBadOption, "second ticket is no referral of the same service to this realm")
	}
	if no := r.openPAC(evidence, true); no != nil {
		return nil, no
	}
	user, ok := evidence.delegated(q.Server.Name())
	if !ok {
		return nil, refuse(krb.CodeBadOption, "the second ticket's PAC names no user, or another target")
	}
	e.For = nameOf(user)
	s := &subject{name: user, ticket: evidence, flags: evidence.flags, authData: evidence.authData}
	s.pac = pac.Named(evidence.pac, user.Name(), evidence.authTime)
	if user.Realm == r.realm {
		if s.client = r.lookup(user); s.client == nil {
			return nil, refuse(krb.CodeClientUnknown, "user no longer known")
		}
	}
	options, _ := q.pacOptions()
	switch {
	case s.flags&krb.FlagForwardable == 0:
		return nil, refuse(krb.CodeBadOption, "second ticket is not forwardable")
	case options&krb.PACOptionRBCD == 0 || !slices.Contains(server.delegateFrom, tgt.client.String()):
		return nil, refuse(krb.CodeBadOption, tgt.client.String()+" may not delegate to "+server.name.String())
	}
	rep.knowsRBCD(q)
	return s, nil
}

// mayProxy refuses what no S4U2Proxy asks for.
func (q *request) mayProxy() *refusal {
	switch {
	case len(q.tickets) == 0:
		return refuse(krb.CodeBadOption, "no second ticket")
	case q.has(notInitial &^ krb.OptionCNameInAddlTkt):
		return refuse(krb.CodeBadOption, "option not for S4U2Proxy")
	case q.Server.IsTGS():
		return refuse(krb.CodePolicy, "delegation to another realm")
	}
	return nil
}

// knowsRBCD tells a client that the KDC asks targets whom they let act.
func (p *reply) knowsRBCD(q *request) {
	if options, ok := q.pacOptions(); ok {
		p.sealed = append(p.sealed, krb.PAData{Type: krb.PAPACOptions, Value: krb.MarshalPAPACOptions(options & krb.PACOptionRBCD)})
	}
}

// mayDelegateAcross leaves it to the target's realm, if the client knows that targets can
// be asked.
func mayDelegateAcross(q *request, s *subject) *refusal {
	options, _ := q.pacOptions()
	switch {
	case options&krb.PACOptionRBCD == 0:
		return refuse(krb.CodeBadOption, "the target is of another realm, which the client knows nothing of")
	case s.client != nil && !s.client.forwardable:
		return refuse(krb.CodeBadOption, "user may not be delegated")
	}
	return nil
}

// mayDelegate asks the target, if the client knows that targets can be asked,
// and then the service.
func mayDelegate(q *request, s *subject, service, target *principal) *refusal {
	options, _ := q.pacOptions()
	if options&krb.PACOptionRBCD != 0 && slices.Contains(target.delegateFrom, service.name.String()) {
		if s.client != nil && !s.client.forwardable {
			return refuse(krb.CodeBadOption, "user may not be delegated")
		}
		s.flags |= krb.FlagForwardable
		return nil
	}
	if s.flags&krb.FlagForwardable == 0 {
		return refuse(krb.CodeBadOption, "second ticket is not forwardable")
	}
	if !slices.Contains(service.delegateTo, target.name.String()) {
		return refuse(krb.CodeBadOption, service.name.String()+" may not delegate to "+target.name.String())
	}
	return nil
}

// pacOptions reads PA-PAC-OPTIONS ([MS-KILE] section 2.2.10).
func (q *request) pacOptions() (flags uint32, found bool) {
	value, found := q.find(krb.PAPACOptions)
	if !found {
		return 0, false
	}
	flags, err := krb.ParsePAPACOptions(value)
	return flags, err == nil
}
