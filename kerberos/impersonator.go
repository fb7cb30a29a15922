package kerberos

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kerbchain/kerbchain/internal/flight"
	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/printable"
	"github.com/kerbchain/kerbchain/internal/readmap"
	"github.com/kerbchain/kerbchain/middleware"
)

var (
	// ErrDelegationNotAllowed is wrapped, along with [middleware.ErrCredentials],
	// where a KDC does not let a service act for users at another service.
	ErrDelegationNotAllowed = errors.New("the KDC does not let the service act for users there")
	// ErrEvidenceNotForwardable is wrapped, along with [middleware.ErrCredentials],
	// where a service may not act for a user at other services on its own word, or the
	// user may not be delegated.
	ErrEvidenceNotForwardable = errors.New("the service's ticket of the user may not be used at other services")
)

// An Impersonator is a [TicketSource] of a service that acts for its users at other
// services: constrained delegation with protocol transition (S4U2Self and S4U2Proxy,
// [MS-SFU]), or with the ticket that a user presented (S4U2Proxy alone). The user is
// that of the request's context; see [AsUser], [AsCertificate] and [AsCaller], of which
// the one that was called last counts. A request without one gets no ticket, and so is never signed as
// the service.
//
// The KDC must let the service do so. In Active Directory that is "trust this user for
// delegation to specified services only" with "use any authentication protocol"
// (TrustedToAuthForDelegation and msDS-AllowedToDelegateTo), or the target names the
// service (msDS-AllowedToActOnBehalfOfOtherIdentity). Users and targets may be of other
// realms that trust leads to, which takes KDCs that put certificates of privileges (PAC)
// into tickets; a target of another realm must name the service. The service's
// ticket-granting ticket is one of AES.
//
// Tickets are kept for each user and service, 16384 of them, and fetched once however
// many ask at the same time. It is a [middleware.Identifier]'s source, so that clients
// of package client keep the connections of users apart. Give such a client no cookie
// jar, which would send the session of one user with the requests of another. It is safe
// for concurrent use.
type Impersonator struct {
	s        *Source
	self     flight.Group[*krb.Ticket]
	proxy    flight.Group[Ticket]
	evidence readmap.Map[whom, *krb.Ticket]
	tickets  readmap.Map[acting, *held]
}

// acting is a user, and the service to which to act for that user.
type acting struct {
	whom
	spn string
}

const (
	maxActing   = 1 << 14
	maxEvidence = 4096
)

// NewImpersonator returns a source that acts for users with the credentials of a
// service: mostly one of [FromKeytab] with the service's principal, which from then on
// asks for forwardable tickets when it logs in. The tickets of a credential cache must be
// forwardable (kinit -f).
func NewImpersonator(service *Source) *Impersonator {
	if !service.isZero() {
		service.acts.Store(true)
	}
	return &Impersonator{s: service}
}

// ServiceTicket returns a ticket of the context's user for spn, from what is at hand or
// from the KDC.
func (i *Impersonator) ServiceTicket(ctx context.Context, spn string) (Ticket, error) {
	if i == nil || i.s.isZero() {
		return Ticket{}, &middleware.Error{Stage: stage, Kind: middleware.ErrConfiguration, SPN: spn, Err: errNobodyActs}
	}
	user := namedIn(ctx)
	if user == nil {
		return Ticket{}, &middleware.Error{Stage: stage, Kind: middleware.ErrCredentials, SPN: spn,
			Err:  errors.New("the request is for no user, and is not signed as the service"),
			Hint: "put the user into the request's context with kerberos.AsUser"}
	}
	key := acting{user.whom, spn}
	if t, ok := i.held(key); ok {
		return t, nil
	}
	if ctx.Err() != nil {
		return Ticket{}, i.gaveUp(ctx, user.whom, spn, nil)
	}
	t, err := i.proxy.Do(ctx, user.flight(spn), func(ctx context.Context) (Ticket, error) { return i.fetch(ctx, user, spn) })
	var known *middleware.Error
	if err != nil && ctx.Err() != nil && !errors.As(err, &known) {
		return Ticket{}, i.gaveUp(ctx, user.whom, spn, err)
	}
	return t, err
}

func (i *Impersonator) held(key acting) (Ticket, bool) {
	h, ok := i.tickets.Get(key)
	if !ok || !i.s.o.Now().Before(h.until) {
		return Ticket{}, false
	}
	return h.Ticket, true
}

func (i *Impersonator) gaveUp(ctx context.Context, user whom, spn string, err error) error {
	err = i.s.gaveUp(ctx, spn, err)
	if e, ok := errors.AsType[*middleware.Error](err); ok {
		e.Principal = user.String()
	}
	return err
}

