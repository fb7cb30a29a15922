package fakekdc

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// WithFAST makes the KDC speak FAST (RFC 6113): it takes logins that a ticket of another
// principal armours, with an encrypted challenge, and armoured requests for tickets. It
// tells clients so, and proves it to those that ask for that as [WithEncPARep] does. What
// is not armoured is answered as without.
func WithFAST() Option { return func(s *settings) { s.fast = true } }

// WithFASTRequired is [WithFAST] for a KDC that refuses users whose logins are not
// armoured with KDC_ERR_POLICY, as Active Directory does where it fails unarmored
// requests. Services log in without, or nobody would have the first ticket.
func WithFASTRequired() Option {
	return func(s *settings) { s.fast, s.fastRequired = true, true }
}

// fastState is the KDC's side of FAST for one request.
type fastState struct {
	key  krb.Key // the armour key; zero without armour
	hide bool    // the client's name is not to be told outside
	next int     // the token whose next one-time password is wanted, from 1; 0 for none

	// What faults would have:
	wrongKey, unfinished, wrongCookie bool
}

// on reports whether the request was armoured.
func (f *fastState) on() bool { return !f.key.IsZero() }

// seal returns the PA-FX-FAST of an answer.
func (f *fastState) seal(response *krb.FastResponse) (krb.PAData, error) {
	plain, err := response.Marshal()
	if err != nil {
		return krb.PAData{}, err
	}
	key := f.key
	if f.wrongKey {
		if key, err = krb.GenerateKey(key.Etype()); err != nil {
			return krb.PAData{}, err
		}
	}
	sealed, err := key.Seal(krb.UsageFastRep, plain)
	if err != nil {
		return krb.PAData{}, err
	}
	value, err := krb.MarshalPAFXFastReply(krb.EncryptedData{Etype: key.Etype(), Cipher: sealed})
	return krb.PAData{Type: krb.PAFXFast, Value: value}, err
}

// unarmor puts what an AS-REQ seals into its place (RFC 6113 section 5.4.2).
func (r *Realm) unarmor(q *request, now time.Time) *refusal {
	value, found := q.find(krb.PAFXFast)
	if !found || !r.fast {
		return nil
	}
	m, err := krb.ParsePAFXFastRequest(value)
	switch {
	case err != nil:
		return refuse(krb.CodeGeneric, "malformed PA-FX-FAST")
	case m.Armor == nil:
		return refuse(krb.CodePreauthFailed, "FAST without armour")
	case m.Armor.Type != krb.FastArmorAPRequest:
		return refuse(krb.CodePreauthFailed, "unknown type of armour")
	}
	key, no := r.armorKey(m.Armor.Value, now)
	if no != nil {
		return no
	}
	return q.open(m, key, q.body)
}

// armorKey opens the AP-REQ that armours a login (RFC 6113 section 5.4.1.1).
func (r *Realm) armorKey(value []byte, now time.Time) (krb.Key, *refusal) {
	req, no := openAPReq(value, func(server krb.Principal) (*principal, *refusal) {
		p := r.lookup(server)
		if p == nil || !server.IsTGS() || server.Components[1] != r.realm {
			return nil, refuse(krb.CodeServerNoMatch, "armour is not for this ticket-granting service")
		}
		return p, nil
	})
	if no != nil {
		return krb.Key{}, no
	}
	if code := req.ticket.usable(now, r.skew); code != 0 {
		return krb.Key{}, refuse(code, "ticket of the armour")
	}
	if no := req.authenticate(krb.UsageAPReqAuth, now, r.skew); no != nil {
		return krb.Key{}, no
	}
	if req.auth.Subkey.IsZero() {
		return krb.Key{}, refuse(krb.CodePolicy, "armour without a subkey")
	}
	key, err := krb.FastArmorKey(req.auth.Subkey, req.ticket.session)
	if err != nil {
		return krb.Key{}, refuse(krb.CodeGeneric, err.Error())
	}
	return key, nil
}

// unarmorTGS is unarmor for a TGS-REQ, which is its own armour (RFC 6113 section
// 5.4.1.2).
func (r *Realm) unarmorTGS(q *request, req *apReq) *refusal {
	value, found := q.find(krb.PAFXFast)
	if !found || !r.fast {
		return nil
	}
	m, err := krb.ParsePAFXFastRequest(value)
	switch {
	case err != nil:
		return refuse(krb.CodeGeneric, "malformed PA-FX-FAST")
	case m.Armor != nil:
		return refuse(krb.CodePreauthFailed, "armour in a TGS-REQ")
	case req.auth.Subkey.IsZero():
		return refuse(krb.CodePreauthFailed, "FAST without armour")
	}
	key, err := krb.FastArmorKey(req.auth.Subkey, req.ticket.session)
	if err != nil {
		return refuse(krb.CodeGeneric, err.Error())
	}
	covered, _ := q.find(krb.PATGSReq)
	return q.open(m, key, covered)
}

