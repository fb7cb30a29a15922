package fakekdc

import (
	"errors"
	"fmt"
	"testing"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spake"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// TestSPAKE: users log in where no timestamps are taken, in either group and with keys
// of every type, and a wrong password is refused.
func TestSPAKE(t *testing.T) {
	t.Parallel()
	for _, etype := range allEtypes {
		for _, group := range []string{"edwards25519", "P-256"} {
			t.Run(fmt.Sprint(krb.EtypeName(etype), " ", group), func(t *testing.T) {
				r := Start(t, WithoutSockets(), WithEtypes(etype), WithSPAKE("P-256", "edwards25519"), WithoutTimestamps(), WithEncPARep(),
					WithUser("alice", "secret"), WithService("HTTP/localhost"))
				for password, want := range map[string]error{"secret": nil, "guess": middleware.ErrCredentials} {
					s, err := kerberos.FromPassword(kerberos.NewSecret(password), kerberos.SourceOptions{
						Principal: "alice", Krb5ConfText: r.Config("spake_preauth_groups = "+group, "allow_rc4 = true"), AllowRC4: true,
						Dial: r.Dial, Now: r.Now, Logins: new(kerberos.Logins),
					})
					if err != nil {
						t.Fatal(err)
					}
					if _, err := s.ServiceTicket(t.Context(), "HTTP/localhost"); !errors.Is(err, want) {
						t.Errorf("password %q: %v", password, err)
					}
				}
			})
		}
	}
}

// A speaker is a client's side of SPAKE, step by step.
type speaker struct {
	t     *testing.T
	r     *Realm
	user  string
	key   krb.Key
	body  []byte
	said  []byte
	party *spake.Party
	crumb []byte // the cookie
}

func newSpeaker(t *testing.T, r *Realm, user string) *speaker {
	t.Helper()
	p, err := r.lookupText(user)
	if err != nil {
		t.Fatal(err)
	}
	key, ok := p.keys[0].key(AES256SHA1)
	if !ok {
		t.Fatal("no key")
	}
	b := body(r, user, AES256SHA1)
	der, err := b.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return &speaker{t: t, r: r, user: user, key: key, body: der}
}

// send sends PA-SPAKE, and returns the KRB-ERROR, nil for a ticket.
func (s *speaker) send(value []byte, cookie []byte) *krb.KRBError {
	s.t.Helper()
	padata := []krb.PAData{{Type: krb.PASPAKE, Value: value}}
	if cookie != nil {
		padata = append(padata, krb.PAData{Type: krb.PAFXCookie, Value: cookie})
	}
	msg, err := krb.MarshalKDCReq(krb.MsgASReq, padata, s.body)
	if err != nil {
		s.t.Fatal(err)
	}
	reply := s.r.answer(nil, "tcp", msg).reply
	if _, err := krb.ParseKDCRep(reply, krb.MsgASRep); err == nil {
		return nil
	}
	e, err := krb.ParseKRBError(reply)
	if err != nil {
		s.t.Fatal(err)
	}
	return e
}

func marshalSPAKE(t *testing.T, m *krb.SPAKE) []byte {
	t.Helper()
	b, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// begin asks for a challenge, and takes it.
func (s *speaker) begin(groups ...int32) *krb.KRBError {
	s.t.Helper()
	support := marshalSPAKE(s.t, &krb.SPAKE{Support: groups})
	e := s.send(support, nil)
	if e == nil || e.Code != krb.CodeMorePreauthData {
		return e
	}
	padata, err := krb.ParsePADatas(e.Data)
	if err != nil {
		s.t.Fatal(err)
	}
	value, _ := krb.FindPAData(padata, krb.PASPAKE)
	s.crumb, _ = krb.FindPAData(padata, krb.PAFXCookie)
	m, err := krb.ParseSPAKE(value)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.party, err = spake.NewClient(m.Challenge.Group, s.key); err != nil {
		s.t.Fatal(err)
	}
	if err := s.party.Meet(m.Challenge.Public); err != nil {
		s.t.Fatal(err)
	}
	s.said = s.party.Transcript(s.party.Transcript(nil, support, value), s.party.Public)
	return e
}

// response proves the key.
func (s *speaker) response(change func(*krb.SPAKEResponse, *krb.SPAKEFactor)) []byte {
	s.t.Helper()
	key, err := s.party.Key(1, s.said, s.body)
	if err != nil {
		s.t.Fatal(err)
	}
	m, factor := &krb.SPAKEResponse{Public: s.party.Public}, krb.SPAKEFactor{Type: krb.SPAKEFactorNone}
	if change != nil {
		change(m, &factor)
	}
	plain, err := factor.Marshal()
	if err != nil {
		s.t.Fatal(err)
	}
	sealed, err := key.Seal(krb.UsageSPAKE, plain)
	if err != nil {
		s.t.Fatal(err)
	}
	m.Factor = krb.EncryptedData{Etype: key.Etype(), Cipher: sealed}
	return marshalSPAKE(s.t, &krb.SPAKE{Response: m})
}

// TestSPAKEIsStrict: an answer counts for the client, the challenge and the request that
// it was made for, and for no other.
func TestSPAKEIsStrict(t *testing.T) {
	r := Start(t, WithoutSockets(), WithSPAKE(), WithUser("alice", "secret", Iterations(4096)), WithUser("bob", "secret", Iterations(4096)))
	const group = krb.SPAKEEdwards25519
	for name, tc := range map[string]struct {
		do   func(s *speaker) *krb.KRBError
		code int32 // 0 for a ticket
	}{
		"right": {func(s *speaker) *krb.KRBError { s.begin(group); return s.send(s.response(nil), s.crumb) }, 0},
		"sent again": {func(s *speaker) *krb.KRBError {
			s.begin(group)
			m := s.response(nil)
			s.send(m, s.crumb)
			return s.send(m, s.crumb)
		}, 0},
		"a second answer": {func(s *speaker) *krb.KRBError {
			s.begin(group)
			s.send(s.response(nil), s.crumb)
			return s.send(s.response(nil), s.crumb)
		}, krb.CodePreauthFailed},
		"other group too":  {func(s *speaker) *krb.KRBError { s.begin(krb.SPAKEP256, group); return s.send(s.response(nil), s.crumb) }, 0},
		"no group of ours": {func(s *speaker) *krb.KRBError { return s.begin(krb.SPAKEP256) }, krb.CodePreauthFailed},
		"garbage":          {func(s *speaker) *krb.KRBError { return s.send([]byte{1}, nil) }, krb.CodePreauthFailed},
		"a challenge": {func(s *speaker) *krb.KRBError {
			return s.send(marshalSPAKE(s.t, &krb.SPAKE{Challenge: &krb.SPAKEChallenge{Group: group, Public: make([]byte, 32), Factors: []krb.SPAKEFactor{{Type: 1}}}}), nil)
		}, krb.CodePreauthFailed},
		"no cookie":  {func(s *speaker) *krb.KRBError { s.begin(group); return s.send(s.response(nil), nil) }, krb.CodePreauthFailed},
		"own cookie": {func(s *speaker) *krb.KRBError { s.begin(group); return s.send(s.response(nil), []byte("mine")) }, krb.CodePreauthFailed},
		"another's cookie": {func(s *speaker) *krb.KRBError {
			bob := newSpeaker(s.t, s.r, "bob")
			bob.begin(group)
			s.begin(group)
			return s.send(s.response(nil), bob.crumb)
		}, krb.CodePreauthFailed},
		"no element": {func(s *speaker) *krb.KRBError {
			s.begin(group)
			return s.send(s.response(func(m *krb.SPAKEResponse, _ *krb.SPAKEFactor) { m.Public = m.Public[1:] }), s.crumb)
		}, krb.CodePreauthFailed},
		"another factor": {func(s *speaker) *krb.KRBError {
			s.begin(group)
			return s.send(s.response(func(_ *krb.SPAKEResponse, f *krb.SPAKEFactor) { f.Type = 2 }), s.crumb)
		}, krb.CodePreauthFailed},
		"another request": {func(s *speaker) *krb.KRBError {
			s.begin(group)
			m := s.response(nil)
			b := body(s.r, s.user, AES256SHA1)
			b.Nonce++
			var err error
			if s.body, err = b.Marshal(); err != nil {
				s.t.Fatal(err)
			}
			return s.send(m, s.crumb)
		}, krb.CodePreauthFailed},
	} {
		t.Run(name, func(t *testing.T) {
			e := tc.do(newSpeaker(t, r, "alice"))
			if (e == nil) != (tc.code == 0) || e != nil && e.Code != tc.code {
				t.Errorf("%+v, want code %d", e, tc.code)
			}
		})
	}
}

// TestSPAKEOptions: groups that are none are an error, and a KDC that offers SPAKE takes
// timestamps too unless told otherwise.
func TestSPAKEOptions(t *testing.T) {
	if _, err := New(WithSPAKE("P-224")); err == nil {
		t.Error("a group that there is not")
	}
	both := Start(t, WithoutSockets(), WithSPAKE(), WithUser("alice", "secret"), WithService("HTTP/localhost"))
	s, err := kerberos.FromPassword(kerberos.NewSecret("secret"), kerberos.SourceOptions{
		Principal: "alice", Krb5ConfText: both.Config("spake_preauth_groups = P-256"), Dial: both.Dial, Now: both.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ServiceTicket(t.Context(), "HTTP/localhost"); err != nil { // with a timestamp
		t.Error(err)
	}
}

// TestSPAKEExchangesAreBounded: those that nobody goes on with make room.
func TestSPAKEExchangesAreBounded(t *testing.T) {
	var e spakeExchanges
	for n := range maxSPAKE + 10 {
		e.add(fmt.Sprint(n), &spakeExchange{client: fmt.Sprint(n)})
	}
	if e.begun.Len() != maxSPAKE || e.take("9", nil) != nil || e.take("10", nil) == nil {
		t.Errorf("%d exchanges", e.begun.Len())
	}
}

// FuzzSPAKE: whatever a client sends as PA-SPAKE is answered with a KRB-ERROR.
func FuzzSPAKE(f *testing.F) {
	r := Start(f, WithoutSockets(), WithSPAKE("edwards25519", "P-256"), WithUser("alice", "secret", Iterations(4096)))
	support, err := (&krb.SPAKE{Support: []int32{krb.SPAKEP256, krb.SPAKEEdwards25519}}).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	response, err := (&krb.SPAKE{Response: &krb.SPAKEResponse{Public: make([]byte, 32), Factor: krb.EncryptedData{Etype: AES256SHA1, Cipher: make([]byte, 40)}}}).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	r.spakes.add("crumb", &spakeExchange{client: "alice@" + r.Name(), key: func() krb.Key {
		p, err := r.lookupText("alice")
		if err != nil {
			f.Fatal(err)
		}
		k, _ := p.keys[0].key(AES256SHA1)
		return k
	}(), group: krb.SPAKEEdwards25519, private: make([]byte, 64), said: make([]byte, 32)})
	f.Add(support, []byte(nil))
	f.Add(response, []byte("crumb"))
	b := body(r, "alice", AES256SHA1)
	der, err := b.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, value, cookie []byte) {
		msg, err := krb.MarshalKDCReq(krb.MsgASReq, []krb.PAData{{Type: krb.PASPAKE, Value: value}, {Type: krb.PAFXCookie, Value: cookie}}, der)
		if err != nil {
			return
		}
		reply := r.answer(nil, "tcp", msg).reply
		if _, err := krb.ParseKRBError(reply); err != nil {
			t.Errorf("answer %x: %v", reply, err)
		}
	})
}
