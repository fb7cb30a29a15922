// Package gokrb5 makes a ticket source of a client of github.com/jcmturner/gokrb5 that
// a program already has. It is the one package of this module that links gokrb5.
package gokrb5

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jcmturner/gokrb5/v8/client"

	"github.com/kerbchain/kerbchain/internal/flight"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// stage is that of errors, as of all sources of tickets.
const stage = "kerberos"

// FromClient returns a source that asks a gokrb5 client, for [kerberos.NewInitiator] and
// client.Options. Its limits stay: it knows no contexts, so a call that outlives its
// caller's goes on behind, and it fetches tickets through its own configuration. The
// client remains the caller's, to be destroyed by it. The source is a
// [kerberos.Identifier], and safe for concurrent use.
func FromClient(c *client.Client) kerberos.TicketSource { return &source{c: c} }

type source struct {
	c     *client.Client
	calls flight.Group[kerberos.Ticket]
	// gokrb5 races with itself when several goroutines log in at once, so it is
	// asked for one thing at a time.
	one sync.Mutex
}

// ServiceTicket asks the client.
func (s *source) ServiceTicket(ctx context.Context, spn string) (kerberos.Ticket, error) {
	if s.c == nil {
		return kerberos.Ticket{}, &middleware.Error{Stage: stage, Kind: middleware.ErrConfiguration, SPN: spn, Err: errors.New("the gokrb5 client is nil")}
	}
	return s.calls.Do(ctx, spn, func(context.Context) (kerberos.Ticket, error) { return s.ask(spn) })
}

// Identity returns the principal of the client.
func (s *source) Identity(_ context.Context, spn string) (string, error) {
	if s.c == nil || s.c.Credentials == nil {
		return "", &middleware.Error{Stage: stage, Kind: middleware.ErrCredentials, SPN: spn}
	}
	return s.principal(), nil
}

func (s *source) principal() string {
	return s.c.Credentials.UserName() + "@" + s.c.Credentials.Realm()
}

func (s *source) ask(spn string) (t kerberos.Ticket, err error) {
	var principal string
	if s.c.Credentials != nil {
		principal = s.principal()
	}
	fail := func(err error) (kerberos.Ticket, error) {
		return kerberos.Ticket{}, &middleware.Error{Stage: stage, Kind: middleware.ErrKDC, SPN: spn, Principal: principal,
			Err: fmt.Errorf("gokrb5: %w", err)}
	}
	defer func() {
		if p := recover(); p != nil {
			t, err = fail(fmt.Errorf("panic: %v", p))
		}
	}()
	s.one.Lock()
	defer s.one.Unlock()
	ticket, key, err := s.c.GetServiceTicket(spn)
	if err != nil {
		return fail(err)
	}
	raw, err := ticket.Marshal()
	if err != nil {
		return fail(err)
	}
	server := krb.Principal{Type: ticket.SName.NameType, Components: ticket.SName.NameString, Realm: ticket.Realm}
	t, err = kerberos.NewTicket(kerberos.TicketParts{
		Client: krb.NewPrincipal(s.c.Credentials.Realm(), s.c.Credentials.CName().NameString...).String(),
		Server: server.String(), DER: raw, Etype: key.KeyType, Key: kerberos.NewSecret(string(key.KeyValue)),
		Source: "gokrb5 client",
	})
	if err != nil {
		return fail(err)
	}
	return t, nil
}
