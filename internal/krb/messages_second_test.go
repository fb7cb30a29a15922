package krb

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// gokrb5's messages as a second opinion: what one side marshals, the other
// reads, both ways.

// Keys compare by what they hold.
var sameKeys = cmp.Comparer(Key.Equal)

func diff(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, sameKeys); d != "" {
		t.Errorf("%s (-want +got)\n%s", what, d)
	}
}

func theirFlags(flags uint32) asn1.BitString {
	return asn1.BitString{
		Bytes:     []byte{byte(flags >> 24), byte(flags >> 16), byte(flags >> 8), byte(flags)},
		BitLength: 32,
	}
}

func ourFlags(t *testing.T, b asn1.BitString) uint32 {
	t.Helper()
	if len(b.Bytes) != 4 || b.BitLength != 32 {
		t.Fatalf("flags %x of %d bits, want 32", b.Bytes, b.BitLength)
	}
	return uint32(b.Bytes[0])<<24 | uint32(b.Bytes[1])<<16 | uint32(b.Bytes[2])<<8 | uint32(b.Bytes[3])
}

func theirTicket(sname Principal, etype int32, kvno int, cipher []byte) messages.Ticket {
	return messages.Ticket{
		TktVNO: 5, Realm: sname.Realm, SName: theirName(sname),
		EncPart: types.EncryptedData{EType: etype, KVNO: kvno, Cipher: cipher},
	}
}

func rawTicket(sname Principal, etype int32, kvno int, cipher []byte) []byte {
	t := theirTicket(sname, etype, kvno, cipher)
	return must(t.Marshal())
}

// Ours has whole-second times in UTC, as the wire has.
func sampleAuthenticators() map[string]*Authenticator {
	return map[string]*Authenticator{
		"least": {Client: alice, CTime: someDay},
		"full": {
			Client: alice, CTime: someDay, Cusec: 999999,
			Checksum: Checksum{0x8003, pattern(24)},
			Subkey:   testKey(AES256SHA1), Seq: 0x3fffffff, HasSeq: true,
			AuthData: must(asn1.Marshal(types.AuthorizationData{{ADType: 1, ADData: pattern(9)}})),
		},
		"high sequence number": {Client: webHost, CTime: someDay, Cusec: 1, Seq: 1<<32 - 1, HasSeq: true},
		"rc4 subkey":           {Client: krbtgt, CTime: someDay, Cusec: 128, Subkey: testKey(RC4HMAC), Checksum: Checksum{-138, pattern(16)}},
		"enterprise":           {Client: Principal{NTEnterprise, []string{"alice@corp.test"}, "EXAMPLE.TEST"}, CTime: someDay},
	}
}

func theirAuthenticator(a *Authenticator) types.Authenticator {
	out := types.Authenticator{
		AVNO: 5, CRealm: a.Client.Realm, CName: theirName(a.Client),
		Cusec: a.Cusec, CTime: a.CTime, SeqNumber: int64(a.Seq),
	}
	if a.Checksum.Value != nil {
		out.Cksum = types.Checksum{CksumType: a.Checksum.Type, Checksum: a.Checksum.Value}
	}
	if !a.Subkey.IsZero() {
		out.SubKey = theirKey(a.Subkey)
	}
	if a.AuthData != nil {
		must(asn1.Unmarshal(a.AuthData, &out.AuthorizationData))
	}
	return out
}

func TestAuthenticatorAgainstGokrb5(t *testing.T) {
	for name, a := range sampleAuthenticators() {
		t.Run(name, func(t *testing.T) {
			ours, err := a.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			var got types.Authenticator
			if err := got.Unmarshal(ours); err != nil {
				t.Fatalf("gokrb5 on %x: %v", ours, err)
			}
			want := theirAuthenticator(a)
			diff(t, "gokrb5 reads", got, want)
			theirs := must(want.Marshal())
			sameBytes(t, "encoding", ours, theirs)
			back, err := ParseAuthenticator(theirs)
			if err != nil {
				t.Fatal(err)
			}
			diff(t, "we read", back, a)
		})
	}
}

