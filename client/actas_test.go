package client_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/client/clienttest"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// actingFor returns options of a client that acts for users of the realm.
func actingFor(t *testing.T, realm *fakekdc.Realm) client.Options {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keytab")
	if err := os.WriteFile(path, realm.Keytab("HTTP/gateway"), 0o600); err != nil {
		t.Fatal(err)
	}
	service, err := kerberos.FromKeytab(path, kerberos.SourceOptions{
		Principal: "HTTP/gateway", Krb5ConfText: realm.Config(), Now: realm.Now, Logins: new(kerberos.Logins),
	})
	if err != nil {
		t.Fatal(err)
	}
	return client.Options{Source: kerberos.NewImpersonator(service)}
}

// TestActingForUsers: of one client that acts for many, each request is its own user's,
// over servers that authenticate requests and over those that authenticate connections,
// and one for nobody is nobody's.
func TestActingForUsers(t *testing.T) {
	t.Parallel()
	users := []string{"alice", "bob", "carol", ""}
	for name, web := range map[string]fakeweb.Options{"requests": {}, "connections": {ConnectionBound: true, SignalPersistent: true}} {
		for policy, p := range map[string]preemptive.Policy{"asked": nil, "learned": preemptive.Learned(), "always": preemptive.Always()} {
			t.Run(name+", "+policy, func(t *testing.T) {
				realm := fakekdc.Start(t, fakekdc.WithUser("alice", "x"), fakekdc.WithUser("bob", "x"), fakekdc.WithUser("carol", "x"), fakekdc.WithService("HTTP/localhost"),
					fakekdc.WithService("HTTP/gateway", fakekdc.TrustedToAuth(), fakekdc.AllowedToDelegateTo("HTTP/localhost")))
				server := fakeweb.Serve(realm, fakeweb.New(realm, "HTTP/localhost", web), fakeweb.ServerOptions{})
				o := actingFor(t, realm)
				o.Transport, o.Preemptive = server.Transport(), p
				c := newClient(t, o)
				ask := func(user string) error {
					ctx := t.Context()
					if user != "" {
						ctx = kerberos.AsUser(ctx, user)
					}
					r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL(), nil)
					if err != nil {
						return err
					}
					resp, err := c.Do(r)
					if user == "" {
						if err == nil {
							resp.Body.Close()
						}
						if !errors.Is(err, middleware.ErrCredentials) || !strings.Contains(err.Error(), "for no user") {
							return fmt.Errorf("for nobody: %v, %v", resp, err)
						}
						return nil
					}
					if err != nil {
						return err
					}
					defer resp.Body.Close()
					b, err := io.ReadAll(resp.Body)
					if err != nil {
						return err
					}
					if got, want := string(b), "hello "+user+"@"+realm.Name()+"\n"; got != want {
						return fmt.Errorf("%s: %q, want %q", resp.Status, got, want)
					}
					return nil
				}
				for _, user := range append(users, users...) {
					if err := ask(user); err != nil {
						t.Errorf("one after the other: %v", err)
					}
				}
				var wg sync.WaitGroup
				for range 4 {
					wg.Go(func() {
						for range 25 {
							if err := ask(users[rand.IntN(len(users))]); err != nil {
								t.Errorf("side by side: %v", err)
							}
						}
					})
				}
				wg.Wait()
			})
		}
	}
}

// TestTicketOfCallers: a handler has the ticket of the request or of its connection.
func TestTicketOfCallers(t *testing.T) {
	realm := fakekdc.Start(t, fakekdc.WithUser("alice", "x"), fakekdc.WithService("HTTP/localhost"))
	web := fakeweb.Options{ConnectionBound: true, Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%t", len(fakeweb.TicketOf(r.Context())) > 100)
	})}
	server := fakeweb.Serve(realm, fakeweb.New(realm, "HTTP/localhost", web), fakeweb.ServerOptions{})
	c := clienttest.New(t, realm, "alice", client.Options{Transport: server.Transport(), Mutual: mutual.Disabled})
	for range 3 {
		resp, err := c.Get(server.URL())
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(b) != "true" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
	}
	if fakeweb.TicketOf(t.Context()) != nil {
		t.Error("a ticket of nobody")
	}
}
