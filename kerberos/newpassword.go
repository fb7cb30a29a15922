package kerberos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kerbchain/kerbchain/internal/flight"
	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
)

// A NewPasswordRequest asks for a new password.
type NewPasswordRequest struct {
	Principal string // whose, name@REALM
	// Why is what the KDC said of the password that has expired, or the server of the new
	// one that it did not take: with its rules, if it tells them.
	Why error
}

type whyAsked struct{}

// WhyAsked tells a function of [FromPasswordFunc], by its context, why it is asked again:
// the error of the login before, whose password a KDC refused. It is nil the first time,
// and after a login that worked.
func WhyAsked(ctx context.Context) error {
	why, _ := ctx.Value(whyAsked{}).(error)
	return why
}

// maxNewPasswords bounds how often a new password is asked for.
const maxNewPasswords = 3

// changeLife is how long a ticket for a change lasts, as with kpasswd.
const changeLife = 5 * time.Minute

// pastExpiry is the memory of an account for a change of the password: that it has expired
// does not keep it back.
type pastExpiry struct{ *account }

func (p pastExpiry) Refused(key kdcclient.KeyEntry) *kdcclient.Error {
	if why := p.account.Refused(key); why != nil && why.Code != krb.CodeKeyExpired {
		return why
	}
	return nil
}

// current returns the password that took the place of an expired one, by however many
// changes, of whichever source. Who gave that one since has stored it, and means an older one
// if it comes again.
func (c *passwordCredentials) current(a *account, password Secret) Secret {
	r := a.replacement(password)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case r.fresh.IsZero():
		c.given, c.givenAfter = password, a.begun
	case c.given.IsZero() || c.given.Reveal() != r.fresh.Reveal() || c.givenAfter < r.nth:
		return r.fresh
	}
	return password
}

// change has a password changed that has expired, and logs in with the new one. why is what
// the KDC said of it; without one it may have been changed, which is found out first.
func (c *passwordCredentials) change(ctx context.Context, a *account, password Secret, why error) (*session, error) {
	done, err := a.changing(ctx)
	if err != nil {
		return nil, c.s.noCredentials(fmt.Errorf("wait for another source to ask for a new password: %w", err), "")
	}
	defer done()
	if r := a.replacement(password); r.nth > a.begun { // it has asked, and been told
		return c.login(ctx, a, r.fresh)
	}
	a = c.s.account(c.client) // what follows begins now
	p := passwords{old: password}
	if lost, ok := a.unsettled(password); ok {
		got, err := c.login(ctx, a, lost.fresh)
		if refusedWith(err) == krb.CodePreauthFailed {
			got, err = c.login(ctx, a, lost.old)
		}
		if refusedWith(err) != krb.CodeKeyExpired {
			return got, err
		}
		p, why = lost, err
	} else if why == nil { // another source found out
		got, err := c.login(ctx, a, password)
		if refusedWith(err) != krb.CodeKeyExpired {
			return got, err
		}
		why = err
	}
	if c.s.o.NewPassword == nil {
		return nil, why
	}
	return c.set(ctx, a, p, why)
}

// set has a password changed for the new one of a change that was lost, or else for one
// that it asks for, and logs in with that.
func (c *passwordCredentials) set(ctx context.Context, a *account, p passwords, why error) (*session, error) {
	ticket, err := (*krb.Ticket)(nil), error(nil)
	if !p.fresh.IsZero() {
		if ticket, err = c.changeTicket(ctx, a, p.old); refusedWith(err) == krb.CodePreauthFailed {
			// It was changed, and the new one has expired in its turn.
			if ticket, err = c.changeTicket(ctx, a, p.fresh); err == nil {
				a.replace(p)
				p = passwords{old: p.fresh}
			}
		}
		if err != nil {
			return nil, err
		}
	}
	for asked := 0; ; {
		if p.fresh.IsZero() {
			if asked == maxNewPasswords {
				return nil, why
			}
			asked++
			if p.fresh, err = c.askNew(ctx, p.old, why); err != nil {
				e := c.s.noCredentials(fmt.Errorf("the password has expired, ask for a new one: %w", err), "")
				e.Principal, e.Code = c.client.String(), krb.CodeKeyExpired
				return nil, e
			}
		}
		if ticket == nil {
			if ticket, err = c.changeTicket(ctx, a, p.old); err != nil {
				return nil, err
			}
		}
		if err = c.send(ctx, a, ticket, p); err == nil {
			return c.login(ctx, a, p.fresh)
		}
		why = c.s.kdcError(err, c.client.String(), "")
		result, said := errors.AsType[*kdcclient.ChangeError](err)
		said = said && !result.Clear // who says so in clear is nobody to ask again for
		if e, ok := why.(*middleware.Error); ok && said {
			e.Kind = middleware.ErrCredentials
		}
		if !said || result.Result != krb.KpasswdSoftError {
			return nil, why
		}
		p.fresh = Secret{}
	}
}

// send has a password changed. No login sends the old one meanwhile, nor afterwards if it began
// before: it would be refused.
func (c *passwordCredentials) send(ctx context.Context, a *account, ticket *krb.Ticket, p passwords) error {
	end, err := a.Begin(ctx)
	if err != nil {
		return fmt.Errorf("wait for another login of the same principal: %w", err)
	}
	defer end()
	err = c.s.kdc.ChangePassword(ctx, ticket, p.fresh)
	if lost, ok := errors.AsType[*kdcclient.Error](err); ok && lost.Unsettled {
		a.mayReplace(p)
	}
	if err == nil {
		a.replace(p)
	}
	return err
}

func (c *passwordCredentials) askNew(ctx context.Context, old Secret, why error) (Secret, error) {
	defer flight.Doing(ctx, "asking for a new password of "+c.client.String())()
	fresh, err := c.s.o.NewPassword(ctx, NewPasswordRequest{Principal: c.client.String(), Why: why})
	switch {
	case err != nil:
		return Secret{}, err
	case fresh.IsZero():
		return Secret{}, errors.New("none was given")
	case fresh.Reveal() == old.Reveal():
		return Secret{}, errors.New("the one that has expired was given")
	}
	return fresh, nil
}

// changeTicket logs in to the service that changes passwords, for which an expired one is
// good enough.
func (c *passwordCredentials) changeTicket(ctx context.Context, a *account, old Secret) (*krb.Ticket, error) {
	a = a.with(a.ofPassword(old))
	r := c.s.asRequest(a, kdcclient.Password(c.client, old.Reveal()))
	r.Server, r.Guard = kdcclient.Changepw(c.client.Realm), pastExpiry{a}
	r.Lifetime, r.RenewLife, r.Forwardable, r.Proxiable = changeLife, 0, false, false
	t, err := c.s.kdc.AS(ctx, r)
	if why, ok := errors.AsType[*kdcclient.Error](err); ok && why.Refusal() && why.Code != krb.CodeKeyExpired {
		if !why.Kept && !why.OTP {
			a.refuse(a.ofPassword(old), why)
		}
		return nil, c.s.refused(why, c.client)
	}
	if err != nil {
		return nil, c.s.kdcError(err, c.client.String(), "")
	}
	return t, nil
}
