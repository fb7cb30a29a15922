package fakekdc

import (
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// as is the authentication service (RFC 4120 section 3.1).
func (r *Realm) as(q *request, now time.Time) (*reply, *refusal) {
	if q.client.IsZero() {
		return nil, refuse(krb.CodeClientUnknown, "no client name")
	}
	if q.realm != r.realm {
		return nil, &refusal{code: krb.CodeWrongRealm, text: "this is the KDC of " + r.realm, realm: r.realm}
	}
	client, no := r.findClient(q)
	if no != nil {
		return nil, no
	}
	server := r.lookup(q.server)
	if server == nil {
		return nil, refuse(krb.CodeServerUnknown, "server unknown")
	}
	if code := firstCode(client, server); code != 0 && !r.mayChangePassword(client, server) {
		return nil, refuse(code, "policy")
	}
	if server.userToUser {
		return nil, refuse(codeMustUserToUser, "only user to user")
	}
	if q.has(notInitial | optAnonymous) {
		return nil, refuse(krb.CodeBadOption, "option not for this exchange")
	}
	start, invalid, no := postdated(q, now, client, server)
	if no != nil {
		return nil, no
	}
	etype := client.keyed(q.etypes)
	sessionEtype := server.choose(q.etypes)
	if etype == 0 || sessionEtype == 0 {
		return nil, refuse(krb.CodeEtypeNoSupport, "no encryption type in common")
	}
	if !client.noPreauth {
		if no := client.preauth(q, now, r.skew); no != nil {
			return nil, no
		}
	}
	key, ok := client.keys[0].key(etype)
	if !ok {
		return nil, refuse(krb.CodeEtypeNoSupport, "client has no such key")
	}
	g := grant{
		client: client.name, server: server.name, addresses: q.addresses,
		flags:    krb.FlagInitial | invalid,
		authTime: now.Truncate(time.Second), start: start,
	}
	g.server.Type = q.server.Type
	if client.name.SameName(q.client) {
		g.client.Type = q.client.Type
	}
	if !client.noPreauth {
		g.flags |= krb.FlagPreAuthent
	}
	g.flags |= allowed(q.options, client, server)
	p, ok := r.period(q, g.start, time.Time{}, time.Time{}, true, client, server)
	if !ok {
		return nil, refuse(codeNeverValid, "requested times are over")
	}
	g.end, g.renewTill = p.end, p.renewTill
	info, no := client.etypeInfo2([]int32{etype})
	if no != nil {
		return nil, no
	}
	if r.pac && q.wantsPAC() {
		g.pac = r.newPAC(client, g.client, g.authTime)
	}
	rep := &reply{
		kind: AS, nonce: q.nonce, key: key, kvno: client.keys[0].kvno, usage: krb.UsageASRepEncPart,
		padata: []krb.PAData{{Type: paEtypeInfo2, Value: info}},
	}
	if r.encPARep {
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
	if _, asked := q.find(paReqEncPARep); !asked {
		return nil
	}
	sum, err := p.key.Checksum(krb.UsageASReqChecksum, q.raw)
	if err != nil {
		return refuse(krb.CodeGeneric, err.Error())
	}
	b := cryptobyte.NewBuilder(nil)
	addChecksum(b, krb.Checksum{Type: p.key.ChecksumType(), Value: sum})
	value, err := b.Bytes()
	if err != nil {
		return refuse(krb.CodeGeneric, err.Error())
	}
	p.sealed = append(p.sealed, krb.PAData{Type: paReqEncPARep, Value: value}, krb.PAData{Type: paFXFast, Value: []byte{}})
	g.flags |= krb.FlagEncPARep
	return nil
}

// addChecksum writes Checksum (RFC 4120 section 5.2.9).
func addChecksum(b *cryptobyte.Builder, c krb.Checksum) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		krb.AddInt(b, 0, int64(c.Type))
		krb.AddOctets(b, 1, c.Value)
	})
}

// notInitial are the options that stand for a ticket which an AS-REQ has not.
const notInitial = optProxy | optForwarded | optUserToUser | optConstrained | optRenew | optValidate

// postdated returns when the ticket begins, and the flags of one that does not
// begin now (RFC 4120 section 3.1.3). As with MIT's KDC, a time to begin without
// the option means nothing.
func postdated(q *request, now time.Time, parties ...*principal) (start time.Time, flags uint32, no *refusal) {
	start = now.Truncate(time.Second)
	if !q.has(optPostdated | optMayPostdate) {
		return start, 0, nil
	}
	for _, p := range parties {
		if !p.postdate {
			return start, 0, refuse(codeCannotPostdate, p.name.String()+" may not be postdated")
		}
	}
	if !q.has(optPostdated) {
		return start, 0, nil
	}
	if q.from.After(start) {
		start = q.from
	}
	return start, flagPostdated | krb.FlagInvalid, nil
}

// Ticket flags that clients of this module need no names for.
const (
	flagProxy     = optProxy
	flagPostdated = optPostdated
)

// Codes that clients of this module need no names for.
const (
	codeCannotPostdate int32 = 10
	codeNeverValid     int32 = 11
	codeSumType        int32 = 15
	codePADataType     int32 = 16
	codeTransitedType  int32 = 17
	codeServerNoMatch  int32 = 26
	codeMustUserToUser int32 = 27
	codeBadAddress     int32 = 38
	codeInappChecksum  int32 = 50
)

func firstCode(parties ...*principal) int32 {
	for _, p := range parties {
		if p.refuse != 0 {
			return p.refuse
		}
	}
	return 0
}

// preauth demands and checks PA-ENC-TIMESTAMP (RFC 4120 section 5.2.7.2).
func (p *principal) preauth(q *request, now time.Time, skew time.Duration) *refusal {
	no := func(code int32, text string) *refusal {
		info, failed := p.etypeInfo2(q.etypes)
		if failed != nil {
			return failed
		}
		edata, err := krb.MarshalPADatas([]krb.PAData{{Type: paEtypeInfo2, Value: info}, {Type: paEncTimestamp, Value: []byte{}}})
		if err != nil {
			return refuse(krb.CodeGeneric, err.Error())
		}
		return &refusal{code: code, text: text, edata: edata}
	}
	value, found := q.find(paEncTimestamp)
	if !found {
		return no(krb.CodePreauthRequired, "pre-authentication required")
	}
	ed, err := krb.ParseEncrypted(value)
	if err != nil {
		return no(krb.CodePreauthFailed, "pre-authentication malformed")
	}
	key, ok := p.keys[0].key(ed.Etype)
	if !ok {
		return no(krb.CodePreauthFailed, "no key of that encryption type")
	}
	plain, err := key.OpenData(krb.UsagePAEncTimestamp, ed)
	if err != nil {
		return no(krb.CodePreauthFailed, "wrong password")
	}
	f := krb.OpenFields("timestamp", plain)
	at := f.Time(0)
	if f.Has(1) {
		at = at.Add(time.Duration(f.Int32(1)) * time.Microsecond)
	}
	if err := f.Err(true); err != nil {
		return no(krb.CodePreauthFailed, "timestamp malformed")
	}
	if d := now.Sub(at); d.Abs() > skew {
		return refuse(krb.CodeSkew, "clock skew too great")
	}
	return nil
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
	flags := options & (krb.FlagForwardable | krb.FlagProxiable | optMayPostdate)
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
		if g.authData, err = paddingData(padding); err != nil {
			return refuse(krb.CodeGeneric, err.Error())
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
