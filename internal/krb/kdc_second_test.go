package krb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/kadmin"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// What a KDC and a password service write and read, against gokrb5's messages and,
// for those of Microsoft, which it has not, against another ASN.1 library.

func tagged(tag uint8, v any) []byte {
	return asn1tools.AddASNAppTag(must(asn1.Marshal(v)), int(tag))
}

var loopback = types.HostAddresses{
	{AddrType: AddressIPv4, Address: []byte{127, 0, 0, 1}},
	{AddrType: AddressIPv6, Address: netip.IPv6Loopback().AsSlice()},
	{AddrType: 20, Address: []byte("WORKSTATION     ")},
}

func TestEncTicketPartAgainstGokrb5(t *testing.T) {
	forEtypes(t, func(t *testing.T, etype int32) {
		for _, more := range []bool{false, true} {
			transited := messages.TransitedEncoding{TRType: DomainX500Compress, Contents: []byte{}}
			ours := &EncTicketPart{
				Flags: FlagInitial | FlagPreAuthent, Key: testKey(etype), Client: alice,
				Transited: must(asn1.Marshal(transited)), AuthTime: someDay, EndTime: someDay.Add(time.Hour),
			}
			theirs := messages.EncTicketPart{
				Flags: theirFlags(FlagInitial | FlagPreAuthent), Key: theirKey(testKey(etype)), CRealm: alice.Realm, CName: theirName(alice),
				Transited: transited, AuthTime: someDay, EndTime: someDay.Add(time.Hour),
			}
			if more {
				data := types.AuthorizationData{{ADType: ADIfRelevant, ADData: pattern(300)}}
				ours.StartTime, ours.RenewTill = someDay.Add(time.Minute), someDay.Add(99*time.Hour)
				ours.Addresses, ours.AuthData = must(asn1.Marshal(loopback)), must(asn1.Marshal(data))
				theirs.StartTime, theirs.RenewTill = ours.StartTime, ours.RenewTill
				theirs.CAddr, theirs.AuthorizationData = loopback, data
			}
			raw := tagged(3, theirs)
			sameBytes(t, "part", must(ours.Marshal()), raw)
			back, err := ParseEncTicketPart(raw)
			if err != nil {
				t.Fatal(err)
			}
			diff(t, "we read", back, ours)

			ticket := must(SealTicket(webHost, testKey(etype), 7, ours))
			var got messages.Ticket
			if err := got.Unmarshal(ticket); err != nil {
				t.Fatal(err)
			}
			if got.EncPart.KVNO != 7 || got.Realm != webHost.Realm || !got.SName.Equal(theirName(webHost)) {
				t.Errorf("gokrb5 reads %+v", got)
			}
			if err := got.Decrypt(theirKey(testKey(etype))); err != nil {
				t.Fatal(err)
			}
			if d := got.DecryptedEncPart; d.CRealm != alice.Realm || !d.EndTime.Equal(ours.EndTime) || !d.RenewTill.Equal(ours.RenewTill) || len(d.CAddr) != len(theirs.CAddr) {
				t.Errorf("gokrb5 opens %+v", d)
			}
			again, err := must(ParseTicket(ticket)).Open(testKey(etype))
			if err != nil {
				t.Fatal(err)
			}
			diff(t, "we open", again, ours)
		}
	})
}

