//go:build !race

package fakekdc

import (
	"testing"

	"github.com/kerbchain/kerbchain/internal/alloctest"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// The race detector lets pools forget what they hold, and so is no judge of
// allocations.

// What the KDC does for an exchange, without sockets, takes few allocations.
func TestAnswerAllocations(t *testing.T) {
	for _, e := range []int32{AES128SHA1, AES256SHA1, AES128SHA256, AES256SHA384} {
		t.Run(krb.EtypeName(e), func(t *testing.T) {
			r := Start(t, WithEtypes(e), WithUser("alice", "secret"), WithService("HTTP/localhost"))
			as, _ := asReq(t, r, "alice", "secret", e, body(r, "alice", e))
			tgt := minted(t, r, "alice", krb.TGS(r.Name(), r.Name()).Name())
			tgs, _ := tgsReq(t, r, tgt, forService(r, "HTTP/localhost", e), nil)
			for name, tc := range map[string]struct {
				packet []byte
				most   int
			}{"AS": {as, 28}, "TGS": {tgs, 90}} {
				n := alloctest.Allocations(100, tc.most, func() {
					if out := r.answer(nil, "tcp", tc.packet); out.reply[0] == byte(krb.App(krb.MsgKRBError)) {
						t.Fatal("KRB-ERROR")
					}
				})
				if n > tc.most {
					t.Errorf("%s: %v allocations, want at most %v", name, n, tc.most)
				}
			}
		})
	}
}
