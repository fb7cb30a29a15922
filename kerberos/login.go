package kerberos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kerbchain/kerbchain/internal/flight"
	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// FromPassword returns a source that logs in as o.Principal with a password, when a
// ticket is first asked for and again when the ticket-granting ticket has run
// out. A password that the KDC refused is not sent again for a minute, however
// often tickets are asked for: that would lock accounts; see [Logins].
func FromPassword(password Secret, o SourceOptions) (*Source, error) {
	return newPassword(o, password.IsZero(), func(context.Context, string) (Secret, error) { return password, nil })
}

// FromPasswordFunc is [FromPassword] with a function that is asked for the password of
// a principal, name@REALM, for every login: once a day or so, and not twice at
// the same time. Its error is wrapped in the source's. It should return when ctx
// ends. It may ask a person or a vault; what it returns is not kept, save to
// compare it with a password that was refused within the last minute.
func FromPasswordFunc(password func(ctx context.Context, principal string) (Secret, error), o SourceOptions) (*Source, error) {
	return newPassword(o, password == nil, password)
}

func newPassword(o SourceOptions, missing bool, password func(context.Context, string) (Secret, error)) (*Source, error) {
	s, err := newSource(o)
	if err != nil {
		return nil, err
	}
	if o.Principal == "" {
		return nil, s.misconfigured(errors.New("a password without a principal"), "set Principal to name@REALM")
	}
	p, err := s.principal()
	if err != nil {
		return nil, err
	}
	if missing {
		return nil, s.misconfigured(errors.New("no password given"), "")
	}
	s.creds = &passwordCredentials{s: s, client: p, password: password}
	return s, nil
}

// alone is what credentials without a choice have in common.
type alone struct{}

func (alone) choose(context.Context, krb.Principal) (string, uint64, error) { return "", 0, nil }
func (alone) check(context.Context, *session, time.Time) (uint64, bool)     { return 0, false }

type passwordCredentials struct {
	alone
	s        *Source
	client   krb.Principal
	password func(context.Context, string) (Secret, error)
}

func (c *passwordCredentials) refresh(ctx context.Context, _ *session) (*session, error) {
	return c.open(ctx, "")
}

func (c *passwordCredentials) open(ctx context.Context, _ string) (*session, error) {
	done := flight.Doing(ctx, "asking for the password of "+c.client.String())
	password, err := c.password(ctx, c.client.String())
	done()
	if err == nil && password.IsZero() {
		err = errors.New("none was given")
	}
	if err != nil {
		e := c.s.noCredentials(fmt.Errorf("ask for the password: %w", err), "")
		e.Principal = c.client.String()
		return nil, e
	}
	a := c.s.account(c.client)
	return c.s.login(ctx, a, kdcclient.Password(c.client, password.Reveal()), a.ofPassword(password), "password")
}
