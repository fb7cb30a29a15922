package kerberos

import (
	"context"
	"errors"
	"fmt"

	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// armor returns what gets the tickets that armour the source's logins, nil where it has no
// armour.
func (s *Source) armor() func(ctx context.Context, realm string) (*krb.Ticket, error) {
	if s.o.Armor == nil {
		return nil
	}
	return s.o.Armor.armorFor
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
