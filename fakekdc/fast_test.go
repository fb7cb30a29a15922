package fakekdc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/secret"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// TestFAST: users whose logins must be armoured log in with keys of every type, with an
// encrypted challenge or SPAKE within, and a wrong password is refused. Their requests for
// tickets are armoured too.
func TestFAST(t *testing.T) {
	t.Parallel()
	for _, etype := range allEtypes {
		for name, more := range map[string]Option{"challenge": nil, "SPAKE": WithSPAKE()} {
			t.Run(fmt.Sprint(krb.EtypeName(etype), " ", name), func(t *testing.T) {
				r := Start(t, WithoutSockets(), WithEtypes(etype), WithFASTRequired(), more,
					WithUser("alice", "secret"), WithService("host/armor"), WithService("HTTP/localhost"))
				o := kerberos.SourceOptions{Krb5ConfText: r.Config("allow_rc4 = true"), AllowRC4: true, Dial: r.Dial, Now: r.Now}
				for password, want := range map[string]error{"secret": nil, "guess": middleware.ErrCredentials} {
					host, err := kerberos.FromKeytab(keytabFile(t, r, "host/armor"), o)
					if err != nil {
						t.Fatal(err)
					}
					user := o
					user.Principal, user.Armor, user.Logins = "alice", host, new(kerberos.Logins)
					s, err := kerberos.FromPassword(kerberos.NewSecret(password), user)
					if err != nil {
						t.Fatal(err)
					}
					r.ResetExchanges()
					if _, err := s.ServiceTicket(t.Context(), "HTTP/localhost"); !errors.Is(err, want) {
						t.Errorf("password %q: %v", password, err)
					}
					for _, e := range r.Exchanges() {
						if e.FAST != (e.Client == "alice@"+r.Name()) {
							t.Errorf("%v", e)
						}
					}
				}
				plain := o
				plain.Principal, plain.Logins = "alice", new(kerberos.Logins)
				s, err := kerberos.FromPassword(kerberos.NewSecret("secret"), plain)
				if err != nil {
					t.Fatal(err)
				}
				var e *middleware.Error
				if _, err := s.ServiceTicket(t.Context(), "HTTP/localhost"); !errors.As(err, &e) || e.Code != krb.CodePolicy {
					t.Errorf("without armour: %v", err)
				}
			})
		}
	}
}

