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
// changes, of whichever source. Who gave that one has stored it, and means an older one if
// it comes again.
func (c *passwordCredentials) current(a *account, password Secret) Secret {
	fresh := a.replacement(password)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case fresh.IsZero():
		c.given = password
	case c.given.IsZero() || c.given.Reveal() != fresh.Reveal():
		return fresh
	}
	return password
}

// change asks for a new password in the place of one that has expired, has it changed, and
// logs in with it.
func (c *passwordCredentials) change(ctx context.Context, a *account, old Secret, why error) (*session, error) {
	done, err := a.changing(ctx)
	if err != nil {
		return nil, c.s.noCredentials(fmt.Errorf("wait for another source to ask for a new password: %w", err), "")
	}
	defer done()
	if fresh := a.replacement(old); !fresh.IsZero() { // it has asked, and been told
		return c.login(ctx, a, fresh)
	}
	var ticket *krb.Ticket
	for range maxNewPasswords {
		fresh, err := c.askNew(ctx, old, why)
		if err != nil {
			e := c.s.noCredentials(fmt.Errorf("the password has expired, ask for a new one: %w", err), "")
			e.Principal, e.Code = c.client.String(), krb.CodeKeyExpired
			return nil, e
		}
		if ticket == nil {
			if ticket, err = c.changeTicket(ctx, a, old); err != nil {
				return nil, err
			}
		}
		err = c.s.kdc.ChangePassword(ctx, ticket, fresh)
		if err == nil {
			a.replace(old, fresh)
			return c.login(ctx, a, fresh)
		}
		why = c.s.kdcError(err, c.client.String(), "")
		result, said := errors.AsType[*kdcclient.ChangeError](err)
		said = said && !result.Clear // who says so in clear is nobody to ask again for
		if e, ok := why.(*middleware.Error); ok && said {
			e.Kind = middleware.ErrCredentials
		}
		if !said || result.Result != krb.KpasswdSoftError {
			break
		}
	}
	return nil, why
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
