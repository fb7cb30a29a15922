package kerberos

import (
	"context"
	"net"
	"net/netip"
	"strings"
)

const (
	maxHostName = 1024 // bytes, as in MIT krb5
	maxLabels   = 16   // of a host's name, that are looked up
)

// fallbackRealm returns the realm to try for a host that krb5.conf gives none and
// of which the client's KDC knows nothing, as MIT krb5's
// krb5_get_fallback_host_realm does: what DNS says (dns_lookup_realm), else the
// first part of the name that is a realm (realm_try_domains), else the domain of
// the host in capitals, else the default realm. It is "" if there is no
// default_realm. DNS and the network are not to be trusted: whoever answers for
// them chooses among realms that the client's KDC will refer to.
func (s *Source) fallbackRealm(ctx context.Context, host string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil || host == "" || len(host) > maxHostName {
		return s.conf.DefaultRealm
	}
	if s.conf.DNSLookupRealm {
		if realm := s.realmInDNS(ctx, host); realm != "" {
			return realm
		}
	}
	upper := strings.ToUpper(host)
	suffix := upper
	for range min(s.conf.RealmTryDomains, maxLabels) + 1 {
		_, parent, ok := strings.Cut(suffix, ".")
		if !ok || ctx.Err() != nil {
			break
		}
		if kdcs, err := s.kdc.Locate(ctx, suffix); err == nil && len(kdcs) > 0 {
			return suffix
		}
		suffix = parent
	}
	if _, domain, ok := strings.Cut(upper, "."); ok && domain != "" {
		return domain
	}
	return s.conf.DefaultRealm
}

// realmInDNS returns what the TXT record _kerberos of a host says, or that of
// the nearest domain above it that has one.
func (s *Source) realmInDNS(ctx context.Context, host string) string {
	r, ok := s.o.Resolver.(TXTResolver)
	switch {
	case s.o.Resolver == nil:
		r = net.DefaultResolver
	case !ok:
		return ""
	}
	for range maxLabels {
		texts, err := r.LookupTXT(ctx, "_kerberos."+host+".")
		if lookupFailure(err) != nil {
			return "" // the same name servers will not know better of the others
		}
		if err == nil && len(texts) > 0 {
			if realm := strings.TrimSuffix(texts[0], "."); plausibleRealm(realm) {
				return realm
			}
		}
		if _, host, ok = strings.Cut(host, "."); !ok || host == "" {
			break
		}
	}
	return ""
}

// plausibleRealm refuses what no realm is called (RFC 4120 section 6.1).
func plausibleRealm(realm string) bool {
	return realm != "" && len(realm) <= 255 && !strings.ContainsFunc(realm, func(r rune) bool {
		return r <= ' ' || r == 0x7f || strings.ContainsRune("/:@", r)
	})
}