func TestKDCReqBodyWhole(t *testing.T) {
	ticket := theirTicket(webHost, AES256SHA1, 1, pattern(60))
	sealed := types.EncryptedData{EType: 18, Cipher: pattern(70)}
	for name, nonce := range map[string]int64{"positive": 1<<31 - 1, "negative": -1 << 31, "unsigned": 1<<32 - 1} {
		ours := KDCReqBody{
			Options: OptionEncTktInSKey | OptionPostdated, Client: alice, Realm: alice.Realm, Server: webHost,
			From: someDay, Till: someDay.Add(time.Hour), Renew: someDay.Add(2 * time.Hour), Nonce: nonce, Etypes: []int32{18, -135},
			Addresses: must(asn1.Marshal(loopback)), AuthData: must(asn1.Marshal(sealed)),
			Tickets: [][]byte{must(ticket.Marshal()), rawTicket(krbtgt, AES128SHA1, 0, pattern(9))},
		}
		raw, err := ours.Marshal()
		if err != nil {
			t.Fatal(name, err)
		}
		back, err := ParseKDCReqBody(raw)
		if err != nil {
			t.Fatal(name, err)
		}
		diff(t, name+": we read", back, ours)
		if nonce != int64(int32(nonce)) {
			continue // which gokrb5 cannot say
		}
		var theirs messages.KDCReqBody
		if err := theirs.Unmarshal(raw); err != nil {
			t.Fatal(name, err)
		}
		if theirs.Nonce != int(nonce) || len(theirs.Addresses) != len(loopback) || len(theirs.AdditionalTickets) != 2 ||
			!theirs.From.Equal(ours.From) || !theirs.RTime.Equal(ours.Renew) || theirs.EncAuthData.EType != 18 {
			t.Errorf("%s: gokrb5 reads %+v", name, theirs)
		}
		sameBytes(t, name+": gokrb5 writes", must(theirs.Marshal()), raw)
	}
}

func TestParseKDCReqAgainstGokrb5(t *testing.T) {
	body := must(sampleBodies()["as"].Marshal())
	for _, kind := range []uint8{MsgASReq, MsgTGSReq} {
		for name, list := range map[string]types.PADataSequence{"none": nil, "some": {{PADataType: 149, PADataValue: []byte{}}, {PADataType: 2, PADataValue: pattern(40)}}} {
			var theirs messages.KDCReqBody
			if err := theirs.Unmarshal(body); err != nil {
				t.Fatal(err)
			}
			fields := messages.KDCReqFields{PVNO: 5, MsgType: int(kind), PAData: list, ReqBody: theirs}
			var raw []byte
			if kind == MsgASReq {
				raw = must((&messages.ASReq{KDCReqFields: fields}).Marshal())
			} else {
				raw = must((&messages.TGSReq{KDCReqFields: fields}).Marshal())
			}
			got, err := ParseKDCReq(raw)
			if err != nil {
				t.Fatal(name, err)
			}
			if got.Kind != kind || len(got.PAData) != len(list) {
				t.Errorf("%s: type %d with %d elements", name, got.Kind, len(got.PAData))
			}
			sameBytes(t, name+": body", got.Body, body)
			for i, pa := range got.PAData {
				if value, found := FindPAData(got.PAData, list[i].PADataType); !found || string(value) != string(list[i].PADataValue) || pa.Type != list[i].PADataType {
					t.Errorf("%s: element %d is %v", name, i, pa)
				}
			}
		}
	}
}

