package krb

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/internal/dertest"
)

// messageParsers lists the decoders of whole messages, with good messages for
// each. They seed the fuzz targets too.
func messageParsers() map[string]struct {
	good  [][]byte
	parse func([]byte) error
} {
	type entry = struct {
		good  [][]byte
		parse func([]byte) error
	}
	out := map[string]entry{}

	raw := rawTicket(webHost, AES256SHA1, 2, pattern(150))
	out["ticket"] = entry{
		[][]byte{raw, rawTicket(krbtgt, RC4HMAC, 0, pattern(30))},
		func(b []byte) error { _, err := ParseTicket(b); return err },
	}
	var auths, reqs [][]byte
	for _, a := range sampleAuthenticators() {
		auths = append(auths, must(a.Marshal()))
		reqs = append(reqs, must(MakeAPReq(&Ticket{Raw: raw, Key: testKey(AES128SHA1)}, a, UsageAPReqAuth, APMutualRequired)))
	}
	out["authenticator"] = entry{auths, func(b []byte) error { _, err := ParseAuthenticator(b); return err }}
	out["AP-REQ"] = entry{reqs, func(b []byte) error { _, err := ParseAPReq(b); return err }}

	session := testKey(AES256SHA384)
	out["KRB-CRED"] = entry{
		[][]byte{must(MakeKRBCred(session, &Ticket{
			Client: NewPrincipal("R", "alice"), Server: TGS("R", "R"), Raw: raw, Key: testKey(AES128SHA1),
			Flags: FlagForwarded, AuthTime: someDay, StartTime: someDay, EndTime: someDay, RenewTill: someDay,
		}, someDay))},
		func(b []byte) error { _, err := OpenKRBCred(b, session); return err },
	}
	var shares [][]byte
	for _, m := range []SPAKE{
		{Support: []int32{1, 2}}, {EncData: &EncryptedData{Etype: 18, Cipher: pattern(30)}},
		{Challenge: &SPAKEChallenge{Group: 1, Public: pattern(32), Factors: []SPAKEFactor{{Type: 1}, {Type: 2}}}},
		{Response: &SPAKEResponse{Public: pattern(32), Factor: EncryptedData{Etype: 18, Cipher: pattern(30)}}},
	} {
		shares = append(shares, must(m.Marshal()))
	}
	out["PA-SPAKE"] = entry{shares, func(b []byte) error { _, err := ParseSPAKE(b); return err }}
	fast := samplesOfFast()
	out["FAST request"] = entry{fast["FAST request"], func(b []byte) error { _, err := ParsePAFXFastRequest(b); return err }}
	out["FAST reply"] = entry{fast["FAST reply"], func(b []byte) error { _, err := ParsePAFXFastReply(b); return err }}
	out["FAST response"] = entry{fast["FAST response"], func(b []byte) error { _, err := ParseFastResponse(b); return err }}
	out["OTP challenge"] = entry{fast["OTP challenge"], func(b []byte) error { _, err := ParseOTPChallenge(b); return err }}
	out["OTP request"] = entry{fast["OTP request"], func(b []byte) error { _, err := ParseOTPRequest(b); return err }}
	out["AP-REP"] = entry{
		[][]byte{
			must(MakeAPRep(session, &EncAPRepPart{CTime: someDay, Cusec: 5, Subkey: testKey(AES128SHA1), Seq: 77, HasSeq: true})),
			must(MakeAPRep(session, &EncAPRepPart{CTime: someDay})),
		},
		func(b []byte) error { _, err := OpenAPRep(session, b); return err },
	}
	var errs [][]byte
	for _, e := range sampleErrors() {
		errs = append(errs, must(e.Marshal()))
	}
	out["KRB-ERROR"] = entry{errs, func(b []byte) error { _, err := ParseKRBError(b); return err }}
	out["METHOD-DATA"] = entry{
		[][]byte{must(MarshalPADatas(nil)), must(MarshalPADatas([]PAData{{19, pattern(20)}, {-2, nil}, {136, pattern(1)}}))},
		func(b []byte) error { _, err := ParsePADatas(b); return err },
	}
	out["ETYPE-INFO2"] = entry{
		[][]byte{must(MarshalEtypeInfo2([]EtypeInfo{{Etype: 18, Salt: "saltż", HasSalt: true, Params: params(4096)}, {Etype: 23}}))},
		func(b []byte) error { _, err := ParseEtypeInfo2(b); return err },
	}
	for _, kind := range []uint8{MsgASRep, MsgTGSRep} {
		fields := messages.KDCRepFields{
			PVNO: 5, MsgType: int(kind), CRealm: alice.Realm, CName: theirName(alice),
			PAData:  []types.PAData{{PADataType: 19, PADataValue: pattern(30)}},
			Ticket:  theirTicket(krbtgt, AES256SHA1, 1, pattern(100)),
			EncPart: types.EncryptedData{EType: AES128SHA1, KVNO: 4, Cipher: pattern(90)},
		}
		rep := must((&messages.ASRep{KDCRepFields: fields}).Marshal())
		rep[0] = byte(App(kind))
		out[map[uint8]string{MsgASRep: "AS-REP", MsgTGSRep: "TGS-REP"}[kind]] = entry{
			[][]byte{rep},
			func(b []byte) error { _, err := ParseKDCRep(b, kind); return err },
		}
	}
	var parts [][]byte
	for _, more := range []bool{false, true} {
		p := theirKDCRepPart(types.PADataSequence{{PADataType: 149, PADataValue: pattern(12)}}, testKey(AES256SHA1), more)
		b := must(p.Marshal())
		parts = append(parts, b, append([]byte{byte(App(26))}, b[1:]...))
	}
	out["KDC reply part"] = entry{parts, func(b []byte) error { _, err := ParseEncKDCRepPart(b); return err }}
	return out
}

