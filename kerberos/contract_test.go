package kerberos_test

import (
	"fmt"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/initiatortest"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// TestContract holds the initiator to what every one owes.
func TestContract(t *testing.T) { initiatortest.Run(t, underKit) }

// TestSeal holds its contexts to what those that seal owe.
func TestSeal(t *testing.T) {
	t.Parallel()
	for _, etype := range []int32{fakekdc.AES128SHA1, fakekdc.AES256SHA1, fakekdc.AES128SHA256, fakekdc.AES256SHA384, fakekdc.RC4HMAC} {
		t.Run(fmt.Sprint("etype ", etype), func(t *testing.T) { initiatortest.RunSealing(t, etype, underKit) })
	}
}

// underKit makes initiators for the kit.
func underKit(t *testing.T, r *fakekdc.Realm) initiatortest.Make {
	cache := testmain.File(t, "cc", r.CCache("alice"))
	return func(t *testing.T, o initiatortest.Options) middleware.Initiator {
		settings := environment(r)
		settings.AllowRC4 = true
		source, err := kerberos.FromCCache(cache, settings)
		if err != nil {
			t.Fatal(err)
		}
		in, err := kerberos.NewInitiator(source, kerberos.InitiatorOptions{
			Service: o.Names.Service, HostOverride: o.Names.HostOverride, HostOverrides: o.Names.HostOverrides,
			Realm: o.Names.Realm, PortInSPN: o.Names.PortInSPN, AllowedHosts: o.AllowedHosts,
			NoMutual: o.NoMutual, Bindings: o.Bindings, Delegation: o.Delegation, DelegateTo: o.DelegateTo,
		})
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
}
