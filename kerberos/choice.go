package kerberos

import (
	"context"
	"strings"

	"github.com/kerbchain/kerbchain/internal/inspect"
)

// A Choice is which credentials a [Source] takes for a service, and why.
type Choice struct {
	// Credentials names them: a cache as MIT krb5 spells it, a keytab, or a password.
	Credentials string
	// Client is the client principal, name@REALM; "" where only a KDC can tell.
	Client string
	// Why is a reason for people, "" where nothing else could be taken.
	Why string
}

// Choose returns the credentials that [Source.ServiceTicket] would take for spn now,
// and why these. It asks no KDC. Its errors are those of ServiceTicket.
func (s *Source) Choose(ctx context.Context, spn string) (Choice, error) {
	if to := inspect.Asked(ctx); to != nil {
		s.tell(ctx, to, spn)
	}
	client, err := s.Identity(ctx, spn)
	if err != nil {
		return Choice{}, err
	}
	name, err := s.choice(ctx, spn, s.o.Now())
	if err != nil {
		return Choice{}, err
	}
	made := Choice{Credentials: name, Client: client}
	switch creds := s.creds.(type) {
	case *cacheCredentials:
		made.Why, err = creds.why(ctx, s, spn)
	case *environmentCredentials:
		if kt := creds.keytab(); kt != nil && (strings.HasPrefix(name, fromKeytab) || !creds.holds(ctx, name)) {
			made.Credentials = "client keytab " + kt.path
			made.Why = "the credential cache " + creds.cache.name.String() + " holds nothing of use"
			break
		}
		made.Why, err = creds.cache.why(ctx, s, spn)
	case *keytabCredentials:
		made.Credentials = "keytab " + creds.path
	case *passwordCredentials:
		made.Credentials = "password"
	}
	return made, err
}

// holds reports whether the cache of a session's name can be opened.
func (c *environmentCredentials) holds(ctx context.Context, name string) bool {
	_, err := c.cache.peek(ctx, name, c.cache.s.o.Now())
	return err == nil
}

// why returns the reason for pick's choice.
func (c *cacheCredentials) why(ctx context.Context, s *Source, spn string) (string, error) {
	server, err := s.server(spn)
	if err != nil {
		return "", err
	}
	primary, err := c.collection.Primary(ctx)
	if err != nil {
		return "", s.noCredentials(err, "run kinit")
	}
	_, why, err := c.pick(ctx, primary, server)
	return why, err
}
