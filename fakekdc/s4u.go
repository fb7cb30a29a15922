package fakekdc

import (
	"crypto/hmac"
	"slices"
	"time"

	//lint:ignore SA1019 MS-SFU has clients with RC4 keys hash with MD4
	"golang.org/x/crypto/md4"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// A forUser is the user for whom a service asks, S4U2Self ([MS-SFU] section 2.2).
type forUser struct {
	name krb.Principal // with the realm
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

// readX509User reads PA-S4U-X509-USER. Users are known by their names here, not
// by certificates.
func readX509User(value []byte, q *request, key krb.Key) (*forUser, *refusal) {
	p, err := krb.ParsePAS4UX509(value)
	if err != nil {
		return nil, refuse(krb.CodeGeneric, "malformed PA-S4U-X509-USER")
	}
	id, err := krb.ParseS4UUserID(p.UserID)
	if err != nil {
		return nil, refuse(krb.CodeGeneric, "malformed PA-S4U-X509-USER")
	}
	u := &forUser{name: id.User, answer: true, nonce: id.Nonce, options: id.Options, sum: p.Checksum, key: key}
	want, ok := s4uSum(key, u.sum.Type, krb.UsageS4UX509Request, p.UserID)
	if !ok {
		return nil, refuse(krb.CodeInappChecksum, "PA-S4U-X509-USER has a checksum that does not go with the key")
	}
	if !hmac.Equal(want, u.sum.Value) || u.nonce != uint32(q.Nonce) {
		return nil, refuse(krb.CodeModified, "PA-S4U-X509-USER was changed")
	}
	if u.name.IsZero() || id.Certificate != nil {
		return nil, refuse(krb.CodeClientUnknown, "users are not known by certificates")
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

// toSelf gives a service a ticket for itself of a user of its realm (S4U2Self,
// [MS-SFU] section 3.2.5.1).
func (r *Realm) toSelf(q *request, rep *reply, tgt *grant, service, server *principal, u *forUser, e *Exchange) (*subject, *refusal) {
	if service == nil || !server.name.Equal(service.name) {
		return nil, refuse(krb.CodeBadMatch, "a service may ask for tickets for itself alone")
	}
	if q.has(notInitial) {
		return nil, refuse(krb.CodeBadOption, "option not for S4U2Self")
	}
	if u.name.Realm != r.realm {
		return nil, refuse(krb.CodePolicy, "user is of another realm")
	}
	user := r.lookup(u.name)
	if user == nil {
		text := u.name.Name()
		if u.name.Type == krb.NTEnterprise && len(u.name.Components) == 1 {
			text = u.name.Components[0]
		}
		if user = r.aliased(text); user == nil {
			return nil, refuse(krb.CodeClientUnknown, "user unknown")
		}
	}
	u.name, e.For = user.name, nameOf(user.name)
	if no := u.reply(rep); no != nil {
		return nil, no
	}
	s := &subject{name: user.name, client: user, ticket: tgt, flags: tgt.flags}
	if !service.trusted && len(service.delegateTo) > 0 {
		s.flags &^= krb.FlagForwardable
	}
	if r.pac {
		s.pac = r.newPAC(user, user.name, tgt.authTime)
	}
	return s, nil
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
// 3.2.5.2).
func (r *Realm) toProxy(q *request, rep *reply, service, server *principal, now time.Time, e *Exchange) (*subject, *refusal) {
	if len(q.tickets) == 0 {
		return nil, refuse(krb.CodeBadOption, "no second ticket")
	}
	if q.has(notInitial &^ krb.OptionCNameInAddlTkt) {
		return nil, refuse(krb.CodeBadOption, "option not for S4U2Proxy")
	}
	if server.name.IsTGS() {
		return nil, refuse(krb.CodePolicy, "delegation to another realm")
	}
	if service == nil {
		return nil, refuse(krb.CodeBadOption, "delegation by a service of another realm")
	}
	evidence, no := r.openSecond(q, now)
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
	if r.pac && evidence.pac == nil {
		return nil, refuse(krb.CodeModified, "second ticket has no PAC")
	}
	s := &subject{name: evidence.client, ticket: evidence, flags: evidence.flags, authData: evidence.authData, pac: evidence.pac}
	if s.name.Realm == r.realm {
		if s.client = r.lookup(s.name); s.client == nil {
			return nil, refuse(krb.CodeClientUnknown, "user no longer known")
		}
	}
	if no := mayDelegate(q, s, service, server); no != nil {
		return nil, no
	}
	if s.pac != nil {
		shown := &grant{pac: s.pac}
		if no := shown.delegate(server.name, service.name); no != nil {
			return nil, no
		}
		s.pac = shown.pac
	}
	if options, ok := q.pacOptions(); ok {
		rep.sealed = append(rep.sealed, krb.PAData{Type: krb.PAPACOptions, Value: krb.MarshalPAPACOptions(options & krb.PACOptionRBCD)})
	}
	return s, nil
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
