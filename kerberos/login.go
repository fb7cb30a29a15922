package kerberos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/keytab"

	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/krb5conf"
	"github.com/kerbchain/kerbchain/middleware"
)

// Password returns a source that logs in as o.Principal with a password, when a
// ticket is first asked for and again when the ticket-granting ticket has run
// out. A password that the KDC refused is not sent again for a minute, however
// often tickets are asked for: that would lock accounts.
func Password(password Secret, o Options) (*Source, error) {
	return newPassword(o, password.IsZero(), func(context.Context, string) (Secret, error) { return password, nil })
}

// PasswordFunc is [Password] with a function that is asked for the password of
// a principal, name@REALM, for every login: once a day or so, and not twice at
// the same time. Its error is wrapped in the source's. It should return when ctx
// ends. It may ask a person or a vault; what it returns is not kept, save to
// compare it with a password that was refused within the last minute.
func PasswordFunc(password func(ctx context.Context, principal string) (Secret, error), o Options) (*Source, error) {
	return newPassword(o, password == nil, password)
}

func newPassword(o Options, missing bool, password func(context.Context, string) (Secret, error)) (*Source, error) {
	s, err := newSource(o)
	if err != nil {
		return nil, err
	}
	if o.Principal == "" {
		return nil, s.noCredentials(errors.New("a password without a principal"), "set Principal to name@REALM")
	}
	p, err := s.principal()
	if err != nil {
		return nil, err
	}
	if missing {
		return nil, s.noCredentials(errors.New("no password given"), "")
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

	// Which password the KDC refused, what it said, and until when that stands.
	// Logins are made one at a time.
	wrong   Secret
	refused error
	until   time.Time
}

func (c *passwordCredentials) refresh(ctx context.Context, _ *session) (*session, error) {
	return c.open(ctx, "")
}

func (c *passwordCredentials) open(ctx context.Context, _ string) (*session, error) {
	password, err := c.password(ctx, c.client.String())
	if err == nil && password.IsZero() {
		err = errors.New("none was given")
	}
	if err != nil {
		e := c.s.noCredentials(fmt.Errorf("ask for the password: %w", err), "")
		e.Principal = c.client.String()
		return nil, e
	}
	now := c.s.o.Now()
	if now.Before(c.until) && password.Reveal() == c.wrong.Reveal() {
		return nil, c.refused
	}
	s, err := c.s.login(ctx, c.client, kdcclient.Password(c.client, password.Reveal()), "password")
	var e *middleware.Error
	if errors.As(err, &e) && e.Code == krb.CodePreauthFailed {
		c.wrong, c.refused, c.until = password, err, now.Add(quarantine)
	}
	return s, err
}

// quarantine is for how long a password that was refused is not sent again. It
// ends, since whoever can forge a datagram can forge the refusal.
const quarantine = time.Minute

// Keytab returns a source that logs in with the keys in a keytab file, as
// o.Principal or as the first principal in the file. The name may begin with
// "FILE:"; %{uid} and its like are expanded. The file is read at once, and
// again for every login, so that new keys are found.
func Keytab(name string, o Options) (*Source, error) {
	s, err := newSource(o)
	if err != nil {
		return nil, err
	}
	creds, err := s.keytab(name)
	if err != nil {
		return nil, err
	}
	if _, _, err := creds.load(); err != nil {
		return nil, err
	}
	s.creds = creds
	return s, nil
}

func (s *Source) keytab(name string) (*keytabCredentials, error) {
	expanded, err := krb5conf.Options{Getenv: s.o.Getenv}.Expand(name)
	if err != nil {
		return nil, s.noCredentials(fmt.Errorf("keytab %s: %w", name, err), "")
	}
	path := strings.TrimPrefix(strings.TrimPrefix(expanded, "FILE:"), "WRFILE:")
	if kind, _, ok := strings.Cut(path, ":"); ok && kind == strings.ToUpper(kind) && !strings.ContainsAny(kind, "/.") && len(kind) > 1 {
		return nil, s.noCredentials(fmt.Errorf("keytab %s is of type %s, which is not supported", name, kind), "use a keytab file")
	}
	p, err := s.principal()
	if err != nil {
		return nil, err
	}
	return &keytabCredentials{s: s, path: path, want: p}, nil
}

type keytabCredentials struct {
	alone
	s    *Source
	path string
	want krb.Principal // zero: the first in the file
}

func (c *keytabCredentials) refresh(ctx context.Context, _ *session) (*session, error) {
	return c.open(ctx, "")
}

func (c *keytabCredentials) open(ctx context.Context, _ string) (*session, error) {
	client, keys, err := c.load()
	if err != nil {
		return nil, err
	}
	return c.s.login(ctx, client, kdcclient.KeyTable(keys), "FILE:"+c.path)
}

// load reads the file and picks the keys of the wanted principal.
func (c *keytabCredentials) load() (krb.Principal, []kdcclient.KeyEntry, error) {
	fail := func(err error, hint string) (krb.Principal, []kdcclient.KeyEntry, error) {
		return krb.Principal{}, nil, c.s.noCredentials(fmt.Errorf("keytab %s: %w", c.path, err), hint)
	}
	kt, err := keytab.Load(c.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(fs.ErrNotExist, "name a keytab file that exists")
	case errors.Is(err, fs.ErrPermission):
		return fail(fs.ErrPermission, "let the user of this process read it")
	case err != nil:
		// gokrb5's text may quote bytes of the file.
		return fail(errors.New("not a keytab file"), "make one with ktutil, kadmin or ktpass")
	}
	want := c.want
	var keys []kdcclient.KeyEntry
	var found []string
	for _, e := range kt.Entries {
		p := krb.NewPrincipal(e.Principal.Realm, e.Principal.Components...)
		if p.IsZero() {
			continue
		}
		if want.IsZero() {
			want = p
		}
		if name := p.String(); len(found) < 10 && (len(found) == 0 || found[len(found)-1] != name) {
			found = append(found, name)
		}
		if !p.Equal(want) {
			continue
		}
		key, err := krb.NewKey(e.Key.KeyType, e.Key.KeyValue)
		if err != nil {
			continue // a type that we cannot use, among others that we can
		}
		kvno := e.KVNO
		if kvno == 0 {
			kvno = uint32(e.KVNO8)
		}
		keys = append(keys, kdcclient.KeyEntry{Key: key, Kvno: kvno})
	}
	switch {
	case len(found) == 0:
		return fail(errors.New("it holds no keys"), "")
	case len(keys) == 0:
		return fail(fmt.Errorf("no usable key of %s in it; it holds keys of %s", want, strings.Join(found, ", ")),
			"name one of these principals, or get a keytab with AES keys")
	}
	return want, keys, nil
}
