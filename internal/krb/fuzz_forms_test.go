package krb

import (
	"bytes"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/kadmin"
	"github.com/jcmturner/gokrb5/v8/types"
)

// A form is a decoder of a message that has its encoder beside it.
type form struct {
	good  [][]byte
	again func([]byte) ([]byte, error) // decodes and encodes; nothing where there is no encoder
}

// formOf joins a decoder and its encoder.
func formOf[T any](parse func([]byte) (T, error), marshal func(T) ([]byte, error), good ...[]byte) form {
	return form{good, func(b []byte) ([]byte, error) {
		v, err := parse(b)
		if err != nil || marshal == nil {
			return nil, err
		}
		return marshal(v)
	}}
}

func plain[T any](marshal func(T) []byte) func(T) ([]byte, error) {
	return func(v T) ([]byte, error) { return marshal(v), nil }
}

// samplesOfFast are good messages of FAST and OTP.
func samplesOfFast() map[string][][]byte {
	return map[string][][]byte{
		"FAST request": {
			must((&PAFXFastRequest{&FastArmor{FastArmorAPRequest, pattern(40)}, Checksum{16, pattern(12)}, EncryptedData{Etype: 18, Kvno: 2, Cipher: pattern(60)}}).Marshal()),
			must((&PAFXFastRequest{nil, Checksum{16, pattern(12)}, EncryptedData{Etype: 18, Cipher: pattern(60)}}).Marshal()),
		},
		"FAST reply":    {spaced(mitFastReply)},
		"FAST response": {spaced(mitFastResponse), must((&FastResponse{PAData: []PAData{{137, pattern(9)}}, Nonce: 1<<32 - 1}).Marshal())},
		"OTP challenge": {spaced(mitOTPChallenge), spaced(mitOTPChallengeBare)},
		"OTP request":   {spaced(mitOTPRequest), spaced(mitOTPRequestBare)},
	}
}

