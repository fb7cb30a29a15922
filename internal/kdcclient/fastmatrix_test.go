package kdcclient_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// A sealed is an answer of a KDC within FAST, opened: what stands outside, and what the
// armour holds. Whoever has the session key of the armour can make another one.
type sealed struct {
	rep   *krb.KDCRep   // nil where it is an error
	err   *krb.KRBError // nil where it is a ticket
	in    *krb.FastResponse
	inner *krb.KRBError // in PA-FX-ERROR, nil without one
	key   krb.Key       // the armour key

	kind    uint8        // of rep
	outside []krb.PAData // more of it, outside of the armour
	data    []byte       // PA-FX-FAST, in place of what the armour holds
}

// armorKey finds the armour key of a request, with the session key of the ticket that
// armours a login, or of the one that a TGS-REQ bears.
func armorKey(t *testing.T, request []byte, session krb.Key) (krb.Key, bool) {
	t.Helper()
	q, err := krb.ParseKDCReq(request)
	if err != nil {
		t.Fatal(err)
	}
	value, found := krb.FindPAData(q.PAData, krb.PAFXFast)
	if !found || len(value) == 0 {
		return krb.Key{}, false
	}
	f, err := krb.ParsePAFXFastRequest(value)
	if err != nil {
		t.Fatal(err)
	}
	ap, usage := []byte(nil), krb.UsageAPReqAuth
	if f.Armor != nil {
		ap = f.Armor.Value
	} else {
		ap, _ = krb.FindPAData(q.PAData, krb.PATGSReq)
		usage = krb.UsageTGSReqAuth
	}
	m, err := krb.ParseAPReq(ap)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := session.OpenData(usage, m.Authenticator)
	if err != nil {
		t.Fatal(err)
	}
	a, err := krb.ParseAuthenticator(plain)
	if err != nil {
		t.Fatal(err)
	}
	key, err := krb.FastArmorKey(a.Subkey, session)
	if err != nil {
		t.Fatal(err)
	}
	return key, true
}

// reseal has an answer changed. One without armour stays as it is.
func reseal(t *testing.T, key krb.Key, answer []byte, change func(*sealed)) []byte {
	t.Helper()
	s := &sealed{key: key}
	var padata []krb.PAData
	var err error
	if s.err, err = krb.ParseKRBError(answer); err == nil {
		padata, err = krb.ParsePADatas(s.err.Data)
	} else {
		s.err = nil
		for _, kind := range []uint8{krb.MsgASRep, krb.MsgTGSRep} {
			if s.rep, err = krb.ParseKDCRep(answer, kind); err == nil {
				s.kind = kind
				padata = s.rep.PAData
				break
			}
		}
	}
	value, found := krb.FindPAData(padata, krb.PAFXFast)
	if err != nil || !found {
		return answer
	}
	ed, err := krb.ParsePAFXFastReply(value)
	if err != nil {
		return answer
	}
	plain, err := key.OpenData(krb.UsageFastRep, ed)
	if err != nil {
		t.Fatal(err)
	}
	if s.in, err = krb.ParseFastResponse(bytes.Clone(plain)); err != nil {
		t.Fatal(err)
	}
	if value, found := krb.FindPAData(s.in.PAData, krb.PAFXError); found {
		if s.inner, err = krb.ParseKRBError(value); err != nil {
			t.Fatal(err)
		}
	}
	change(s)
	return s.marshal(t)
}

func (s *sealed) marshal(t *testing.T) []byte {
	t.Helper()
	check := func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var list []krb.PAData
	for _, pa := range s.in.PAData {
		if pa.Type != krb.PAFXError {
			list = append(list, pa)
		} else if s.inner != nil {
			list = append(list, krb.PAData{Type: krb.PAFXError, Value: check(s.inner.Marshal())})
		}
	}
	in := *s.in
	in.PAData = list
	cipher := check(s.key.Seal(krb.UsageFastRep, check(in.Marshal())))
	value := check(krb.MarshalPAFXFastReply(krb.EncryptedData{Etype: s.key.Etype(), Cipher: cipher}))
	if s.data != nil {
		value = s.data
	}
	replace := func(list []krb.PAData) []krb.PAData {
		out := append([]krb.PAData(nil), list...)
		for i := range out {
			if out[i].Type == krb.PAFXFast {
				out[i].Value = value
			}
		}
		return out
	}
	if s.err != nil {
		list, err := krb.ParsePADatas(s.err.Data)
		if err != nil {
			t.Fatal(err)
		}
		e := *s.err
		e.Data = check(krb.MarshalPADatas(append(replace(list), s.outside...)))
		return check(e.Marshal())
	}
	rep := *s.rep
	rep.PAData = append(replace(rep.PAData), s.outside...)
	return check(rep.Marshal(s.kind))
}