// open puts what is sealed under the armour key into the place of the request. covered is
// what of the outer one is bound to it.
func (q *request) open(m *krb.PAFXFastRequest, key krb.Key, covered []byte) *refusal {
	plain, err := key.OpenData(krb.UsageFastEnc, m.EncPart)
	if err != nil {
		return refuse(krb.CodeBadIntegrity, "PA-FX-FAST does not decrypt")
	}
	inner, err := krb.ParseFastReq(plain)
	if err != nil {
		return refuse(krb.CodeGeneric, "malformed FAST request")
	}
	if m.Checksum.Type != key.ChecksumType() {
		return refuse(krb.CodePolicy, "FAST checksum is not of the armour key's type")
	}
	if err := key.VerifyChecksum(krb.UsageFastReqChecksum, m.Checksum.Value, covered); err != nil {
		return refuse(krb.CodeModified, "FAST checksum invalid")
	}
	if inner.Options&krb.FastCritical&^krb.FastHideClientNames != 0 {
		return refuse(krb.CodeFastOptions, "unknown critical FAST option")
	}
	if err := q.read(inner.Body); err != nil {
		return refuse(krb.CodeGeneric, "malformed FAST request")
	}
	q.padata, q.fast.key, q.fast.hide = inner.PAData, key, inner.Options&krb.FastHideClientNames != 0
	return nil
}

// armor has the reply sealed by FAST, with a key that strengthens its own (RFC 6113
// section 5.4.3).
func (p *reply) armor(q *request, now time.Time) *refusal {
	if !q.fast.on() {
		return nil
	}
	var err error
	p.fast, p.now = &q.fast, now
	if p.strengthen, err = krb.GenerateKey(p.key.Etype()); err == nil {
		p.key, err = krb.FastReplyKey(p.strengthen, p.key)
	}
	if err != nil {
		return refuse(krb.CodeGeneric, err.Error())
	}
	return nil
}

// armored puts what FAST seals into the place of a message's padata.
func (p *reply) armored(rep *krb.KDCRep) error {
	if p.fast == nil {
		return nil
	}
	response := &krb.FastResponse{PAData: p.padata, Strengthen: p.strengthen, Nonce: p.nonce}
	if !p.fast.unfinished {
		sum, err := p.fast.key.Checksum(krb.UsageFastFinished, p.ticket)
		if err != nil {
			return err
		}
		response.Finished = &krb.FastFinished{
			Time: p.now, Usec: p.now.Nanosecond() / 1000, Client: p.grant.client,
			Checksum: krb.Checksum{Type: p.fast.key.ChecksumType(), Value: sum},
		}
	}
	if p.fast.hide {
		rep.Client = anonymous()
	}
	pa, err := p.fast.seal(response)
	rep.PAData = []krb.PAData{pa}
	return err
}

// anonymous is the name of clients who hide theirs (RFC 8062 section 3).
func anonymous() krb.Principal {
	return krb.Principal{Type: 11, Components: []string{"WELLKNOWN", "ANONYMOUS"}, Realm: "WELLKNOWN:ANONYMOUS"}
}

// armorError puts a KRB-ERROR into one that FAST seals (RFC 6113 section 5.4.4).
func (q *request) armorError(e *krb.KRBError) error {
	if !q.fast.on() {
		return nil
	}
	inner := *e
	inner.Data = nil
	list, err := krb.ParsePADatas(e.Data)
	if err != nil {
		list = nil // not METHOD-DATA
	}
	value, err := inner.Marshal()
	if err != nil {
		return err
	}
	pa, err := q.fast.seal(&krb.FastResponse{PAData: append(list, krb.PAData{Type: krb.PAFXError, Value: value}), Nonce: q.Nonce})
	if err != nil {
		return err
	}
	if q.fast.hide {
		e.Client = anonymous()
	}
	e.Data, err = krb.MarshalPADatas([]krb.PAData{pa})
	return err
}

