package krb

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/internal/dertest"
)

// What a request may hold is bounded.
func TestKDCReqBodyBounds(t *testing.T) {
	ticket := rawTicket(krbtgt, AES128SHA1, 0, pattern(9))
	of := func(change func(*KDCReqBody)) []byte {
		body := KDCReqBody{Client: alice, Realm: "R", Server: krbtgt, Till: someDay, Nonce: 1, Etypes: []int32{18}}
		change(&body)
		return must(body.Marshal())
	}
	for name, tc := range map[string]struct {
		body []byte
		good bool
	}{
		"etypes":           {of(func(b *KDCReqBody) { b.Etypes = make([]int32, maxEtypes) }), true},
		"an etype more":    {of(func(b *KDCReqBody) { b.Etypes = make([]int32, maxEtypes+1) }), false},
		"no etypes":        {of(func(b *KDCReqBody) { b.Etypes = nil }), true},
		"tickets":          {of(func(b *KDCReqBody) { b.Tickets = slices.Repeat([][]byte{ticket}, maxTickets) }), true},
		"a ticket more":    {of(func(b *KDCReqBody) { b.Tickets = slices.Repeat([][]byte{ticket}, maxTickets+1) }), false},
		"no ticket":        {of(func(b *KDCReqBody) { b.Tickets = [][]byte{{0x30, 0}} }), false},
		"nonce":            {of(func(b *KDCReqBody) { b.Nonce = 1<<32 - 1 }), true},
		"nonce too large":  {of(func(b *KDCReqBody) { b.Nonce = 1 << 32 }), false},
		"nonce too small":  {of(func(b *KDCReqBody) { b.Nonce = -1<<31 - 1 }), false},
		"addresses":        {of(func(b *KDCReqBody) { b.Addresses = []byte{0x30, 0} }), true},
		"no addresses":     {of(func(b *KDCReqBody) { b.Addresses = []byte{4, 0} }), false},
		"addresses of two": {of(func(b *KDCReqBody) { b.Addresses = []byte{0x30, 0, 0x30, 0} }), false},
	} {
		if got, err := ParseKDCReqBody(tc.body); (err == nil) != tc.good || err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	// An encryption type beyond 32 bits is none.
	for etype, good := range map[int64]bool{1<<31 - 1: true, 1 << 31: false, -1 << 31: true, -1<<31 - 1: false} {
		b := cryptobyte.NewBuilder(nil)
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			dertest.AddFlags(b, 0, 0)
			dertest.AddString(b, 2, "R")
			dertest.AddTime(b, 5, someDay)
			dertest.AddInt(b, 7, 1)
			b.AddASN1(Ctx(8), func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1Int64(etype) })
			})
		})
		if got, err := ParseKDCReqBody(must(b.Bytes())); (err == nil) != good || good && !slices.Equal(got.Etypes, []int32{int32(etype)}) {
			t.Errorf("etype %d: %v, %v", etype, got.Etypes, err)
		}
	}
}

// What a challenge may hold is bounded, and it holds something.
func TestChallengeBounds(t *testing.T) {
	otp := func(n int) error {
		return errorOf(ParseOTPChallenge(must((&OTPChallenge{Nonce: pattern(4), Tokens: make([]OTPToken, n)}).Marshal())))
	}
	groups := func(n int) error { return errorOf(ParseSPAKE(must((&SPAKE{Support: make([]int32, n)}).Marshal()))) }
	factors := func(n int) error {
		c := &SPAKEChallenge{Group: 1, Public: pattern(4), Factors: make([]SPAKEFactor, n)}
		return errorOf(ParseSPAKE(must((&SPAKE{Challenge: c}).Marshal())))
	}
	for name, tc := range map[string]struct {
		of   func(int) error
		most int
	}{"tokens": {otp, maxOTPTokens}, "groups": {groups, maxSPAKE}, "factors": {factors, maxSPAKE}} {
		for n, good := range map[int]bool{0: false, 1: true, tc.most: true, tc.most + 1: false} {
			if err := tc.of(n); (err == nil) != good || err != nil && !errors.Is(err, ErrMalformed) {
				t.Errorf("%d %s: %v", n, name, err)
			}
		}
	}
	factor := SPAKEFactor{Type: 2, Data: pattern(3)}
	if got, err := ParseSPAKEFactor(must(factor.Marshal())); err != nil || got.Type != 2 || !slices.Equal(got.Data, factor.Data) {
		t.Errorf("%+v, %v", got, err)
	}
}