func TestKDCRepWrittenAgainstGokrb5(t *testing.T) {
	for _, kind := range []uint8{MsgASRep, MsgTGSRep} {
		for name, list := range map[string][]PAData{"bare": nil, "padata": {{19, pattern(30)}, {3, []byte("salt")}}} {
			raw := rawTicket(krbtgt, AES256SHA1, 1, pattern(400))
			want := &KDCRep{PAData: list, Client: alice, RawTicket: raw, Ticket: must(ParseTicket(raw)), EncPart: EncryptedData{AES128SHA1, 4, pattern(200)}}
			ours := must(want.Marshal(kind))
			var fields messages.KDCRepFields
			var theirs []byte
			if kind == MsgASRep {
				var rep messages.ASRep
				if err := rep.Unmarshal(ours); err != nil {
					t.Fatal(name, err)
				}
				fields, theirs = rep.KDCRepFields, must(rep.Marshal())
			} else {
				var rep messages.TGSRep
				if err := rep.Unmarshal(ours); err != nil {
					t.Fatal(name, err)
				}
				fields, theirs = rep.KDCRepFields, must(rep.Marshal())
			}
			sameBytes(t, name+": gokrb5 writes", theirs, ours)
			if fields.EncPart.KVNO != 4 || len(fields.PAData) != len(list) || fields.CRealm != alice.Realm {
				t.Errorf("%s: gokrb5 reads %+v", name, fields)
			}
			diff(t, name, must(ParseKDCRep(ours, kind)), want)
		}
	}
	part := &EncKDCRepPart{
		Key: testKey(AES256SHA1), Nonce: 987654321, Flags: FlagInitial, AuthTime: someDay, StartTime: someDay.Add(time.Second), EndTime: someDay.Add(time.Hour),
		RenewTill: someDay.Add(time.Hour), Server: krbtgt, Addresses: must(asn1.Marshal(loopback)), PAData: []PAData{{149, pattern(12)}},
	}
	for kind, tag := range map[uint8]uint8{MsgASRep: 25, MsgTGSRep: 26} {
		raw := must(part.Marshal(kind))
		if raw[0] != byte(App(tag)) {
			t.Errorf("part of type %d has tag %#x", kind, raw[0])
		}
		diff(t, "we read", must(ParseEncKDCRepPart(raw)), part)
		var theirs messages.EncKDCRepPart
		if err := theirs.Unmarshal(raw); err != nil {
			t.Fatal(err)
		}
		if len(theirs.LastReqs) != 1 || theirs.LastReqs[0].LRType != 0 || theirs.Nonce != 987654321 || !theirs.RenewTill.Equal(part.RenewTill) || len(theirs.CAddr) != 3 {
			t.Errorf("gokrb5 reads %+v", theirs)
		}
		sameBytes(t, "gokrb5 writes", must(theirs.Marshal())[1:], raw[1:]) // always tag 25
	}
}

func TestEncTimestampAgainstGokrb5(t *testing.T) {
	forEtypes(t, func(t *testing.T, etype int32) {
		key := testKey(etype)
		var ed types.EncryptedData
		if err := ed.Unmarshal(must(MakeEncTimestamp(key, someDay, 123456))); err != nil {
			t.Fatal(err)
		}
		plain, err := crypto.DecryptEncPart(ed, theirKey(key), UsagePAEncTimestamp)
		if err != nil {
			t.Fatal(err)
		}
		theirs := types.PAEncTSEnc{PATimestamp: someDay, PAUSec: 123456}
		sameBytes(t, "PA-ENC-TS-ENC", plain, must(asn1.Marshal(theirs)))
		for _, usec := range []int{0, 999999} {
			theirs.PAUSec = usec // 0 is left out
			made, err := crypto.GetEncryptedData(must(asn1.Marshal(theirs)), theirKey(key), UsagePAEncTimestamp, 0)
			if err != nil {
				t.Fatal(err)
			}
			at, err := OpenEncTimestamp(key, must(ParseEncrypted(must(made.Marshal()))))
			if want := someDay.Add(time.Duration(usec) * time.Microsecond); err != nil || !at.Equal(want) {
				t.Errorf("%v, %v, want %v", at, err, want)
			}
		}
	})
}

