package kerberos_test

import (
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/initiatortest"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// TestContract holds the initiator to what every one owes.
func TestContract(t *testing.T) {
	initiatortest.Run(t, func(t *testing.T, r *fakekdc.Realm) initiatortest.Make {
		cache := write(t, "cc", r.CCache("alice"))
		return func(t *testing.T, o initiatortest.Options) middleware.Initiator {
			source, err := kerberos.FromCCache(cache, environment(r))
			if err != nil {
				t.Fatal(err)
			}
			in, err := kerberos.NewInitiator(source, kerberos.InitiatorOptions{
				NoMutual: o.NoMutual, Bindings: o.Bindings, Delegation: o.Delegation, DelegateTo: o.DelegateTo,
				AllowedHosts: o.AllowedHosts, HostOverride: o.HostOverride,
			})
			if err != nil {
				t.Fatal(err)
			}
			return in
		}
	})
}
