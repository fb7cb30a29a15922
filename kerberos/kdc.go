package kerberos

import (
	"context"
	"net"
	"net/netip"

	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/krb5conf"
)

func newKDCClient(o SourceOptions, conf *krb5conf.Config) *kdcclient.Client {
	d := newDiscovery(o.Resolver, conf)
	return kdcclient.New(kdcclient.Options{
		Locate:             d.locate,
		LocatePrimary:      d.locatePrimary,
		Dial:               o.Dial,
		Lookup:             lookup(o),
		TLS:                proxyTLS(o, conf),
		Now:                o.Now,
		Etypes:             supported(conf.PermittedEnctypes),
		UDPPreferenceLimit: conf.UDPPreferenceLimit,
		Clockskew:          conf.ClockSkew,
		Timesync:           conf.KDCTimesync,
		Timeout:            conf.RequestTimeout,
		Path:               conf.RealmPath,
	})
}

// supported returns those types of a list that can be used here: fewer where FIPS
// 140-3 is enforced. It is never nil, which would mean the default: krb5.conf may
// permit nothing that we can use, and that is to be an error.
func supported(etypes []int32) []int32 {
	out := make([]int32, 0, len(etypes))
	for _, e := range etypes {
		if krb.Supported(e) {
			out = append(out, e)
		}
	}
	return out
}

// A Resolver finds services in DNS (RFC 2782). [*net.Resolver] is one. It is safe
// for concurrent use. One that is a [URIResolver], a [TXTResolver] or an
// [AddressResolver] too is asked for those records as well. Nobody is asked for URI
// and TXT records in its place, and [net.DefaultResolver] for addresses.
type Resolver interface {
	// LookupSRV is that of [net.Resolver]: records by priority, and by weight
	// at random within one.
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, records []*net.SRV, err error)
}

// A URIResolver is a [Resolver] that can look up URI records too, which name
// KDCs with the way to speak to them ("krb5srv:m:tcp:kdc.example.com", or
// "krb5srv:m:kkdcp:https://proxy.example.com/KdcProxy" for MS-KKDCP) and come
// before SRV records, unless dns_uri_lookup is false. Without a Resolver the
// name servers of /etc/resolv.conf are asked for them.
type URIResolver interface {
	Resolver
	// LookupURI returns the URI records of a name, "_kerberos.EXAMPLE.COM.", in
	// any order. That there are none is no error, or a [net.DNSError] with
	// IsNotFound.
	LookupURI(ctx context.Context, name string) ([]URI, error)
}

// A TXTResolver is a [Resolver] that can look up TXT records, which name the realm of
// a host where krb5.conf sets dns_lookup_realm. [*net.Resolver] is one.
type TXTResolver interface {
	Resolver
	// LookupTXT is that of [net.Resolver].
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// An AddressResolver is a [Resolver] that can look up the addresses of KDCs.
// [*net.Resolver] is one. It is not asked where SourceOptions.Dial is set.
type AddressResolver interface {
	Resolver
	// LookupNetIP is that of [net.Resolver]; network is "ip".
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// A URI is a record of that type (RFC 7553).
type URI struct {
	Priority uint16 // the lowest is tried first
	Weight   uint16 // how often to choose it among those of one priority
	Target   string
}

// lookup returns what finds the addresses of KDCs; nil leaves it to
// [kdcclient.Options].
func lookup(o SourceOptions) func(context.Context, string) ([]netip.Addr, error) {
	r, ok := o.Resolver.(AddressResolver)
	if !ok || o.Dial != nil {
		return nil
	}
	return func(ctx context.Context, host string) ([]netip.Addr, error) { return r.LookupNetIP(ctx, "ip", host) }
}
