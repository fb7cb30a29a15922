package krb

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/internal/dertest"
	"github.com/kerbchain/kerbchain/internal/secret"
)

// What MIT krb5 writes of samples, from its src/tests/asn.1/reference_encode.out. The
// key of its KrbFastResponse is of a type that nobody knows; here it is one of AES.
const (
	mitFastResponse = "30 81 A7 A0 26 30 24 30 10 A1 03 02 01 0D A2 09 04 07 70 61 2D 64 61 74 61 30 10 A1 03 02 01 0D A2 09 04 07 70 61 2D 64 61 74 61" +
		" A1 1B 30 19 A0 03 02 01 11 A1 12 04 10 31 32 33 34 35 36 37 38 31 32 33 34 35 36 37 38" +
		" A2 5B 30 59 A0 11 18 0F 31 39 39 34 30 36 31 30 30 36 30 33 31 37 5A A1 05 02 03 01 E2 40 A2 10 1B 0E 41 54 48 45 4E 41 2E 4D 49 54 2E 45 44 55" +
		" A3 1A 30 18 A0 03 02 01 01 A1 11 30 0F 1B 06 68 66 74 73 61 69 1B 05 65 78 74 72 61 A4 0F 30 0D A0 03 02 01 01 A1 06 04 04 31 32 33 34 A3 03 02 01 2A"
	mitFastReply    = "A0 29 30 27 A0 25 30 23 A0 03 02 01 00 A1 03 02 01 05 A2 17 04 15 6B 72 62 41 53 4E 2E 31 20 74 65 73 74 20 6D 65 73 73 61 67 65"
	mitOTPChallenge = "30 81 A5 80 08 6D 61 78 6E 6F 6E 63 65 81 0B 74 65 73 74 73 65 72 76 69 63 65 A2 7D 30 07 80 05 00 00 00 00 00 " + mitOTPToken +
		" 83 07 6B 65 79 73 61 6C 74 84 04 31 32 33 34"
	mitOTPToken = "30 72 80 05 00 77 00 00 00 81 0B 45 78 61 6D 70 6C 65 63 6F 72 70 82 05 68 61 72 6B 21 83 01 0A 84 01 02 85 09 79 6F 75 72 74 6F 6B 65 6E" +
		" 86 28 75 72 6E 3A 69 65 74 66 3A 70 61 72 61 6D 73 3A 78 6D 6C 3A 6E 73 3A 6B 65 79 70 72 6F 76 3A 70 73 6B 63 3A 68 6F 74 70" +
		" A7 16 30 0B 06 09 60 86 48 01 65 03 04 02 01 30 07 06 05 2B 0E 03 02 1A 88 02 03 E8"
	mitOTPChallengeBare = "30 15 80 08 6D 69 6E 6E 6F 6E 63 65 A2 09 30 07 80 05 00 00 00 00 00"
	mitOTPRequest       = "30 81 B9 80 05 00 60 00 00 00 81 05 6E 6F 6E 63 65 A2 23 A0 03 02 01 00 A1 03 02 01 05 A2 17 04 15 6B 72 62 41 53 4E 2E 31 20 74 65 73 74 20 6D 65 73 73 61 67 65" +
		" A3 0B 06 09 60 86 48 01 65 03 04 02 01 84 02 03 E8 85 05 66 72 6F 67 73 86 0A 6D 79 66 69 72 73 74 70 69 6E 87 05 68 61 72 6B 21" +
		" 88 0F 31 39 39 34 30 36 31 30 30 36 30 33 31 37 5A 89 03 33 34 36 8A 01 02 8B 09 79 6F 75 72 74 6F 6B 65 6E" +
		" 8C 28 75 72 6E 3A 69 65 74 66 3A 70 61 72 61 6D 73 3A 78 6D 6C 3A 6E 73 3A 6B 65 79 70 72 6F 76 3A 70 73 6B 63 3A 68 6F 74 70 8D 0B 45 78 61 6D 70 6C 65 63 6F 72 70"
	mitOTPRequestBare = "30 2C 80 05 00 00 00 00 00 A2 23 A0 03 02 01 00 A1 03 02 01 05 A2 17 04 15 6B 72 62 41 53 4E 2E 31 20 74 65 73 74 20 6D 65 73 73 61 67 65"
	mitOTPEncRequest  = "30 0A 80 08 6B 72 62 35 64 61 74 61"
)