// seed adds the good messages of one decoder and a few spoilt ones.
func seed(f *testing.F, name string) {
	f.Helper()
	good := messageParsers()[name].good
	if len(good) == 0 {
		f.Fatalf("empty seed corpus for %s", name)
	}
	for _, b := range good {
		f.Add(b)
		f.Add(b[:len(b)/2])
		f.Add(append(bytes.Clone(b), 0))
	}
	f.Add([]byte(nil))
	f.Add([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff})
}

// stable checks that what b was parsed to encodes to bytes that parse to the
// same again. Not all that is accepted can be encoded: a time may be local.
func stable[T any](t *testing.T, b []byte, parse func([]byte) (T, error), marshal func(T) ([]byte, error)) {
	t.Helper()
	v, err := parse(b)
	if err != nil {
		return
	}
	first, err := marshal(v)
	if err != nil {
		return
	}
	again, err := parse(first)
	if err != nil {
		t.Fatalf("%x parses, its encoding %x does not: %v", b, first, err)
	}
	second, err := marshal(again)
	if err != nil {
		t.Fatalf("%x: %v", first, err)
	}
	if !bytes.Equal(first, second) {
		t.Fatalf("%x encodes to %x, and that to %x", b, first, second)
	}
}

func FuzzOpen(f *testing.F) {
	n := 0
	for i, etype := range allEtypes {
		for _, size := range []int{0, 1, 16, 40} {
			f.Add(uint8(i), uint8(size), must(testKey(etype).Seal(uint32(size), pattern(size))))
			n++
		}
		for _, size := range []int{0, 1, testKey(etype).Overhead() - 1, testKey(etype).Overhead(), 100} {
			f.Add(uint8(i), uint8(12), pattern(size))
			n++
		}
	}
	if n == 0 {
		f.Fatal("empty seed corpus")
	}
	var keys []Key
	for _, etype := range allEtypes {
		keys = append(keys, testKey(etype))
	}
	f.Fuzz(func(t *testing.T, which, u uint8, b []byte) {
		key, usage := keys[int(which)%len(keys)], uint32(u%128)
		plain, err := key.Open(usage, b)
		if len(b) < key.Overhead() {
			if err == nil {
				t.Fatalf("%v opened %d bytes", key, len(b))
			}
			return // gokrb5 would panic
		}
		theirs, theirErr := must(crypto.GetEtype(key.Etype())).DecryptMessage(key.Bytes(), b, usage)
		if (err == nil) != (theirErr == nil) || err == nil && !bytes.Equal(plain, theirs) {
			t.Fatalf("%v, usage %d: %x, %v; gokrb5: %x, %v", key, usage, plain, err, theirs, theirErr)
		}
		sealed := must(key.Seal(usage, b))
		opened, err := key.Open(usage, sealed)
		if err != nil || !bytes.Equal(opened, b) {
			t.Fatalf("%v, usage %d: %x came back as %x, %v", key, usage, b, opened, err)
		}
		if _, err := key.OpenData(usage, EncryptedData{Etype: key.Etype() + 1, Cipher: sealed}); err == nil {
			t.Fatal("another etype was opened")
		}
	})
}

