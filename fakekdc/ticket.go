package fakekdc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// Ticket returns a service ticket of a user, from a realm of its own of which
// nothing remains, for tests of code that only hands tickets on: it is genuine to
// the client, and no service has its key. [Realm.Ticket] is for those that are to
// be accepted.
//
//	fakekdc.Ticket(t, "alice@A.EXAMPLE", "HTTP/app.example")
//
// The realm is the user's; without one it is a new name. Errors end the test.
func Ticket(tb TB, user, service string, opts ...Option) kerberos.Ticket {
	tb.Helper()
	t, err := lonely(user, service, opts)
	if err != nil {
		tb.Fatalf("fakekdc: %v", err)
	}
	return t
}

func lonely(user, service string, opts []Option) (kerberos.Ticket, error) {
	name, err := krb.ParsePrincipal(user)
	if err != nil {
		return kerberos.Ticket{}, err
	}
	all := []Option{WithoutSockets(), WithUser(user, rand.Text()), WithService(service)}
	if name.Realm != "" {
		all = append(all, WithRealm(name.Realm))
	}
	r, err := New(append(all, opts...)...)
	if err != nil {
		return kerberos.Ticket{}, err
	}
	defer r.Close()
	return r.ticket(user, service)
}

// Ticket returns a ticket of the user for the service, made without an exchange,
// as long-lived and with as many flags as the realm allows. "krbtgt/REALM" is the
// service of ticket-granting tickets. An unknown name ends the test; in a realm
// made by [New] the result is the zero Ticket then.
func (r *Realm) Ticket(user, service string) kerberos.Ticket {
	t, err := r.ticket(user, service)
	if r.fail(err) != nil {
		return kerberos.Ticket{}
	}
	return t
}

func (r *Realm) ticket(user, service string) (kerberos.Ticket, error) {
	client, err := r.lookupText(user)
	if err != nil {
		return kerberos.Ticket{}, err
	}
	flags := krb.FlagTransitedOK
	if n, err := r.parseName(service); err == nil && n.IsTGS() {
		flags = krb.FlagInitial
	}
	t, err := r.mint(client, service, flags)
	if err != nil {
		return kerberos.Ticket{}, err
	}
	return kerberos.NewTicket(kerberos.TicketParts{
		Client: t.Client.String(), Server: t.Server.String(), DER: t.Raw, Key: t.Key.EncryptionKey(), Flags: t.Flags,
		AuthTime: t.AuthTime, StartTime: t.StartTime, EndTime: t.EndTime, RenewTill: t.RenewTill,
		Source: "realm " + r.realm,
	})
}

// SecurityContext returns the context of a user's request to a URL, such as
// "http://app.example/", for tests of stages and of whatever else asks
// middleware.SecurityOf. The realm must have the service HTTP/host. The context
// comes from an initiator of package kerberos and has made its token; if it is to
// be verified, the service's answer has been stepped through it as well. Nothing
// is sent. It is bound to no TLS connection.
//
// Errors are as with [Realm.Ticket], the result being nil.
func (r *Realm) SecurityContext(user, rawURL string, verified bool) middleware.SecurityContext {
	sc, err := r.securityContext(user, rawURL, verified)
	if r.fail(err) != nil {
		return nil
	}
	return sc
}

func (r *Realm) securityContext(user, rawURL string, verified bool) (middleware.SecurityContext, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Hostname() == "" {
		return nil, fmt.Errorf("security context for %q: want a URL such as http://app.example/", rawURL)
	}
	in, err := kerberos.NewInitiator(minter{r, user}, kerberos.InitiatorOptions{Bindings: kerberos.BindingsOff, Now: r.now})
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	target := middleware.TargetOf(u)
	target.Scheme = middleware.Kerberos
	sc, err := in.Initiate(ctx, target)
	if err != nil {
		return nil, err
	}
	token, err := sc.Step(ctx, nil)
	if err != nil || !verified {
		return sc, err
	}
	_, _, inner, err := spnego.Unframe(token)
	if err != nil {
		return nil, err
	}
	a, no := r.accept(inner, demand{})
	if no != nil {
		return nil, errors.New(no.text)
	}
	rep, err := a.apRep(a.session, a.auth.CTime, a.auth.Cusec)
	if err != nil {
		return nil, err
	}
	_, err = sc.Step(ctx, spnego.Frame(spnego.TokAPRep, rep))
	return sc, err
}

// A minter makes the tickets that it is asked for.
type minter struct {
	realm *Realm
	user  string
}

// ServiceTicket makes a ticket.
func (m minter) ServiceTicket(_ context.Context, spn string) (kerberos.Ticket, error) {
	t, err := m.realm.ticket(m.user, spn)
	if err != nil {
		return t, &middleware.Error{Stage: "fakekdc", Kind: middleware.ErrKDC, SPN: spn, Principal: m.user, KDC: m.realm.realm, Err: err}
	}
	return t, nil
}

// ContextWithCaller returns a context of which [CallerOf] says that the caller made
// the request, for tests of a handler without a [Handler] around it.
func ContextWithCaller(ctx context.Context, c Caller) context.Context { return withCaller(ctx, c) }
