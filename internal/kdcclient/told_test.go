package kdcclient_test

import (
	"context"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
)

// TestToldOfLogins: of each exchange it is told how the client proved itself, and whether
// FAST sealed it.
func TestToldOfLogins(t *testing.T) {
	otp := func(context.Context, krb.Principal, string, []krb.OTPToken) (kdcclient.OTP, error) {
		return answer(0, "123456", ""), nil
	}
	for name, tc := range map[string]struct {
		realm     []fakekdc.Option
		unarmored bool
		otp       bool
		want      []string
	}{
		"timestamp": {unarmored: true, want: []string{"", "timestamp"}},
		"SPAKE":     {realm: []fakekdc.Option{fakekdc.WithSPAKE()}, unarmored: true, want: []string{"", "SPAKE", "SPAKE"}},
		"challenge": {realm: []fakekdc.Option{fakekdc.WithFAST()}, want: []string{" armoured", "challenge armoured"}},
		"OTP":       {realm: []fakekdc.Option{fakekdc.WithFAST(), fakekdc.WithUser("otto", "x", fakekdc.OTP("123456"))}, otp: true, want: []string{" armoured", "OTP armoured"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newFastWorld(t, tc.realm...)
			var mu sync.Mutex
			var got []string
			ctx := middleware.WithTrace(t.Context(), func(e middleware.Event) {
				mu.Lock()
				defer mu.Unlock()
				if e, ok := e.(middleware.ExchangeEvent); ok {
					how := e.Preauth
					if e.Armored {
						how += " armoured"
					}
					got = append(got, how)
				}
			})
			_, err := w.login(ctx, func(q *kdcclient.ASRequest) {
				if tc.unarmored {
					q.Armor = nil
				}
				if tc.otp {
					q.Client.Components, q.Keys, q.OTP = []string{"otto"}, nil, otp
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}
