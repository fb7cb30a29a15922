package gssapi_test

import (
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/gssapi"
	"github.com/kerbchain/kerbchain/internal/initiatortest"
	"github.com/kerbchain/kerbchain/middleware"
)

// TestContract holds the initiator to what every one owes, with each library.
func TestContract(t *testing.T) {
	each(t, func(t *testing.T, library string) {
		initiatortest.Run(t, func(t *testing.T, r *fakekdc.Realm) initiatortest.Make {
			environ(t, r)
			return func(t *testing.T, o initiatortest.Options) middleware.Initiator {
				return initiator(t, gssapi.Options{
					Library: library, NoMutual: o.NoMutual, Bindings: o.Bindings, Delegation: o.Delegation, DelegateTo: o.DelegateTo,
					AllowedHosts: o.AllowedHosts, HostOverride: o.HostOverride, Sealing: o.Sealing,
				})
			}
		})
	})
}
