package krb

import (
	"net/netip"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/internal/der"
)

// HostAddress is RFC 4120 section 5.2.5.
type HostAddress struct {
	Type    int32
	Address []byte
}

// HostAddressOf returns the HostAddress of an address of the Internet.
func HostAddressOf(a netip.Addr) HostAddress {
	a = a.Unmap()
	if a.Is6() {
		return HostAddress{AddressIPv6, a.AsSlice()}
	}
	return HostAddress{AddressIPv4, a.AsSlice()}
}

// IP returns the address if it is one of the Internet.
func (a HostAddress) IP() (netip.Addr, bool) {
	if a.Type != AddressIPv4 && a.Type != AddressIPv6 {
		return netip.Addr{}, false
	}
	ip, ok := netip.AddrFromSlice(a.Address)
	return ip.Unmap(), ok
}

// ParseHostAddresses reads HostAddresses. The result shares memory with b.
func ParseHostAddresses(b []byte) ([]HostAddress, error) {
	s := cryptobyte.String(b)
	var list cryptobyte.String
	if !der.Take(&s, &list, asn1.SEQUENCE) || !s.Empty() {
		return nil, malformed("addresses")
	}
	var out []HostAddress
	for !list.Empty() {
		var el cryptobyte.String
		if !list.ReadASN1Element(&el, asn1.SEQUENCE) {
			return nil, malformed("addresses")
		}
		f := OpenFields("address", el)
		out = append(out, HostAddress{f.Int32(0), f.Octets(1)})
		if err := f.Err(true); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Address writes [n] HostAddress.
func (w *Writer) Address(n uint8, a HostAddress) {
	w.Field(n, func() {
		w.Sequence(func() {
			w.Octets(1, a.Address)
			w.Int(0, int64(a.Type))
		})
	})
}