func keytabFile(t *testing.T, r *Realm, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keytab")
	if err := os.WriteFile(path, r.Keytab(name), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A wearer makes armoured logins by hand.
type wearer struct {
	t     *testing.T
	r     *Realm
	key   krb.Key // armour key
	armor *krb.FastArmor
	user  string
	body  krb.KDCReqBody
	crumb []byte
	token []byte // the nonce of an OTP challenge

	// What may be wrong:
	options uint32
	sum     func(*krb.Checksum)
	inner   func([]byte) []byte
	outer   *krb.KDCReqBody // in place of body; the checksum covers it unless
	unbound bool
}

// wear armours with a ticket, and an authenticator that may be changed.
func wear(t *testing.T, r *Realm, user string, ticket *krb.Ticket, change func(*krb.Authenticator)) *wearer {
	t.Helper()
	subkey, err := krb.GenerateKey(ticket.Key.Etype())
	if err != nil {
		t.Fatal(err)
	}
	a := &krb.Authenticator{Client: ticket.Client, Subkey: subkey}
	a.CTime, a.Cusec = krb.UniqueTime(r.Now())
	if change != nil {
		change(a)
	}
	ap, err := krb.MakeAPReq(ticket, a, krb.UsageAPReqAuth, 0)
	if err != nil {
		t.Fatal(err)
	}
	key, err := krb.FastArmorKey(subkey, ticket.Key)
	if err != nil {
		t.Fatal(err)
	}
	return &wearer{t: t, r: r, key: key, armor: &krb.FastArmor{Type: krb.FastArmorAPRequest, Value: ap}, user: user, body: body(r, user, AES256SHA1)}
}

func fastHost(t *testing.T, r *Realm, user string) *wearer {
	t.Helper()
	return wear(t, r, user, minted(t, r, "host/armor", "krbtgt/"+r.Name()), nil)
}

// send sends padata in armour, and returns the code of the KRB-ERROR, 0 for a ticket, and
// what else is in the answer's armour.
func (w *wearer) send(padata ...krb.PAData) (code int32, list []krb.PAData) {
	w.t.Helper()
	if w.crumb != nil {
		padata = append(padata, krb.PAData{Type: krb.PAFXCookie, Value: w.crumb})
	}
	der, err := w.body.Marshal()
	if err != nil {
		w.t.Fatal(err)
	}
	outer := w.body
	if w.outer != nil {
		outer = *w.outer
	}
	covered := der
	if !w.unbound {
		if covered, err = outer.Marshal(); err != nil {
			w.t.Fatal(err)
		}
	}
	value := w.seal(w.armor, covered, padata, der)
	return w.read(w.r.answer(nil, "tcp", marshalReq(w.t, krb.MsgASReq, []krb.PAData{{Type: krb.PAFXFast, Value: value}}, outer)).reply)
}

// seal returns PA-FX-FAST.
func (w *wearer) seal(armor *krb.FastArmor, covered []byte, padata []krb.PAData, body []byte) []byte {
	w.t.Helper()
	plain, err := (&krb.FastReq{Options: w.options, PAData: padata, Body: body}).Marshal()
	if err != nil {
		w.t.Fatal(err)
	}
	if w.inner != nil {
		plain = w.inner(plain)
	}
	sealed, err := w.key.Seal(krb.UsageFastEnc, plain)
	if err != nil {
		w.t.Fatal(err)
	}
	mac, err := w.key.Checksum(krb.UsageFastReqChecksum, covered)
	if err != nil {
		w.t.Fatal(err)
	}
	sum := krb.Checksum{Type: w.key.ChecksumType(), Value: mac}
	if w.sum != nil {
		w.sum(&sum)
	}
	value, err := (&krb.PAFXFastRequest{Armor: armor, Checksum: sum, EncPart: krb.EncryptedData{Etype: w.key.Etype(), Cipher: sealed}}).Marshal()
	if err != nil {
		w.t.Fatal(err)
	}
	return value
}

func (w *wearer) read(reply []byte) (code int32, list []krb.PAData) {
	w.t.Helper()
	var outer []krb.PAData
	rep, err := krb.ParseKDCRep(reply, krb.MsgASRep)
	if err == nil {
		outer = rep.PAData
	} else {
		e, err := krb.ParseKRBError(reply)
		if err != nil {
			w.t.Fatal(err)
		}
		code = e.Code
		if outer, err = krb.ParsePADatas(e.Data); err != nil {
			return code, nil // not armoured
		}
	}
	value, found := krb.FindPAData(outer, krb.PAFXFast)
	if !found || len(outer) != 1 {
		w.t.Fatalf("%v outside", outer)
	}
	ed, err := krb.ParsePAFXFastReply(value)
	if err != nil {
		w.t.Fatal(err)
	}
	plain, err := w.key.OpenData(krb.UsageFastRep, ed)
	if err != nil {
		w.t.Fatal(err)
	}
	response, err := krb.ParseFastResponse(plain)
	if err != nil || response.Nonce != w.body.Nonce || (response.Finished == nil) != (code != 0) {
		w.t.Fatalf("%+v, %v", response, err)
	}
	if cookie, found := krb.FindPAData(response.PAData, krb.PAFXCookie); found {
		w.crumb = cookie
	}
	if value, found := krb.FindPAData(response.PAData, krb.PAOTPChallenge); found {
		c, err := krb.ParseOTPChallenge(value)
		if err != nil {
			w.t.Fatal(err)
		}
		w.token = c.Nonce
	}
	if inner, found := krb.FindPAData(response.PAData, krb.PAFXError); found {
		e, err := krb.ParseKRBError(inner)
		if err != nil || e.Code != code || e.Data != nil {
			w.t.Fatalf("%+v within %d, %v", e, code, err)
		}
	} else if code != 0 {
		w.t.Fatal("no PA-FX-ERROR")
	}
	return code, response.PAData
}

// challenge is an encrypted challenge of the time at, under the user's key or another's.
func (w *wearer) challenge(of string, at time.Time) krb.PAData {
	w.t.Helper()
	p, err := w.r.lookupText(of)
	if err != nil {
		w.t.Fatal(err)
	}
	key, _ := p.keys[0].key(AES256SHA1)
	sealing, err := krb.ClientChallengeKey(w.key, key)
	if err != nil {
		w.t.Fatal(err)
	}
	value, err := krb.MakeEncChallenge(sealing, krb.UsageEncChallengeClient, at, at.Nanosecond()/1000)
	if err != nil {
		w.t.Fatal(err)
	}
	return krb.PAData{Type: krb.PAEncryptedChallenge, Value: value}
}

// password is a one-time password in answer to a challenge.
func (w *wearer) password(value string, nonce []byte) krb.PAData {
	w.t.Helper()
	ed, err := krb.SealOTPNonce(w.key, nonce)
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := (&krb.OTPRequest{EncData: ed, Value: secret.New([]byte(value))}).Marshal()
	if err != nil {
		w.t.Fatal(err)
	}
	return krb.PAData{Type: krb.PAOTPRequest, Value: b}
}

// TestFASTIsStrict: armour is a ticket for this KDC with a subkey, what it seals is bound
// to the request, and what proves the client counts in the conversation that it is for.
func TestFASTIsStrict(t *testing.T) {
	clock := &Clock{}
	r := Start(t, WithoutSockets(), WithClock(clock.Now), WithEtypes(AES256SHA1), WithFAST(), WithUser("alice", "secret", Iterations(4096)), WithUser("bob", "secret", Iterations(4096), Salt("b")),
		WithUser("otto", "x", OTP("123456"), Iterations(4096)), WithUser("olga", "x", OTP("123456"), Iterations(4096)), WithService("host/armor"), WithService("HTTP/localhost"))
	other := Start(t, WithoutSockets(), WithRealm("OTHER.EXAMPLE"))
	if err := r.Trust(other); err != nil {
		t.Fatal(err)
	}
	tgt, nobody := minted(t, r, "host/armor", "krbtgt/"+r.Name()), body(r, "nobody", AES128SHA1)
	armored := func(change func(*krb.Authenticator)) func() int32 {
		return func() int32 { code, _ := wear(t, r, "alice", tgt, change).send(); return code }
	}
	with := func(user string, do func(w *wearer) (int32, []krb.PAData)) func() int32 {
		return func() int32 {
			w := fastHost(t, r, user)
			w.send()
			code, _ := do(w)
			return code
		}
	}
	for name, tc := range map[string]struct {
		do   func() int32
		code int32
	}{
		"asked":          {armored(nil), krb.CodePreauthRequired},
		"no subkey":      {armored(func(a *krb.Authenticator) { a.Subkey = krb.Key{} }), krb.CodePolicy},
		"skew":           {armored(func(a *krb.Authenticator) { a.CTime = a.CTime.Add(-time.Hour) }), krb.CodeSkew},
		"another client": {armored(func(a *krb.Authenticator) { a.Client = krb.NewPrincipal(r.Name(), "alice") }), krb.CodeBadMatch},
		"another service": {func() int32 {
			code, _ := wear(t, r, "alice", minted(t, r, "host/armor", "HTTP/localhost"), nil).send()
			return code
		}, krb.CodeServerNoMatch},
		"another realm": {func() int32 {
			code, _ := wear(t, r, "alice", minted(t, r, "host/armor", "krbtgt/OTHER.EXAMPLE"), nil).send()
			return code
		}, krb.CodeServerNoMatch},
		"a service with the realm's name": {func() int32 {
			r.AddService("HTTP/" + r.Name())
			code, _ := wear(t, r, "alice", minted(t, r, "host/armor", "HTTP/"+r.Name()), nil).send()
			return code
		}, krb.CodeServerNoMatch},
		"unknown realm": {func() int32 {
			c := *tgt
			c.Raw = ticketDER("NOWHERE.EXAMPLE", krb.NewPrincipal("", "krbtgt", r.Name()), AES256SHA1, 1)
			code, _ := wear(t, r, "alice", &c, nil).send()
			return code
		}, krb.CodeServerNoMatch},
		"none":            {with("alice", func(w *wearer) (int32, []krb.PAData) { w.armor = nil; return w.send() }), krb.CodePreauthFailed},
		"of another type": {with("alice", func(w *wearer) (int32, []krb.PAData) { w.armor.Type = 2; return w.send() }), krb.CodePreauthFailed},
		"another key": {with("alice", func(w *wearer) (int32, []krb.PAData) {
			w.key, _ = krb.GenerateKey(AES256SHA1)
			return w.send()
		}), krb.CodeBadIntegrity},
		"checksum": {with("alice", func(w *wearer) (int32, []krb.PAData) {
			w.sum = func(s *krb.Checksum) { s.Value[0] ^= 1 }
			return w.send()
		}), krb.CodeModified},
		"of no key": {with("alice", func(w *wearer) (int32, []krb.PAData) {
			w.sum = func(s *krb.Checksum) { s.Type = krb.ChecksumRSAMD5 }
			return w.send()
		}), krb.CodePolicy},
		"unbound":      {with("alice", func(w *wearer) (int32, []krb.PAData) { w.outer, w.unbound = &nobody, true; return w.send() }), krb.CodeModified},
		"other body":   {with("alice", func(w *wearer) (int32, []krb.PAData) { w.outer = &nobody; return w.send(w.challenge("alice", r.Now())) }), 0},
		"option":       {with("alice", func(w *wearer) (int32, []krb.PAData) { w.options = 1 << 31; return w.send() }), krb.CodeFastOptions},
		"other option": {with("alice", func(w *wearer) (int32, []krb.PAData) { w.options = 1; return w.send() }), krb.CodePreauthRequired},
		"garbage": {with("alice", func(w *wearer) (int32, []krb.PAData) {
			w.inner = func(b []byte) []byte { return b[1:] }
			return w.send()
		}), krb.CodeGeneric},

		"challenge":      {with("alice", func(w *wearer) (int32, []krb.PAData) { return w.send(w.challenge("alice", r.Now())) }), 0},
		"another's key":  {with("alice", func(w *wearer) (int32, []krb.PAData) { return w.send(w.challenge("bob", r.Now())) }), krb.CodePreauthFailed},
		"late challenge": {with("alice", func(w *wearer) (int32, []krb.PAData) { return w.send(w.challenge("alice", r.Now().Add(-time.Hour))) }), krb.CodeSkew},
		"garbled challenge": {with("alice", func(w *wearer) (int32, []krb.PAData) {
			return w.send(krb.PAData{Type: krb.PAEncryptedChallenge, Value: []byte{1}})
		}), krb.CodePreauthFailed},
		"no cookie":      {with("alice", func(w *wearer) (int32, []krb.PAData) { w.crumb = nil; return w.send(w.challenge("alice", r.Now())) }), krb.CodePreauthExpired},
		"changed cookie": {with("alice", func(w *wearer) (int32, []krb.PAData) { w.crumb[20] ^= 1; return w.send(w.challenge("alice", r.Now())) }), krb.CodePreauthExpired},
		"another's cookie": {with("bob", func(w *wearer) (int32, []krb.PAData) {
			w.user, w.body = "alice", body(r, "alice", AES256SHA1)
			return w.send(w.challenge("alice", r.Now()))
		}), krb.CodePreauthExpired},
		"challenge for tokens": {with("otto", func(w *wearer) (int32, []krb.PAData) { return w.send(w.challenge("otto", r.Now())) }), krb.CodePreauthRequired},
		"timestamp": {with("alice", func(w *wearer) (int32, []krb.PAData) {
			return w.send(krb.PAData{Type: krb.PAEncTimestamp, Value: w.challenge("alice", r.Now()).Value})
		}), krb.CodePreauthRequired},

		"token":              {with("otto", func(w *wearer) (int32, []krb.PAData) { return w.send(w.password("123456", w.token)) }), 0},
		"wrong token":        {with("otto", func(w *wearer) (int32, []krb.PAData) { return w.send(w.password("123457", w.token)) }), krb.CodePreauthFailed},
		"no token":           {with("otto", func(w *wearer) (int32, []krb.PAData) { return w.send(w.password("", w.token)) }), krb.CodePreauthFailed},
		"cookie for a nonce": {with("otto", func(w *wearer) (int32, []krb.PAData) { return w.send(w.password("123456", w.crumb)) }), krb.CodePreauthFailed},
		"garbled token": {with("otto", func(w *wearer) (int32, []krb.PAData) {
			return w.send(krb.PAData{Type: krb.PAOTPRequest, Value: []byte{1}})
		}), krb.CodePreauthFailed},
		"token for others": {with("alice", func(w *wearer) (int32, []krb.PAData) { return w.send(w.password("123456", w.crumb)) }), krb.CodePreauthRequired},
		"another's nonce": {with("olga", func(w *wearer) (int32, []krb.PAData) {
			other := fastHost(t, r, "otto")
			other.send()
			return w.send(w.password("123456", other.token))
		}), krb.CodePreauthFailed},
	} {
		t.Run(name, func(t *testing.T) {
			if code := tc.do(); code != tc.code {
				t.Errorf("%s, want %s", krb.ErrorName(code), krb.ErrorName(tc.code))
			}
		})
	}
	clock.Advance(24 * time.Hour)
	ended := wear(t, r, "alice", tgt, nil)
	if code, _ := ended.send(); code != krb.CodeTicketExpired {
		t.Errorf("armour of a ticket that has ended: %s", krb.ErrorName(code))
	}
	w := fastHost(t, r, "alice")
	w.send()
	clock.Advance(cookieLife + time.Second)
	fresh := fastHost(t, r, "alice")
	fresh.crumb = w.crumb
	if code, _ := fresh.send(fresh.challenge("alice", r.Now())); code != krb.CodePreauthExpired {
		t.Errorf("a cookie of old: %s", krb.ErrorName(code))
	}
	// The KDC proves itself in turn, and timestamps count outside of armour alone.
	if code, list := fresh.send(fresh.challenge("alice", r.Now())); code != 0 {
		t.Errorf("begun anew: %s", krb.ErrorName(code))
	} else if _, found := krb.FindPAData(list, krb.PAEncryptedChallenge); !found {
		t.Error("no challenge in return")
	}
}

// TestFASTOfTGS: a TGS-REQ is its own armour, by the subkey of its authenticator, and
// takes no other.
func TestFASTOfTGS(t *testing.T) {
	r := Start(t, WithoutSockets(), WithEtypes(AES256SHA1), WithFAST(), WithUser("alice", "secret", Iterations(4096)), WithService("HTTP/localhost"))
	tgt := minted(t, r, "alice", "krbtgt/"+r.Name())
	b := forService(r, "HTTP/localhost")
	der, err := b.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		armor  *krb.FastArmor
		subkey bool
		code   int32
	}{
		"implicit": {nil, true, 0}, "explicit": {&krb.FastArmor{Type: krb.FastArmorAPRequest, Value: []byte{1}}, true, krb.CodePreauthFailed}, "no subkey": {nil, false, krb.CodePreauthFailed},
	} {
		req, subkey := tgsReq(t, r, tgt, b, func(a *krb.Authenticator) {
			if !tc.subkey {
				a.Subkey = krb.Key{}
			}
		})
		m, err := krb.ParseKDCReq(req)
		if err != nil {
			t.Fatal(err)
		}
		if !tc.subkey {
			subkey = tgt.Key
		}
		w := &wearer{t: t, r: r}
		if w.key, err = krb.FastArmorKey(subkey, tgt.Key); err != nil {
			t.Fatal(err)
		}
		value := w.seal(tc.armor, m.PAData[0].Value, nil, der)
		req, err = krb.MarshalKDCReq(krb.MsgTGSReq, append(m.PAData, krb.PAData{Type: krb.PAFXFast, Value: value}), der)
		if err != nil {
			t.Fatal(err)
		}
		reply := r.answer(nil, "tcp", req).reply
		if rep, err := krb.ParseKDCRep(reply, krb.MsgTGSRep); err == nil {
			if tc.code != 0 || len(rep.PAData) != 1 || rep.PAData[0].Type != krb.PAFXFast {
				t.Errorf("%s: %+v", name, rep)
			}
		} else if code := codeOf(t, reply); code != tc.code {
			t.Errorf("%s: %s", name, krb.ErrorName(code))
		}
	}
}

// TestOTPAlone: a user with a one-time password has no other way to log in.
func TestOTPAlone(t *testing.T) {
	r := Start(t, WithoutSockets(), WithEtypes(AES256SHA1), WithFAST(), WithSPAKE(), WithUser("otto", "secret", OTP("123456"), Iterations(4096)), WithService("host/armor"))
	p, err := r.lookupText("otto")
	if err != nil {
		t.Fatal(err)
	}
	key, _ := p.keys[0].key(AES256SHA1)
	stamp, err := krb.MakeEncTimestamp(key, r.Now(), 1)
	if err != nil {
		t.Fatal(err)
	}
	plain := marshalReq(t, krb.MsgASReq, []krb.PAData{{Type: krb.PAEncTimestamp, Value: stamp}}, body(r, "otto", AES256SHA1))
	if code := codeOf(t, r.answer(nil, "tcp", plain).reply); code != krb.CodePreauthRequired {
		t.Errorf("a timestamp: %s", krb.ErrorName(code))
	}
	s := newSpeaker(t, r, "otto")
	if e := s.begin(krb.SPAKEEdwards25519); e == nil || e.Code != krb.CodePreauthRequired {
		t.Errorf("SPAKE: %v", e)
	}
}

// TestFASTHidesClients: a client that asks for it is not named outside of the armour.
func TestFASTHidesClients(t *testing.T) {
	r := Start(t, WithoutSockets(), WithFAST(), WithUser("alice", "secret", NoPreauth()), WithService("host/armor"))
	for user, options := range map[string]uint32{"alice": krb.FastHideClientNames, "nobody": krb.FastHideClientNames, "carol": 0} {
		w := fastHost(t, r, user)
		w.options = options
		der, err := w.body.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		q := &request{kind: AS, body: der, fast: fastState{key: w.key, hide: options != 0}}
		if err := q.read(der); err != nil {
			t.Fatal(err)
		}
		var outside krb.Principal
		if rep, no := r.as(q, r.Now()); no == nil {
			b, err := rep.marshal()
			if err != nil {
				t.Fatal(err)
			}
			got, err := krb.ParseKDCRep(b, krb.MsgASRep)
			if err != nil {
				t.Fatal(err)
			}
			outside = got.Client
		} else if e, err := krb.ParseKRBError(r.refusal(q, no, r.Now())); err == nil {
			outside = e.Client
		}
		if (outside.Name() == "WELLKNOWN/ANONYMOUS") != (options != 0) {
			t.Errorf("%s is called %v outside", user, outside)
		}
	}
}

// FuzzFAST: whatever a client seals in armour is answered with a KRB-ERROR in armour, or a
// ticket.
func FuzzFAST(f *testing.F) {
	at := time.Unix(1800000000, 0)
	r := Start(f, WithoutSockets(), WithRealm("FAST.TEST"), WithClock(func() time.Time { return at }), WithEtypes(AES256SHA1), WithFAST(),
		WithUser("alice", "secret", Iterations(1)), WithUser("otto", "x", OTP("123456"), Iterations(1)), WithService("host/armor"))
	key, err := krb.NewKey(AES256SHA1, make([]byte, 32))
	if err != nil {
		f.Fatal(err)
	}
	for _, user := range []string{"alice", "otto"} {
		b := body(r, user, AES256SHA1)
		der, err := b.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		ed, err := krb.SealOTPNonce(key, make([]byte, 40))
		if err != nil {
			f.Fatal(err)
		}
		token, err := (&krb.OTPRequest{EncData: ed, Value: secret.New([]byte("123456"))}).Marshal()
		if err != nil {
			f.Fatal(err)
		}
		stamp, err := krb.MakeEncChallenge(key, krb.UsageEncChallengeClient, at, 1)
		if err != nil {
			f.Fatal(err)
		}
		p, err := r.lookupText(user)
		if err != nil {
			f.Fatal(err)
		}
		plain, err := (&krb.FastReq{Body: der, PAData: []krb.PAData{
			{Type: krb.PAFXCookie, Value: r.cookie("cookie", p, at)}, {Type: krb.PAOTPRequest, Value: token}, {Type: krb.PAEncryptedChallenge, Value: stamp},
		}}).Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(plain)
	}
	f.Fuzz(func(t *testing.T, plain []byte) {
		sealed, err := key.Seal(krb.UsageFastEnc, plain)
		if err != nil {
			t.Fatal(err)
		}
		sum, err := key.Checksum(krb.UsageFastReqChecksum, nil)
		if err != nil {
			t.Fatal(err)
		}
		q := &request{kind: AS}
		m := &krb.PAFXFastRequest{Checksum: krb.Checksum{Type: key.ChecksumType(), Value: sum}, EncPart: krb.EncryptedData{Etype: AES256SHA1, Cipher: sealed}}
		no := q.open(m, key, nil)
		if no == nil {
			var rep *reply
			if rep, no = r.as(q, at); no == nil {
				if _, err := rep.marshal(); err != nil {
					t.Error(err)
				}
				return
			}
		}
		e, err := krb.ParseKRBError(r.refusal(q, no, at))
		if err != nil {
			t.Fatal(err)
		}
		list, err := krb.ParsePADatas(e.Data)
		if _, found := krb.FindPAData(list, krb.PAFXFast); q.fast.on() && (err != nil || !found) {
			t.Errorf("%v: not armoured", no)
		}
	})
}
