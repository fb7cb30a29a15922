package kerberos

import (
	"context"
	"errors"
	"fmt"

	"github.com/kerbchain/kerbchain/internal/hostname"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spn"
	"github.com/kerbchain/kerbchain/middleware"
)

// HostCanonicalization says whether DNS is asked for a host's canonical name. Whoever
// can forge DNS then chooses which server's key proves an answer, among those
// of the realms; so the name in the URL always comes first.
type HostCanonicalization int

// The modes of canonicalization.
const (
	// CanonicalizeAsConfigured asks where the KDC does not know the name in the
	// URL and krb5.conf sets dns_canonicalize_hostname to fallback or true.
	CanonicalizeAsConfigured HostCanonicalization = iota
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

// names are the names that an initiator asks for.
func (o *InitiatorOptions) names(source TicketSource) (*spn.Maker, error) {
	names, err := spn.New(spn.Options{
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
	second := i.names.Of(name, t.Port)
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