// TestFASTMatrix: whatever a KDC, or whoever holds the key of the armour, changes in an
// answer within FAST, no other ticket comes of it than the one that the answer bears, sealed
// for this request under the client's key. What stands outside of the armour counts for
// nothing.
func TestFASTMatrix(t *testing.T) {
	w := newFastWorld(t, fakekdc.WithEtypes(krb.AES256SHA1), fakekdc.WithFAST())
	tgt, err := w.login(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	random, err := krb.GenerateKey(krb.AES256SHA1)
	if err != nil {
		t.Fatal(err)
	}
	small, err := krb.GenerateKey(krb.AES128SHA1)
	if err != nil {
		t.Fatal(err)
	}
	salt, err := krb.MarshalEtypeInfo2([]krb.EtypeInfo{{Etype: krb.AES256SHA1, Salt: "forged", HasSalt: true}})
	if err != nil {
		t.Fatal(err)
	}
	mallory := krb.NewPrincipal(w.r.Name(), "mallory")
	foreign := krb.NewPrincipal("ELSEWHERE.EXAMPLE", "alice")
	const same = "" // the ticket as it is
	tickets := map[string]struct {
		change func(s *sealed)
		says   string
	}{
		"nothing":                {func(*sealed) {}, same},
		"nonce":                  {func(s *sealed) { s.in.Nonce++ }, "another nonce"},
		"finished":               {func(s *sealed) { s.in.Finished = nil }, "does not finish"},
		"usec":                   {func(s *sealed) { s.in.Finished.Usec ^= 1 }, same},
		"usec of no second":      {func(s *sealed) { s.in.Finished.Usec = 1_000_000 }, "FAST response"},
		"negative usec":          {func(s *sealed) { s.in.Finished.Usec = -1 }, "FAST response"},
		"timestamp":              {func(s *sealed) { s.in.Finished.Time = s.in.Finished.Time.Add(-time.Hour) }, same},
		"cname":                  {func(s *sealed) { s.in.Finished.Client = mallory }, "mallory"},
		"crealm":                 {func(s *sealed) { s.in.Finished.Client = foreign }, "ELSEWHERE"},
		"cname outside":          {func(s *sealed) { s.rep.Client = mallory }, same},
		"crealm outside":         {func(s *sealed) { s.rep.Client = foreign }, same},
		"cname in both":          {func(s *sealed) { s.rep.Client, s.in.Finished.Client = mallory, mallory }, "mallory"},
		"ticket checksum":        {func(s *sealed) { s.in.Finished.Checksum.Value[0] ^= 1 }, "another than"},
		"short checksum":         {func(s *sealed) { s.in.Finished.Checksum.Value = s.in.Finished.Checksum.Value[:4] }, "another than"},
		"no checksum":            {func(s *sealed) { s.in.Finished.Checksum.Value = []byte{} }, "another than"},
		"type of the checksum":   {func(s *sealed) { s.in.Finished.Checksum.Type = krb.ChecksumRSAMD5 }, "of type 7"},
		"ticket":                 {func(s *sealed) { s.rep.RawTicket[len(s.rep.RawTicket)-1] ^= 1 }, "another than"},
		"another's ticket":       {func(s *sealed) { s.rep.RawTicket = w.armor.Raw }, "another than"},
		"strengthen key":         {func(s *sealed) { s.in.Strengthen = random }, "open"},
		"another type of it":     {func(s *sealed) { s.in.Strengthen = small }, ""},
		"no strengthen key":      {func(s *sealed) { s.in.Strengthen = krb.Key{} }, "open"},
		"sealed part":            {func(s *sealed) { s.rep.EncPart.Cipher[9] ^= 1 }, "open"},
		"type of the sealed":     {func(s *sealed) { s.rep.EncPart.Etype = krb.AES128SHA1 }, ""},
		"armoured data":          {func(s *sealed) { s.data = []byte{0xa0, 0} }, "FAST reply"},
		"armoured data, none":    {func(s *sealed) { s.data = []byte{} }, "FAST reply"},
		"another armour key":     {func(s *sealed) { s.key = random }, "open under the armour key"},
		"no FAST":                {func(s *sealed) { s.rep.PAData = nil }, "not armoured"},
		"salt outside":           {func(s *sealed) { s.outside = []krb.PAData{{Type: krb.PAEtypeInfo2, Value: salt}} }, same},
		"challenge outside":      {func(s *sealed) { s.outside = []krb.PAData{{Type: krb.PAEncryptedChallenge, Value: []byte{1}}} }, same},
		"an error in the armour": {func(s *sealed) { s.in.PAData = append(s.in.PAData, krb.PAData{Type: krb.PAPWSalt, Value: []byte("x")}) }, same},
	}
	for name, tc := range map[string]struct {
		kind  uint8
		which int // message
		do    func() (*krb.Ticket, error)
		key   krb.Key // session key of the armour
	}{
		"AS-REP": {krb.MsgASRep, 1, func() (*krb.Ticket, error) { return w.login(t.Context(), nil) }, w.armor.Key},
		"TGS-REP": {krb.MsgTGSRep, 0, func() (*krb.Ticket, error) {
			w.sent = 0
			return w.c.TGS(t.Context(), tgt, krb.NewPrincipal(w.r.Name(), "HTTP", "localhost"), kdcclient.TGSOptions{FAST: true})
		}, tgt.Key},
	} {
		for what, c := range tickets {
			t.Run(name+"/"+what, func(t *testing.T) {
				var raw []byte
				w.change = func(n int, answer []byte) []byte {
					if n != tc.which {
						return answer
					}
					rep, err := krb.ParseKDCRep(bytes.Clone(answer), tc.kind)
					if err != nil {
						t.Fatal(err)
					}
					raw = rep.RawTicket
					key, found := armorKey(t, w.asked, tc.key)
					if !found {
						t.Fatal("no armour")
					}
					return reseal(t, key, bytes.Clone(answer), c.change)
				}
				got, err := tc.do()
				if refused := what == "another type of it" || what == "type of the sealed"; (err == nil) != (c.says == same && !refused) {
					t.Errorf("%+v, %v", got, err)
				}
				if err == nil && (!bytes.Equal(got.Raw, raw) || got.Client.String() != w.alice.String()) {
					t.Errorf("another ticket: %+v", got)
				}
				if what == "no FAST" && tc.kind == krb.MsgTGSRep {
					c.says = "open" // since its key was strengthened
				}
				if err != nil && !strings.Contains(err.Error(), c.says) {
					t.Errorf("want %q: %v", c.says, err)
				}
			})
		}
	}
	// The KDC's challenge is of the AS exchange alone.
	w.change = func(n int, answer []byte) []byte {
		if n != 1 {
			return answer
		}
		key, _ := armorKey(t, w.asked, w.armor.Key)
		return reseal(t, key, answer, func(s *sealed) {
			for i := range s.in.PAData {
				if s.in.PAData[i].Type == krb.PAEncryptedChallenge {
					s.in.PAData[i].Value[len(s.in.PAData[i].Value)-1] ^= 1
				}
			}
		})
	}
	if _, err := w.login(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "challenge does not open") {
		t.Errorf("the KDC's challenge: %v", err)
	}

	errs := map[string]struct {
		change func(s *sealed)
		says   string // "" where the login goes on as if nothing was
		sent   int
	}{
		"nothing":            {func(*sealed) {}, "", 2},
		"nonce":              {func(s *sealed) { s.in.Nonce++ }, "not armoured", 1},
		"code outside":       {func(s *sealed) { s.err.Code = krb.CodePolicy }, "", 2},
		"code within":        {func(s *sealed) { s.inner.Code = krb.CodeClientRevoked }, "KDC_ERR_CLIENT_REVOKED", 1},
		"no error within":    {func(s *sealed) { s.inner = nil }, "not armoured", 1},
		"finished":           {func(s *sealed) { s.in.Finished = &krb.FastFinished{Time: time.Unix(1, 0), Client: mallory} }, "", 2},
		"no FAST":            {func(s *sealed) { s.err.Data = method(t, krb.PAData{Type: krb.PAEncTimestamp}) }, "not armoured", 1},
		"no data":            {func(s *sealed) { s.err.Data = method(t) }, "not armoured", 1},
		"armoured data":      {func(s *sealed) { s.data = []byte{0xa0, 0} }, "not armoured", 1},
		"another armour key": {func(s *sealed) { s.key = random }, "not armoured", 1},
		"offer outside alone": {func(s *sealed) {
			s.outside, s.in.PAData = s.in.PAData[:len(s.in.PAData)-1], s.in.PAData[len(s.in.PAData)-1:]
		}, "KDC_ERR_PREAUTH_REQUIRED", 1},
		"timestamp outside": {func(s *sealed) { s.outside = []krb.PAData{{Type: krb.PAEncTimestamp, Value: []byte{}}} }, "", 2},
		"no cookie": {func(s *sealed) {
			s.in.PAData = slices.DeleteFunc(s.in.PAData, func(p krb.PAData) bool { return p.Type == krb.PAFXCookie })
		}, "KDC_ERR_PREAUTH_EXPIRED", 2},
		"another cookie": {func(s *sealed) {
			for i := range s.in.PAData {
				if s.in.PAData[i].Type == krb.PAFXCookie {
					s.in.PAData[i].Value[9] ^= 1
				}
			}
		}, "", 4}, // begins anew
	}
	for what, c := range errs {
		t.Run("KRB-ERROR/"+what, func(t *testing.T) {
			w.change = func(n int, answer []byte) []byte {
				if n != 0 {
					return answer
				}
				key, found := armorKey(t, w.asked, w.armor.Key)
				if !found {
					t.Fatal("no armour")
				}
				return reseal(t, key, bytes.Clone(answer), c.change)
			}
			w.r.ResetExchanges()
			_, err := w.login(t.Context(), nil)
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) || w.sent != c.sent {
				t.Errorf("%d messages: %v, %v", w.sent, err, w.r.Exchanges())
			}
			for _, e := range w.r.Exchanges() {
				if !e.FAST {
					t.Errorf("something was sent without armour: %v", e)
				}
			}
		})
	}
}