func TestEtypeInfoAgainstGokrb5(t *testing.T) {
	theirs := types.ETypeInfo{{EType: 18, Salt: []byte("EXAMPLE.TESTalice")}, {EType: 23}, {EType: -128, Salt: []byte{0xff, 0}}}
	got, err := ParseEtypeInfo(must(asn1.Marshal(theirs)))
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "we read", got, []EtypeInfo{{Etype: 18, Salt: "EXAMPLE.TESTalice", HasSalt: true}, {Etype: 23}, {Etype: -128, Salt: "\xff\x00", HasSalt: true}})
	good := must(asn1.Marshal(theirs))
	many := func(n int) []byte { return must(asn1.Marshal(make(types.ETypeInfo, n))) }
	if got, err := ParseEtypeInfo(many(maxPAData)); err != nil || len(got) != maxPAData {
		t.Errorf("%d: %d, %v", maxPAData, len(got), err)
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "an element more": append(slices.Clone(good), 5, 0), "empty": {0x30, 0}, "no entry": {0x30, 2, 5, 0}, "too many": many(maxPAData + 1),
		"an entry of nothing": {0x30, 2, 0x30, 0}, "a field more": {0x30, 11, 0x30, 9, 0xa0, 3, 2, 1, 18, 0xa2, 2, 5, 0}, "no sequence": good[2:], "cut": good[:len(good)-1],
	} {
		if got, err := ParseEtypeInfo(b); !errors.Is(err, ErrMalformed) || got != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestAuthDataAgainstGokrb5(t *testing.T) {
	ours := []AuthData{{ADWin2kPAC, pattern(700)}, IfRelevant(AuthData{ADAPOptions, binary.LittleEndian.AppendUint32(nil, APOptionsCBT)}), {-5, []byte{}}}
	inner := types.AuthorizationData{{ADType: ADAPOptions, ADData: []byte{0, 0x40, 0, 0}}}
	theirs := types.AuthorizationData{{ADType: ADWin2kPAC, ADData: pattern(700)}, {ADType: ADIfRelevant, ADData: must(asn1.Marshal(inner))}, {ADType: -5, ADData: []byte{}}}
	raw := must(asn1.Marshal(theirs))
	sameBytes(t, "AuthorizationData", MarshalAuthData(ours...), raw)
	diff(t, "we read", must(ParseAuthData(raw)), ours)
	many := make([]AuthData, maxAuthData+1)
	if _, err := ParseAuthData(MarshalAuthData(many[1:]...)); err != nil {
		t.Error(err)
	}
	if _, err := ParseAuthData(MarshalAuthData(many...)); err == nil {
		t.Errorf("%d elements were read", len(many))
	}
}

func TestHostAddressesAgainstGokrb5(t *testing.T) {
	got, err := ParseHostAddresses(must(asn1.Marshal(loopback)))
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range loopback {
		if got[i].Type != a.AddrType || string(got[i].Address) != string(a.Address) {
			t.Errorf("%v, want %v", got[i], a)
		}
	}
	for i, want := range []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback(), {}} {
		ip, ok := got[i].IP()
		if ip != want || ok != want.IsValid() {
			t.Errorf("%v is %v, want %v", got[i], ip, want)
		}
		if ok {
			diff(t, "and back", HostAddressOf(ip), got[i])
		}
	}
	diff(t, "mapped", HostAddressOf(netip.MustParseAddr("::ffff:127.0.0.1")), got[0])
}

func TestTransitedAgainstGokrb5(t *testing.T) {
	theirs := messages.TransitedEncoding{TRType: DomainX500Compress, Contents: []byte("EDU,MIT.,ATHENA.")}
	raw := must(asn1.Marshal(theirs))
	ours := TransitedEncoding{DomainX500Compress, []byte("EDU,MIT.,ATHENA.")}
	sameBytes(t, "TransitedEncoding", ours.Marshal(), raw)
	diff(t, "we read", must(ParseTransited(raw)), ours)
}

func TestChecksumFormAgainstGokrb5(t *testing.T) {
	theirs := types.PAReqEncPARep{ChksumType: ChecksumHMACMD5, Chksum: pattern(16)}
	raw := must(asn1.Marshal(theirs))
	ours := Checksum{ChecksumHMACMD5, pattern(16)}
	sameBytes(t, "Checksum", must(ours.Marshal()), raw)
	diff(t, "we read", must(ParseChecksum(raw)), ours)
}

