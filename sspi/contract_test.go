package sspi

import (
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/initiatortest"
	"github.com/kerbchain/kerbchain/middleware"
)

// TestContract holds the initiator to what every one owes, over Windows' calls as their
// documents have them.
func TestContract(t *testing.T) {
	initiatortest.RunWithin(t, initiatortest.Limits{MarkedAlone: true}, func(t *testing.T, r *fakekdc.Realm) initiatortest.Make {
		f := newFake(t, r)
		return func(t *testing.T, o initiatortest.Options) middleware.Initiator { return kitInitiator(t, o, f.open) }
	})
}

func kitInitiator(t *testing.T, o initiatortest.Options, open func() (*library, error)) middleware.Initiator {
	t.Helper()
	in, err := newInitiator(Options{
		NoMutual: o.NoMutual, Bindings: o.Bindings, Delegation: o.Delegation, DelegateTo: o.DelegateTo,
		AllowedHosts: o.AllowedHosts, Service: o.Names.Service, HostOverride: o.Names.HostOverride, HostOverrides: o.Names.HostOverrides, Realm: o.Names.Realm, PortInSPN: o.Names.PortInSPN, Sealing: o.Sealing,
	}, open)
	if err != nil {
		t.Fatal(err)
	}
	return in
}