// What stands behind a form, or says that it is another, is not passed over.
func TestFormsWithMore(t *testing.T) {
	sequence := func(fill func(*cryptobyte.Builder)) []byte {
		b := cryptobyte.NewBuilder(nil)
		b.AddASN1(asn1.SEQUENCE, fill)
		return must(b.Bytes())
	}
	typed := func(n uint8) []byte {
		return sequence(func(b *cryptobyte.Builder) {
			dertest.AddInt(b, 0, 1)
			dertest.AddOctets(b, 1, pattern(4))
			dertest.AddInt(b, n, 7)
		})
	}
	deleg := (&GSSChecksum{Flags: GSSDeleg, Delegation: pattern(9)}).Append(nil)
	change := func(at int, v byte) []byte {
		b := slices.Clone(deleg)
		b[at] = v
		return b
	}
	list := func(of []byte) []byte { return sequence(func(b *cryptobyte.Builder) { b.AddBytes(of) }) }
	for name, err := range map[string]error{
		"addresses":         errorOf(ParseHostAddresses(list(typed(2)))),
		"auth data":         errorOf(ParseAuthData(list(typed(2)))),
		"SPAKE of a kind":   errorOf(ParseSPAKE([]byte{0xa4, 0})),
		"SPAKE groups":      errorOf(ParseSPAKE([]byte{0xa0, 11, 0x30, 9, 0xa0, 7, 0x30, 3, 2, 1, 1, 5, 0})),
		"transited":         errorOf(ParseTransited(typed(2))),
		"checksum":          errorOf(ParseChecksum(typed(2))),
		"PAC request":       errorOf(ParsePAPACRequest([]byte{0x30, 7, 0xa0, 5, 1, 1, 0xff, 5, 0})),
		"PAC request of 1":  errorOf(ParsePAPACRequest([]byte{0x30, 5, 0xa0, 3, 2, 1, 1})),
		"PAC options":       errorOf(ParsePAPACOptions(sequence(func(b *cryptobyte.Builder) { dertest.AddFlags(b, 0, 0); dertest.AddInt(b, 1, 0) }))),
		"proxy message":     errorOf(ParseProxyMessage(sequence(func(b *cryptobyte.Builder) { dertest.AddOctets(b, 0, nil); dertest.AddInt(b, 3, 0) }))),
		"password":          errorOf(ParseChangePasswdData(sequence(func(b *cryptobyte.Builder) { dertest.AddOctets(b, 0, nil); dertest.AddInt(b, 3, 0) }))),
		"change, cut":       errorOf(ParseKpasswd([]byte{0, 4, 0, 1})),
		"change, cut again": errorOf(ParseKpasswd([]byte{0, 5, 0, 1, 0})),
		"delegation option": errorOf(ParseGSSChecksum(change(24, 2))),
		"delegation length": errorOf(ParseGSSChecksum(change(26, 10))),
		"bindings' length":  errorOf(ParseGSSChecksum(change(0, 17))),
	} {
		if !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Extensions of RFC 4121 section 4.1.1 are passed over.
	if got, err := ParseGSSChecksum(append(slices.Clone(deleg), 1, 2, 3)); err != nil || len(got.Delegation) != 9 {
		t.Errorf("with an extension: %+v, %v", got, err)
	}
}

// A message of another version, or that says it is another one, is none.
func TestHeaders(t *testing.T) {
	priv := must(MakeKRBPriv(testKey(AES256SHA1), KRBPriv{Data: pattern(4)}))
	req := must(MarshalKDCReq(MsgASReq, nil, must(sampleBodies()["as"].Marshal())))
	for name, tc := range map[string]struct {
		b        []byte
		old, new []byte
		parse    func([]byte) error
	}{
		"KRB-PRIV of version 4": {priv, []byte{0xa0, 3, 2, 1, 5}, []byte{0xa0, 3, 2, 1, 4}, func(b []byte) error { return errorOf(OpenKRBPriv(testKey(AES256SHA1), b)) }},
		"KRB-PRIV of type 20":   {priv, []byte{0xa1, 3, 2, 1, 21}, []byte{0xa1, 3, 2, 1, 20}, func(b []byte) error { return errorOf(OpenKRBPriv(testKey(AES256SHA1), b)) }},
		"AS-REQ of version 4":   {req, []byte{0xa1, 3, 2, 1, 5}, []byte{0xa1, 3, 2, 1, 4}, func(b []byte) error { return errorOf(ParseKDCReq(b)) }},
		"AS-REQ of type 12":     {req, []byte{0xa2, 3, 2, 1, 10}, []byte{0xa2, 3, 2, 1, 12}, func(b []byte) error { return errorOf(ParseKDCReq(b)) }},
	} {
		changed := bytes.Replace(tc.b, tc.old, tc.new, 1)
		if bytes.Equal(changed, tc.b) || tc.parse(tc.b) != nil {
			t.Fatalf("%s: nothing to change in %x", name, tc.b)
		}
		if err := tc.parse(changed); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func errorOf[T any](_ T, err error) error { return err }