func FuzzParseTicket(f *testing.F) {
	seed(f, "ticket")
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseTicket(b)
		if err != nil {
			return
		}
		var theirs messages.Ticket
		if theirs.Unmarshal(b) != nil {
			return
		}
		sameName(t, b, got.Server, theirs.SName, theirs.Realm)
		sameEncrypted(t, b, got.EncPart, theirs.EncPart)
	})
}

func FuzzParseAPReq(f *testing.F) {
	seed(f, "AP-REQ")
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseAPReq(b)
		if err != nil {
			return
		}
		if _, err := ParseTicket(got.RawTicket); err != nil {
			t.Fatalf("its raw ticket does not parse: %v", err)
		}
		var theirs messages.APReq
		if theirs.Unmarshal(b) != nil {
			return
		}
		sameName(t, b, got.Ticket.Server, theirs.Ticket.SName, theirs.Ticket.Realm)
		sameEncrypted(t, b, got.Ticket.EncPart, theirs.Ticket.EncPart)
		sameEncrypted(t, b, got.Authenticator, theirs.EncryptedAuthenticator)
	})
}

func FuzzParseAuthenticator(f *testing.F) {
	seed(f, "authenticator")
	f.Fuzz(func(t *testing.T, b []byte) {
		stable(t, b, ParseAuthenticator, (*Authenticator).Marshal)
		got, err := ParseAuthenticator(b)
		if err != nil {
			return
		}
		var theirs types.Authenticator
		if theirs.Unmarshal(b) != nil {
			return
		}
		sameName(t, b, got.Client, theirs.CName, theirs.CRealm)
		if !got.CTime.Equal(theirs.CTime) || got.Cusec != theirs.Cusec || got.Seq != uint32(theirs.SeqNumber) {
			t.Fatalf("%x: %v %d %d, gokrb5 %v %d %d", b, got.CTime, got.Cusec, got.Seq, theirs.CTime, theirs.Cusec, theirs.SeqNumber)
		}
	})
}

