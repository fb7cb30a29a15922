package fakekdc

import (
	"errors"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// as is the authentication service (RFC 4120 section 3.1).
func (r *Realm) as(q *request, now time.Time) (*reply, *refusal) {
	if q.Client.IsZero() {
		return nil, refuse(krb.CodeClientUnknown, "no client name")
	}
	if q.Realm != r.realm {
		return nil, &refusal{code: krb.CodeWrongRealm, text: "this is the KDC of " + r.realm, realm: r.realm}
	}
	client, no := r.findClient(q)
	if no != nil {
		return nil, no
	}
	server := r.lookup(q.Server)
	if server == nil {
		return nil, refuse(krb.CodeServerUnknown, "server unknown")
	}
	if code := firstCode(client, server); code != 0 && !r.mayChangePassword(client, server) {
		return nil, refuse(code, "policy")
	}
	if server.userToUser {
		return nil, refuse(krb.CodeMustUseUserToUser, "only user to user")
	}
	if q.has(notInitial | krb.OptionAnonymous) {
		return nil, refuse(krb.CodeBadOption, "option not for this exchange")
	}
	start, invalid, no := postdated(q, now, client, server)
	if no != nil {
		return nil, no
	}
	etype := client.keyed(q.Etypes)
	sessionEtype := server.choose(q.Etypes)
	if etype == 0 || sessionEtype == 0 {
		return nil, refuse(krb.CodeEtypeNoSupport, "no encryption type in common")
	}
	key, ok := client.keys[0].key(etype)
	if !ok {
		return nil, refuse(krb.CodeEtypeNoSupport, "client has no such key")
	}
	if r.fastRequired && !q.fast.on() && !client.random {
		return nil, refuse(krb.CodePolicy, "a login must be armoured")
	}
	proved := proof{key: key}
	if !client.noPreauth {
		if no := r.preauth(q, client, &proved, now); no != nil {
			return nil, no
		}
	}
	g := grant{
		client: client.name, server: server.name, addresses: q.Addresses,
		flags:    krb.FlagInitial | invalid,
		authTime: now.Truncate(time.Second), start: start,
	}
	g.server.Type = q.Server.Type
	if client.name.SameName(q.Client) {
		g.client.Type = q.Client.Type
	}
	if !client.noPreauth {
		g.flags |= krb.FlagPreAuthent
	}
	g.flags |= allowed(q.Options, client, server)
	p, ok := r.period(q, g.start, time.Time{}, time.Time{}, true, client, server)
	if !ok {
		return nil, refuse(krb.CodeNeverValid, "requested times are over")
	}
	g.end, g.renewTill = p.end, p.renewTill
	info, no := client.etypeInfo2([]int32{etype})
	if no != nil {
		return nil, no
	}
	if r.pac && q.wantsPAC() {
		g.pac = r.newPAC(client, g.client.Name(), g.authTime)
	}
	rep := &reply{
		kind: AS, nonce: q.Nonce, key: proved.key, kvno: client.keys[0].kvno, usage: krb.UsageASRepEncPart,
		padata: append([]krb.PAData{{Type: krb.PAEtypeInfo2, Value: info}}, proved.padata...),
	}
	if no := rep.armor(q, now); no != nil {
		return nil, no
	}
	if r.encPARep || r.fast {
		if no := rep.confirm(&g, q); no != nil {
			return nil, no
		}
	}
	return rep, r.issue(rep, g, sessionEtype, client, server)
}

// confirm adds what proves to a client that asked for it that its request came
// as it was sent (RFC 6806 section 11). MIT's clients want the checksum, gokrb5
// wants to be told of FAST with it.
func (p *reply) confirm(g *grant, q *request) *refusal {
	if _, asked := q.find(krb.PAReqEncPARep); !asked {
		return nil
	}
	sum, err := p.key.Checksum(krb.UsageASReqChecksum, q.raw)
	if err != nil {
		return refuse(krb.CodeGeneric, err.Error())
	}
	value, err := krb.Checksum{Type: p.key.ChecksumType(), Value: sum}.Marshal()
	if err != nil {
		return refuse(krb.CodeGeneric, err.Error())
	}
	p.sealed = append(p.sealed, krb.PAData{Type: krb.PAReqEncPARep, Value: value}, krb.PAData{Type: krb.PAFXFast, Value: []byte{}})
	g.flags |= krb.FlagEncPARep
	return nil
}

// notInitial are the options that stand for a ticket which an AS-REQ has not.
const notInitial = krb.OptionProxy | krb.OptionForwarded | krb.OptionEncTktInSKey | krb.OptionCNameInAddlTkt | krb.OptionRenew | krb.OptionValidate

// postdated returns when the ticket begins, and the flags of one that does not
// begin now (RFC 4120 section 3.1.3). As with MIT's KDC, a time to begin without
// the option means nothing.
func postdated(q *request, now time.Time, parties ...*principal) (start time.Time, flags uint32, no *refusal) {
	start = now.Truncate(time.Second)
	if !q.has(krb.OptionPostdated | krb.OptionAllowPostdate) {
		return start, 0, nil
	}
	for _, p := range parties {
		if !p.postdate {
			return start, 0, refuse(krb.CodeCannotPostdate, p.name.String()+" may not be postdated")
		}
	}
	if !q.has(krb.OptionPostdated) {
		return start, 0, nil
	}
	if q.From.After(start) {
		start = q.From
	}
	return start, krb.FlagPostdated | krb.FlagInvalid, nil
}

func firstCode(parties ...*principal) int32 {
	for _, p := range parties {
		if p.refuse != 0 {
			return p.refuse
		}
	}
	return 0
}

// A proof is what a client's pre-authentication makes of the reply.
type proof struct {
	key    krb.Key // that seals it
	padata []krb.PAData
}

// preauth demands pre-authentication: SPAKE, which gives the reply a key of its own, what
// FAST has, or PA-ENC-TIMESTAMP (RFC 4120 section 5.2.7.2).
func (r *Realm) preauth(q *request, p *principal, rep *proof, now time.Time) (no *refusal) {
	if value, found := q.find(krb.PASPAKE); found && r.spakeGroups != nil && p.tokens == nil {
		return r.spake(q, p, value, rep, now)
	}
	if q.fast.on() {
		return r.inArmor(q, p, rep, now)
	}
	value, found := q.find(krb.PAEncTimestamp)
	if !found || r.noTimestamps || p.tokens != nil {
		return r.preauthNeeded(q, p, krb.CodePreauthRequired, "pre-authentication required", now)
	}
	failed := func(text string) *refusal {
		return r.preauthNeeded(q, p, krb.CodePreauthFailed, text, now)
	}
	ed, err := krb.ParseEncrypted(value)
	if err != nil {
		return failed("pre-authentication malformed")
	}
	key, ok := p.keys[0].key(ed.Etype)
	if !ok {
		return failed("no key of that encryption type")
	}
	at, err := krb.OpenEncTimestamp(key, ed)
	if errors.Is(err, krb.ErrMalformed) {
		return failed("timestamp malformed")
	}
	if err != nil {
		return failed("wrong password")
	}
	if d := now.Sub(at); d.Abs() > r.skew {
		return refuse(krb.CodeSkew, "clock skew too great")
	}
	return nil
}

// preauthNeeded refuses a client, and tells how it can prove its key.
func (r *Realm) preauthNeeded(q *request, p *principal, code int32, text string, now time.Time) *refusal {
	info, no := p.etypeInfo2(q.Etypes)
	if no != nil {
		return no
	}
	offer := []krb.PAData{{Type: krb.PAEtypeInfo2, Value: info}}
	if r.fast {
		offer = append(offer, krb.PAData{Type: krb.PAFXFast, Value: []byte{}})
	}
	if r.spakeGroups != nil && p.tokens == nil {
		offer = append(offer, krb.PAData{Type: krb.PASPAKE, Value: []byte{}})
	}
	if q.fast.on() {
		more, err := r.offerInArmor(q, p, now)
		if err != nil {
			return refuse(krb.CodeGeneric, err.Error())
		}
		offer = append(offer, more...)
	} else if !r.noTimestamps && p.tokens == nil {
		offer = append(offer, krb.PAData{Type: krb.PAEncTimestamp, Value: []byte{}})
	}
	edata, err := krb.MarshalPADatas(offer)
	if err != nil {
		return refuse(krb.CodeGeneric, err.Error())
	}
	return &refusal{code: code, text: text, edata: edata}
}

// etypeInfo2 tells the client how to make its keys (RFC 4120 section 5.2.7.5),
// in its own order of preference.
func (p *principal) etypeInfo2(etypes []int32) ([]byte, *refusal) {
	set := &p.keys[0]
	var list []krb.EtypeInfo
	for _, e := range etypes {
		if set.keys[e] == nil {
			continue
		}
		info := krb.EtypeInfo{Etype: e, Params: set.params(e)}
		if e != krb.RC4HMAC { // whose keys have no salt
			info.Salt, info.HasSalt = set.salt, true
		}
		list = append(list, info)
	}
	b, err := krb.MarshalEtypeInfo2(list)
	if err != nil {
		return nil, refuse(krb.CodeGeneric, err.Error())
	}
	return b, nil
}

// allowed returns the flags that were asked for and that all parties allow.
func allowed(options uint32, parties ...*principal) uint32 {
	flags := options & (krb.FlagForwardable | krb.FlagProxiable | krb.OptionAllowPostdate)
	for _, p := range parties {
		if !p.forwardable {
			flags &^= krb.FlagForwardable
		}
		if !p.proxiable {
			flags &^= krb.FlagProxiable
		}
	}
	return flags
}

// issue gives the grant a session key and seals the ticket into the reply, for
// the server or, in user-to-user authentication, under the reply's sealing key.
func (r *Realm) issue(rep *reply, g grant, sessionEtype int32, client, server *principal) *refusal {
	if g.renewTill.IsZero() {
		g.flags &^= krb.FlagRenewable
	} else {
		g.flags |= krb.FlagRenewable
	}
	if server.okDelegate {
		g.flags |= krb.FlagOKAsDelegate
	}
	g.flags = g.flags&^server.noFlag | server.flags
	session, err := krb.GenerateKey(sessionEtype)
	if err != nil {
		return refuse(krb.CodeEtypeNoSupport, err.Error())
	}
	g.session = session
	padding := server.padding
	if client != nil {
		padding = max(padding, client.padding)
	}
	if padding > 0 {
		if g.authData, err = pad(g.authData, padding); err != nil {
			return refuse(krb.CodeGeneric, "authorization data: "+err.Error())
		}
	}
	key, kvno := rep.under, uint32(0)
	if key.IsZero() {
		if key, kvno, err = server.sealing(); err != nil {
			return refuse(krb.CodeNoKey, err.Error())
		}
	}
	if g.pac != nil {
		if g.authData, err = r.signPAC(&g, key); err != nil {
			return refuse(krb.CodeGeneric, err.Error())
		}
	}
	if rep.ticket, err = g.seal(key, kvno); err != nil {
		return refuse(krb.CodeGeneric, err.Error())
	}
	rep.grant = g
	return nil
}
