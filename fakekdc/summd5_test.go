package fakekdc

import (
	"crypto/md5"
	"testing"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// Heimdal's clients bind requests with RSA-MD5 where the session key is of type
// arcfour-hmac, and nowhere else.
func TestChecksumMD5(t *testing.T) {
	for name, tc := range map[string]struct {
		etype int32
		spoil byte
		code  int32 // 0 for a ticket
	}{
		"rc4":          {krb.RC4HMAC, 0, 0},
		"rc4, changed": {krb.RC4HMAC, 1, krb.CodeModified},
		"aes":          {krb.AES256SHA1, 0, krb.CodeSumTypeNoSupport},
	} {
		t.Run(name, func(t *testing.T) {
			r := Start(t, WithEtypes(tc.etype), WithUser("alice", "secret"), WithService("HTTP/localhost"))
			tgt := minted(t, r, "alice", krb.TGS(r.Name(), r.Name()).Name())
			b := forService(r, "HTTP/localhost", tc.etype)
			der, err := b.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			sum := md5.Sum(der)
			sum[0] ^= tc.spoil
			req, key := tgsReq(t, r, tgt, b, func(a *krb.Authenticator) {
				a.Checksum = krb.Checksum{Type: krb.ChecksumRSAMD5, Value: sum[:]}
			})
			reply := exchange(t, r, "udp", req)
			if tc.code == 0 {
				openRep(t, krb.MsgTGSRep, reply, key, krb.UsageTGSRepSubkey)
			} else if code := codeOf(t, reply); code != tc.code {
				t.Errorf("code %d, want %d", code, tc.code)
			}
		})
	}
}
