package kerberos_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// chain is three realms, each of which trusts the next; alice is of the first,
// services are in the last. They are reached by [inMemory].
func chain(t *testing.T) (a, b, c *fakekdc.Realm) {
	t.Helper()
	a = fakekdc.Start(t, fakekdc.WithoutSockets(), fakekdc.WithRealm("A.TEST"), fakekdc.WithUser("alice", password))
	b = fakekdc.Start(t, fakekdc.WithoutSockets(), fakekdc.WithRealm("B.TEST"))
	c = fakekdc.Start(t, fakekdc.WithoutSockets(), fakekdc.WithRealm("C.TEST"))
	a.Trust(b)
	b.Trust(c)
	for i := range 50 {
		c.AddService(fmt.Sprintf("HTTP/host%d.c.test", i))
	}
	return a, b, c
}

// TestOtherRealms: a thousand callers of fifty services two realms away cost one
// ticket for each realm on the way, whether krb5.conf knows the way or the KDCs
// tell it; and none where another process was there before.
func TestOtherRealms(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]func(*fakekdc.Realm) string{
		"by referral":  func(r *fakekdc.Realm) string { return r.Config() },
		"by krb5.conf": func(r *fakekdc.Realm) string { return r.ConfigWithCapaths() },
	} {
		t.Run(name, func(t *testing.T) {
			// In virtual time no KDC is asked twice because it is slow.
			synctest.Test(t, func(t *testing.T) {
				a, b, c := chain(t)
				path := testmain.File(t, "cc", a.CCache("alice"))
				o := inMemory(a)
				o.Krb5ConfText = config(a)
				visit := func() {
					t.Helper()
					source, err := kerberos.FromCCache(path, o)
					if err != nil {
						t.Fatal(err)
					}
					// The first call finds the way for all that follow.
					if _, err := source.ServiceTicket(t.Context(), "HTTP/host0.c.test"); err != nil {
						t.Fatal(err)
					}
					var wg sync.WaitGroup
					for i := range 1000 {
						wg.Go(func() {
							name := fmt.Sprintf("HTTP/host%d.c.test", i%50)
							ticket, err := source.ServiceTicket(t.Context(), name)
							if err != nil || ticket.SPN() != name+"@C.TEST" || ticket.Client() != "alice@A.TEST" {
								t.Errorf("%v, %v", ticket, err)
							}
						})
					}
					wg.Wait()
				}
				visit()
				if n := c.Count(fakekdc.TGS); n != 50 {
					t.Errorf("the last realm was asked %d times for 50 tickets", n)
				}
				if name == "by krb5.conf" {
					// krbtgt/C@A is asked for in vain, krbtgt/B@A had.
					if n, m := a.Count(fakekdc.TGS, 0), b.Count(fakekdc.TGS); n != 1 || m != 1 {
						t.Errorf("the realms on the way gave %d tickets and were asked %d times, want 1 and 1", n, m)
					}
				}
				needWritten(t) // for what follows
				got := strings.Join(servers(t, read(t, path)), " ")
				wanted := []string{"krbtgt/B.TEST", "HTTP/host49.c.test"}
				if name == "by krb5.conf" {
					// What B says of C is believed for longer than one call only if
					// krb5.conf has it on the way.
					wanted = append(wanted, "krbtgt/C.TEST")
				}
				for _, want := range wanted {
					if !strings.Contains(got, want) {
						t.Errorf("no %s in the cache", want)
					}
				}
				for _, r := range []*fakekdc.Realm{a, b, c} {
					r.ResetExchanges()
				}
				visit()
				for _, r := range []*fakekdc.Realm{a, b, c} {
					if n := r.Count(fakekdc.Any); n != 0 {
						t.Errorf("realm %s was asked %d times for what is in the cache", r.Name(), n)
					}
				}
			})
		})
	}
}

// TestForeignPrincipal: users who do not know their realm, or are known by
// another name.
func TestForeignPrincipal(t *testing.T) {
	home := start(t, fakekdc.WithRealm("HOME.TEST"))
	front := fakekdc.Start(t, fakekdc.WithRealm("FRONT.TEST"), fakekdc.WithService("HTTP/front.test"))
	front.Trust(home)
	home.Alias("alice@corp.example", "alice")
	front.ReferUsers("@corp.example", "HOME.TEST")
	for name, tc := range map[string]struct {
		principal  string
		enterprise bool
		says       string
	}{
		"enterprise name":               {principal: "alice@corp.example", enterprise: true},
		"enterprise name and realm":     {principal: `alice\@corp.example@FRONT.TEST`},
		"enterprise name of its realm":  {principal: `alice\@corp.example@HOME.TEST`},
		"not meant as enterprise name":  {principal: "alice@corp.example", says: "CORP.EXAMPLE"},
		"enterprise name nobody has":    {principal: "mallory@corp.example", enterprise: true, says: "mallory"},
		"principal of the realm itself": {principal: "alice@HOME.TEST"},
	} {
		t.Run(name, func(t *testing.T) {
			o := environment(front)
			o.Principal, o.Enterprise = tc.principal, tc.enterprise
			source, err := kerberos.FromPassword(kerberos.NewSecret(password), o)
			if err != nil {
				t.Fatal(err)
			}
			ticket, err := source.ServiceTicket(t.Context(), "HTTP/front.test@FRONT.TEST")
			switch {
			case tc.says != "":
				var e *middleware.Error
				if !errors.As(err, &e) || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("got %v, want an error about %s", err, tc.says)
				}
			case err != nil:
				t.Error(err)
			case ticket.Client() != "alice@HOME.TEST" || ticket.SPN() != "HTTP/front.test@FRONT.TEST":
				t.Errorf("ticket %v of %s", ticket, ticket.Client())
			}
		})
	}
}

// TestDeadKDC: nobody waits twice for a KDC that does not answer.
func TestDeadKDC(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		realm := start(t, fakekdc.WithoutSockets(), fakekdc.WithKDCs(2), fakekdc.WithService("HTTP/other"))
		dead := realm.KDCs()[0]
		o := inMemory(realm)
		o.Krb5ConfText = realm.Config()
		dead.Pause()
		source, err := kerberos.FromCCache(testmain.File(t, "cc", realm.CCache("alice")), o)
		if err != nil {
			t.Fatal(err)
		}
		asked := make(map[string]int)
		var mu sync.Mutex
		ctx := middleware.WithTrace(t.Context(), func(e middleware.Event) {
			if e, ok := e.(middleware.ExchangeEvent); ok {
				mu.Lock()
				defer mu.Unlock()
				asked[e.Address]++
			}
		})
		for _, name := range []string{spn, "HTTP/other", spn + "@" + realm.Name()} {
			if _, err := source.ServiceTicket(ctx, name); err != nil {
				t.Fatal(err)
			}
		}
		if n := asked[dead.Addr()]; n != 1 {
			t.Errorf("the dead KDC was waited for %d times: %v", n, asked)
		}
	})
}
