package kerberos_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/initiatortest"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// enforced leaves delegation to the KDC.
func enforced(o *kerberos.SourceOptions) {
	o.Krb5ConfText = "[libdefaults]\nenforce_ok_as_delegate = true\n" + o.Krb5ConfText
}

// forEachSource runs a test with a source as it is, and with one that a program has
// embedded in a type of its own.
func forEachSource(t *testing.T, name string, test func(*testing.T, func(*kerberos.Source) kerberos.TicketSource)) {
	t.Run(name, func(t *testing.T) { test(t, func(s *kerberos.Source) kerberos.TicketSource { return s }) })
	t.Run(name+", decorated", func(t *testing.T) {
		test(t, func(s *kerberos.Source) kerberos.TicketSource { return struct{ *kerberos.Source }{s} })
	})
}

// A source that cannot tell whether the KDC is to decide is none that delegates.
func TestDelegatorTellsWhoDecides(t *testing.T) {
	realm := start(t)
	source, err := kerberos.FromPassword(kerberos.NewSecret(password), as(environment(realm), "alice"))
	if err != nil {
		t.Fatal(err)
	}
	partly := struct {
		kerberos.TicketSource
		forwarder
	}{source, source}
	if _, err := kerberos.NewInitiator(partly, kerberos.InitiatorOptions{Delegation: kerberos.DelegationAlways}); err == nil || !strings.Contains(err.Error(), "cannot delegate") {
		t.Error(err)
	}
}

type forwarder interface {
	ForwardedTicket(context.Context, kerberos.Ticket) (kerberos.Ticket, error)
}