// forms lists what a KDC and a password service read and write.
func forms() map[string]form {
	part := &EncTicketPart{
		Flags: FlagInitial, Key: testKey(AES128SHA1), Client: alice, Transited: TransitedEncoding{1, []byte("A.TEST")}.Marshal(),
		AuthTime: someDay, StartTime: someDay, EndTime: someDay, RenewTill: someDay, Addresses: must(asn1.Marshal(loopback)),
		AuthData: MarshalAuthData(IfRelevant(AuthData{ADAPOptions, pattern(4)})),
	}
	body := KDCReqBody{
		Options: OptionRenew, Client: alice, Realm: "R", Server: webHost, From: someDay, Till: someDay, Renew: someDay, Nonce: -7, Etypes: []int32{18, 17},
		Addresses: must(asn1.Marshal(loopback)), AuthData: must(asn1.Marshal(types.EncryptedData{EType: 18, Cipher: pattern(9)})),
		Tickets: [][]byte{rawTicket(krbtgt, AES128SHA1, 0, pattern(9))},
	}
	priv := must(MakeKRBPriv(testKey(AES256SHA1), KRBPriv{[]byte("new"), 7, HostAddressOf(netip.IPv6Loopback())}))
	sum := Checksum{ChecksumHMACMD5, pattern(16)}
	id := S4UUserID{Nonce: 9, User: alice, Certificate: pattern(8), Options: S4UReplyUsage}
	s4u := paForUserEnc{theirName(alice), alice.Realm, types.Checksum{CksumType: sum.Type, Checksum: sum.Value}, "Kerberos"}
	changed := kadmin.ChangePasswdData{NewPasswd: []byte("new"), TargName: theirName(alice), TargRealm: alice.Realm}
	return map[string]form{
		"EncTicketPart": formOf(ParseEncTicketPart, (*EncTicketPart).Marshal, must(part.Marshal())),
		"KDC-REQ": formOf(ParseKDCReq, func(q *KDCReq) ([]byte, error) { return MarshalKDCReq(q.Kind, q.PAData, q.Body) },
			must(MarshalKDCReq(MsgASReq, nil, must(body.Marshal()))), must(MarshalKDCReq(MsgTGSReq, []PAData{{2, pattern(9)}}, must(body.Marshal())))),
		"KDC-REQ-BODY":      formOf(ParseKDCReqBody, func(r KDCReqBody) ([]byte, error) { return r.Marshal() }, must(body.Marshal())),
		"ETYPE-INFO":        formOf(ParseEtypeInfo, nil, must(asn1.Marshal(types.ETypeInfo{{EType: 18, Salt: []byte("salt")}, {EType: 23}}))),
		"PA-ENC-TIMESTAMP":  formOf(ParseEncrypted, nil, must(MakeEncTimestamp(testKey(AES256SHA1), someDay, 7))),
		"AuthorizationData": formOf(ParseAuthData, plain(func(l []AuthData) []byte { return MarshalAuthData(l...) }), part.AuthData),
		"HostAddresses":     formOf(ParseHostAddresses, nil, part.Addresses),
		"TransitedEncoding": formOf(ParseTransited, plain(TransitedEncoding.Marshal), part.Transited),
		"Checksum":          formOf(ParseChecksum, Checksum.Marshal, must(sum.Marshal())),
		"GSS-API checksum": formOf(ParseGSSChecksum, func(c GSSChecksum) ([]byte, error) { return c.Append(nil), nil },
			(&GSSChecksum{Flags: GSSDeleg | GSSMutual, Bindings: [16]byte{7}, Delegation: pattern(40)}).Append(nil)),
		"KRB-PRIV":          formOf(func(b []byte) ([]byte, error) { return OpenKRBPriv(testKey(AES256SHA1), b) }, nil, priv),
		"kpasswd":           formOf(ParseKpasswd, KpasswdMessage.Marshal, must(KpasswdMessage{KpasswdSet, pattern(40), priv}.Marshal())),
		"ChangePasswdData":  formOf(ParseChangePasswdData, nil, must(changed.Marshal())),
		"KDC-PROXY-MESSAGE": formOf(ParseProxyMessage, ProxyMessage.Marshal, must(ProxyMessage{pattern(30), "R"}.Marshal())),
		"PA-FOR-USER":       formOf(ParsePAForUser, nil, must(asn1.Marshal(s4u))),
		"PA-S4U-X509-USER":  formOf(ParsePAS4UX509, PAS4UX509.Marshal, must(PAS4UX509{must(id.Marshal()), sum}.Marshal())),
		"S4UUserID":         formOf(ParseS4UUserID, S4UUserID.Marshal, must(id.Marshal())),
		"FAST request":      formOf(ParsePAFXFastRequest, (*PAFXFastRequest).Marshal, samplesOfFast()["FAST request"]...),
		"FAST request part": formOf(ParseFastReq, (*FastReq).Marshal, must((&FastReq{FastHideClientNames, []PAData{{133, pattern(4)}}, must(body.Marshal())}).Marshal())),
		"FAST reply":        formOf(ParsePAFXFastReply, MarshalPAFXFastReply, samplesOfFast()["FAST reply"]...),
		"FAST response":     formOf(ParseFastResponse, (*FastResponse).Marshal, samplesOfFast()["FAST response"]...),
		"OTP challenge":     formOf(ParseOTPChallenge, (*OTPChallenge).Marshal, samplesOfFast()["OTP challenge"]...),
		"OTP request":       formOf(ParseOTPRequest, (*OTPRequest).Marshal, samplesOfFast()["OTP request"]...),
		"PA-PAC-REQUEST":    formOf(ParsePAPACRequest, nil, must(asn1.Marshal(paPACRequest{true}))),
		"PA-PAC-OPTIONS":    formOf(ParsePAPACOptions, plain(MarshalPAPACOptions), MarshalPAPACOptions(PACOptionRBCD)),
	}
}

// What a form's decoder takes, its encoder writes, and that means the same.
func FuzzForms(f *testing.F) {
	all := forms()
	names := slices.Sorted(maps.Keys(all))
	for i, name := range names {
		if len(all[name].good) == 0 {
			f.Fatalf("empty seed corpus for %s", name)
		}
		for _, b := range all[name].good {
			f.Add(uint8(i), b)
			f.Add(uint8(i), b[:len(b)/2])
			f.Add(uint8(i), append(bytes.Clone(b), 0))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		name := names[int(which)%len(names)]
		first, err := all[name].again(b)
		if err != nil || first == nil {
			return
		}
		second, err := all[name].again(first)
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%s: %x encodes to %x, and that to %x, %v", name, b, first, second, err)
		}
	})
}

// Every decoder says of every cut of a good message that it is malformed.
func TestCutForms(t *testing.T) {
	for name, one := range forms() {
		for _, b := range one.good {
			for n := range b {
				notPanicking(t, b[:n], func() {
					if _, err := one.again(b[:n]); !errors.Is(err, ErrMalformed) {
						t.Errorf("%s: %d of %d bytes: %v", name, n, len(b), err)
					}
				})
			}
			if _, err := one.again(append(bytes.Clone(b), 0)); name != "GSS-API checksum" && !errors.Is(err, ErrMalformed) {
				t.Errorf("%s: a byte more: %v", name, err)
			}
		}
	}
}

// A good message is encoded as it came.
func TestFormsAreCanonical(t *testing.T) {
	for name, one := range forms() {
		for _, b := range one.good {
			again, err := one.again(b)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if again != nil {
				sameBytes(t, name, again, b)
			}
		}
	}
}