// The input is tried as a whole AP-REP and as what one holds sealed.
func FuzzOpenAPRep(f *testing.F) {
	session := testKey(AES256SHA384)
	good := messageParsers()["AP-REP"].good
	if len(good) == 0 {
		f.Fatal("empty seed corpus")
	}
	for _, b := range good {
		f.Add(b)
		f.Add(b[:len(b)-1])
		fields := OpenApp("AP-REP", 15, b)
		fields.Int32(0)
		fields.Int32(1)
		f.Add(must(session.OpenData(UsageAPRepEncPart, fields.Encrypted(2))))
	}
	for _, etype := range allEtypes { // all that is too short for its type
		for _, n := range []int{0, 1, 11, 15, 23, 27, 31, 39} {
			sealed := types.EncryptedData{EType: etype, Cipher: pattern(n)}
			f.Add(append([]byte{byte(App(15))}, must(asn1.Marshal(messages.APRep{PVNO: 5, MsgType: 15, EncPart: sealed}))...))
		}
	}
	var keys []Key
	for _, etype := range allEtypes {
		keys = append(keys, testKey(etype))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, key := range keys {
			OpenAPRep(key, b)
			got, err := OpenAPRep(key, wrapAPRep(key, b))
			if err != nil {
				continue
			}
			var theirs messages.EncAPRepPart
			if theirs.Unmarshal(b) == nil && (!got.CTime.Equal(theirs.CTime) || got.Cusec != int(int32(theirs.Cusec)) || got.Seq != uint32(theirs.SequenceNumber)) {
				t.Fatalf("%x: %+v, gokrb5 %+v", b, got, theirs)
			}
			back, err := OpenAPRep(key, must(MakeAPRep(key, inUTC(got))))
			if err != nil {
				t.Fatalf("%x: what it was read as does not open: %v", b, err)
			}
			if d := cmp.Diff(inUTC(got), back, sameKeys); d != "" {
				t.Fatalf("%x\n%s", b, d)
			}
		}
	})
}

// wrapAPRep seals a plaintext as it stands and puts the AP-REP around it.
func wrapAPRep(key Key, plain []byte) []byte {
	ed := types.EncryptedData{EType: key.Etype(), Cipher: must(key.Seal(UsageAPRepEncPart, plain))}
	b := must(asn1.Marshal(messages.APRep{PVNO: 5, MsgType: 15, EncPart: ed}))
	out, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassApplication, Tag: 15, IsCompound: true, Bytes: b})
	return must(out, err)
}

// inUTC returns p with a time that can be encoded: a stranger's may be local,
// and in UTC fall outside the years that the format has.
func inUTC(p *EncAPRepPart) *EncAPRepPart {
	q := *p
	q.CTime = p.CTime.UTC()
	if y := q.CTime.Year(); y < 0 || y > 9999 {
		q.CTime = someDay
	}
	return &q
}

func FuzzParseKRBError(f *testing.F) {
	seed(f, "KRB-ERROR")
	f.Fuzz(func(t *testing.T, b []byte) {
		stable(t, b, ParseKRBError, (*KRBError).Marshal)
		got, err := ParseKRBError(b)
		if err != nil {
			return
		}
		_ = got.Error()
		if len(got.Text) > 200 {
			t.Fatalf("text of %d bytes", len(got.Text))
		}
		var theirs messages.KRBError
		if theirs.Unmarshal(b) != nil {
			return
		}
		sameName(t, b, got.Server, theirs.SName, theirs.Realm)
		if got.Code != theirs.ErrorCode || !got.STime.Equal(theirs.STime) || !bytes.Equal(got.Data, theirs.EData) {
			t.Fatalf("%x: %+v, gokrb5 %+v", b, got, theirs)
		}
	})
}

func FuzzParsePADatas(f *testing.F) {
	seed(f, "METHOD-DATA")
	f.Fuzz(func(t *testing.T, b []byte) {
		stable(t, b, ParsePADatas, MarshalPADatas)
		got, err := ParsePADatas(b)
		if err != nil {
			return
		}
		var theirs types.PADataSequence
		if theirs.Unmarshal(b) != nil {
			return
		}
		if len(got) != len(theirs) {
			t.Fatalf("%x: %d elements, gokrb5 %d", b, len(got), len(theirs))
		}
		for i := range got {
			if got[i].Type != theirs[i].PADataType || !bytes.Equal(got[i].Value, theirs[i].PADataValue) {
				t.Fatalf("%x: element %d", b, i)
			}
		}
	})
}