func TestTicketAgainstGokrb5(t *testing.T) {
	for name, tc := range map[string]struct {
		server Principal
		kvno   int
		size   int
	}{
		"service":     {webHost, 3, 200},
		"krbtgt":      {krbtgt, 0, 900},
		"huge":        {webHost, 1 << 30, 40000},
		"three parts": {Principal{1, []string{"a", "b", "c"}, "R"}, 1, 128},
	} {
		t.Run(name, func(t *testing.T) {
			raw := rawTicket(tc.server, AES256SHA1, tc.kvno, pattern(tc.size))
			got, err := ParseTicket(raw)
			if err != nil {
				t.Fatal(err)
			}
			diff(t, "ticket", got, TicketFields{tc.server, EncryptedData{AES256SHA1, uint32(tc.kvno), pattern(tc.size)}})
		})
	}
}

func TestAPReqAgainstGokrb5(t *testing.T) {
	forEtypes(t, func(t *testing.T, etype int32) {
		session := testKey(etype)
		raw := rawTicket(webHost, AES256SHA1, 2, pattern(300))
		auth := sampleAuthenticators()["full"]
		for _, options := range []uint32{0, APMutualRequired, APUseSessionKey | APMutualRequired} {
			ours, err := MakeAPReq(&Ticket{Raw: raw, Key: session}, auth, UsageAPReqAuth, options)
			if err != nil {
				t.Fatal(err)
			}
			var got messages.APReq
			if err := got.Unmarshal(ours); err != nil {
				t.Fatalf("gokrb5 on %x: %v", ours, err)
			}
			if err := got.DecryptAuthenticator(theirKey(session)); err != nil {
				t.Fatal(err)
			}
			diff(t, "gokrb5 reads the authenticator", got.Authenticator, theirAuthenticator(auth))
			diff(t, "gokrb5 reads the ticket", got.Ticket, theirTicket(webHost, AES256SHA1, 2, pattern(300)))
			if f := ourFlags(t, got.APOptions); f != options {
				t.Errorf("gokrb5 reads options %#x, want %#x", f, options)
			}

			theirs := must(messages.NewAPReq(theirTicket(webHost, AES256SHA1, 2, pattern(300)), theirKey(session), theirAuthenticator(auth)))
			theirs.APOptions = theirFlags(options)
			req, err := ParseAPReq(must(theirs.Marshal()))
			if err != nil {
				t.Fatal(err)
			}
			if req.Options != options {
				t.Errorf("options %#x, want %#x", req.Options, options)
			}
			sameBytes(t, "raw ticket", req.RawTicket, raw)
			diff(t, "ticket", req.Ticket, must(ParseTicket(raw)))
			plain, err := session.OpenData(UsageAPReqAuth, req.Authenticator)
			if err != nil {
				t.Fatal(err)
			}
			diff(t, "authenticator", must(ParseAuthenticator(plain)), auth)
		}
	})
}

func TestAPRepAgainstGokrb5(t *testing.T) {
	for name, part := range map[string]*EncAPRepPart{
		"least":    {CTime: someDay, Cusec: 7},
		"full":     {CTime: someDay, Cusec: 999999, Subkey: testKey(AES128SHA256), Seq: 1<<32 - 2, HasSeq: true},
		"sequence": {CTime: someDay, Cusec: 0, Seq: 5, HasSeq: true},
	} {
		forEtypes(t, func(t *testing.T, etype int32) {
			session := testKey(etype)
			ours, err := MakeAPRep(session, part)
			if err != nil {
				t.Fatal(name, err)
			}
			var rep messages.APRep
			if err := rep.Unmarshal(ours); err != nil {
				t.Fatal(name, err)
			}
			plain, err := crypto.DecryptEncPart(rep.EncPart, theirKey(session), UsageAPRepEncPart)
			if err != nil {
				t.Fatal(name, err)
			}
			want := messages.EncAPRepPart{CTime: part.CTime, Cusec: part.Cusec, SequenceNumber: int64(part.Seq)}
			if !part.Subkey.IsZero() {
				want.Subkey = theirKey(part.Subkey)
			}
			var got messages.EncAPRepPart
			if err := got.Unmarshal(plain); err != nil {
				t.Fatal(name, err)
			}
			diff(t, name+": gokrb5 reads", got, want)

			sealed := must(crypto.GetEncryptedData(asn1tools.AddASNAppTag(must(asn1.Marshal(want)), 27), theirKey(session), UsageAPRepEncPart, 0))
			theirs := asn1tools.AddASNAppTag(must(asn1.Marshal(messages.APRep{PVNO: 5, MsgType: 15, EncPart: sealed})), 15)
			back, err := OpenAPRep(session, theirs)
			if err != nil {
				t.Fatal(name, err)
			}
			diff(t, name+": we read", back, part)
		})
	}
}

