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
	"github.com/kerbchain/kerbchain/internal/testmain"
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
	s, err := kerberos.FromKeytab(testmain.File(t, "keytab", realm.Keytab(service)), kerberos.SourceOptions{
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
		"another realm's user": {in, "alice@ELSEWHERE.EXAMPLE", "HTTP/db", middleware.ErrKDC, nil, "no way to realm ELSEWHERE.EXAMPLE"},
		"another realm":        {in, "alice", "HTTP/db@ELSEWHERE.EXAMPLE", middleware.ErrKDC, nil, "has such a service itself"},
		"its name elsewhere":   {in, "alice", "HTTP/gateway@ELSEWHERE.EXAMPLE", middleware.ErrCredentials, kerberos.ErrDelegationNotAllowed, "ELSEWHERE.EXAMPLE"},
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
	if who, err := in.Identity(ctx, "HTTP/db"); who != "alice@"+realm.Name() || err != nil {
		t.Errorf("before anybody asked: %q, %v", who, err)
	}
	asked := realm.Count(fakekdc.TGS, 0)
	ticket, err := in.ServiceTicket(ctx, "HTTP/db")
	if err != nil || ticket.Client() != "alice@"+realm.Name() {
		t.Fatal(ticket, err)
	}
	if who, err := in.Identity(ctx, "HTTP/db"); who != ticket.Client() || err != nil || realm.Count(fakekdc.TGS, 0) != asked+1 {
		t.Errorf("afterwards: %q, %v, %v", who, err, realm.Exchanges())
	}
	nobody := kerberos.AsUser(t.Context(), `nobody\@corp.example`)
	if who, err := in.Identity(nobody, "HTTP/db"); who != "" || !errors.Is(err, middleware.ErrCredentials) {
		t.Errorf("nobody: %q, %v", who, err)
	}
	over, cancel := context.WithCancel(nobody)
	cancel()
	if who, err := in.Identity(over, "HTTP/db"); who != "" || !errors.Is(err, context.Canceled) {
		t.Errorf("too late: %q, %v", who, err)
	}
}

// TestImpersonatorOfMany: 1000 users at three services at once take one login, one
// ticket each to the service and one each for every other, however often they ask.
func TestImpersonatorOfMany(t *testing.T) {
	t.Parallel()
	const users = 1000
	realm, in := gateway(t, fakekdc.WithoutSockets(), fakekdc.WithService("HTTP/third", fakekdc.AllowedToDelegateFrom("HTTP/gateway")))
	for n := range users {
		if err := realm.AddUser(fmt.Sprint("user", n), "secret", fakekdc.Iterations(4096)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := kerberos.FromKeytab(testmain.File(t, "keytab", realm.Keytab("HTTP/gateway")), kerberos.SourceOptions{
		Principal: "HTTP/gateway", Krb5ConfText: realm.Config("udp_preference_limit = 1"), Dial: realm.Dial, Logins: new(kerberos.Logins),
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
	third, err := in.ServiceTicket(ctx, "HTTP/db")
	if err != nil || !third.EndTime().After(clock.Now()) {
		t.Errorf("%v, %v", third, err)
	}
}

// TestImpersonatorDiscardsOne: what is dropped is one user's ticket for one service, and
// what it was got with.
func TestImpersonatorDiscardsOne(t *testing.T) {
	clock := new(fakekdc.Clock)
	realm, in := gateway(t, fakekdc.WithClock(clock.Now))
	get := func(user, spn string) kerberos.Ticket {
		t.Helper()
		ticket, err := in.ServiceTicket(kerberos.AsUser(t.Context(), user), spn)
		if err != nil {
			t.Fatal(err)
		}
		return ticket
	}
	first := get("alice", "HTTP/db")
	get("alice", "HTTP/open")
	get("bob", "HTTP/db")
	clock.Advance(2 * time.Minute)
	if !in.Discard(first) {
		t.Fatal("not dropped")
	}
	realm.ResetExchanges()
	get("alice", "HTTP/open")
	get("bob", "HTTP/db")
	if n := len(realm.Exchanges()); n != 0 {
		t.Errorf("others were dropped: %v", realm.Exchanges())
	}
	get("bob", "HTTP/open")
	if n := len(realm.Exchanges()); n != 1 {
		t.Errorf("what others were got with was dropped: %v", realm.Exchanges())
	}
}

// TestImpersonatorNewEvidence: where a KDC no longer takes the user's ticket for the
// service, another one is got, once; any other refusal is one.
func TestImpersonatorNewEvidence(t *testing.T) {
	dead := fakekdc.ReplyError(fakekdc.CodeBadIntegrity, nil)
	for name, tc := range map[string]struct {
		faults  []fakekdc.Fault
		works   bool
		fetched int // exchanges of the second request
	}{
		"no longer taken":    {[]fakekdc.Fault{dead}, true, 3},
		"nor is the new one": {[]fakekdc.Fault{dead, fakekdc.Delay(0), dead}, false, 3},
		"refused":            {[]fakekdc.Fault{fakekdc.ReplyError(fakekdc.CodePolicy, nil)}, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			realm, _ := gateway(t)
			o := environment(realm)
			s, err := kerberos.FromCCache(testmain.File(t, "cc", realm.CCache("HTTP/gateway")), o)
			if err != nil {
				t.Fatal(err)
			}
			in, ctx := kerberos.NewImpersonator(s), kerberos.AsUser(t.Context(), "alice")
			if _, err := in.ServiceTicket(ctx, "HTTP/db"); err != nil {
				t.Fatal(err)
			}
			realm.ResetExchanges()
			realm.FailNext(fakekdc.TGS, tc.faults...)
			_, err = in.ServiceTicket(ctx, "HTTP/open")
			if n := realm.Count(fakekdc.TGS); (err == nil) != tc.works || n != tc.fetched {
				t.Errorf("%d exchanges: %v, %v", n, err, realm.Exchanges())
			}
		})
	}
}

// TestImpersonatorOfUnknownService: a service that the KDC does not know is not asked for
// again for a minute, for that user.
func TestImpersonatorOfUnknownService(t *testing.T) {
	clock := new(fakekdc.Clock)
	realm, in := gateway(t, fakekdc.WithClock(clock.Now))
	ctx := kerberos.AsUser(t.Context(), "alice")
	ask := func(more bool) {
		t.Helper()
		before := realm.Count(fakekdc.TGS)
		if _, err := in.ServiceTicket(ctx, "HTTP/nowhere"); err == nil || (realm.Count(fakekdc.TGS) > before) != more {
			t.Errorf("%v, %v", err, realm.Exchanges())
		}
	}
	ask(true)
	ask(false)
	clock.Advance(time.Minute)
	ask(true)
}

// TestNoImpersonator: one that is none, or has no service, is an error.
func TestNoImpersonator(t *testing.T) {
	ctx := kerberos.AsUser(t.Context(), "alice")
	for name, in := range map[string]*kerberos.Impersonator{"nil": nil, "no service": kerberos.NewImpersonator(nil)} {
		if ticket, err := in.ServiceTicket(ctx, "HTTP/db"); !errors.Is(err, middleware.ErrConfiguration) || !ticket.IsZero() {
			t.Errorf("%s: %v, %v", name, ticket, err)
		}
		if who, err := in.Identity(ctx, "HTTP/db"); !errors.Is(err, middleware.ErrCredentials) || who != "" {
			t.Errorf("%s: %q, %v", name, who, err)
		}
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

// abroad is a realm of a gateway, one of users and one of a target, which the first
// trusts in both directions, and the impersonator.
func abroad(t *testing.T, o kerberos.SourceOptions, opts ...fakekdc.Option) (home, users, far *fakekdc.Realm, in *kerberos.Impersonator) {
	t.Helper()
	home = fakekdc.Start(t, append([]fakekdc.Option{fakekdc.WithRealm("GW.TEST"), fakekdc.WithPAC(), fakekdc.WithUser("alice", "secret", fakekdc.Certificate([]byte("alice's"))), fakekdc.WithService("HTTP/db.gw.test"),
		fakekdc.WithService("HTTP/gateway", fakekdc.TrustedToAuth(), fakekdc.AllowedToDelegateTo("HTTP/db.gw.test"))}, opts...)...)
	users = fakekdc.Start(t, append([]fakekdc.Option{fakekdc.WithRealm("USERS.TEST"), fakekdc.WithPAC(), fakekdc.WithUser("carol", "secret", fakekdc.Certificate([]byte("carol's"))),
		fakekdc.WithUser("vip", "secret", fakekdc.NotForwardable())}, opts...)...)
	far = fakekdc.Start(t, append([]fakekdc.Option{fakekdc.WithRealm("FAR.TEST"), fakekdc.WithPAC(), fakekdc.WithService("HTTP/db.far.test", fakekdc.AllowedToDelegateFrom("HTTP/gateway@GW.TEST")), fakekdc.WithService("HTTP/shut.far.test")}, opts...)...)
	for _, r := range []*fakekdc.Realm{users, far} {
		if err := home.Trust(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := users.Alias("carol@corp.test", "carol"); err != nil {
		t.Fatal(err)
	}
	o.Principal, o.Krb5ConfText, o.Now, o.Logins = "HTTP/gateway", home.Config(), home.Now, new(kerberos.Logins)
	o.Getenv = func(string) string { return "" }
	s, err := kerberos.FromKeytab(testmain.File(t, "keytab", home.Keytab("HTTP/gateway")), o)
	if err != nil {
		t.Fatal(err)
	}
	return home, users, far, kerberos.NewImpersonator(s)
}

// TestImpersonatorAbroad: users and targets of other realms, however the user is named,
// with armour and without.
func TestImpersonatorAbroad(t *testing.T) {
	t.Parallel()
	for name, fast := range map[string]bool{"plain": false, "armoured": true} {
		t.Run(name, func(t *testing.T) {
			var opts []fakekdc.Option
			if fast {
				opts = append(opts, fakekdc.WithFASTRequired())
			}
			home, users, _, in := abroad(t, kerberos.SourceOptions{}, opts...)
			if fast {
				host, err := kerberos.FromKeytab(testmain.File(t, "host", home.Keytab("HTTP/db.gw.test")), kerberos.SourceOptions{
					Principal: "HTTP/db.gw.test", Krb5ConfText: home.Config(), Now: home.Now, Logins: new(kerberos.Logins), Getenv: func(string) string { return "" }})
				if err != nil {
					t.Fatal(err)
				}
				s, err := kerberos.FromKeytab(testmain.File(t, "keytab", home.Keytab("HTTP/gateway")), kerberos.SourceOptions{
					Principal: "HTTP/gateway", Krb5ConfText: home.Config(), Now: home.Now, Logins: new(kerberos.Logins), Armor: host, Getenv: func(string) string { return "" }})
				if err != nil {
					t.Fatal(err)
				}
				in = kerberos.NewImpersonator(s)
			}
			for range 2 {
				for whose, as := range map[string]func(context.Context) context.Context{
					"alice@GW.TEST":    func(ctx context.Context) context.Context { return kerberos.AsUser(ctx, "alice") },
					"carol@USERS.TEST": func(ctx context.Context) context.Context { return kerberos.AsUser(ctx, "carol@USERS.TEST") },
					"carol@USERS.TEST by UPN": func(ctx context.Context) context.Context {
						return kerberos.AsUser(ctx, `carol\@corp.test`)
					},
					"carol@USERS.TEST by certificate": func(ctx context.Context) context.Context {
						return kerberos.AsCertificate(ctx, []byte("carol's"))
					},
					"alice@GW.TEST by certificate": func(ctx context.Context) context.Context {
						return kerberos.AsCertificate(ctx, []byte("alice's"))
					},
				} {
					want, _, _ := strings.Cut(whose, " ")
					for _, spn := range []string{"HTTP/db.gw.test", "HTTP/db.far.test", "HTTP/gateway"} {
						ctx := as(t.Context())
						ticket, err := in.ServiceTicket(ctx, spn)
						if err != nil || ticket.Client() != want {
							t.Fatalf("%s at %s: %v, %v", whose, spn, ticket, err)
						}
						if who, err := in.Identity(ctx, spn); who != want || err != nil {
							t.Errorf("%s: identity %q, %v", whose, who, err)
						}
					}
				}
			}
			searches := 0
			for _, e := range users.Exchanges() {
				switch {
				case fast && !e.FAST && e.Code != fakekdc.CodePolicy: // a realm has to ask for armour first
					t.Errorf("without armour: %v", e)
				case e.Kind == fakekdc.AS && e.Code == fakekdc.CodePreauthRequired:
					searches++
				}
			}
			if searches != 2 { // by UPN and by certificate
				t.Errorf("carol was looked for %d times: %v", searches, users.Exchanges())
			}
		})
	}
}

// TestImpersonatorRefusesAbroad: who refused, and what would help, is told of other
// realms, too.
func TestImpersonatorRefusesAbroad(t *testing.T) {
	_, _, _, in := abroad(t, kerberos.SourceOptions{})
	by := func(der string) context.Context { return kerberos.AsCertificate(t.Context(), []byte(der)) }
	as := func(user string) context.Context { return kerberos.AsUser(t.Context(), user) }
	for name, tc := range map[string]struct {
		ctx  context.Context
		spn  string
		is   error
		says string
	}{
		"target lets no one":        {as("carol@USERS.TEST"), "HTTP/shut.far.test", kerberos.ErrDelegationNotAllowed, "msDS-AllowedToActOnBehalfOfOtherIdentity there"},
		"sensitive":                 {as("vip@USERS.TEST"), "HTTP/db.gw.test", kerberos.ErrEvidenceNotForwardable, "cannot be delegated"},
		"nobody there":              {as("mallory@USERS.TEST"), "HTTP/db.gw.test", middleware.ErrCredentials, "mallory@USERS.TEST"},
		"nobody anywhere":           {as(`mallory\@corp.test`), "HTTP/db.gw.test", middleware.ErrCredentials, "mallory"},
		"no such realm":             {as("carol@NOWHERE.TEST"), "HTTP/db.gw.test", middleware.ErrKDC, "no way to realm NOWHERE.TEST"},
		"a certificate of nobody's": {by("mallory's"), "HTTP/db.gw.test", middleware.ErrCredentials, "altSecurityIdentities"},
		"no certificate":            {by(""), "HTTP/db.gw.test", middleware.ErrCredentials, "for no user"},
	} {
		ticket, err := in.ServiceTicket(tc.ctx, tc.spn)
		if !errors.Is(err, tc.is) || !strings.Contains(fmt.Sprint(err), tc.says) || !ticket.IsZero() {
			t.Errorf("%s: %v, %v", name, ticket, err)
		}
	}
	if got := kerberos.UserOf(by("carol's")); got != "" {
		t.Errorf("the certificate is user %q", got)
	}
}

// TestImpersonatorRenamed: if a certificate becomes another user's, no ticket of the
// first one's is used once the KDC has said so.
func TestImpersonatorRenamed(t *testing.T) {
	clock := new(fakekdc.Clock)
	_, users, _, in := abroad(t, kerberos.SourceOptions{}, fakekdc.WithClock(clock.Now))
	ctx := kerberos.AsCertificate(t.Context(), []byte("carol's"))
	get := func(spn string) kerberos.Ticket {
		t.Helper()
		ticket, err := in.ServiceTicket(ctx, spn)
		if err != nil {
			t.Fatal(err)
		}
		return ticket
	}
	first := get("HTTP/db.gw.test")
	if other := get("HTTP/db.far.test"); first.Client() != "carol@USERS.TEST" || other.Client() != first.Client() {
		t.Fatal(first, other)
	}
	if err := users.Remove("carol"); err != nil {
		t.Fatal(err)
	}
	if err := users.AddUser("dave", "secret", fakekdc.Certificate([]byte("carol's"))); err != nil {
		t.Fatal(err)
	}
	clock.Advance(2 * time.Minute)
	if !in.Discard(first) {
		t.Fatal("was not dropped")
	}
	for _, spn := range []string{"HTTP/db.gw.test", "HTTP/db.far.test"} {
		if got := get(spn); got.Client() != "dave@USERS.TEST" {
			t.Errorf("%s: %v", spn, got)
		}
		if who, err := in.Identity(ctx, spn); who != "dave@USERS.TEST" || err != nil {
			t.Errorf("%s: identity %q, %v", spn, who, err)
		}
	}
}

// TestImpersonatorByKeys: where a KDC seals whose a ticket is in the ticket alone, as
// Heimdal's and Samba's do, the keytab tells.
func TestImpersonatorByKeys(t *testing.T) {
	realm, in := gateway(t)
	realm.FailNext(fakekdc.TGS, fakekdc.UserInTicketAlone())
	ticket, err := in.ServiceTicket(kerberos.AsUser(t.Context(), "alice"), "HTTP/db")
	if err != nil || ticket.Client() != "alice@"+realm.Name() || realm.PendingFaults() != 0 {
		t.Errorf("%v, %v", ticket, err)
	}
}

// TestImpersonatorRefusedFarAway: a target's realm does not look at what the service may
// do in its own, and so is not told of that.
func TestImpersonatorRefusedFarAway(t *testing.T) {
	home, _, _, _ := abroad(t, kerberos.SourceOptions{}, fakekdc.WithService("HTTP/plain", fakekdc.AllowedToDelegateTo("HTTP/db.gw.test")))
	in := kerberos.NewImpersonator(serviceKeytab(t, home, "HTTP/plain"))
	ticket, err := in.ServiceTicket(kerberos.AsUser(t.Context(), "alice"), "HTTP/shut.far.test")
	if !errors.Is(err, kerberos.ErrDelegationNotAllowed) || errors.Is(err, kerberos.ErrEvidenceNotForwardable) {
		t.Errorf("%v, %v", ticket, err)
	}
}
