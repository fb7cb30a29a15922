package clienttest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// StrayTicket returns a service ticket of a user, from a realm of its own of which
// nothing remains, for tests of code that only hands tickets on: it is genuine to the
// client, and no service has its key. [Ticket] is for those that are to be accepted.
//
//	clienttest.StrayTicket(t, "alice@A.EXAMPLE", "HTTP/app.example")
//
// The realm is the user's; without one it is a new name.
func StrayTicket(tb fakekdc.TB, user, service string, opts ...fakekdc.Option) kerberos.Ticket {
	t, err := stray(user, service, opts)
	if err != nil {
		fail(tb, err)
	}
	return t
}

func stray(user, service string, opts []fakekdc.Option) (kerberos.Ticket, error) {
	name, err := krb.ParsePrincipal(user)
	if err != nil {
		return kerberos.Ticket{}, err
	}
	all := []fakekdc.Option{fakekdc.WithoutSockets(), fakekdc.WithUser(user, rand.Text()), fakekdc.WithService(service)}
	if name.Realm != "" {
		all = append(all, fakekdc.WithRealm(name.Realm))
	}
	realm, err := fakekdc.New(append(all, opts...)...)
	if err != nil {
		return kerberos.Ticket{}, err
	}
	defer realm.Close()
	return ticket(realm, user, service)
}

// Ticket returns a ticket of the user for the service, made without an exchange, as
// long-lived and with as many flags as the realm allows. "krbtgt/REALM" is the service
// of ticket-granting tickets.
func Ticket(tb fakekdc.TB, realm *fakekdc.Realm, user, service string) kerberos.Ticket {
	t, err := ticket(realm, user, service)
	if err != nil {
		fail(tb, err)
	}
	return t
}

func ticket(realm *fakekdc.Realm, user, service string) (kerberos.Ticket, error) {
	s, err := source(realm, user, realmOptions(realm), service)
	if err != nil {
		return kerberos.Ticket{}, err
	}
	return s.ServiceTicket(context.Background(), service)
}

// SecurityContext returns the context of a user's request to a URL, such as
// "http://app.example/", for tests of stages and of whatever else asks
// middleware.SecurityOf. The realm must have the service HTTP/host. The context comes
// from an initiator of package kerberos and has made its token; if it is to be
// verified, the service's answer has been stepped through it as well. Nothing is sent.
// It is bound to no TLS connection.
func SecurityContext(tb fakekdc.TB, realm *fakekdc.Realm, user, rawURL string, verified bool) middleware.SecurityContext {
	sc, err := securityContext(realm, user, rawURL, verified)
	if err != nil {
		fail(tb, err)
	}
	return sc
}

func securityContext(realm *fakekdc.Realm, user, rawURL string, verified bool) (middleware.SecurityContext, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Hostname() == "" {
		return nil, fmt.Errorf("security context for %q: want a URL such as http://app.example/", rawURL)
	}
	in, err := kerberos.NewInitiator(minter{realm, user}, kerberos.InitiatorOptions{Bindings: kerberos.BindingsOff, Now: realm.Now})
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	sc, err := in.Initiate(ctx, middleware.TargetOfURL(u))
	if err != nil {
		return nil, err
	}
	token, err := sc.Step(ctx, nil)
	if err != nil || !verified {
		return sc, err
	}
	accepted, err := realm.Accept(token, fakekdc.AcceptOptions{})
	if err != nil {
		return nil, err
	}
	_, err = sc.Step(ctx, accepted.Response())
	return sc, err
}

// A minter makes the tickets that it is asked for, without an exchange.
type minter struct {
	realm *fakekdc.Realm
	user  string
}

// ServiceTicket makes a ticket.
func (m minter) ServiceTicket(_ context.Context, spn string) (kerberos.Ticket, error) {
	return ticket(m.realm, m.user, spn)
}