func sampleErrors() map[string]*KRBError {
	return map[string]*KRBError{
		"least":        {Code: CodeGeneric, STime: someDay, Server: krbtgt},
		"full":         {Code: CodePreauthRequired, STime: someDay, Susec: 123456, Client: alice, Server: krbtgt, Text: "NEEDED_PREAUTH", Data: pattern(80)},
		"client realm": {Code: CodeWrongRealm, STime: someDay, Susec: 1, Client: Principal{Realm: "OTHER.TEST"}, Server: krbtgt},
		"text":         {Code: CodeSkew, STime: someDay, Susec: 999999, Server: webHost, Text: "Clock skew too great"},
	}
}

func theirError(e *KRBError) messages.KRBError {
	out := messages.KRBError{
		PVNO: 5, MsgType: 30, STime: e.STime, Susec: e.Susec, ErrorCode: e.Code,
		CRealm: e.Client.Realm, Realm: e.Server.Realm, SName: theirName(e.Server), EText: e.Text, EData: e.Data,
	}
	if !e.Client.IsZero() {
		out.CName = theirName(e.Client)
	}
	return out
}

func TestKRBErrorAgainstGokrb5(t *testing.T) {
	for name, e := range sampleErrors() {
		t.Run(name, func(t *testing.T) {
			ours, err := e.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			want := theirError(e)
			var got messages.KRBError
			if err := got.Unmarshal(ours); err != nil {
				t.Fatalf("gokrb5 on %x: %v", ours, err)
			}
			diff(t, "gokrb5 reads", got, want)
			back, err := ParseKRBError(must(want.Marshal()))
			if err != nil {
				t.Fatal(err)
			}
			diff(t, "we read", back, e)
			// An acceptor may echo the client's time; it tells us nothing.
			want.CTime, want.Cusec = someDay.Add(time.Hour), 77
			if back, err = ParseKRBError(must(want.Marshal())); err != nil {
				t.Fatal(err)
			}
			diff(t, "with ctime", back, e)
		})
	}
}

func sampleBodies() map[string]*KDCReqBody {
	return map[string]*KDCReqBody{
		"as": {
			Options: FlagForwardable | FlagRenewable | OptionRenewableOK, Client: alice, Realm: "EXAMPLE.TEST",
			Server: krbtgt, Till: someDay.Add(10 * time.Hour), Renew: someDay.Add(24 * time.Hour),
			Nonce: 1<<31 - 1, Etypes: DefaultEtypes(true),
		},
		"tgs":         {Options: FlagForwardable | OptionCanonicalize, Realm: "EXAMPLE.TEST", Server: webHost, Till: someDay, Nonce: 1, Etypes: []int32{18}},
		"negotiating": {Realm: "R", Client: alice, Server: krbtgt, Till: someDay, Nonce: 12345, Etypes: []int32{20, -135, 17}},
	}
}

func TestKDCReqAgainstGokrb5(t *testing.T) {
	padata := []PAData{{2, pattern(50)}, {149, nil}, {-17, pattern(300)}}
	for name, body := range sampleBodies() {
		for kind, list := range map[uint8][]PAData{MsgASReq: nil, MsgTGSReq: padata} {
			raw, err := body.Marshal()
			if err != nil {
				t.Fatal(name, err)
			}
			ours, err := MarshalKDCReq(kind, list, raw)
			if err != nil {
				t.Fatal(name, err)
			}
			var fields messages.KDCReqFields
			if kind == MsgASReq {
				var req messages.ASReq
				err = req.Unmarshal(ours)
				fields = req.KDCReqFields
			} else {
				var req messages.TGSReq
				err = req.Unmarshal(ours)
				fields = req.KDCReqFields
			}
			if err != nil {
				t.Fatalf("%s: gokrb5 on %x: %v", name, ours, err)
			}
			got := KDCReqBody{
				Options: ourFlags(t, fields.ReqBody.KDCOptions), Realm: fields.ReqBody.Realm,
				Server: Principal{fields.ReqBody.SName.NameType, fields.ReqBody.SName.NameString, body.Server.Realm},
				Till:   fields.ReqBody.Till, Renew: fields.ReqBody.RTime, Nonce: int64(fields.ReqBody.Nonce), Etypes: fields.ReqBody.EType,
			}
			if fields.ReqBody.CName.NameString != nil {
				got.Client = Principal{fields.ReqBody.CName.NameType, fields.ReqBody.CName.NameString, body.Client.Realm}
			}
			diff(t, name+": gokrb5 reads", &got, body)
			if fields.PVNO != 5 || fields.MsgType != int(kind) || len(fields.PAData) != len(list) {
				t.Errorf("%s: version %d, type %d, %d padata", name, fields.PVNO, fields.MsgType, len(fields.PAData))
			}
			for i, pa := range fields.PAData {
				if pa.PADataType != list[i].Type || string(pa.PADataValue) != string(list[i].Value) {
					t.Errorf("%s: padata %d is %v, want %v", name, i, pa, list[i])
				}
			}
			// Both must put the same bytes under a TGS-REQ's checksum.
			sameBytes(t, name+": body", raw, must(fields.ReqBody.Marshal()))
		}
	}
}

