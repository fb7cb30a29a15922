package client_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// A guise is one way to name a user to a client that acts for many.
type guise struct {
	user string // "" for nobody
	in   func(context.Context) context.Context
}

// guises are users of the realm of a gateway and of another, each named in every way.
func guises(t *testing.T) (home *fakekdc.Realm, gateway kerberos.TicketSource, out []guise) {
	t.Helper()
	named := func(name string) fakekdc.Option {
		return fakekdc.WithUser(name, password, fakekdc.Certificate([]byte(name+"'s certificate")), fakekdc.Iterations(4096))
	}
	home = start(t, fakekdc.WithoutSockets(), fakekdc.WithPAC(), named("bob"), named("dora"), fakekdc.WithService("HTTP/gateway", fakekdc.TrustedToAuth(), fakekdc.AllowedToDelegateTo(spn)))
	far := fakekdc.Start(t, fakekdc.WithoutSockets(), fakekdc.WithRealm("FAR.TEST"), fakekdc.WithPAC(), fakekdc.WithEtypes(fakekdc.AES256SHA1), named("carol"))
	if err := home.Trust(far); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keytab")
	if err := os.WriteFile(path, home.Keytab("HTTP/gateway"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := kerberos.FromKeytab(path, kerberos.SourceOptions{Principal: "HTTP/gateway", Krb5ConfText: home.Config(), Now: home.Now, Dial: home.Dial, Logins: new(kerberos.Logins)})
	if err != nil {
		t.Fatal(err)
	}
	for user, realm := range map[string]*fakekdc.Realm{"bob": home, "dora": home, "carol": far} {
		if err := realm.Alias(user+"@mail.test", user); err != nil {
			t.Fatal(err)
		}
		add := func(in func(context.Context) context.Context) { out = append(out, guise{user, in}) }
		add(func(ctx context.Context) context.Context { return kerberos.AsUser(ctx, user+"@"+realm.Name()) })
		add(func(ctx context.Context) context.Context { return kerberos.AsUser(ctx, user+`\@mail.test`) })
		add(func(ctx context.Context) context.Context {
			return kerberos.AsCertificate(ctx, []byte(user+"'s certificate"))
		})
		ticket := presentedBy(t, realm, home, user)
		add(func(ctx context.Context) context.Context { return kerberos.AsCaller(ctx, ticket) })
	}
	out = append(out, guise{"", func(ctx context.Context) context.Context { return ctx }},
		guise{"", func(ctx context.Context) context.Context { return kerberos.AsCertificate(ctx, []byte("nobody's")) }},
		guise{"", func(ctx context.Context) context.Context { return kerberos.AsUser(ctx, "nobody@FAR.TEST") }})
	return home, kerberos.NewImpersonator(s), out
}

// presentedBy is the ticket with which a user calls the gateway.
func presentedBy(t *testing.T, of, at *fakekdc.Realm, user string) []byte {
	t.Helper()
	caches := new(kerberos.MemoryCaches)
	if err := caches.Put(user, of.CCache(user)); err != nil {
		t.Fatal(err)
	}
	s, err := kerberos.FromCCache("MEMORY:"+user, kerberos.SourceOptions{
		MemoryCaches: caches, Krb5ConfText: at.Config(), Now: at.Now, Dial: at.Dial, Logins: new(kerberos.Logins),
	})
	if err != nil {
		t.Fatal(err)
	}
	in, err := kerberos.NewInitiator(s, kerberos.InitiatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sc, err := in.Initiate(t.Context(), middleware.Target{Host: "gateway", Port: "80"})
	if err != nil {
		t.Fatal(err)
	}
	token, err := sc.Step(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := at.Accept(token, fakekdc.AcceptOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return accepted.Ticket()
}

// The principal of a connection is the principal of every request on it, for whomever a
// client acts: by name, user principal name, certificate or the ticket of a caller, of
// the gateway's realm or another, one after the other and side by side, in whatever way
// calls are made. A server that authenticates connections sees each call as its own user,
// and once, and those for nobody not at all.
func TestPrincipalOfEveryRequestActedFor(t *testing.T) {
	for name, w := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			realm, source, who := guises(t)
			m := &meeting{realm: realm, source: source, tls: w.tls}
			c := w.open(t, m)
			t.Cleanup(c.CloseIdleConnections)
			rnd := rand.New(rand.NewPCG(uint64(len(name)), 15))
			call := func(i int, g guise) {
				name := fmt.Sprint("call ", i)
				status, err := m.callIn(g.in(t.Context()), t, c, name)
				seen := m.seen.of(name)
				switch {
				case g.user == "":
					if len(seen) > 0 {
						t.Errorf("%s: for nobody, and the server saw %q", name, seen)
					}
				case err != nil || status != 200 || !slices.Equal(seen, []string{g.user}):
					t.Errorf("%s: for %s: status %d, error %v; the server saw %q", name, g.user, status, err, seen)
				}
			}
			calls := 0
			for _, i := range rnd.Perm(len(who)) { // before anybody's true name is known
				calls++
				call(calls, who[i])
			}
			var wg sync.WaitGroup
			for range 40 {
				calls++
				n, g := calls, who[rnd.IntN(len(who))]
				wg.Go(func() { call(n, g) })
				if rnd.IntN(4) == 0 {
					wg.Wait()
				}
			}
			wg.Wait()
		})
	}
}
