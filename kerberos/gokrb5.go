package kerberos

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jcmturner/gokrb5/v8/client"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
)

// FromGoKRB5 returns a source that asks a gokrb5 client that the program already
// has. Its limits stay: it knows no contexts, so a call that outlives its
// caller's goes on behind, and it fetches tickets through its own
// configuration. The client remains the caller's, to be destroyed by it.
func FromGoKRB5(c *client.Client) TicketSource { return &gokrb5Source{c: c} }

type gokrb5Source struct {
	c     *client.Client
	calls flights[Ticket]
	// gokrb5 races with itself when several goroutines log in at once, so it is
	// asked for one thing at a time.
	one sync.Mutex
}

func (s *gokrb5Source) ServiceTicket(ctx context.Context, spn string) (Ticket, error) {
	if s.c == nil {
		return Ticket{}, &middleware.Error{Stage: stage, Kind: middleware.ErrConfiguration, SPN: spn, Err: errors.New("the gokrb5 client is nil")}
	}
	return s.calls.do(ctx, spn, func(context.Context) (Ticket, error) { return s.ask(spn) })
}

func (s *gokrb5Source) ask(spn string) (t Ticket, err error) {
	var principal string
	if s.c.Credentials != nil {
		principal = s.c.Credentials.UserName() + "@" + s.c.Credentials.Realm()
	}
	fail := func(err error) (Ticket, error) {
		return Ticket{}, &middleware.Error{Stage: stage, Kind: middleware.ErrKDC, SPN: spn, Principal: principal,
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
	k, err := krb.NewKey(key.KeyType, key.KeyValue)
	if err != nil {
		return fail(err)
	}
	p := krb.NewPrincipal(s.c.Credentials.Realm(), s.c.Credentials.CName().NameString...)
	server := krb.Principal{Type: ticket.SName.NameType, Components: ticket.SName.NameString, Realm: ticket.Realm}
	return newTicket(&krb.Ticket{Client: p, Server: server, Raw: raw, Key: k}, "gokrb5 client"), nil
}