func TestKRBPrivAgainstGokrb5(t *testing.T) {
	forEtypes(t, func(t *testing.T, etype int32) {
		key := testKey(etype)
		var theirs messages.KRBPriv
		if err := theirs.Unmarshal(must(MakeKRBPriv(key, KRBPriv{[]byte("data"), 1<<32 - 1, HostAddressOf(netip.IPv6Loopback())}))); err != nil {
			t.Fatal(err)
		}
		if err := theirs.DecryptEncPart(theirKey(key)); err != nil {
			t.Fatal(err)
		}
		if p := theirs.DecryptedEncPart; string(p.UserData) != "data" || p.SequenceNumber != 1<<32-1 || p.SAddress.AddrType != AddressIPv6 || !p.Timestamp.IsZero() {
			t.Errorf("gokrb5 opens %+v", p)
		}
		made := messages.NewKRBPriv(messages.EncKrbPrivPart{UserData: []byte("new"), Timestamp: someDay, Usec: 5, SequenceNumber: 9, SAddress: loopback[0], RAddress: loopback[1]})
		if err := made.EncryptEncPart(theirKey(key)); err != nil {
			t.Fatal(err)
		}
		if data, err := OpenKRBPriv(key, must(made.Marshal())); err != nil || string(data) != "new" {
			t.Errorf("we open %q, %v", data, err)
		}
	})
}