// Identity returns the context's user, name@REALM. One whose true name is not known yet,
// such as the user of a certificate, it gets the ticket of that ServiceTicket needs, too:
// a connection is nobody's until it is known whose.
func (i *Impersonator) Identity(ctx context.Context, spn string) (string, error) {
	n := namedIn(ctx)
	if i == nil || i.s.isZero() || n == nil {
		return "", &middleware.Error{Stage: stage, Kind: middleware.ErrCredentials, SPN: spn, Err: errors.New("the request is for no user")}
	}
	if h, ok := i.tickets.Get(acting{n.whom, spn}); ok {
		return h.client, nil
	}
	if t, ok := i.evidence.Get(n.whom); ok {
		return t.Client.String(), nil
	}
	if n.how != byName {
		return i.learn(ctx, n, spn)
	}
	service, err := i.s.Identity(ctx, spn)
	if err != nil || service == "" {
		return "", err
	}
	p, err := krb.ParsePrincipal(service)
	if err != nil {
		return "", err
	}
	user, err := i.user(n.id, p.Realm, spn)
	if err != nil {
		return "", err
	}
	if user.Type == krb.NTEnterprise {
		return i.learn(ctx, n, spn)
	}
	return user.String(), nil
}

// learn returns the true name of a user.
func (i *Impersonator) learn(ctx context.Context, n *named, spn string) (string, error) {
	if ctx.Err() != nil {
		return "", i.gaveUp(ctx, n.whom, spn, nil)
	}
	session, before, _, err := i.begin(ctx, spn)
	if err != nil {
		return "", err
	}
	t, _, err := i.evidenceOf(ctx, session, before, n, spn)
	if err != nil {
		return "", err
	}
	return t.Client.String(), nil
}

// begin returns the service's session to act with for spn, and the number of the
// source's last login before that.
func (i *Impersonator) begin(ctx context.Context, spn string) (of *session, before uint64, server krb.Principal, err error) {
	s := i.s
	if server, err = s.server(spn); err != nil {
		return nil, 0, server, err
	}
	before = s.made.Load()
	if of, _, err = s.open(ctx, server); err != nil {
		return nil, 0, server, withSPN(err, spn)
	}
	if of.tgt == nil {
		return nil, 0, server, &middleware.Error{Stage: stage, Kind: middleware.ErrCredentials, SPN: spn, Principal: of.client.String(),
			Err: fmt.Errorf("%s holds no ticket-granting ticket to act for users with", of.source), Hint: "run kinit as the service, or use its keytab"}
	}
	return of, before, server, nil
}

// CanonicalHost is that of the service's source.
func (i *Impersonator) CanonicalHost(ctx context.Context, host string, asConfigured bool) (string, error) {
	return i.s.CanonicalHost(ctx, host, asConfigured)
}

// ClientAwareBindings is that of the service's source.
func (i *Impersonator) ClientAwareBindings() bool { return i.s.ClientAwareBindings() }

// Discard drops a ticket, and what it was got with. It reports false for a ticket that
// was fetched within the last minute.
func (i *Impersonator) Discard(t Ticket) bool {
	if t.t == nil || i.s.o.Now().Sub(t.fetched) < freshFor {
		return false
	}
	var user whom
	found := false
	i.tickets.Delete(func(k acting, h *held) bool {
		if h.t == t.t {
			user, found = k.whom, true
		}
		return h.t == t.t
	})
	if found {
		i.forget(user)
	}
	return true
}

// forget drops the user's ticket for the service.
func (i *Impersonator) forget(user whom) {
	i.evidence.Delete(func(k whom, _ *krb.Ticket) bool { return k == user })
}

// user parses the principal to act for.
func (i *Impersonator) user(text, realm, spn string) (krb.Principal, error) {
	p, err := krb.ParsePrincipal(text)
	if err != nil {
		return p, &middleware.Error{Stage: stage, Kind: middleware.ErrConfiguration, SPN: spn, Principal: text, Err: fmt.Errorf("user to act for: %w", err),
			Hint: "write the user as name or name@REALM"}
	}
	if len(p.Components) == 1 && strings.Contains(p.Components[0], "@") {
		p.Type = krb.NTEnterprise
	}
	if p.Realm == "" {
		p.Realm = realm
	}
	return p, nil
}