func FuzzParseEtypeInfo2(f *testing.F) {
	seed(f, "ETYPE-INFO2")
	f.Fuzz(func(t *testing.T, b []byte) {
		stable(t, b, ParseEtypeInfo2, MarshalEtypeInfo2)
		got, err := ParseEtypeInfo2(b)
		if err != nil {
			return
		}
		if len(got) == 0 {
			t.Fatal("accepted without an entry")
		}
		var theirs types.ETypeInfo2
		if theirs.Unmarshal(b) != nil {
			return
		}
		if len(got) != len(theirs) {
			t.Fatalf("%x: %d entries, gokrb5 %d", b, len(got), len(theirs))
		}
		for i := range got {
			if got[i].Etype != theirs[i].EType || got[i].Salt != theirs[i].Salt || !bytes.Equal(got[i].Params, theirs[i].S2KParams) {
				t.Fatalf("%x: entry %d", b, i)
			}
		}
	})
}

func FuzzParseKDCRep(f *testing.F) {
	seed(f, "AS-REP")
	seed(f, "TGS-REP")
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, kind := range []uint8{MsgASRep, MsgTGSRep} {
			got, err := ParseKDCRep(b, kind)
			if err != nil {
				continue
			}
			if b[0] != byte(App(kind)) {
				t.Fatalf("tag %#x read as type %d", b[0], kind)
			}
			var fields messages.KDCRepFields
			if kind == MsgASRep {
				var rep messages.ASRep
				if rep.Unmarshal(b) != nil {
					continue
				}
				fields = rep.KDCRepFields
			} else {
				var rep messages.TGSRep
				if rep.Unmarshal(b) != nil {
					continue
				}
				fields = rep.KDCRepFields
			}
			sameName(t, b, got.Client, fields.CName, fields.CRealm)
			sameName(t, b, got.Ticket.Server, fields.Ticket.SName, fields.Ticket.Realm)
			sameEncrypted(t, b, got.EncPart, fields.EncPart)
			sameEncrypted(t, b, got.Ticket.EncPart, fields.Ticket.EncPart)
			if len(got.PAData) != len(fields.PAData) {
				t.Fatalf("%x: %d padata, gokrb5 %d", b, len(got.PAData), len(fields.PAData))
			}
		}
	})
}

func FuzzParseEncKDCRepPart(f *testing.F) {
	seed(f, "KDC reply part")
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseEncKDCRepPart(b)
		if err != nil {
			return
		}
		if got.Key.IsZero() {
			t.Fatal("accepted without a key")
		}
		var theirs messages.EncKDCRepPart
		if theirs.Unmarshal(b) != nil {
			return
		}
		sameName(t, b, got.Server, theirs.SName, theirs.SRealm)
		if got.Nonce != int64(theirs.Nonce) || got.Key.Etype() != theirs.Key.KeyType || !bytes.Equal(got.Key.Bytes(), theirs.Key.KeyValue) ||
			!got.AuthTime.Equal(theirs.AuthTime) || !got.EndTime.Equal(theirs.EndTime) || !got.StartTime.Equal(theirs.StartTime) || !got.RenewTill.Equal(theirs.RenewTill) {
			t.Fatalf("%x: %+v, gokrb5 %+v", b, got, theirs)
		}
	})
}