func TestKDCRepAgainstGokrb5(t *testing.T) {
	fields := messages.KDCRepFields{
		PVNO: 5, CRealm: alice.Realm, CName: theirName(alice),
		Ticket:  theirTicket(krbtgt, AES256SHA1, 1, pattern(400)),
		EncPart: types.EncryptedData{EType: AES128SHA1, KVNO: 4, Cipher: pattern(200)},
	}
	want := &KDCRep{
		Client: alice, RawTicket: rawTicket(krbtgt, AES256SHA1, 1, pattern(400)),
		Ticket:  TicketFields{krbtgt, EncryptedData{AES256SHA1, 1, pattern(400)}},
		EncPart: EncryptedData{AES128SHA1, 4, pattern(200)},
	}
	for name, padata := range map[string][]types.PAData{
		"bare":   nil,
		"padata": {{PADataType: 19, PADataValue: pattern(30)}, {PADataType: 3, PADataValue: []byte("salt")}},
	} {
		for _, kind := range []uint8{MsgASRep, MsgTGSRep} {
			fields.PAData, fields.MsgType = padata, int(kind)
			want.PAData = nil
			for _, pa := range padata {
				want.PAData = append(want.PAData, PAData{pa.PADataType, pa.PADataValue})
			}
			var raw []byte
			if kind == MsgASRep {
				raw = must((&messages.ASRep{KDCRepFields: fields}).Marshal())
			} else {
				raw = must((&messages.TGSRep{KDCRepFields: fields}).Marshal())
			}
			got, err := ParseKDCRep(raw, kind)
			if err != nil {
				t.Fatal(name, err)
			}
			diff(t, name, got, want)
			if _, err := ParseKDCRep(raw, MsgASRep+MsgTGSRep-kind); err == nil {
				t.Errorf("%s: type %d read as the other", name, kind)
			}
			// The tag says one thing and msg-type another.
			fields.MsgType = int(MsgASRep + MsgTGSRep - kind)
			if kind == MsgASRep {
				raw = must((&messages.ASRep{KDCRepFields: fields}).Marshal())
			} else {
				raw = must((&messages.TGSRep{KDCRepFields: fields}).Marshal())
			}
			if _, err := ParseKDCRep(raw, kind); err == nil {
				t.Errorf("%s: message type %d under tag %d", name, fields.MsgType, kind)
			}
		}
	}
}

func theirKDCRepPart(padata types.PADataSequence, key Key, more bool) messages.EncKDCRepPart {
	p := messages.EncKDCRepPart{
		Key:      theirKey(key),
		LastReqs: []messages.LastReq{{LRType: 0, LRValue: someDay}},
		Nonce:    987654321, Flags: theirFlags(FlagForwardable | FlagInitial | FlagPreAuthent),
		AuthTime: someDay, EndTime: someDay.Add(10 * time.Hour),
		SRealm: krbtgt.Realm, SName: theirName(krbtgt), EncPAData: padata,
	}
	if more {
		p.KeyExpiration = someDay.Add(1000 * time.Hour)
		p.StartTime = someDay.Add(time.Second)
		p.RenewTill = someDay.Add(100 * time.Hour)
		p.CAddr = []types.HostAddress{{AddrType: 2, Address: []byte{127, 0, 0, 1}}}
	}
	return p
}

