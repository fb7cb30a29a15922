package kerberos

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/kerbchain/kerbchain/internal/hints"
	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
)

// armor returns what gets the tickets that armour the source's logins, nil where it has no
// armour.
func (s *Source) armor() func(ctx context.Context, realm string) (*krb.Ticket, error) {
	if s.o.Armor == nil {
		return nil
	}
	return func(ctx context.Context, realm string) (*krb.Ticket, error) {
		t, err := s.o.Armor.armorFor(ctx, realm)
		if e, ok := errors.AsType[*middleware.Error](err); ok {
			return nil, newArmorError(e)
		}
		return t, err
	}
}

// An armorError is why there is no ticket to armour a login with, as part of the error of
// that login: without what that says too, and without what to try, which is told apart.
type armorError struct {
	err          error
	text, advice string
}

var _ kdcclient.Advised = (*armorError)(nil)

func (e *armorError) Error() string  { return e.text }
func (e *armorError) Unwrap() error  { return e.err }
func (e *armorError) Advice() string { return e.advice }

func newArmorError(e *middleware.Error) *armorError {
	a := &armorError{err: e, text: e.Error(), advice: e.Hint}
	if why, ok := errors.AsType[*kdcclient.Error](e.Err); ok {
		alone := *why
		alone.Hint = ""
		a.text, a.advice = alone.Error(), hints.Join(why.Hint, e.Hint)
	} else if e.Err != nil {
		a.text = e.Err.Error()
	}
	// What helps a user who lacks a ticket is not what gets one for a host.
	text, _, cut := strings.Cut(a.text, "; run kinit")
	a.text = text
	switch {
	case cut || strings.HasPrefix(a.advice, "run kinit"):
		a.advice = hints.HostTicket
	case a.advice == hints.Keytab:
		a.advice = hints.ArmorKeytab
	}
	return a
}

// armorFor returns a ticket-granting ticket for a realm, for others to armour their logins
// with.
func (s *Source) armorFor(ctx context.Context, realm string) (*krb.Ticket, error) {
	session, _, err := s.open(ctx, krb.TGS(realm, realm))
	if err != nil {
		return nil, err
	}
	if session.tgt == nil {
		return nil, s.noCredentials(fmt.Errorf("%s holds no ticket-granting ticket", session.source), "run kinit")
	}
	tgt, err := s.crossTo(ctx, session, realm)
	if err != nil {
		return nil, s.kdcError(err, session.client.String(), "")
	}
	return tgt, nil
}

// rearm has the armour logged in anew where a KDC does not take its ticket, and reports
// whether it was. Nothing of the client's key was sent by then.
func (s *Source) rearm(ctx context.Context, realm string, err error) bool {
	why, ok := errors.AsType[*kdcclient.Error](err)
	if !ok || !why.Armor || s.o.Armor == nil {
		return false
	}
	a := s.o.Armor
	session, _, err := a.open(ctx, krb.TGS(realm, realm))
	if err != nil || session.login == 0 || session.tgt.Server.Components[1] != why.Realm || !session.revived.IsZero() && a.o.Now().Sub(session.revived) < freshFor {
		return false
	}
	_, err = a.revive(ctx, session)
	return err == nil
}