func (i *Impersonator) fetch(ctx context.Context, user *named, spn string) (Ticket, error) {
	key := acting{user.whom, spn}
	if t, ok := i.held(key); ok { // fetched by a flight that just ended
		return t, nil
	}
	s := i.s
	session, before, server, err := i.begin(ctx, spn)
	if err != nil {
		return Ticket{}, err
	}
	now := s.o.Now()
	known := user.flight(session.name)
	if err := s.unknown.about(known, spn, now); err != nil {
		return Ticket{}, err
	}
	got, err := i.act(ctx, session, before, user, server, spn)
	if err != nil {
		s.unknown.note(known, spn, now, err)
		return Ticket{}, err
	}
	t := newTicket(got, session.source+", of "+session.client.String()+" acting for the user")
	t.offset, t.fetched = s.offset(session), now
	i.hold(key, t, now)
	return t, nil
}

// hold keeps a ticket of a user for later callers.
func (i *Impersonator) hold(key acting, t Ticket, now time.Time) {
	h := &held{Ticket: t, until: t.t.EndTime.Add(-spare(t.t) - t.offset)}
	h.cached = true
	i.tickets.MakeRoom(maxActing, func(_ acting, old *held) bool { return !now.Before(old.until) })
	i.tickets.Put(key, h)
}

// act gets the user's ticket for server, with the evidence at hand, or with new evidence
// where the KDC does not take that.
func (i *Impersonator) act(ctx context.Context, session *session, before uint64, user *named, server krb.Principal, spn string) (*krb.Ticket, error) {
	for {
		evidence, cached, err := i.evidenceOf(ctx, session, before, user, spn)
		if err != nil {
			return nil, err
		}
		if server.SameName(session.client) && (server.Realm == "" || server.Realm == session.client.Realm) {
			return evidence, nil
		}
		got, err := i.s.proxyTo(ctx, session, before, evidence, server, spn)
		if e, ok := errors.AsType[*kdcclient.Error](err); ok && cached && e.DeadTicket() {
			i.forget(user.whom)
			continue
		}
		if e, ok := errors.AsType[*middleware.Error](err); ok && user.how == byTicket && errors.Is(err, ErrEvidenceNotForwardable) {
			e.Hint = hintCaller
		}
		return got, err
	}
}

// proxyTo gets a user's ticket for another service, by the user's ticket for the
// session's service (S4U2Proxy).
func (s *Source) proxyTo(ctx context.Context, of *session, before uint64, evidence *krb.Ticket, server krb.Principal, spn string) (*krb.Ticket, error) {
	got, err := s.exchange(ctx, of, before, func(with *session) (*krb.Ticket, error) {
		return s.kdc.Proxy(ctx, with.tgt, evidence, server, s.crossOptions(ctx, with))
	})
	if err == nil {
		return got, nil
	}
	e, ok := s.kdcError(err, evidence.Client.String(), spn).(*middleware.Error)
	far := false // the target's own realm refused
	if why, is := errors.AsType[*kdcclient.Error](err); is {
		far = why.Realm != of.tgt.Client.Realm
	}
	if !ok || e.Code != krb.CodeBadOption && e.Code != krb.CodePolicy {
		return nil, e
	}
	service := of.tgt.Client.String()
	e.Kind = middleware.ErrCredentials
	switch {
	case evidence.Flags&krb.FlagForwardable == 0 && of.tgt.Flags&krb.FlagForwardable == 0:
		e.Err = fmt.Errorf("%w: %w", ErrEvidenceNotForwardable, e.Err)
		e.Hint = fmt.Sprintf("the ticket-granting ticket of %s is not forwardable: run kinit -f, or see whether the KDC forbids it for this principal", service)
	case evidence.Flags&krb.FlagForwardable == 0 && !far:
		e.Err = fmt.Errorf("%w: %w", ErrEvidenceNotForwardable, e.Err)
		e.Hint = fmt.Sprintf("let %s use any authentication protocol (TrustedToAuthForDelegation; ok_to_auth_as_delegate in MIT krb5), or let the target name it "+
			"(msDS-AllowedToActOnBehalfOfOtherIdentity); users that are sensitive and cannot be delegated, or Protected Users, are acted for nowhere", service)
	case far:
		e.Err = fmt.Errorf("%w: %w", ErrDelegationNotAllowed, e.Err)
		e.Hint = fmt.Sprintf("a target of another realm must let %s act itself: add it to msDS-AllowedToActOnBehalfOfOtherIdentity there", service)
	default:
		e.Err = fmt.Errorf("%w: %w", ErrDelegationNotAllowed, e.Err)
		e.Hint = fmt.Sprintf("add it to msDS-AllowedToDelegateTo of %s, or that to msDS-AllowedToActOnBehalfOfOtherIdentity of the target", service)
	}
	return nil, e
}

const hintCaller = "the caller's own ticket-granting ticket must be forwardable (kinit -f); users that are sensitive and cannot be delegated, or Protected Users, are acted for nowhere"

