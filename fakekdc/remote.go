package fakekdc

import (
	"fmt"
	"net/netip"
)

// WithRemoteAddress is [WithAddress] for an address that other machines can
// reach, such as 0.0.0.0:88 in a container, which WithAddress refuses.
//
// TEST ONLY, once more: whoever reaches the port can log in with whatever
// passwords the test chose. [Realm.Config] names the address as it stands here.
func WithRemoteAddress(hostport string) Option {
	return func(s *settings) {
		// Options are checked before the realm is set up, its KDCs listen after.
		s.setup = append(s.setup, func(r *Realm) error {
			if _, err := netip.ParseAddrPort(hostport); err != nil {
				return fmt.Errorf("address %q: want one such as 0.0.0.0:88: %w", hostport, err)
			}
			s.addr, r.addr = hostport, hostport
			return nil
		})
	}
}
