package kerberos

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"

	"github.com/kerbchain/kerbchain/internal/hostpattern"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
)

// Canonicalize says whether DNS is asked for a host's canonical name. Whoever
// can forge DNS then chooses which server's key proves an answer, among those
// of the realms; so the name in the URL always comes first.
type Canonicalize int

// The modes of canonicalization.
const (
	// CanonicalizeAsConfigured asks where the KDC does not know the name in the
	// URL and krb5.conf sets dns_canonicalize_hostname to fallback or true.
	CanonicalizeAsConfigured Canonicalize = iota
	// CanonicalizeNever never asks.
	CanonicalizeNever
	// CanonicalizeFallback asks where the KDC does not know the name in the URL.
	CanonicalizeFallback
)

// A Canonicalizer is a [TicketSource] that can ask DNS about hosts. A [Source] is
// one.
type Canonicalizer interface {
	TicketSource
	// CanonicalHost returns the canonical name of a host, in lower case and
	// without a dot at the end; it may be the same name. With asConfigured set
	// it is "" where the configuration says that DNS is not to be asked. It
	// returns when ctx ends.
	CanonicalHost(ctx context.Context, host string, asConfigured bool) (string, error)
}

// spnMaker makes service principal names (RFC 4559 section 4.1).
type spnMaker struct {
	o         *InitiatorOptions
	overrides hostpattern.Map[string]
}

func newSPNMaker(source TicketSource, o *InitiatorOptions) (*spnMaker, error) {
	if o.Service == "" {
		o.Service = "HTTP"
	}
	if strings.ContainsAny(o.Service, "/@ ") {
		return nil, fmt.Errorf("service class %q must be a plain word such as HTTP or WSMAN", o.Service)
	}
	if _, err := netip.ParseAddr(o.HostOverride); err != nil && strings.ContainsAny(o.HostOverride, "/@: ") {
		return nil, fmt.Errorf("host override %q must be a host name alone, without scheme and port", o.HostOverride)
	}
	if o.Canonicalize < CanonicalizeAsConfigured || o.Canonicalize > CanonicalizeFallback {
		return nil, fmt.Errorf("unknown mode of canonicalization %d", o.Canonicalize)
	}
	if _, ok := source.(Canonicalizer); o.Canonicalize == CanonicalizeFallback && !ok {
		return nil, fmt.Errorf("the ticket source %T cannot look up canonical names: use one of this package, or leave Canonicalize as it is", source)
	}
	n := &spnMaker{o: o}
	for pattern, name := range o.HostOverrides {
		if !n.overrides.Set(pattern, name) {
			return nil, fmt.Errorf("host override for %q: want a host such as app.example, app.example:8443 or *.corp.example", pattern)
		}
		if p, err := krb.ParsePrincipal(name); err != nil || len(p.Components) > 2 || name == "" || p.Components[len(p.Components)-1] == "" ||
			len(p.Components) == 1 && p.Realm != "" {
			return nil, fmt.Errorf("host override %q for %q: want a host, service/host or service/host@REALM", name, pattern)
		}
	}
	return n, nil
}

// spn returns the service principal for a target. It is fixed where it was
// configured, rather than made of the URL.
func (n *spnMaker) spn(t middleware.Target) (spn string, fixed bool, err error) {
	host := t.Host
	if name, ok := n.overrides.Get(t.Host, t.Port); ok {
		if strings.Contains(name, "/") {
			return n.inRealm(name), true, nil
		}
		return n.of(normalHost(name)), true, nil
	}
	if n.o.HostOverride != "" && t.From == "" {
		host, fixed = n.o.HostOverride, true
	}
	host = normalHost(host)
	if !isASCII(host) {
		if host, err = idna.Lookup.ToASCII(host); err != nil {
			return "", false, fmt.Errorf("host %q has no form for DNS: %w", t.Host, err)
		}
	}
	if host == "" {
		return "", false, errors.New("the request names no host")
	}
	if strings.ContainsAny(host, "/@") {
		return "", false, fmt.Errorf("host %q cannot be part of a service principal", host)
	}
	if n.o.PortInSPN && !fixed && t.Port != "" && t.Port != "80" && t.Port != "443" {
		host += ":" + t.Port
	}
	return n.of(host), fixed, nil
}

func (n *spnMaker) of(host string) string { return n.inRealm(n.o.Service + "/" + host) }

func (n *spnMaker) inRealm(spn string) string {
	if n.o.Realm == "" || strings.Contains(spn, "@") {
		return spn
	}
	return spn + "@" + n.o.Realm
}

// normalHost is the form in which hosts stand in principals: lower case, without
// a dot at the end or the zone of an IPv6 address.
func normalHost(host string) string {
	host, _, _ = strings.Cut(host, "%")
	return hostpattern.Normal(host)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// unknownService reports whether a KDC said that there is no such service.
func unknownService(err error) bool {
	var e *middleware.Error
	return errors.As(err, &e) && e.Code == krb.CodeServerUnknown
}

// byCanonicalName gets a ticket for the host's canonical name, where one is to
// be had. The error is the first one otherwise, with what was tried.
func (i *initiator) byCanonicalName(ctx context.Context, t middleware.Target, spn string, unknown error) (Ticket, error) {
	source, ok := i.source.(Canonicalizer)
	if !ok || i.o.Canonicalize == CanonicalizeNever {
		return Ticket{}, unknown
	}
	if _, err := netip.ParseAddr(normalHost(t.Host)); err == nil {
		return Ticket{}, unknown // an address; who is behind it is not for DNS to say
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
	canonical := t
	canonical.Host = name
	second, _, err := i.names.spn(canonical)
	if err != nil || second == spn {
		return Ticket{}, unknown
	}
	ticket, err := i.source.ServiceTicket(ctx, second)
	if err != nil && unknownService(err) {
		e.Err = fmt.Errorf("%w; nor does it know %s, by the name that DNS gives", e.Err, second)
		return Ticket{}, e
	}
	return ticket, err
}
