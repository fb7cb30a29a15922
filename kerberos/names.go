package kerberos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/kerbchain/kerbchain/internal/dnslookup"
	"github.com/kerbchain/kerbchain/internal/hostname"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/krb5conf"
	"github.com/kerbchain/kerbchain/internal/policy"
	"github.com/kerbchain/kerbchain/middleware"
)

// HostCanonicalization says whether DNS is asked for a host's canonical name. Anybody
// who can forge DNS then chooses which server of the realm can prove itself, so the
// name in the URL always comes first.
type HostCanonicalization int

// The modes of canonicalization.
const (
	// CanonicalizeAsConfigured asks DNS if the KDC does not know the name in the URL,
	// and krb5.conf sets dns_canonicalize_hostname to fallback or true.
	CanonicalizeAsConfigured HostCanonicalization = iota
	// CanonicalizeNever never asks DNS.
	CanonicalizeNever
	// CanonicalizeFallback asks DNS if the KDC does not know the name in the URL.
	CanonicalizeFallback
)

// A Canonicalizer is a [TicketSource] that can ask DNS about hosts. A [Source] is
// one.
type Canonicalizer interface {
	// CanonicalHost returns the canonical name of a host, in lower case and without a
	// dot at the end; it may be the same name. With asConfigured it returns "" if the
	// configuration forbids to ask DNS. It returns when ctx ends.
	CanonicalHost(ctx context.Context, host string, asConfigured bool) (string, error)
}

// names returns what makes the SPNs that an initiator asks for.
func (o *InitiatorOptions) names(source TicketSource) (*policy.Namer, error) {
	names, err := policy.NewNamer(policy.Names{
		Service: o.Service, HostOverride: o.HostOverride, HostOverrides: o.HostOverrides, Realm: o.Realm, PortInSPN: o.PortInSPN,
	})
	if err != nil {
		return nil, err
	}
	if o.Canonicalize < CanonicalizeAsConfigured || o.Canonicalize > CanonicalizeFallback {
		return nil, fmt.Errorf("unknown mode of canonicalization %d", o.Canonicalize)
	}
	if _, ok := source.(Canonicalizer); o.Canonicalize == CanonicalizeFallback && !ok {
		return nil, fmt.Errorf("the ticket source %T cannot look up canonical names: use one of this package, or leave Canonicalize as it is", source)
	}
	return names, nil
}

// unknownService reports whether a KDC said that there is no such service.
func unknownService(err error) bool {
	var e *middleware.Error
	return errors.As(err, &e) && e.Code == krb.CodeServerUnknown
}

// byCanonicalName gets a ticket for the host's canonical name, if there is one. Otherwise
// it returns the first error, with the names that were tried.
func (i *initiator) byCanonicalName(ctx context.Context, t middleware.Target, spn string, unknown error) (Ticket, error) {
	source, ok := i.source.(Canonicalizer)
	if !ok || i.o.Canonicalize == CanonicalizeNever {
		return Ticket{}, unknown
	}
	if hostname.IsAddress(t.Host) {
		return Ticket{}, unknown // DNS must not choose the server for an address
	}
	name, err := source.CanonicalHost(ctx, t.Host, i.o.Canonicalize == CanonicalizeAsConfigured)
	if name == "" && err == nil {
		return Ticket{}, unknown
	}
	e := i.blame(unknown, t, spn)
	if err != nil {
		e.Err = fmt.Errorf("%w; and its canonical name is not known: %w", e.Err, err)
		return Ticket{}, e
	}
	// A name from DNS is used as it is: overrides are for the hosts in URLs.
	name, err = hostname.Normal(name)
	if err != nil {
		e.Err = fmt.Errorf("%w; and the canonical name that DNS gives is no host name: %w", e.Err, err)
		return Ticket{}, e
	}
	second := i.names.Of(name, t.Port)
	if second == spn {
		return Ticket{}, unknown
	}
	ticket, err := i.source.ServiceTicket(ctx, second)
	if err != nil && unknownService(err) {
		e.Err = &unknownTwice{e.Err, err, unknownTo(e, err, second)}
		return Ticket{}, e
	}
	return ticket, err
}

// unknownTo says that a KDC does not know the second name either: the one that does not
// know the first, or another.
func unknownTo(first *middleware.Error, second error, name string) string {
	if e, ok := errors.AsType[*middleware.Error](second); ok && e.KDC != "" && realmOf(e.KDC) != realmOf(first.KDC) {
		return fmt.Sprintf("nor does the KDC of %s know %s, the name that DNS gives", realmOf(e.KDC), name)
	}
	return fmt.Sprintf("it does not know %s either, the name that DNS gives", name)
}

// realmOf returns the realm of a KDC as errors name it.
func realmOf(kdc string) string {
	realm, _, _ := strings.Cut(kdc, " at ")
	return realm
}

// unknownTwice is that KDCs know neither name of a host. Its text has what was said of the
// first, since they say the same of the second.
type unknownTwice struct {
	first, second error
	also          string
}

func (u *unknownTwice) Error() string   { return u.first.Error() + "; " + u.also }
func (u *unknownTwice) Unwrap() []error { return []error{u.first, u.second} }

// A NameResolver is a [Resolver] that can also look up the names of hosts.
// [*net.Resolver] is one.
type NameResolver interface {
	LookupCNAME(ctx context.Context, host string) (string, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// CanonicalHost makes a Source a [Canonicalizer]. krb5.conf decides:
// qualify_shortname completes a host without a domain, and DNS is not asked;
// dns_canonicalize_hostname, if set, says whether DNS is asked; rdns = true takes the
// name that the host's address resolves to. It asks SourceOptions.Resolver, which
// must be a [NameResolver], or [net.DefaultResolver] if that is nil.
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
	dns, err := s.names()
	if err != nil {
		return "", err
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
			// As in MIT krb5, the forward name stands if the address has no name.
			if back, err := dns.LookupAddr(ctx, addrs[0].Unmap().String()); err == nil && len(back) > 0 {
				name = back[0]
			}
		}
	}
	return hostname.Normal(name)
}

// names returns what looks up the names of hosts.
func (s *Source) names() (NameResolver, error) {
	dns, ok := s.o.Resolver.(NameResolver)
	switch {
	case s.o.Resolver == nil:
		dns = dnslookup.Names{Resolver: net.DefaultResolver}
	case !ok:
		return nil, fmt.Errorf("the resolver %T cannot look up names of hosts", s.o.Resolver)
	}
	return dns, nil
}
