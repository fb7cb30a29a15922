package kdcclient_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/secret"
)

// watched is a guard that notes what a KDC is said to have refused.
type watched struct{ keys, otps int }

func (*watched) Begin(context.Context) (func(), error)         { return func() {}, nil }
func (*watched) Refused(kdcclient.KeyEntry) *kdcclient.Error   { return nil }
func (w *watched) Refuse(kdcclient.KeyEntry, *kdcclient.Error) { w.keys++ }
func (*watched) RefusedOTP(secret.Text) *kdcclient.Error       { return nil }
func (w *watched) RefuseOTP(secret.Text, *kdcclient.Error)     { w.otps++ }

// TestUnarmoredError: a KRB-ERROR in clear, in answer to a request that FAST armours, may be
// anybody's. Whatever it says, nothing more of the client is sent because of it, it is no
// refusal of credentials, and no reason for another armour once something of the client was
// sent. A key that was sent before it counts as refused all the same, if that is what it
// says, since it may be the KDC's own.
func TestUnarmoredError(t *testing.T) {
	w := newFastWorld(t, fakekdc.WithFAST(), fakekdc.WithUser("bob", "", fakekdc.OTP("123456")))
	for code := int32(0); code <= 100; code++ {
		for forged := range 2 { // the answer to the request, or to what proves the client
			for _, otp := range []bool{false, true} {
				w.change = func(n int, answer []byte) []byte {
					if n < forged {
						return answer
					}
					b, err := (&krb.KRBError{Code: code, STime: w.r.Now().Add(time.Hour), Server: krb.TGS(w.r.Name(), w.r.Name())}).Marshal()
					if err != nil {
						t.Error(err)
					}
					return b
				}
				guard := new(watched)
				_, err := w.login(t.Context(), func(q *kdcclient.ASRequest) {
					q.Guard = guard
					if otp {
						q.Client, q.Keys = krb.NewPrincipal(w.r.Name(), "bob"), nil
						q.OTP = func(context.Context, krb.Principal, string, []krb.OTPToken) (kdcclient.OTP, error) {
							return kdcclient.OTP{Value: secret.NewText("123456")}, nil
						}
					}
				})
				var e *kdcclient.Error
				if !errors.As(err, &e) {
					t.Errorf("code %d, answer %d, otp %t: %v", code, forged, otp, err)
					continue
				}
				// To follow the clock of the first answer is no more than one request without proof.
				most := forged + 1
				if code == krb.CodeSkew && forged == 0 {
					most++
				}
				if w.sent > most {
					t.Errorf("code %d, answer %d, otp %t: %d messages", code, forged, otp, w.sent)
				}
				if e.Refusal() || e.Credentials() {
					t.Errorf("code %d, answer %d, otp %t: credentials are said to be refused: %v", code, forged, otp, err)
				}
				if e.Armor && forged > 0 {
					t.Errorf("code %d, otp %t: another armour is to be got after the client's proof: %v", code, otp, err)
				}
				// What KDCs say of a ticket that they do not take.
				if want := slices.Contains([]int32{26, 31, 32, 35, 41, 44, 45}, code); e.Armor != want && forged == 0 {
					t.Errorf("code %d, otp %t: another armour is to be got: %t, want %t", code, otp, e.Armor, want)
				}
				says := code == krb.CodePreauthFailed || code == krb.CodeClientRevoked || code == krb.CodeClientExpired || code == krb.CodeKeyExpired
				if want := forged == 1 && !otp && says; (guard.keys > 0) != want {
					t.Errorf("code %d, answer %d, otp %t: %d keys count as refused", code, forged, otp, guard.keys)
				}
				if want := forged == 1 && otp && e.Kind != kdcclient.KindUnreachable; (guard.otps > 0) != want {
					t.Errorf("code %d, answer %d, otp %t: %d one-time passwords count as spent", code, forged, otp, guard.otps)
				}
			}
		}
	}
}
