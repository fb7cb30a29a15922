package kdcclient

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// TestAnswerable: a token counts if its one-time password can be sent as it is; after one
// was sent, if the next is wanted. What else there is is named, within bounds.
func TestAnswerable(t *testing.T) {
	one := int32(1)
	for name, tc := range map[string]struct {
		token       krb.OTPToken
		first, then bool
		says        string
	}{
		"plain":            {krb.OTPToken{Vendor: "x", Format: &one, Length: &one, Algorithm: "urn:x"}, true, false, "next one"},
		"next":             {krb.OTPToken{Flags: krb.OTPNextOTP}, true, true, ""},
		"PIN":              {krb.OTPToken{Flags: krb.OTPCollectPIN | krb.OTPSeparatePIN | krb.OTPNextOTP}, true, true, ""},
		"no PIN":           {krb.OTPToken{Flags: krb.OTPNoCollectPIN | krb.OTPNextOTP}, true, true, ""},
		"both":             {krb.OTPToken{Flags: krb.OTPNoCollectPIN | krb.OTPCollectPIN | krb.OTPNextOTP}, false, false, "forbids"},
		"combine":          {krb.OTPToken{Flags: krb.OTPCombine | krb.OTPNextOTP}, false, false, "0x60000000"},
		"to be encrypted":  {krb.OTPToken{Flags: 1<<(31-5) | krb.OTPNextOTP}, false, false, "flags"},
		"hashed":           {krb.OTPToken{Hashes: []byte{0x30, 0}, Flags: krb.OTPNextOTP}, false, false, "hash"},
		"hashed and again": {krb.OTPToken{Iterations: &one, Flags: krb.OTPNextOTP}, false, false, "hash"},
	} {
		c := &krb.OTPChallenge{Tokens: []krb.OTPToken{tc.token}}
		for _, again := range []bool{false, true} {
			want := tc.first
			if again {
				want = tc.then
			}
			got, others := answerable(c, again)
			if (len(got) == 1) != want || len(got)+len(others) != 1 || !want && !strings.Contains(others[0], tc.says) {
				t.Errorf("%s, again %v: %v, %q", name, again, got, others)
			}
		}
	}
	var many krb.OTPChallenge
	for n := range 30 {
		many.Tokens = append(many.Tokens, krb.OTPToken{Vendor: fmt.Sprint(n, "\x1b"), Flags: krb.OTPCombine})
	}
	if _, others := answerable(&many, false); len(others) != maxOffers+1 || others[maxOffers] != "22 more" || strings.Contains(others[0], "\x1b") {
		t.Errorf("%q", others)
	}
}
