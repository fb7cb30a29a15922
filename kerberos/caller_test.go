package kerberos_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// presented is the ticket with which a user calls the service of that host, as its
// acceptor has it.
func presented(t *testing.T, realm *fakekdc.Realm, user, host string, o kerberos.SourceOptions) []byte {
	t.Helper()
	o.Principal, o.Krb5ConfText, o.Now, o.Logins = user, realm.Config(), realm.Now, new(kerberos.Logins)
	s, err := kerberos.FromPassword(kerberos.NewSecret("secret"), o)
	if err != nil {
		t.Fatal(err)
	}
	in, err := kerberos.NewInitiator(s, kerberos.InitiatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sc, err := in.Initiate(t.Context(), middleware.Target{Host: host, Port: "80"})
	if err != nil {
		t.Fatal(err)
	}
	token, err := sc.Step(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := realm.Accept(token, fakekdc.AcceptOptions{})
	if err != nil || accepted.Caller().Name != user+"@"+realm.Name() {
		t.Fatal(accepted, err)
	}
	return accepted.Ticket()
}

// callerRealm is a realm with a service that may act for its callers alone.
func callerRealm(t *testing.T, opts ...fakekdc.Option) *fakekdc.Realm {
	t.Helper()
	return fakekdc.Start(t, append([]fakekdc.Option{
		fakekdc.WithUser("alice", "secret"), fakekdc.WithUser("bob", "secret"), fakekdc.WithUser("vip", "secret", fakekdc.NotForwardable()),
		fakekdc.WithService("HTTP/db"), fakekdc.WithService("HTTP/shut"), fakekdc.WithService("HTTP/other"),
		fakekdc.WithService("HTTP/app", fakekdc.AllowedToDelegateTo("HTTP/db")),
	}, opts...)...)
}

// TestImpersonatorOfCallers: a service that may not name users acts for those who
// called it, by what they presented.
func TestImpersonatorOfCallers(t *testing.T) {
	realm := callerRealm(t)
	in := kerberos.NewImpersonator(serviceKeytab(t, realm, "HTTP/app"))
	forwardable := kerberos.SourceOptions{Forwardable: true}
	callers := map[string][]byte{"alice": presented(t, realm, "alice", "app", forwardable), "bob": presented(t, realm, "bob", "app", forwardable)}
	realm.ResetExchanges()
	for range 2 {
		for user, evidence := range callers {
			ctx := kerberos.AsCaller(t.Context(), evidence)
			ticket, err := in.ServiceTicket(ctx, "HTTP/db")
			if err != nil || ticket.Client() != user+"@"+realm.Name() {
				t.Fatalf("%s: %v, %v", user, ticket, err)
			}
			if who, err := in.Identity(ctx, "HTTP/db"); who != ticket.Client() || err != nil {
				t.Errorf("identity %q, %v", who, err)
			}
		}
	}
	if as, tgs := realm.Count(fakekdc.AS, 0), realm.Count(fakekdc.TGS, 0); as != 1 || tgs != 2 {
		t.Errorf("%d logins, %d tickets: %v", as, tgs, realm.Exchanges())
	}
	// Which function was called last counts, and nobody is nobody.
	ctx := kerberos.AsCaller(kerberos.AsUser(t.Context(), "bob"), callers["alice"])
	if ticket, err := in.ServiceTicket(ctx, "HTTP/db"); err != nil || ticket.Client() != "alice@"+realm.Name() || kerberos.UserOf(ctx) != "" {
		t.Errorf("%v, %v", ticket, err)
	}
	if ticket, err := in.ServiceTicket(kerberos.AsUser(ctx, ""), "HTTP/db"); !errors.Is(err, middleware.ErrCredentials) || !strings.Contains(err.Error(), "for no user") {
		t.Errorf("%v, %v", ticket, err)
	}
	if who, err := in.Identity(kerberos.AsCaller(t.Context(), presented(t, realm, "alice", "app", forwardable)), "HTTP/db"); who != "alice@"+realm.Name() || err != nil {
		t.Errorf("a caller who is not known yet: %q, %v", who, err)
	}
}

// TestImpersonatorOfCallersRefuses: what a caller presented counts if the service's keys
// open it, for as long as it lasts, and where the KDC allows it.
func TestImpersonatorOfCallersRefuses(t *testing.T) {
	clock := new(fakekdc.Clock)
	realm := callerRealm(t, fakekdc.WithClock(clock.Now))
	forwardable := kerberos.SourceOptions{Forwardable: true}
	keytab := kerberos.NewImpersonator(serviceKeytab(t, realm, "HTTP/app"))
	caches := new(kerberos.MemoryCaches)
	if err := caches.Put("app", realm.CCache("HTTP/app")); err != nil {
		t.Fatal(err)
	}
	s, err := kerberos.FromCCache("MEMORY:app", kerberos.SourceOptions{Krb5ConfText: realm.Config(), MemoryCaches: caches, Now: realm.Now})
	if err != nil {
		t.Fatal(err)
	}
	evidence := presented(t, realm, "alice", "app", forwardable)
	changed := append([]byte(nil), evidence...)
	changed[len(changed)-1] ^= 1
	for name, tc := range map[string]struct {
		in     *kerberos.Impersonator
		ticket []byte
		spn    string
		kind   error
		is     error
		says   string
	}{
		"not allowed":        {keytab, evidence, "HTTP/shut", middleware.ErrCredentials, kerberos.ErrDelegationNotAllowed, "msDS-AllowedToDelegateTo of HTTP/app"},
		"not forwardable":    {keytab, presented(t, realm, "alice", "app", kerberos.SourceOptions{}), "HTTP/db", middleware.ErrCredentials, kerberos.ErrEvidenceNotForwardable, "kinit -f"},
		"sensitive":          {keytab, presented(t, realm, "vip", "app", forwardable), "HTTP/db", middleware.ErrCredentials, kerberos.ErrEvidenceNotForwardable, "cannot be delegated"},
		"to another service": {keytab, presented(t, realm, "alice", "other", forwardable), "HTTP/db", middleware.ErrCredentials, nil, "for HTTP/other@" + realm.Name() + " opens under no key of HTTP/app"},
		"changed":            {keytab, changed, "HTTP/db", middleware.ErrCredentials, nil, "opens under no key"},
		"no ticket":          {keytab, []byte("junk"), "HTTP/db", middleware.ErrCredentials, nil, "DER of the Ticket"},
		"nothing":            {keytab, nil, "HTTP/db", middleware.ErrCredentials, nil, "DER of the Ticket"},
		"no keytab":          {kerberos.NewImpersonator(s), evidence, "HTTP/db", middleware.ErrConfiguration, nil, "kerberos.FromKeytab"},
	} {
		ticket, err := tc.in.ServiceTicket(kerberos.AsCaller(t.Context(), tc.ticket), tc.spn)
		var e *middleware.Error
		if !errors.Is(err, tc.kind) || tc.is != nil && !errors.Is(err, tc.is) || !errors.As(err, &e) || !ticket.IsZero() || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, %v", name, ticket, err)
		}
	}
	clock.Advance(11 * time.Hour)
	if ticket, err := keytab.ServiceTicket(kerberos.AsCaller(t.Context(), evidence), "HTTP/db"); err == nil || !strings.Contains(err.Error(), "ticket ended at") {
		t.Errorf("%v, %v", ticket, err)
	}
}
