package gssapi_test

import (
	"fmt"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/gssapi"
	"github.com/kerbchain/kerbchain/internal/initiatortest"
	"github.com/kerbchain/kerbchain/middleware"
)

// TestContract holds the initiator to what every one owes, with each library.
func TestContract(t *testing.T) {
	each(t, func(t *testing.T, library string) { initiatortest.Run(t, underKit(library)) })
}

// TestSeal holds its contexts to what those that seal owe. With RC4 the direction of a
// message is sealed too, and libraries do not say that it was wrong.
func TestSeal(t *testing.T) {
	for _, etype := range []int32{fakekdc.AES128SHA1, fakekdc.AES256SHA1, fakekdc.AES128SHA256, fakekdc.AES256SHA384, fakekdc.RC4HMAC} {
		t.Run(fmt.Sprint("etype", etype), func(t *testing.T) {
			var tampered []string
			if etype == fakekdc.RC4HMAC {
				tampered = append(tampered, "reflected")
			}
			each(t, func(t *testing.T, library string) { initiatortest.RunSealing(t, etype, underKit(library), tampered...) })
		})
	}
}

// underKit makes initiators for the kit, with a library.
func underKit(library string) func(*testing.T, *fakekdc.Realm) initiatortest.Make {
	return func(t *testing.T, r *fakekdc.Realm) initiatortest.Make {
		environ(t, r)
		return func(t *testing.T, o initiatortest.Options) middleware.Initiator {
			return initiator(t, gssapi.Options{
				Library: library, Service: o.Names.Service, HostOverride: o.Names.HostOverride, HostOverrides: o.Names.HostOverrides,
				Realm: o.Names.Realm, PortInSPN: o.Names.PortInSPN, AllowedHosts: o.AllowedHosts,
				NoMutual: o.NoMutual, Bindings: o.Bindings, Delegation: o.Delegation, DelegateTo: o.DelegateTo, Sealing: o.Sealing,
			})
		}
	}
}