func TestEncKDCRepPartAgainstGokrb5(t *testing.T) {
	forEtypes(t, func(t *testing.T, etype int32) {
		for _, more := range []bool{false, true} {
			var padata types.PADataSequence
			want := &EncKDCRepPart{
				Key: testKey(etype), Nonce: 987654321, Flags: FlagForwardable | FlagInitial | FlagPreAuthent,
				AuthTime: someDay, EndTime: someDay.Add(10 * time.Hour), Server: krbtgt,
			}
			if more {
				padata = types.PADataSequence{{PADataType: 149, PADataValue: pattern(12)}, {PADataType: 136, PADataValue: []byte{}}}
				want.PAData = []PAData{{149, pattern(12)}, {136, []byte{}}}
				want.StartTime = someDay.Add(time.Second)
				want.RenewTill = someDay.Add(100 * time.Hour)
				want.Addresses = must(asn1.Marshal(types.HostAddresses{{AddrType: AddressIPv4, Address: []byte{127, 0, 0, 1}}}))
			}
			part := theirKDCRepPart(padata, testKey(etype), more)
			raw := must(part.Marshal()) // always tag 25
			for _, tag := range []uint8{25, 26} {
				raw[0] = byte(App(tag))
				got, err := ParseEncKDCRepPart(raw)
				if err != nil {
					t.Fatal(err)
				}
				diff(t, "part", got, want)
			}
			raw[0] = byte(App(24))
			if _, err := ParseEncKDCRepPart(raw); err == nil {
				t.Error("tag 24 was read")
			}
		}
	})
}

func TestPADataAgainstGokrb5(t *testing.T) {
	ours := []PAData{{19, pattern(40)}, {2, []byte{}}, {-5, pattern(200)}}
	theirs := types.PADataSequence{{PADataType: 19, PADataValue: pattern(40)}, {PADataType: 2, PADataValue: []byte{}}, {PADataType: -5, PADataValue: pattern(200)}}
	raw := must(MarshalPADatas(ours))
	sameBytes(t, "METHOD-DATA", raw, must(asn1.Marshal(theirs)))
	var got types.PADataSequence
	if err := got.Unmarshal(raw); err != nil {
		t.Fatal(err)
	}
	diff(t, "gokrb5 reads", got, theirs)
	back, err := ParsePADatas(raw)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "we read", back, ours)
	if list, err := ParsePADatas([]byte{0x30, 0}); err != nil || len(list) != 0 {
		t.Errorf("empty: %v, %v", list, err)
	}
	many := make([]PAData, maxPAData)
	if list, err := ParsePADatas(must(MarshalPADatas(many))); err != nil || len(list) != maxPAData {
		t.Errorf("%d elements: %d, %v", maxPAData, len(list), err)
	}
	if _, err := ParsePADatas(must(MarshalPADatas(append(many, PAData{})))); err == nil {
		t.Errorf("%d elements were read", maxPAData+1)
	}
}

func TestEtypeInfo2AgainstGokrb5(t *testing.T) {
	ours := []EtypeInfo{
		{Etype: 18, Salt: "EXAMPLE.TESTalice", HasSalt: true},
		{Etype: 20, Salt: "x", HasSalt: true, Params: params(32768)},
		{Etype: 23},
	}
	theirs := types.ETypeInfo2{
		{EType: 18, Salt: "EXAMPLE.TESTalice"},
		{EType: 20, Salt: "x", S2KParams: params(32768)},
		{EType: 23},
	}
	raw := must(MarshalEtypeInfo2(ours))
	sameBytes(t, "ETYPE-INFO2", raw, must(asn1.Marshal(theirs)))
	var got types.ETypeInfo2
	if err := got.Unmarshal(raw); err != nil {
		t.Fatal(err)
	}
	diff(t, "gokrb5 reads", got, theirs)
	back, err := ParseEtypeInfo2(raw)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "we read", back, ours)

	empty := []EtypeInfo{{Etype: 18, HasSalt: true}}
	back, err = ParseEtypeInfo2(must(MarshalEtypeInfo2(empty)))
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "an empty salt is one", back, empty)
	for name, b := range map[string][]byte{"nothing": nil, "empty sequence": {0x30, 0}, "empty entry": {0x30, 2, 0x30, 0}, "tail": append(raw, 0)} {
		if list, err := ParseEtypeInfo2(b); err == nil {
			t.Errorf("%s: %v", name, list)
		}
	}
}
