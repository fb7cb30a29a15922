package kerberos

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/kerbchain/kerbchain/internal/hostname"
	"github.com/kerbchain/kerbchain/internal/krb5conf"
)

// A NameResolver is a [Resolver] that can also look up the names of hosts.
// [*net.Resolver] is one.
type NameResolver interface {
	LookupCNAME(ctx context.Context, host string) (string, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// CanonicalHost makes a Source a [Canonicalizer]. What counts in krb5.conf is
// qualify_shortname, for a host without a domain, for which DNS is not asked then;
// dns_canonicalize_hostname, where it is set at all; and rdns, where it is set to
// true, for the name that the host's address leads back to. SourceOptions.Resolver is
// asked, which must be a [NameResolver] then; nil means [net.DefaultResolver].
func (s *Source) CanonicalHost(ctx context.Context, host string, asConfigured bool) (string, error) {
	host, err := hostname.Normal(host)
	if err != nil {
		return "", err
	}
	if domain := s.conf.QualifyShortname; domain != "" && !strings.Contains(host, ".") {
		return hostname.Normal(host + "." + domain)
	}
	if asConfigured && (s.conf.CanonicalizeHostname == krb5conf.CanonicalizeNever || s.conf.Source("dns_canonicalize_hostname").Text == "") {
		return "", nil
	}
	dns, ok := s.o.Resolver.(NameResolver)
	switch {
	case s.o.Resolver == nil:
		dns = net.DefaultResolver
	case !ok:
		return "", fmt.Errorf("the resolver %T cannot look up names of hosts", s.o.Resolver)
	}
	name, err := dns.LookupCNAME(ctx, host+".")
	if err != nil {
		return "", err
	}
	if s.conf.RDNS && s.conf.Source("rdns").Text != "" {
		addrs, err := dns.LookupNetIP(ctx, "ip", name)
		if err != nil {
			return "", err
		}
		if len(addrs) > 0 {
			// As MIT: without a name for the address, the forward one stands.
			if back, err := dns.LookupAddr(ctx, addrs[0].Unmap().String()); err == nil && len(back) > 0 {
				name = back[0]
			}
		}
	}
	return hostname.Normal(name)
}