func TestDelegation(t *testing.T) {
	t.Parallel()
	const trusted = "HTTP/trusted.example"
	for name, tc := range map[string]struct {
		o         kerberos.InitiatorOptions
		host      string
		options   func(*kerberos.SourceOptions)
		user      []fakekdc.PrincipalOption
		delegated bool
		proxy     bool
		from      string
		err       error
	}{
		"off":                          {host: "trusted.example"},
		"always":                       {o: kerberos.InitiatorOptions{Delegation: kerberos.DelegationAlways}, host: "localhost", delegated: true},
		"policy, trusted":              {o: kerberos.InitiatorOptions{Delegation: kerberos.DelegationPolicy}, host: "trusted.example", delegated: true},
		"policy, not trusted":          {o: kerberos.InitiatorOptions{Delegation: kerberos.DelegationPolicy}, host: "localhost"},
		"listed":                       {o: kerberos.InitiatorOptions{Delegation: kerberos.DelegationAlways, DelegateTo: []string{"*.example"}}, host: "trusted.example", delegated: true},
		"not listed":                   {o: kerberos.InitiatorOptions{Delegation: kerberos.DelegationAlways, DelegateTo: []string{"*.example"}}, host: "localhost"},
		"proxy":                        {o: kerberos.InitiatorOptions{Delegation: kerberos.DelegationAlways}, host: "localhost", proxy: true},
		"enforced by krb5.conf":        {o: kerberos.InitiatorOptions{Delegation: kerberos.DelegationAlways}, host: "localhost", options: enforced},
		"enforced, trusted":            {o: kerberos.InitiatorOptions{Delegation: kerberos.DelegationAlways}, host: "trusted.example", options: enforced, delegated: true},
		"a redirect led there":         {o: kerberos.InitiatorOptions{Delegation: kerberos.DelegationAlways}, host: "localhost", from: "first.example:80"},
		"a redirect led there, listed": {o: kerberos.InitiatorOptions{Delegation: kerberos.DelegationAlways, DelegateTo: []string{"localhost"}}, host: "localhost", from: "first.example:80", delegated: true},
		"not asked for":                {o: kerberos.InitiatorOptions{Delegation: kerberos.DelegationAlways}, host: "localhost", options: func(o *kerberos.SourceOptions) { o.Forwardable = false }, err: kerberos.ErrNotForwardable},
		"not forwardable":              {o: kerberos.InitiatorOptions{Delegation: kerberos.DelegationAlways}, host: "localhost", user: []fakekdc.PrincipalOption{fakekdc.NotForwardable()}, err: kerberos.ErrNotForwardable},
		"policy, but not forwardable":  {o: kerberos.InitiatorOptions{Delegation: kerberos.DelegationPolicy}, host: "trusted.example", user: []fakekdc.PrincipalOption{fakekdc.NotForwardable()}},
	} {
		forEachSource(t, name, func(t *testing.T, decorate func(*kerberos.Source) kerberos.TicketSource) {
			realm := start(t, fakekdc.WithService(trusted, fakekdc.OKAsDelegate()), fakekdc.WithUser("bob", password, tc.user...))
			o := as(environment(realm), "bob")
			o.Forwardable = true
			if tc.options != nil {
				tc.options(&o)
			}
			source, err := kerberos.FromPassword(kerberos.NewSecret(password), o)
			if err != nil {
				t.Fatal(err)
			}
			in, err := kerberos.NewInitiator(decorate(source), tc.o)
			if err != nil {
				t.Fatal(err)
			}
			target := middleware.Target{Host: tc.host, Port: "80", Proxy: tc.proxy, RedirectedFrom: tc.from}
			for range 3 {
				var event middleware.TokenEvent
				ctx := middleware.WithTrace(t.Context(), func(e middleware.Event) {
					if e, ok := e.(middleware.TokenEvent); ok {
						event = e
					}
				})
				sc, err := in.Initiate(ctx, target)
				if tc.err != nil {
					if !errors.Is(err, tc.err) || !errors.Is(err, middleware.ErrCredentials) {
						t.Fatalf("got %v, want %v", err, tc.err)
					}
					t.Log(err)
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if _, err := sc.Step(ctx, nil); err != nil {
					t.Fatal(err)
				}
				if event.Delegate != tc.delegated {
					t.Errorf("delegated %v, want %v", event.Delegate, tc.delegated)
				}
			}
			want := 1
			if tc.delegated {
				want = 2
			}
			if n := realm.Count(fakekdc.TGS); n != want {
				t.Errorf("%d TGS exchanges for three tokens, want %d: %v", n, want, realm.Exchanges())
			}
		})
	}
}

// TestDelegationArrives: the service sees the flag, and the token is accepted.
func TestDelegationArrives(t *testing.T) {
	for _, etype := range []int32{17, 18, 19, 20, 23} {
		realm := start(t, fakekdc.WithEtypes(etype))
		source, err := kerberos.FromCCache(testmain.File(t, "cc", realm.CCache("alice")), environment(realm))
		if err != nil {
			t.Fatal(err)
		}
		in, err := kerberos.NewInitiator(source, kerberos.InitiatorOptions{Delegation: kerberos.DelegationAlways})
		if err != nil {
			t.Fatal(err)
		}
		handler := fakeweb.New(realm, spn, fakeweb.Options{})
		sc, resp, err := initiatortest.Exchange(t, in, fakeweb.Serve(realm, handler, fakeweb.ServerOptions{}), middleware.Negotiate)
		if err != nil || resp.StatusCode != 200 || !sc.Verified() {
			t.Fatalf("etype %d: response %v, error %v", etype, resp, err)
		}
		last := handler.Requests()[len(handler.Requests())-1]
		if last.Caller.Flags&fakekdc.GSSDeleg == 0 {
			t.Errorf("etype %d: flags %x at the service", etype, last.Caller.Flags)
		}
	}
}

// TestDelegationFails: a ticket that may not be forwarded is not missed where the KDC's
// policy decides, but a KDC that fails is.
func TestDelegationFails(t *testing.T) {
	realm := start(t, fakekdc.WithService("HTTP/trusted.example", fakekdc.OKAsDelegate()))
	source, err := kerberos.FromCCache(testmain.File(t, "cc", realm.CCache("alice")), environment(realm))
	if err != nil {
		t.Fatal(err)
	}
	in, err := kerberos.NewInitiator(source, kerberos.InitiatorOptions{Delegation: kerberos.DelegationPolicy})
	if err != nil {
		t.Fatal(err)
	}
	realm.FailNext(fakekdc.TGS, fakekdc.Delay(0), fakekdc.ReplyError(fakekdc.CodePolicy, nil))
	if _, err := in.Initiate(t.Context(), middleware.Target{Host: "trusted.example", Port: "80"}); !errors.Is(err, middleware.ErrKDC) {
		t.Errorf("%v, %v", err, realm.Exchanges())
	}
}

// TestDelegationByForeignWord: that a server may be trusted with credentials is for the
// KDC of the client's realm to say, and for no other.
func TestDelegationByForeignWord(t *testing.T) {
	home := start(t, fakekdc.WithRealm("HOME.TEST"), fakekdc.WithService("HTTP/www.home.test", fakekdc.OKAsDelegate()))
	far := start(t, fakekdc.WithRealm("FAR.TEST"), fakekdc.WithService("HTTP/www.far.test", fakekdc.OKAsDelegate()))
	if err := home.Trust(far); err != nil {
		t.Fatal(err)
	}
	source, err := kerberos.FromCCache(testmain.File(t, "cc", home.CCache("alice")), environment(home))
	if err != nil {
		t.Fatal(err)
	}
	in, err := kerberos.NewInitiator(source, kerberos.InitiatorOptions{Delegation: kerberos.DelegationPolicy})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{"www.home.test": true, "www.far.test": false} {
		var event middleware.TokenEvent
		ctx := middleware.WithTrace(t.Context(), func(e middleware.Event) {
			if e, ok := e.(middleware.TokenEvent); ok {
				event = e
			}
		})
		sc, err := in.Initiate(ctx, middleware.Target{Host: host, Port: "80"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sc.Step(ctx, nil); err != nil || event.Delegate != want {
			t.Errorf("%s: delegated %v, %v", host, event.Delegate, err)
		}
	}
}

// TestForwardedTicketIsTheClients: when another user's tickets take the place of those in
// a cache, the new user's is forwarded, to the same server too.
func TestForwardedTicketIsTheClients(t *testing.T) {
	clock := new(fakekdc.Clock)
	realm := start(t, fakekdc.WithClock(clock.Now), fakekdc.WithUser("bob", password))
	path := testmain.File(t, "cc", realm.CCache("alice"))
	source, err := kerberos.FromCCache(path, environment(realm))
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"alice", "bob"} {
		if err := os.WriteFile(path, realm.CCache(user), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(time.Duration(len(user))*time.Hour)); err != nil {
			t.Fatal(err)
		}
		clock.Advance(time.Minute) // until which it may not be looked at
		var service, forwarded kerberos.Ticket
		if service, err = source.ServiceTicket(t.Context(), spn); err != nil || service.Client() != user+"@"+realm.Name() {
			t.Fatalf("%v, %v", service, err)
		}
		if forwarded, err = source.ForwardedTicket(t.Context(), service); err != nil || forwarded.Client() != service.Client() {
			t.Errorf("%s: %v, %v", user, forwarded, err)
		}
	}
}

// TestForwardedTicketIsForwarded: a KDC that gives another kind of ticket is not taken at
// its word.
func TestForwardedTicketIsForwarded(t *testing.T) {
	realm := start(t)
	source, err := kerberos.FromCCache(testmain.File(t, "cc", realm.CCache("alice")), environment(realm))
	if err != nil {
		t.Fatal(err)
	}
	service, err := source.ServiceTicket(t.Context(), spn)
	if err != nil {
		t.Fatal(err)
	}
	if err := realm.Modify("krbtgt/"+realm.Name(), fakekdc.TicketFlags(0, 1<<29)); err != nil {
		t.Fatal(err)
	}
	if got, err := source.ForwardedTicket(t.Context(), service); !errors.Is(err, kerberos.ErrNotForwardable) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestForwardedTicketRunsOut(t *testing.T) {
	clock := new(fakekdc.Clock)
	realm := start(t, fakekdc.WithClock(clock.Now), fakekdc.WithLifetime(time.Hour, 0))
	o := as(environment(realm), "alice")
	o.Forwardable = true
	source, err := kerberos.FromPassword(kerberos.NewSecret(password), o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		service, err := source.ServiceTicket(t.Context(), spn)
		if err != nil {
			t.Fatal(err)
		}
		forwarded, err := source.ForwardedTicket(t.Context(), service)
		if err != nil {
			t.Fatal(err)
		}
		if !forwarded.EndTime().After(clock.Now()) || forwarded.Client() != "alice@"+realm.Name() {
			t.Errorf("round %d: %v", i, forwarded)
		}
		clock.Advance(2 * time.Hour)
	}
	if _, err := source.ForwardedTicket(t.Context(), kerberos.Ticket{}); !errors.Is(err, middleware.ErrCredentials) {
		t.Errorf("for no service: %v", err)
	}
}