func TestKpasswdAgainstGokrb5(t *testing.T) {
	session := testKey(AES256SHA1)
	made := messages.NewKRBPriv(messages.EncKrbPrivPart{UserData: []byte("new"), SequenceNumber: 9, SAddress: loopback[0]})
	if err := made.EncryptEncPart(theirKey(session)); err != nil {
		t.Fatal(err)
	}
	priv := must(made.Marshal())
	apReq := must(messages.NewAPReq(theirTicket(webHost, AES256SHA1, 2, pattern(300)), theirKey(session), theirAuthenticator(&Authenticator{Client: alice, CTime: someDay})))
	raw := must((&kadmin.Request{APREQ: apReq, KRBPriv: made}).Marshal())
	want := KpasswdMessage{KpasswdSet, must(apReq.Marshal()), priv}
	diff(t, "we read", must(ParseKpasswd(raw)), want)
	sameBytes(t, "we write", must(want.Marshal()), raw)

	apRep := must(MakeAPRep(session, &EncAPRepPart{CTime: someDay}))
	answer := must(MakeKRBPriv(session, KRBPriv{Data: append([]byte{0, byte(KpasswdSoftError)}, "too short"...), Sender: HostAddressOf(netip.IPv6Loopback())}))
	var reply kadmin.Reply
	if err := reply.Unmarshal(must(KpasswdMessage{KpasswdChange, apRep, answer}.Marshal())); err != nil {
		t.Fatal(err)
	}
	if err := reply.Decrypt(theirKey(session)); err != nil || reply.ResultCode != KpasswdSoftError || reply.Result != "too short" {
		t.Errorf("gokrb5 reads %d %q, %v", reply.ResultCode, reply.Result, err)
	}
	if _, err := (KpasswdMessage{Rest: make([]byte, 1<<16-6)}).Marshal(); err == nil {
		t.Error("a message was written that is longer than its length can say")
	}
	if b, err := (KpasswdMessage{Rest: make([]byte, 1<<16-7)}).Marshal(); err != nil || len(b) != 1<<16-1 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestChangePasswdDataAgainstGokrb5(t *testing.T) {
	for name, want := range map[string]ChangePasswdData{
		"own":     {Password: []byte("new")},
		"another": {Password: []byte{}, Target: Principal{Type: NTPrincipal, Components: []string{"bob"}}, HasTarget: true, Realm: "EXAMPLE.TEST"},
	} {
		theirs := kadmin.ChangePasswdData{NewPasswd: want.Password, TargRealm: want.Realm}
		if want.HasTarget {
			theirs.TargName = theirName(want.Target)
		}
		got, err := ParseChangePasswdData(must(theirs.Marshal()))
		if err != nil {
			t.Fatal(name, err)
		}
		diff(t, name, got, want)
	}
}

// Other structures of Microsoft, as its documents write them.
type (
	kdcProxyMessage struct {
		Message []byte `asn1:"explicit,tag:0"`
		Domain  string `asn1:"generalstring,optional,explicit,tag:1"`
		Hint    int    `asn1:"optional,explicit,tag:2"`
	}
	paForUserEnc struct {
		UserName    types.PrincipalName `asn1:"explicit,tag:0"`
		UserRealm   string              `asn1:"generalstring,explicit,tag:1"`
		Cksum       types.Checksum      `asn1:"explicit,tag:2"`
		AuthPackage string              `asn1:"generalstring,explicit,tag:3"`
	}
	s4uUserID struct {
		Nonce   int64               `asn1:"explicit,tag:0"`
		CName   types.PrincipalName `asn1:"optional,explicit,tag:1"`
		CRealm  string              `asn1:"generalstring,explicit,tag:2"`
		Subject []byte              `asn1:"optional,explicit,tag:3"`
		Options asn1.BitString      `asn1:"optional,explicit,tag:4"`
	}
	paS4UX509User struct {
		UserID   asn1.RawValue
		Checksum types.Checksum `asn1:"explicit,tag:1"`
	}
	paPACRequest struct {
		Include bool `asn1:"explicit,tag:0"`
	}
	paPACOptions struct {
		Flags asn1.BitString `asn1:"explicit,tag:0"`
	}
)

func TestProxyMessageAgainstASN1(t *testing.T) {
	for name, m := range map[string]ProxyMessage{"answer": {Framed: pattern(90)}, "request": {Framed: pattern(300), Domain: "EXAMPLE.TEST"}} {
		raw := must(asn1.Marshal(kdcProxyMessage{Message: m.Framed, Domain: m.Domain}))
		sameBytes(t, name, must(m.Marshal()), raw)
		diff(t, name, must(ParseProxyMessage(raw)), m)
		diff(t, name+" with a hint", must(ParseProxyMessage(must(asn1.Marshal(kdcProxyMessage{m.Framed, m.Domain, 7})))), m)
	}
}

func TestS4UAgainstASN1(t *testing.T) {
	sum := Checksum{ChecksumHMACMD5, pattern(16)}
	theirSum := types.Checksum{CksumType: sum.Type, Checksum: sum.Value}
	p, err := ParsePAForUser(must(asn1.Marshal(paForUserEnc{theirName(webHost), webHost.Realm, theirSum, "Kerberos"})))
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "PA-FOR-USER", p, PAForUserEnc{webHost, sum, "Kerberos"})
	if got, want := string(p.Covered()), fmt.Sprintf("\x03\x00\x00\x00HTTPwww.example.test%sKerberos", webHost.Realm); got != want {
		t.Errorf("covered is %q, want %q", got, want)
	}

	for name, id := range map[string]S4UUserID{
		"name":        {Nonce: 1<<32 - 1, User: alice, Options: S4UReplyUsage},
		"certificate": {Nonce: 1, User: Principal{Realm: "EXAMPLE.TEST"}, Certificate: pattern(40)},
	} {
		theirs := s4uUserID{Nonce: int64(id.Nonce), CRealm: id.User.Realm}
		if !id.User.IsZero() {
			theirs.CName = theirName(id.User)
		}
		if id.Certificate != nil {
			theirs.Subject = pattern(40)
		}
		if id.Options != 0 {
			theirs.Options = theirFlags(id.Options)
		}
		raw := must(asn1.Marshal(theirs))
		sameBytes(t, name, must(id.Marshal()), raw)
		diff(t, name, must(ParseS4UUserID(raw)), id)

		whole := must(asn1.Marshal(paS4UX509User{asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: raw}, theirSum}))
		pa := PAS4UX509{raw, sum}
		sameBytes(t, name, must(pa.Marshal()), whole)
		diff(t, name, must(ParsePAS4UX509(whole)), pa)
	}

	raw := must(asn1.Marshal(paPACOptions{theirFlags(PACOptionRBCD)}))
	sameBytes(t, "PA-PAC-OPTIONS", MarshalPAPACOptions(PACOptionRBCD), raw)
	if flags := must(ParsePAPACOptions(raw)); flags != PACOptionRBCD {
		t.Errorf("flags %#x", flags)
	}
	for _, include := range []bool{false, true} {
		if got := must(ParsePAPACRequest(must(asn1.Marshal(paPACRequest{include})))); got != include {
			t.Errorf("include-pac %v is read as %v", include, got)
		}
	}
}

