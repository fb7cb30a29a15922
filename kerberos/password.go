package kerberos

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/kerbchain/kerbchain/internal/flight"
	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/secret"
)

// FromPassword returns a source that logs in as o.Principal with a password, when a
// ticket is first asked for and again when the ticket-granting ticket has run
// out. A password that the KDC refused is not sent again for a minute, however
// often tickets are asked for: that would lock accounts; see [Logins]. Where o.OTP is
// set, password may be zero, for a user who has one-time passwords alone.
func FromPassword(password Secret, o SourceOptions) (*Source, error) {
	return newPassword(o, password.IsZero() && o.OTP == nil, func(context.Context, string) (Secret, error) { return password, nil })
}

// FromPasswordFunc is [FromPassword] with a function that is asked for the password of
// a principal, name@REALM, for every login: once a day or so, and not twice at
// the same time. Its error is wrapped in the source's. It should return when ctx
// ends. It may ask a person or a vault; what it returns is not kept, save to
// compare it with a password that was refused within the last minute, and while nobody
// knows whether it was changed (NewPassword of [SourceOptions]). [WhyAsked] tells it
// what a KDC said of the password before.
func FromPasswordFunc(password func(ctx context.Context, principal string) (Secret, error), o SourceOptions) (*Source, error) {
	return newPassword(o, password == nil, password)
}

func newPassword(o SourceOptions, missing bool, password func(context.Context, string) (Secret, error)) (*Source, error) {
	s, err := newSource(o)
	if err != nil {
		return nil, err
	}
	if o.Principal == "" {
		what := "a password without a principal"
		if o.OTP != nil {
			what = "one-time passwords without a principal"
		}
		return nil, s.misconfigured(errors.New(what), "set Principal to name@REALM")
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

type passwordCredentials struct {
	alone
	s        *Source
	client   krb.Principal
	password func(context.Context, string) (Secret, error)

	mu      sync.Mutex
	refused error // of the last login, if its password was
	// The last one that was given and that no other had taken the place of, and how many
	// passwords had been changed by then.
	given      Secret
	givenAfter uint64
}

func (c *passwordCredentials) refresh(ctx context.Context, _ *session) (*session, error) {
	return c.open(ctx, "")
}

func (c *passwordCredentials) open(ctx context.Context, _ string) (*session, error) {
	done := flight.Doing(ctx, "asking for the password of "+c.client.String())
	c.mu.Lock()
	why := c.refused
	c.mu.Unlock()
	password, err := c.password(context.WithValue(ctx, whyAsked{}, why), c.client.String())
	done()
	if err == nil && password.IsZero() && c.s.o.OTP == nil {
		err = errors.New("none was given")
	}
	if err != nil {
		e := c.s.noCredentials(fmt.Errorf("ask for the password: %w", err), "")
		e.Principal = c.client.String()
		return nil, e
	}
	a := c.s.account(c.client)
	if password.IsZero() {
		return c.s.login(ctx, a, nil, a.digest("no password"), "one-time password")
	}
	password = c.current(a, password)
	a = a.with(a.ofPassword(password))
	if _, ok := a.unsettled(password); ok {
		return c.change(ctx, a, password, nil)
	}
	got, err := c.login(ctx, a, password)
	if refusedWith(err) == krb.CodeKeyExpired && (c.s.o.NewPassword != nil || a.overtaken()) {
		return c.change(ctx, a, password, err)
	}
	return got, err
}

// refusedWith returns the code with which a KDC refused a password, 0 where none did.
func refusedWith(err error) int32 {
	if why, ok := errors.AsType[*kdcclient.Error](err); ok && why.Refusal() && !why.OTP {
		return why.Code
	}
	return 0
}

func (c *passwordCredentials) login(ctx context.Context, a *account, password Secret) (*session, error) {
	got, err := c.s.login(ctx, a, kdcclient.Password(c.client, password.Reveal()), a.ofPassword(password), "password")
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		a.worked(password)
		c.refused = nil
	case refusedWith(err) == krb.CodeKeyExpired:
		c.refused = nil
	case refusedWith(err) == krb.CodePreauthFailed:
		c.refused = err
	}
	return got, err
}

// A Secret is a password or a key. It does not print itself, whatever the verb and
// however deep it sits; Reveal returns what it holds. The zero Secret holds none; an
// empty password is not the same as none. All initiators of this module share the type.
type Secret = secret.Text

// NewSecret wraps a password, in UTF-8, or a key.
func NewSecret(password string) Secret { return secret.NewText(password) }

// SplitPassword takes the form name@REALM:password apart. It reports false,
// and returns the principal as it was, when there is no password in it. The
// password begins after the first colon that follows the realm's @ and may hold
// any characters.
func SplitPassword(principal string) (name string, password Secret, ok bool) {
	at := -1
	for i := 0; i < len(principal); i++ {
		if principal[i] == '\\' {
			i++ // an escaped @ is part of the name
			continue
		}
		if principal[i] == '@' {
			at = i
			break
		}
	}
	if at < 0 {
		return principal, Secret{}, false
	}
	realm, secret, ok := strings.Cut(principal[at:], ":")
	if !ok {
		return principal, Secret{}, false
	}
	return principal[:at] + realm, NewSecret(secret), true
}
