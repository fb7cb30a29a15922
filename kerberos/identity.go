package kerberos

import (
	"context"
	"io/fs"
	"strings"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
)

// An Identifier is a [TicketSource] that tells its client principal. An initiator
// over one is a [middleware.Identifier]. A [Source] is one.
type Identifier interface {
	// Identity returns the client principal, name@REALM, of the ticket that
	// ServiceTicket would return for spn now. It is called for each request, and must
	// be fast. Its errors are those of ServiceTicket.
	Identity(ctx context.Context, spn string) (principal string, err error)
}

// A choice is the session for a service, and until when that needs no check.
type choice struct {
	name  string
	epoch uint64
	until time.Time
}

// Identity returns the client principal of the ticket that ServiceTicket would return
// for spn now, "" if only a KDC can tell and was not asked yet, as with an enterprise
// name. It looks at caches once a second at most, as ServiceTicket does, and asks no
// KDC.
func (s *Source) Identity(ctx context.Context, spn string) (string, error) {
	now := s.o.Now()
	if t, ok := s.tickets.Get(spn); ok {
		if held := t.of.session(); held != nil && t.client == held.who {
			if epoch, changed := s.creds.check(ctx, held, now); !changed && epoch == t.epoch {
				return t.client, nil
			}
		}
	}
	name, err := s.choice(ctx, spn, now)
	if err != nil {
		return "", withSPN(err, spn)
	}
	if held := s.session(name); held != nil {
		// The principal stays the same, even if the ticket has expired.
		if _, changed := s.creds.check(ctx, held, now); held.state == "" || !changed {
			return held.who, nil
		}
	}
	client, err := s.creds.peek(ctx, name, now)
	if err != nil {
		return "", withSPN(err, spn)
	}
	if client.IsZero() || client.Type == krb.NTEnterprise {
		return "", nil
	}
	return client.String(), nil
}

// choice returns the name of the session for a service.
func (s *Source) choice(ctx context.Context, spn string, now time.Time) (string, error) {
	made, ok := s.chosen.Get(spn)
	held := s.session(made.name)
	if ok && held != nil && now.Before(made.until) && !now.Before(made.until.Add(-interval)) {
		if epoch, changed := s.creds.check(ctx, held, now); epoch == made.epoch && (held.state == "" || !changed) {
			return made.name, nil
		}
	}
	server, err := s.server(spn)
	if err != nil {
		return "", err
	}
	name, epoch, err := s.creds.choose(ctx, server)
	if err != nil {
		return "", err
	}
	if !ok {
		s.chosen.MakeRoom(maxTickets, func(_ string, old choice) bool { return !now.Before(old.until) })
	}
	s.chosen.Put(spn, choice{name, epoch, now.Add(interval)})
	return name, nil
}

// server returns the service principal that spn names, in the realm to which krb5.conf
// maps its host, if any.
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

// peek returns the principal of the password.
func (c *passwordCredentials) peek(context.Context, string, time.Time) (krb.Principal, error) {
	return c.client, nil
}

// peek returns the principal whose keys of the keytab would be used.
func (c *keytabCredentials) peek(ctx context.Context, _ string, _ time.Time) (krb.Principal, error) {
	if !c.want.IsZero() {
		return c.want, nil
	}
	client, _, err := c.load(ctx)
	return client, err
}

// peek opens a cache, which asks no KDC, unless the cache is known to be gone.
func (c *cacheCredentials) peek(ctx context.Context, name string, now time.Time) (krb.Principal, error) {
	c.mu.Lock()
	m := c.members[name]
	c.mu.Unlock()
	if m != nil {
		c.look(ctx, m, now)
		m.mu.Lock()
		last := m.last
		m.mu.Unlock()
		if m.gone.Load() != 0 && (last == nil || m.destroyed(now)) {
			return krb.Principal{}, c.unreadable(m, fs.ErrNotExist)
		}
	}
	opened, err := c.s.logins.Do(ctx, name, func(ctx context.Context) (*session, error) {
		s, err := c.open(ctx, name)
		if err == nil {
			s.name = name
			c.s.publish(s)
		}
		return s, err
	})
	if err != nil {
		return krb.Principal{}, err
	}
	return opened.client, nil
}

func (c *environmentCredentials) peek(ctx context.Context, name string, now time.Time) (krb.Principal, error) {
	client, fromFile := strings.CutPrefix(name, fromKeytab)
	if !fromFile {
		p, err := c.cache.peek(ctx, name, now)
		if err == nil || c.keytab() == nil {
			return p, err
		}
		client = ""
	}
	kt, err := c.keytabOf(client)
	if err != nil {
		return krb.Principal{}, err
	}
	return kt.peek(ctx, "", now)
}

// Identity returns as whom a token for t would be made now, "" where the source
// does not tell or t gets none.
func (i *initiator) Identity(ctx context.Context, t middleware.Target) (string, error) {
	if t.Proxy && i.proxy != nil {
		return i.proxy.Identity(ctx, t)
	}
	if i.identifier == nil || t.Check() != nil || !i.hosts.Allow(t) {
		return "", nil
	}
	spn, _ := i.names.For(t)
	principal, err := i.identifier.Identity(ctx, spn)
	if err != nil {
		return "", i.blame(err, t, spn)
	}
	return principal, nil
}

// Principal returns the client principal that the context speaks for.
func (c *securityContext) Principal() string { return c.ticket.client }