// evidenceOf returns the user's ticket for the service itself (S4U2Self).
func (i *Impersonator) evidenceOf(ctx context.Context, of *session, before uint64, user *named, spn string) (t *krb.Ticket, cached bool, err error) {
	have := func() (*krb.Ticket, bool) {
		t, ok := i.evidence.Get(user.whom)
		return t, ok && (user.how == byTicket || t.Server.Equal(of.client)) && usable(t, i.s.o.Now().Add(i.s.offset(of)))
	}
	if t, ok := have(); ok {
		return t, user.how != byTicket, nil
	}
	if user.how == byTicket {
		if t, err = i.presented(of, user, spn); err == nil {
			i.keep(user.whom, t, of)
		}
		return t, false, err
	}
	var client krb.Principal
	show := user.String()
	if user.how == byName {
		if client, err = i.user(user.id, of.client.Realm, spn); err != nil {
			return nil, false, err
		}
		show = client.String()
	}
	t, err = i.self.Do(ctx, user.flight(of.name), func(ctx context.Context) (*krb.Ticket, error) {
		if t, ok := have(); ok { // fetched by a flight that just ended
			return t, nil
		}
		got, err := i.s.exchange(ctx, of, before, func(with *session) (*krb.Ticket, error) {
			o := i.s.crossOptions(ctx, with)
			o.Own = with.own
			if user.how == byCertificate {
				return i.s.kdc.SelfByCertificate(ctx, with.tgt, user.der, o)
			}
			return i.s.kdc.Self(ctx, with.tgt, client, o)
		})
		if err != nil {
			return nil, i.notFound(i.s.kdcError(err, show, spn), user)
		}
		i.keep(user.whom, got, of)
		return got, nil
	})
	return t, false, err
}

// notFound tells of an error that the KDC knows nobody by the certificate.
func (i *Impersonator) notFound(err error, user *named) error {
	e, ok := errors.AsType[*middleware.Error](err)
	if ok && user.how == byCertificate && e.Code == krb.CodeClientUnknown {
		e.Hint = "map the certificate to a user: altSecurityIdentities in Active Directory, or its subject alternative name"
	}
	return err
}

// rename drops the tickets of another user, if the KDC now means client by what the
// context names.
func (i *Impersonator) rename(user whom, client krb.Principal) {
	if user.how == byName && !strings.Contains(user.id, `\@`) {
		return // a name is that of one user
	}
	name := client.String()
	other := func(k acting, h *held) bool { return k.whom == user && h.client != name }
	for k, h := range i.tickets.All() {
		if other(k, h) {
			i.tickets.Delete(other)
			return
		}
	}
}

// keep stores a user's ticket for the service.
func (i *Impersonator) keep(user whom, t *krb.Ticket, of *session) {
	i.rename(user, t.Client)
	now := i.s.o.Now().Add(i.s.offset(of))
	i.evidence.MakeRoom(maxEvidence, func(_ whom, old *krb.Ticket) bool { return !usable(old, now) })
	i.evidence.Put(user, t)
}

// presented opens the ticket that a caller presented to the service.
func (i *Impersonator) presented(of *session, caller *named, spn string) (*krb.Ticket, error) {
	refuse := func(kind error, hint, format string, args ...any) (*krb.Ticket, error) {
		return nil, &middleware.Error{Stage: stage, Kind: kind, SPN: spn, Principal: caller.String(), Err: fmt.Errorf(format, args...), Hint: hint}
	}
	if len(of.own) == 0 {
		return refuse(middleware.ErrConfiguration, "make the service's source with kerberos.FromKeytab", "only the keys of %s tell whose a caller's ticket is, and there are none", of.client)
	}
	fields, err := krb.ParseTicket(caller.der)
	if err != nil {
		return refuse(middleware.ErrCredentials, "give AsCaller the DER of the Ticket in the AP-REQ", "the caller's ticket: %w", err)
	}
	for _, key := range of.own {
		part, err := fields.Open(key)
		if err != nil {
			continue
		}
		t := &krb.Ticket{
			Client: part.Client, Server: fields.Server, Raw: caller.der, Key: part.Key, Flags: part.Flags,
			AuthTime: part.AuthTime, StartTime: part.StartTime, EndTime: part.EndTime, RenewTill: part.RenewTill,
		}
		if t.StartTime.IsZero() {
			t.StartTime = t.AuthTime
		}
		if !usable(t, i.s.o.Now().Add(i.s.offset(of))) {
			return refuse(middleware.ErrCredentials, "have the caller ask anew", "the caller's ticket ended at %s", t.EndTime.UTC().Format(time.RFC3339))
		}
		return t, nil
	}
	return refuse(middleware.ErrCredentials, "is the keytab the one that the service accepts callers with?", "the caller's ticket for %s opens under no key of %s", printable.Text(fields.Server.String()), of.client)
}
