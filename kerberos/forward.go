package kerberos

import (
	"context"
	"errors"
	"fmt"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
)

// forwardedKey begins the keys under which forwarded tickets are stored among those of
// services. No SPN begins with a NUL.
const forwardedKey = "\x00forwarded to "

// ForwardedTicket makes a Source a [Delegator]: it fetches a forwarded
// ticket-granting ticket (RFC 4120 section 2.6) for the server of a service ticket,
// and keeps it as long as it is valid.
func (s *Source) ForwardedTicket(ctx context.Context, service Ticket) (Ticket, error) {
	if service.IsZero() {
		return Ticket{}, s.noCredentials(errors.New("no service ticket to delegate with"), "")
	}
	spn := service.SPN()
	key := forwardedKey + spn
	if h, ok := s.tickets.Get(key); ok && h.client == service.client && s.o.Now().Before(h.until) {
		return h.Ticket, nil
	}
	t, err := s.services.Do(ctx, key, func(ctx context.Context) (Ticket, error) { return s.forward(ctx, service, key) })
	var known *middleware.Error
	if err != nil && ctx.Err() != nil && !errors.As(err, &known) {
		return Ticket{}, s.gaveUp(ctx, spn, err)
	}
	return t, err
}

// EnforceOKAsDelegate reports whether krb5.conf sets enforce_ok_as_delegate.
func (s *Source) EnforceOKAsDelegate() bool { return s.conf.EnforceOKAsDelegate }

func (s *Source) forward(ctx context.Context, service Ticket, key string) (Ticket, error) {
	before := s.made.Load()
	have, _, err := s.open(ctx, service.t.Server)
	if err != nil {
		return Ticket{}, withSPN(err, service.SPN())
	}
	// As MIT's initiators do, ask for the flags that the ticket-granting ticket has.
	const kept = krb.FlagForwardable | krb.FlagProxiable | krb.FlagRenewable
	if have.tgt == nil || have.tgt.Flags&krb.FlagForwardable == 0 {
		why := "is not forwardable"
		if have.tgt == nil {
			why = "is missing"
		}
		return Ticket{}, &middleware.Error{Stage: stage, Kind: middleware.ErrCredentials, SPN: service.SPN(), Principal: have.client.String(),
			Err:  fmt.Errorf("%w: the ticket-granting ticket from %s %s", ErrNotForwardable, have.source, why),
			Hint: "run kinit -f, or set forwardable = true in krb5.conf; the KDC may forbid it for this principal"}
	}
	realm := have.client.Realm
	got, err := s.exchange(ctx, have, before, func(with *session) (*krb.Ticket, error) {
		o := s.tgsOptions(with)
		o.Options = krb.FlagForwarded | with.tgt.Flags&kept
		// The server can certainly use a session key of the type that it shares with us.
		o.Etypes = append([]int32{service.Etype()}, o.Etypes...)
		return s.kdc.TGS(ctx, with.tgt, krb.TGS(realm, realm), o)
	})
	if err != nil {
		return Ticket{}, s.kdcError(err, have.client.String(), service.SPN())
	}
	if got.Flags&krb.FlagForwarded == 0 {
		return Ticket{}, &middleware.Error{Stage: stage, Kind: middleware.ErrCredentials, SPN: service.SPN(), Principal: have.client.String(), KDC: realm,
			Err: fmt.Errorf("%w: the KDC answered with a ticket that is not a forwarded one", ErrNotForwardable)}
	}
	t := newTicket(got, have.source)
	t.offset = s.offset(have)
	s.mu.Lock()
	s.keep(key, t, nil, s.o.Now())
	s.mu.Unlock()
	return t, nil
}
