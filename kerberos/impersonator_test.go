package kerberos_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// gateway is a realm with a service that acts for users, and its impersonator.
func gateway(t *testing.T, opts ...fakekdc.Option) (*fakekdc.Realm, *kerberos.Impersonator) {
	t.Helper()
	realm := fakekdc.Start(t, append([]fakekdc.Option{
		fakekdc.WithUser("alice", "secret"), fakekdc.WithUser("bob", "other"),
		fakekdc.WithService("HTTP/db"), fakekdc.WithService("HTTP/open", fakekdc.AllowedToDelegateFrom("HTTP/gateway")), fakekdc.WithService("HTTP/shut"),
		fakekdc.WithService("HTTP/gateway", fakekdc.TrustedToAuth(), fakekdc.AllowedToDelegateTo("HTTP/db")),
	}, opts...)...)
	return realm, kerberos.NewImpersonator(serviceKeytab(t, realm, "HTTP/gateway"))
}

func serviceKeytab(t *testing.T, realm *fakekdc.Realm, service string) *kerberos.Source {
	t.Helper()
	s, err := kerberos.FromKeytab(write(t, "keytab", realm.Keytab(service)), kerberos.SourceOptions{
		Principal: service, Krb5ConfText: realm.Config(), Now: realm.Now, Logins: new(kerberos.Logins), Getenv: func(string) string { return "" },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestImpersonator: tickets are the user's whom the context names, for the services
// that the KDC allows, and each is fetched once.
func TestImpersonator(t *testing.T) {
	for _, etype := range []int32{fakekdc.AES128SHA1, fakekdc.AES256SHA1, fakekdc.AES128SHA256, fakekdc.AES256SHA384} {
		realm, in := gateway(t, fakekdc.WithEtypes(etype))
		for range 2 {
			for user, want := range map[string]string{"alice": "alice", "bob": "bob", "alice@" + realm.Name(): "alice"} {
				for _, spn := range []string{"HTTP/db", "HTTP/open", "HTTP/gateway"} {
					ctx := kerberos.AsUser(t.Context(), user)
					ticket, err := in.ServiceTicket(ctx, spn)
					if err != nil || ticket.Client() != want+"@"+realm.Name() || ticket.SPN() != spn+"@"+realm.Name() {
						t.Errorf("etype %d, %s at %s: %v, %v", etype, user, spn, ticket, err)
					}
					if who, err := in.Identity(ctx, spn); who != ticket.Client() || err != nil {
						t.Errorf("identity %q, %v", who, err)
					}
				}
			}
		}
		// Three users by name: each once to the gateway, and twice on.
		if n := realm.Count(fakekdc.TGS, 0); n != 9 {
			t.Errorf("%d tickets were fetched: %v", n, realm.Exchanges())
		}
	}
}

// TestImpersonatorRefuses: whoever may not be acted for, or where, is told apart.
func TestImpersonatorRefuses(t *testing.T) {
	realm, in := gateway(t,
		fakekdc.WithUser("vip", "secret", fakekdc.NotForwardable()),
		fakekdc.WithService("HTTP/plain", fakekdc.AllowedToDelegateTo("HTTP/db")))
	plain := kerberos.NewImpersonator(serviceKeytab(t, realm, "HTTP/plain"))
	for name, tc := range map[string]struct {
		in   *kerberos.Impersonator
		user string
		spn  string
		kind error
		is   error
		says string
	}{
		"no user":              {in, "", "HTTP/db", middleware.ErrCredentials, nil, "kerberos.AsUser"},
		"nobody":               {in, "mallory", "HTTP/db", middleware.ErrCredentials, nil, "mallory"},
		"not allowed":          {in, "alice", "HTTP/shut", middleware.ErrCredentials, kerberos.ErrDelegationNotAllowed, "msDS-AllowedToDelegateTo of HTTP/gateway"},
		"not trusted":          {plain, "alice", "HTTP/db", middleware.ErrCredentials, kerberos.ErrEvidenceNotForwardable, "TrustedToAuthForDelegation"},
		"sensitive":            {in, "vip", "HTTP/db", middleware.ErrCredentials, kerberos.ErrEvidenceNotForwardable, "cannot be delegated"},
		"unknown service":      {in, "alice", "HTTP/nowhere", middleware.ErrKDC, nil, "HTTP/nowhere"},
		"another realm's user": {in, "alice@ELSEWHERE.EXAMPLE", "HTTP/db", middleware.ErrKDC, nil, "across realms is not supported"},
		"another realm":        {in, "alice", "HTTP/db@ELSEWHERE.EXAMPLE", middleware.ErrKDC, nil, "across realms is not supported"},
		"no name":              {in, "@", "HTTP/db", middleware.ErrConfiguration, nil, "name@REALM"},
		"no service":           {kerberos.NewImpersonator(nil), "alice", "HTTP/db", middleware.ErrConfiguration, nil, "no service to act with"},
	} {
		ticket, err := tc.in.ServiceTicket(kerberos.AsUser(t.Context(), tc.user), tc.spn)
		var e *middleware.Error
		if !errors.Is(err, tc.kind) || tc.is != nil && !errors.Is(err, tc.is) || !errors.As(err, &e) || !ticket.IsZero() || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, %v", name, ticket, err)
		}
	}
}

// TestImpersonatorOfEnterpriseName: who is given by a user principal name is whom the
// KDC says that is.
func TestImpersonatorOfEnterpriseName(t *testing.T) {
	realm, in := gateway(t)
	if err := realm.Alias("alice@corp.example", "alice"); err != nil {
		t.Fatal(err)
	}
	ctx := kerberos.AsUser(t.Context(), `alice\@corp.example`)
	if who, err := in.Identity(ctx, "HTTP/db"); who != "" || err != nil {
		t.Errorf("before anybody asked: %q, %v", who, err)
	}
	ticket, err := in.ServiceTicket(ctx, "HTTP/db")
	if err != nil || ticket.Client() != "alice@"+realm.Name() {
		t.Fatal(ticket, err)
	}
	if who, err := in.Identity(ctx, "HTTP/db"); who != ticket.Client() || err != nil {
		t.Errorf("afterwards: %q, %v", who, err)
	}
}

// TestImpersonatorOfMany: 1000 users at three services at once take one login, one
// ticket each to the service and one each for every other, however often they ask.
func TestImpersonatorOfMany(t *testing.T) {
	const users = 1000
	realm, in := gateway(t, fakekdc.WithoutSockets(), fakekdc.WithService("HTTP/third", fakekdc.AllowedToDelegateFrom("HTTP/gateway")))
	for n := range users {
		if err := realm.AddUser(fmt.Sprint("user", n), "secret", fakekdc.Iterations(4096)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := kerberos.FromKeytab(write(t, "keytab", realm.Keytab("HTTP/gateway")), kerberos.SourceOptions{
		Principal: "HTTP/gateway", Krb5ConfText: realm.Config(), Dial: realm.Dial, Logins: new(kerberos.Logins),
	})
	if err != nil {
		t.Fatal(err)
	}
	in = kerberos.NewImpersonator(s)
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8) // so that the KDC answers before clients ask again
	for n := range users {
		for _, spn := range []string{"HTTP/db", "HTTP/open", "HTTP/db", "HTTP/third"} {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				user := fmt.Sprint("user", n)
				ticket, err := in.ServiceTicket(kerberos.AsUser(t.Context(), user), spn)
				if err != nil || ticket.Client() != user+"@"+realm.Name() {
					t.Errorf("%s: %v, %v", user, ticket, err)
				}
			})
		}
	}
	wg.Wait()
	self, proxy := 0, 0
	for _, e := range realm.Exchanges() {
		switch {
		case e.Kind != fakekdc.TGS:
		case strings.Contains(e.String(), "S4U2Self"):
			self++
		case strings.Contains(e.String(), "S4U2Proxy"):
			proxy++
		}
	}
	if as, tgs := realm.Count(fakekdc.AS, 0), realm.Count(fakekdc.TGS, 0); as != 1 || self != users || proxy != 3*users || tgs != 4*users {
		t.Errorf("%d logins, %d tickets to the service and %d on from there, want 1, %d and %d", as, self, proxy, users, 3*users)
	}
}

// TestImpersonatorAnew: evidence that the KDC takes no longer, since the service's keys
// were changed, is fetched anew; so is a ticket that a server cannot use.
func TestImpersonatorAnew(t *testing.T) {
	clock := new(fakekdc.Clock)
	realm, in := gateway(t, fakekdc.WithClock(clock.Now))
	ctx := kerberos.AsUser(t.Context(), "alice")
	first, err := in.ServiceTicket(ctx, "HTTP/db")
	if err != nil {
		t.Fatal(err)
	}
	if in.Discard(first) || in.Discard(kerberos.Ticket{}) {
		t.Error("a fresh ticket was dropped")
	}
	clock.Advance(2 * time.Minute)
	if !in.Discard(first) {
		t.Error("an old one was not")
	}
	second, err := in.ServiceTicket(ctx, "HTTP/db")
	if err != nil || realm.Count(fakekdc.TGS, 0) != 4 {
		t.Errorf("%v, %v", second, realm.Exchanges())
	}
	clock.Advance(11 * time.Hour) // all has run out
	if _, err := in.ServiceTicket(ctx, "HTTP/db"); err != nil {
		t.Error(err)
	}
}

// TestImpersonatorGivesUp: a caller whose time is over is told of the user.
func TestImpersonatorGivesUp(t *testing.T) {
	realm, in := gateway(t)
	release := make(chan struct{})
	defer close(release)
	realm.FailNext(fakekdc.TGS, fakekdc.HoldUntil(release))
	ctx, cancel := context.WithTimeout(kerberos.AsUser(t.Context(), "alice"), 50*time.Millisecond)
	defer cancel()
	_, err := in.ServiceTicket(ctx, "HTTP/db")
	var e *middleware.Error
	if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e) || e.Principal != "alice" || e.SPN != "HTTP/db" {
		t.Errorf("%v", err)
	}
	if _, err := in.ServiceTicket(ctx, "HTTP/db"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("too late: %v", err)
	}
}