func FuzzParsePrincipal(f *testing.F) {
	seeds := []string{"", "@", "alice@R", "HTTP/www.example.test@R", `a\@b/c\/d@R\@S`, `a\n\t\b\0\\@R`, `\`, "a@R@S", "a\x00\n\t\b/b@R/S", "//", "\xff@\xfe"}
	if len(seeds) == 0 {
		f.Fatal("empty seed corpus")
	}
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePrincipal(s)
		if err != nil {
			return
		}
		text := p.String()
		if len(text) > maxName {
			return // escapes made it longer than may be read
		}
		q, err := ParsePrincipal(text)
		if err != nil {
			t.Fatalf("%q is written %q, which does not parse: %v", s, text, err)
		}
		if d := cmp.Diff(p, q); d != "" {
			t.Fatalf("%q is written %q\n%s", s, text, d)
		}
		if again := q.String(); again != text {
			t.Fatalf("%q is written %q, then %q", s, text, again)
		}
	})
}

func sameName(t *testing.T, b []byte, ours Principal, theirs types.PrincipalName, realm string) {
	t.Helper()
	if ours.Realm != realm || !theirs.Equal(theirName(ours)) || ours.Type != theirs.NameType {
		t.Fatalf("%x: %#v, gokrb5 %#v of %q", b, ours, theirs, realm)
	}
}

func sameEncrypted(t *testing.T, b []byte, ours EncryptedData, theirs types.EncryptedData) {
	t.Helper()
	if ours.Etype != theirs.EType || ours.Kvno != uint32(theirs.KVNO) || !bytes.Equal(ours.Cipher, theirs.Cipher) {
		t.Fatalf("%x: %+v, gokrb5 %+v", b, ours, theirs)
	}
}

// The input is tried as a whole KRB-CRED and as what one holds sealed.
func FuzzOpenKRBCred(f *testing.F) {
	session := testKey(AES256SHA384)
	good := messageParsers()["KRB-CRED"].good
	if len(good) == 0 {
		f.Fatal("empty seed corpus")
	}
	for _, b := range good {
		f.Add(b)
		f.Add(b[:len(b)-1])
		fields := OpenApp("KRB-CRED", 22, b)
		fields.Int32(0)
		fields.Int32(1)
		fields.Raw(2)
		f.Add(must(session.OpenData(UsageKRBCred, fields.Encrypted(3))))
	}
	raw := rawTicket(krbtgt, RC4HMAC, 0, pattern(30))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, whole := range [][]byte{b, wrapKRBCred(session, raw, b)} {
			got, err := OpenKRBCred(whole, Key{}, testKey(AES128SHA1), session)
			if (got == nil) == (err == nil) {
				t.Fatalf("%x: %v and %v", b, got, err)
			}
			if err != nil {
				continue
			}
			again, err := MakeKRBCred(session, got, someDay)
			if err != nil {
				continue // names or times that we do not write
			}
			if _, err := OpenKRBCred(again, session); err != nil {
				t.Fatalf("%x: opens to %v, which we write and cannot open: %v", b, got, err)
			}
		}
	})
}

// wrapKRBCred seals plain as the part of a KRB-CRED.
func wrapKRBCred(session Key, ticket, plain []byte) []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(App(22), func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			dertest.AddInt(b, 0, 5)
			dertest.AddInt(b, 1, 22)
			b.AddASN1(Ctx(2), func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(ticket) })
			})
			dertest.AddEncrypted(b, 3, session.Etype(), 0, must(session.Seal(UsageKRBCred, plain)))
		})
	})
	return b.BytesOrPanic()
}

// FuzzTime reads times as cryptobyte does, which knows more than one way to write
// them.
func FuzzTime(f *testing.F) {
	for _, text := range []string{
		"20261123212309Z", "20240229000000Z", "20230229000000Z", "20261123212309+0100", "20261123212309.5Z", "20261123216000Z",
		"20261123240000Z", "20261123235960Z", "00000101000000Z", "20261300000000Z", "2026112321230:Z", "20261123212309z", "",
	} {
		f.Add([]byte(text), byte(0x18))
	}
	f.Fuzz(func(t *testing.T, text []byte, tag byte) {
		b := cryptobyte.NewBuilder(nil)
		b.AddASN1(cbasn1.Tag(tag), func(b *cryptobyte.Builder) { b.AddBytes(text) })
		der, err := b.Bytes()
		if err != nil {
			return
		}
		for _, der := range [][]byte{der, append(der, 0), der[:len(der)-1]} {
			var got, want time.Time
			s := cryptobyte.String(der)
			ok := readTime(der, &got)
			if wanted := s.ReadASN1GeneralizedTime(&want) && s.Empty(); ok != wanted || ok && !got.Equal(want) {
				t.Errorf("%x: %v, %t, want %v, %t", der, got, ok, want, wanted)
			}
		}
	})
}
