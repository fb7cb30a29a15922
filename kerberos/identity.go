package kerberos

import (
	"context"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
)

// An Identifier is a [TicketSource] that tells as whom it gets tickets. An
// initiator over one is a [middleware.Identifier]; embedding a source keeps the
// method.
type Identifier interface {
	TicketSource
	// Identity returns the client principal, name@REALM, that ServiceTicket would
	// now get a ticket for spn as. It is asked for each request, and so should cost
	// little. Its errors are those of ServiceTicket.
	Identity(ctx context.Context, spn string) (principal string, err error)
}

// Identity returns as whom ServiceTicket would get a ticket for spn now. It looks
// at caches as often as ServiceTicket does, once a second at most, and asks no KDC
// unless nobody has logged in yet.
func (s *Source) Identity(ctx context.Context, spn string) (string, error) {
	now := s.o.Now()
	s.mu.RLock()
	t, ok := s.tickets[spn]
	held := s.sessions[t.session]
	s.mu.RUnlock()
	if ok && held != nil && t.client == held.who {
		if epoch, changed := s.creds.check(ctx, held, now); !changed && epoch == t.epoch {
			return t.client, nil
		}
	}
	server, err := s.server(spn)
	if err != nil {
		return "", err
	}
	name, _, err := s.creds.choose(ctx, server)
	if err != nil {
		return "", withSPN(err, spn)
	}
	s.mu.RLock()
	held = s.sessions[name]
	s.mu.RUnlock()
	if held != nil {
		// Who logged in stays the same, when the ticket has run out too.
		if _, changed := s.creds.check(ctx, held, now); held.state == "" || !changed {
			return held.who, nil
		}
	}
	opened, _, err := s.open(ctx, server)
	if err != nil {
		return "", withSPN(err, spn)
	}
	return opened.who, nil
}

// server returns the service principal that spn names, in the realm that
// krb5.conf gives its host, if it does.
func (s *Source) server(spn string) (krb.Principal, error) {
	server, err := krb.ParsePrincipal(spn)
	if err != nil {
		e := s.noCredentials(err, "")
		e.SPN = spn
		return krb.Principal{}, e
	}
	if server.Realm == "" && len(server.Components) > 1 {
		server.Realm, _ = s.conf.RealmOf(hostOf(server))
	}
	return server, nil
}

// Identity returns the principal of the gokrb5 client.
func (s *gokrb5Source) Identity(_ context.Context, spn string) (string, error) {
	if s.c == nil || s.c.Credentials == nil {
		return "", &middleware.Error{Stage: stage, Kind: middleware.ErrCredentials, SPN: spn}
	}
	return s.c.Credentials.UserName() + "@" + s.c.Credentials.Realm(), nil
}

// Identity returns as whom a token for t would be made now, "" where the source
// does not tell or t gets none.
func (i *initiator) Identity(ctx context.Context, t middleware.Target) (string, error) {
	if t.Proxy && i.proxy != nil {
		return i.proxy.Identity(ctx, t)
	}
	if i.identifier == nil || t.Check() != nil || !i.allowed.Match(t.Host, t.Port) {
		return "", nil
	}
	spn, _ := i.names.spn(t)
	principal, err := i.identifier.Identity(ctx, spn)
	if err != nil {
		return "", i.blame(err, t, spn)
	}
	return principal, nil
}

// Principal returns the client principal that the context speaks for.
func (c *securityContext) Principal() string { return c.ticket.client }