// What is sealed while it is written is what is written apart, and sealed.
func TestKDCRepSeal(t *testing.T) {
	forEtypes(t, func(t *testing.T, etype int32) {
		key := testKey(etype)
		part := &EncKDCRepPart{
			Key: testKey(etype), Nonce: 4711, Flags: FlagInitial, AuthTime: someDay, StartTime: someDay, EndTime: someDay.Add(time.Hour),
			Server: webHost, PAData: []PAData{{PAFXFast, []byte{}}},
		}
		for _, kind := range []uint8{MsgASRep, MsgTGSRep} {
			rep := KDCRep{PAData: []PAData{{PAEtypeInfo2, pattern(300)}}, Client: alice, RawTicket: pattern(700)}
			got := must(rep.Seal(kind, part, key, 3, UsageASRepEncPart))
			f := OpenApp("reply", kind, got)
			f.header(0, kind)
			f.Raw(2)
			f.Raw(3)
			f.Raw(4)
			f.Raw(5)
			rep.EncPart = f.Encrypted(6)
			if err := f.Err(true); err != nil {
				t.Fatal(err)
			}
			sameBytes(t, "the reply", got, must(rep.Marshal(kind)))
			if rep.EncPart.Etype != etype || rep.EncPart.Kvno != 3 {
				t.Errorf("sealed with etype %d, kvno %d", rep.EncPart.Etype, rep.EncPart.Kvno)
			}
			sameBytes(t, "the part", must(key.OpenData(UsageASRepEncPart, rep.EncPart)), must(part.Marshal(kind)))
		}
	})
}

// Padata of which there is none is left out: SEQUENCE OF with nothing in it is not what a
// KDC writes.
func TestKDCRepWithoutPAData(t *testing.T) {
	for _, kind := range []uint8{MsgASRep, MsgTGSRep} {
		rep := KDCRep{Client: alice, RawTicket: rawTicket(krbtgt, AES128SHA1, 1, pattern(60)), EncPart: EncryptedData{AES128SHA1, 0, pattern(40)}}
		part := EncKDCRepPart{Key: testKey(AES128SHA1), AuthTime: someDay, EndTime: someDay, Server: webHost}
		wantRep, wantPart := must(rep.Marshal(kind)), must(part.Marshal(kind))
		rep.PAData, part.PAData = []PAData{}, []PAData{}
		sameBytes(t, "reply", must(rep.Marshal(kind)), wantRep)
		sameBytes(t, "its part", must(part.Marshal(kind)), wantPart)
		if got := must(ParseKDCRep(wantRep, kind)); got.PAData != nil {
			t.Errorf("padata %v was written", got.PAData)
		}
		if got := must(ParseEncKDCRepPart(wantPart)); got.PAData != nil {
			t.Errorf("padata %v was written in the part", got.PAData)
		}
	}
}

// A ticket that passed through no other realm says so.
func TestEncTicketPartTransitedNothing(t *testing.T) {
	part := EncTicketPart{Key: testKey(AES128SHA1), Client: alice, AuthTime: someDay, EndTime: someDay}
	got := must(part.Marshal())
	part.Transited = TransitedEncoding{Type: DomainX500Compress}.Marshal()
	sameBytes(t, "without a list", got, must(part.Marshal()))
}
