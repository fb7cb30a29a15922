package fakekdc

import (
	"net/netip"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/internal/krb"
)

const (
	addressIPv4 = 2 // RFC 4120 section 7.5.3
	addressIPv6 = 24
)

// holdsAddress reports whether HostAddresses (RFC 4120 section 5.2.5) have the
// address among them. A sender that is not known, and a list in which no address
// of the Internet is, leave nothing to compare.
func holdsAddress(der []byte, sender netip.Addr) bool {
	if !sender.IsValid() {
		return true
	}
	s := cryptobyte.String(der)
	var list cryptobyte.String
	if !s.ReadASN1(&list, asn1.SEQUENCE) {
		return false
	}
	none := true
	for !list.Empty() {
		var el cryptobyte.String
		if !list.ReadASN1Element(&el, asn1.SEQUENCE) {
			return false
		}
		f := krb.OpenFields("address", el)
		kind, value := f.Int32(0), f.Octets(1)
		if f.Err(true) != nil {
			return false
		}
		if kind != addressIPv4 && kind != addressIPv6 {
			continue
		}
		none = false
		if a, ok := netip.AddrFromSlice(value); ok && a.Unmap() == sender.Unmap() {
			return true
		}
	}
	return none
}

// addHostAddress writes [n] HostAddress.
func addHostAddress(b *cryptobyte.Builder, n uint8, a netip.Addr) {
	kind := int64(addressIPv4)
	if a = a.Unmap(); a.Is6() {
		kind = addressIPv6
	}
	b.AddASN1(krb.Ctx(n), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			krb.AddInt(b, 0, kind)
			krb.AddOctets(b, 1, a.AsSlice())
		})
	})
}