func spaced(s string) []byte { return must(hex.DecodeString(strings.ReplaceAll(s, " ", ""))) }

// TestFastOfMIT: what MIT krb5 wrote is read as what it was, and written as it wrote it.
func TestFastOfMIT(t *testing.T) {
	mitTime := time.Date(1994, 6, 10, 6, 3, 17, 0, time.UTC)
	encrypted := EncryptedData{Kvno: 5, Cipher: []byte("krbASN.1 test message")}
	n := func(v int32) *int32 { return &v }
	response := &FastResponse{
		PAData: []PAData{{13, []byte("pa-data")}, {13, []byte("pa-data")}}, Strengthen: must(NewKey(AES128SHA1, []byte("1234567812345678"))), Nonce: 42,
		Finished: &FastFinished{mitTime, 123456, Principal{Type: 1, Components: []string{"hftsai", "extra"}, Realm: "ATHENA.MIT.EDU"}, Checksum{1, []byte("1234")}},
	}
	sha256 := spaced("06 09 60 86 48 01 65 03 04 02 01")
	token := OTPToken{
		Flags:  OTPNextOTP | OTPCombine | OTPCollectPIN | OTPSeparatePIN | 1<<(31-5) | 1<<(31-7),
		Vendor: "Examplecorp", Challenge: []byte("hark!"), Length: n(10), Format: n(OTPAlphanumeric), ID: []byte("yourtoken"),
		Algorithm: "urn:ietf:params:xml:ns:keyprov:pskc:hotp", Hashes: spaced("30 0B 06 09 60 86 48 01 65 03 04 02 01 30 07 06 05 2B 0E 03 02 1A"), Iterations: n(1000),
	}
	challenge := &OTPChallenge{Nonce: []byte("maxnonce"), Service: "testservice", Tokens: []OTPToken{{}, token}, Salt: []byte("keysalt"), Params: []byte("1234")}
	request := &OTPRequest{
		Flags: OTPNextOTP | OTPCombine, Nonce: []byte("nonce"), EncData: encrypted, Hash: sha256, Iterations: n(1000),
		Value: secret.New([]byte("frogs")), PIN: secret.New([]byte("myfirstpin")), Challenge: []byte("hark!"), Time: mitTime, Counter: []byte("346"),
		Format: n(2), ID: []byte("yourtoken"), Algorithm: "urn:ietf:params:xml:ns:keyprov:pskc:hotp", Vendor: "Examplecorp",
	}
	same := cmp.Options{
		cmp.Comparer(func(a, b Key) bool { return a.Equal(b) }),
		cmp.Comparer(func(a, b secret.Bytes) bool {
			return string(a.Reveal()) == string(b.Reveal()) && a.IsZero() == b.IsZero()
		}),
	}
	for name, tc := range map[string]struct {
		der     string
		want    any
		parse   func([]byte) (any, error)
		marshal func() ([]byte, error)
	}{
		"KrbFastResponse":  {mitFastResponse, response, func(b []byte) (any, error) { return ParseFastResponse(b) }, response.Marshal},
		"PA-FX-FAST-REPLY": {mitFastReply, encrypted, func(b []byte) (any, error) { return ParsePAFXFastReply(b) }, func() ([]byte, error) { return MarshalPAFXFastReply(encrypted) }},
		"OTP-TOKENINFO":    {mitOTPToken, token, func(b []byte) (any, error) { return ParseOTPToken(b) }, token.Marshal},
		"PA-OTP-CHALLENGE": {mitOTPChallenge, challenge, func(b []byte) (any, error) { return ParseOTPChallenge(b) }, challenge.Marshal},
		"PA-OTP-CHALLENGE, bare": {mitOTPChallengeBare, &OTPChallenge{Nonce: []byte("minnonce"), Tokens: []OTPToken{{}}},
			func(b []byte) (any, error) { return ParseOTPChallenge(b) }, (&OTPChallenge{Nonce: []byte("minnonce"), Tokens: []OTPToken{{}}}).Marshal},
		"PA-OTP-REQUEST":       {mitOTPRequest, request, func(b []byte) (any, error) { return ParseOTPRequest(b) }, request.Marshal},
		"PA-OTP-REQUEST, bare": {mitOTPRequestBare, &OTPRequest{EncData: encrypted}, func(b []byte) (any, error) { return ParseOTPRequest(b) }, (&OTPRequest{EncData: encrypted}).Marshal},
	} {
		t.Run(name, func(t *testing.T) {
			der := spaced(tc.der)
			got, err := tc.parse(der)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, got, same); d != "" {
				t.Errorf("read, -want +got\n%s", d)
			}
			again, err := tc.marshal()
			if err != nil {
				t.Fatal(err)
			}
			sameBytes(t, name, again, der)
		})
	}
}