// TestFASTWrongKey: whatever a KDC calls it, a challenge under a wrong key is a refusal of the
// key, which is not to be sent again.
func TestFASTWrongKey(t *testing.T) {
	w := newFastWorldOf(t, fakekdc.WithUser("alice", password), fakekdc.WithEtypes(krb.AES256SHA1), fakekdc.WithFAST())
	for _, code := range []int32{krb.CodePreauthFailed, krb.CodeBadIntegrity} {
		w.change = func(n int, answer []byte) []byte {
			if n != 1 {
				return answer
			}
			key, _ := armorKey(t, w.asked, w.armor.Key)
			return reseal(t, key, answer, func(s *sealed) { s.inner.Code = code })
		}
		_, err := w.login(t.Context(), func(q *kdcclient.ASRequest) { q.Keys = kdcclient.Password(w.alice, "guess") })
		var e *kdcclient.Error
		if !errors.As(err, &e) || e.Kind != kdcclient.KindKey || e.Code != krb.CodePreauthFailed || !e.Refusal() || e.Armor || !strings.Contains(err.Error(), "with the key of type") {
			t.Errorf("%s: %v", krb.ErrorName(code), err)
		}
	}
}

func method(t *testing.T, list ...krb.PAData) []byte {
	t.Helper()
	b, err := krb.MarshalPADatas(list)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