// cookieLife is for how long what the KDC gave to be sent back may be; as with MIT's.
const cookieLife = 10 * time.Minute

// A cookie is what the KDC gives a client to be sent back (PA-FX-COOKIE), or the nonce of
// a challenge: when it did, and that it did, for what and whom.
func (r *Realm) cookie(what string, p *principal, now time.Time) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(now.Unix()))
	m := hmac.New(sha256.New, r.crumbs[:])
	m.Write(b)
	m.Write([]byte(what + "\x00" + p.name.String()))
	return m.Sum(b)
}

// gave reports whether a cookie is one that the KDC gave of late.
func (r *Realm) gave(cookie []byte, what string, p *principal, now time.Time) bool {
	if len(cookie) < 8 {
		return false
	}
	at := time.Unix(int64(binary.BigEndian.Uint64(cookie)), 0)
	return now.Sub(at).Abs() <= cookieLife && hmac.Equal(cookie, r.cookie(what, p, at))
}

// inArmor demands what proves a client within FAST, and returns the key of the reply where
// that is another than the client's.
func (r *Realm) inArmor(q *request, p *principal, rep *proof, now time.Time) (no *refusal) {
	challenge, found := q.find(krb.PAEncryptedChallenge)
	token, asked := q.find(krb.PAOTPRequest)
	found, asked = found && p.tokens == nil, asked && p.tokens != nil
	if !found && !asked {
		return r.preauthNeeded(q, p, krb.CodePreauthRequired, "pre-authentication required", now)
	}
	// RFC 6113 section 5.2 has clients send the cookie back.
	if cookie, _ := q.find(krb.PAFXCookie); !r.gave(cookie, "cookie", p, now) {
		return r.preauthNeeded(q, p, krb.CodePreauthExpired, "no such conversation", now)
	}
	if asked {
		rep.key = q.fast.key
		return r.takeOTP(q, p, token, now)
	}
	return r.takeChallenge(q, p, challenge, rep, now)
}

// takeChallenge verifies an encrypted challenge, and answers it (RFC 6113 section 5.4.6).
func (r *Realm) takeChallenge(q *request, p *principal, value []byte, rep *proof, now time.Time) *refusal {
	ed, err := krb.ParseEncrypted(value)
	if err != nil {
		return r.preauthNeeded(q, p, krb.CodePreauthFailed, "encrypted challenge malformed", now)
	}
	for etype := range p.keys[0].keys {
		key, ok := p.keys[0].key(etype)
		if !ok {
			continue
		}
		sealing, err := krb.ClientChallengeKey(q.fast.key, key)
		if err != nil {
			return refuse(krb.CodeGeneric, err.Error())
		}
		at, err := krb.OpenEncChallenge(sealing, krb.UsageEncChallengeClient, ed)
		switch {
		case errors.Is(err, krb.ErrMalformed):
			return r.preauthNeeded(q, p, krb.CodePreauthFailed, "encrypted challenge malformed", now)
		case err != nil:
			continue
		case now.Sub(at).Abs() > r.skew:
			return refuse(krb.CodeSkew, "clock skew too great")
		}
		return rep.answerChallenge(q, key, now)
	}
	return r.preauthNeeded(q, p, krb.CodePreauthFailed, "wrong password", now)
}

func (rep *proof) answerChallenge(q *request, key krb.Key, now time.Time) *refusal {
	sealing, err := krb.KDCChallengeKey(q.fast.key, key)
	if err != nil {
		return refuse(krb.CodeGeneric, err.Error())
	}
	value, err := krb.MakeEncChallenge(sealing, krb.UsageEncChallengeKDC, now, now.Nanosecond()/1000)
	if err != nil {
		return refuse(krb.CodeGeneric, err.Error())
	}
	rep.padata = append(rep.padata, krb.PAData{Type: krb.PAEncryptedChallenge, Value: value})
	return nil
}

// offerInArmor lists what proves a client within FAST.
func (r *Realm) offerInArmor(q *request, p *principal, now time.Time) ([]krb.PAData, error) {
	cookie := r.cookie("cookie", p, now)
	if q.fast.wrongCookie {
		rand.Read(cookie) // never fails since Go 1.24
	}
	list := []krb.PAData{{Type: krb.PAFXCookie, Value: cookie}}
	if p.tokens == nil {
		return append(list, krb.PAData{Type: krb.PAEncryptedChallenge, Value: []byte{}}), nil
	}
	challenge, err := r.offerOTP(q, p, now)
	return append(list, challenge), err
}