// TestOTPNonce: the nonce of a challenge goes to the KDC in the form that MIT krb5 writes,
// and is read as such.
func TestOTPNonce(t *testing.T) {
	forEtypes(t, func(t *testing.T, etype int32) {
		key := testKey(etype)
		ed := must(SealOTPNonce(key, []byte("krb5data")))
		sameBytes(t, "PA-OTP-ENC-REQUEST", must(key.OpenData(45, ed)), spaced(mitOTPEncRequest))
		if got, err := OpenOTPNonce(key, ed); err != nil || string(got) != "krb5data" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// TestFastRequest: the two forms that MIT krb5 has no samples of, written by other means.
func TestFastRequest(t *testing.T) {
	body := must(sampleBodies()["as"].Marshal())
	for name, armor := range map[string]*FastArmor{"explicit": {FastArmorAPRequest, pattern(40)}, "implicit": nil} {
		b := cryptobyte.NewBuilder(nil)
		b.AddASN1(Ctx(0), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				if armor != nil {
					b.AddASN1(Ctx(0), func(b *cryptobyte.Builder) {
						b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
							dertest.AddInt(b, 0, 1)
							dertest.AddOctets(b, 1, pattern(40))
						})
					})
				}
				dertest.AddChecksum(b, 1, 16, pattern(12))
				dertest.AddEncrypted(b, 2, 18, 0, pattern(60))
			})
		})
		want := PAFXFastRequest{armor, Checksum{16, pattern(12)}, EncryptedData{Etype: 18, Cipher: pattern(60)}}
		got, err := ParsePAFXFastRequest(b.BytesOrPanic())
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(&want, got); d != "" {
			t.Errorf("%s: -want +got\n%s", name, d)
		}
		sameBytes(t, name, must(want.Marshal()), b.BytesOrPanic())
	}
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		dertest.AddFlags(b, 0, FastHideClientNames)
		b.AddASN1(Ctx(1), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					dertest.AddInt(b, 1, 133)
					dertest.AddOctets(b, 2, []byte("crumb"))
				})
			})
		})
		dertest.AddRaw(b, 2, body)
	})
	want := FastReq{FastHideClientNames, []PAData{{PAFXCookie, []byte("crumb")}}, body}
	got, err := ParseFastReq(b.BytesOrPanic())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	sameBytes(t, "KrbFastReq", must(want.Marshal()), b.BytesOrPanic())
}

// TestFastKeys: the peppers are those of RFC 6113, and the order of the keys counts.
func TestFastKeys(t *testing.T) {
	a, b := testKey(AES256SHA1), testKey(AES128SHA256)
	for name, tc := range map[string]struct {
		got          func(a, b Key) (Key, error)
		first, other string
	}{
		"armour":    {FastArmorKey, "subkeyarmor", "ticketarmor"},
		"reply":     {FastReplyKey, "strengthenkey", "replykey"},
		"challenge": {ClientChallengeKey, "clientchallengearmor", "challengelongterm"},
		"KDC's":     {KDCChallengeKey, "kdcchallengearmor", "challengelongterm"},
	} {
		if got := must(tc.got(a, b)); !got.Equal(must(Combine(a, b, tc.first, tc.other))) || got.Etype() != AES256SHA1 {
			t.Errorf("%s: %x", name, got.Bytes())
		}
	}
}

// TestEncChallenge: an encrypted challenge is a timestamp under a usage of its own.
func TestEncChallenge(t *testing.T) {
	key := testKey(AES256SHA1)
	for _, usage := range []uint32{UsageEncChallengeClient, UsageEncChallengeKDC} {
		ed := must(ParseEncrypted(must(MakeEncChallenge(key, usage, someDay, 7))))
		if at, err := OpenEncChallenge(key, usage, ed); err != nil || !at.Equal(someDay.Add(7*time.Microsecond)) {
			t.Errorf("usage %d: %v, %v", usage, at, err)
		}
		if _, err := OpenEncTimestamp(key, ed); err == nil {
			t.Errorf("usage %d: taken for a timestamp", usage)
		}
	}
}
