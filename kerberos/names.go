package kerberos

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/kerbchain/kerbchain/internal/hostname"
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
	if strings.ContainsFunc(o.Service, notInWord) {
		return nil, fmt.Errorf("service class %q must be a plain word such as HTTP or WSMAN", o.Service)
	}
	if o.HostOverride != "" {
		host, err := hostname.Normal(o.HostOverride)
		if err != nil {
			return nil, fmt.Errorf("host override %q must be a host name alone, without scheme and port: %w", o.HostOverride, err)
		}
		o.HostOverride = host
	}
	if strings.ContainsFunc(o.Realm, notInRealm) {
		return nil, fmt.Errorf("%q is no name of a realm", o.Realm)
	}
	if o.Canonicalize < CanonicalizeAsConfigured || o.Canonicalize > CanonicalizeFallback {
		return nil, fmt.Errorf("unknown mode of canonicalization %d", o.Canonicalize)
	}
	if _, ok := source.(Canonicalizer); o.Canonicalize == CanonicalizeFallback && !ok {
		return nil, fmt.Errorf("the ticket source %T cannot look up canonical names: use one of this package, or leave Canonicalize as it is", source)
	}
	n := &spnMaker{o: o}
	for pattern, name := range o.HostOverrides {
		value, err := override(name)
		if err != nil {
			return nil, fmt.Errorf("host override %q for %q: want a host, service/host or service/host@REALM: %w", name, pattern, err)
		}
		if !n.overrides.Set(pattern, value) {
			return nil, fmt.Errorf("host override for %q: want a host such as app.example, app.example:8443 or *.corp.example", pattern)
		}
	}
	return n, nil
}

// override returns a value of HostOverrides: a normal host, or a principal as it
// was written, which may be one of capitals.
func override(name string) (string, error) {
	service, rest, whole := strings.Cut(name, "/")
	if !whole {
		return hostname.Normal(name)
	}
	host, realm, inRealm := strings.Cut(rest, "@")
	if inRealm && (realm == "" || strings.ContainsFunc(realm, notInRealm)) {
		return "", fmt.Errorf("%q is no name of a realm", realm)
	}
	if service == "" || strings.ContainsFunc(service, notInWord) {
		return "", fmt.Errorf("%q is no service class", service)
	}
	// Principals with a port in them, as PortInSPN makes them, are names too.
	if name, port, ok := strings.Cut(host, ":"); ok && !hostname.IsAddress(host) {
		if _, err := hostname.NormalPort(port); err != nil {
			return "", err
		}
		host = name
	}
	_, err := hostname.Normal(host)
	return name, err
}

// notInWord reports what does not stand in a service class.
func notInWord(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.", r)
}

// notInRealm reports what makes another principal of a name in which it follows
// the first @ (RFC 4120 section 6.1; realms in the style of X.500 have slashes).
func notInRealm(r rune) bool { return r <= ' ' || r == 0x7f || r == '@' || r == '\\' }

// spn returns the service principal for a target whose host is one
// ([middleware.Target.Check]). It is fixed where it was configured, rather than
// made of the URL.
func (n *spnMaker) spn(t middleware.Target) (spn string, fixed bool) {
	if name, ok := n.overrides.Get(t.Host, t.Port); ok {
		if strings.Contains(name, "/") {
			return n.inRealm(name), true
		}
		return n.of(name, ""), true
	}
	if n.o.HostOverride != "" && t.From == "" {
		return n.of(n.o.HostOverride, ""), true
	}
	host, _ := hostname.Normal(t.Host) // was checked
	return n.of(host, t.Port), false
}

// of returns the service principal of a normal host, which has no zone there, and
// of a port where principals have one.
func (n *spnMaker) of(host, port string) string {
	host = hostname.WithoutZone(host)
	if n.o.PortInSPN && port != "" && port != "80" && port != "443" {
		host += ":" + port
	}
	return n.inRealm(n.o.Service + "/" + host)
}

func (n *spnMaker) inRealm(spn string) string {
	if n.o.Realm == "" || strings.Contains(spn, "@") {
		return spn
	}
	return spn + "@" + n.o.Realm
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
	if hostname.IsAddress(t.Host) {
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
	// What DNS says is a name and no more: overrides are for hosts in URLs.
	name, err = hostname.Normal(name)
	if err != nil {
		e.Err = fmt.Errorf("%w; and what DNS gives for its canonical name is none: %w", e.Err, err)
		return Ticket{}, e
	}
	second := i.names.of(name, t.Port)
	if second == spn {
		return Ticket{}, unknown
	}
	ticket, err := i.source.ServiceTicket(ctx, second)
	if err != nil && unknownService(err) {
		e.Err = fmt.Errorf("%w; nor does it know %s, by the name that DNS gives", e.Err, second)
		return Ticket{}, e
	}
	return ticket, err
}
