package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/testmain"
)

// usersLab is a service that authenticates connections, and a keeper of max clients
// for it, each with the options that with gives it.
func usersLab(t *testing.T, names []string, max int, next http.Handler) (*fakeweb.Server, *Users, *meter, []string) {
	t.Helper()
	realm := start(t)
	caches := map[string]string{}
	var principals []string
	for _, name := range names {
		if name != "alice" {
			if err := realm.AddUser(name, password); err != nil {
				t.Fatal(err)
			}
		}
		principal := name + "@" + realm.Name()
		caches[principal] = testmain.File(t, "krb5cc", realm.CCache(name))
		principals = append(principals, principal)
	}
	server := fakeweb.Serve(realm, fakeweb.New(realm, spn, fakeweb.Options{ConnectionBound: true, Next: next}), fakeweb.ServerOptions{})
	m := new(meter)
	u := NewUsers(max, func(principal string) (*http.Client, error) {
		o := bare(realm)
		o.CCache, o.Principal = caches[principal], principal
		tr := m.on(server.Transport())
		dial := tr.DialContext
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return told{c}, nil
		}
		o.Transport = tr
		return client.New(o)
	})
	t.Cleanup(u.Close)
	return server, u, m, principals
}

// told is a connection that can be told from others, whatever counts it.
type told struct{ net.Conn }

func (c told) NetConn() net.Conn { return c.Conn.(*counted).Conn }

// In whatever order users come, each call is made as its own user, and no more
// clients than allowed keep connections.
func TestUsers(t *testing.T) {
	t.Parallel()
	var names []string
	for i := range 6 {
		names = append(names, fmt.Sprint("user", i))
	}
	for _, bound := range []int{-1, 1, 2, 5, 6, 100} {
		t.Run(fmt.Sprint(bound), func(t *testing.T) {
			server, u, m, principals := usersLab(t, names, bound, nil)
			var wg sync.WaitGroup
			for n := range 4 {
				wg.Go(func() {
					for i := range 3 * len(principals) {
						who := principals[(i*(n+1))%len(principals)]
						err := u.Do(who, func(c *http.Client) error {
							status, body, err := get(t, c, server.URL())
							if status != 200 || strings.TrimSpace(body) != "hello "+who {
								t.Errorf("%s: %d %q", who, status, body)
							}
							return err
						})
						if err != nil {
							t.Errorf("%s: %v", who, err)
						}
					}
				})
			}
			wg.Wait()
			if n := len(u.known); n != u.order.Len() || n > max(bound, 1) {
				t.Errorf("%d clients in the map and %d in the list, of %d", n, u.order.Len(), bound)
			}
			u.Close()
			m.drained(t, func() {}) // of those who gave way, too
		})
	}
}

// Who is used stays, who was used longest ago goes: with the call that is under way
// finished, and its connection closed after it.
func TestUsersGiveWay(t *testing.T) {
	begun, finish := make(chan bool), make(chan bool)
	server, u, m, who := usersLab(t, []string{"alice", "bob", "carol"}, 2, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, _ := fakeweb.CallerOf(r.Context())
		if r.URL.Path == "/slow" {
			begun <- true
			<-finish
		}
		io.WriteString(w, caller.Name)
	}))
	take := func(i int) *user {
		t.Helper()
		c, err := u.take(who[i])
		if err != nil {
			t.Fatal(err)
		}
		u.release(c)
		return c
	}
	alice := take(0)
	var bob *http.Client
	done := make(chan string)
	go func() {
		done <- fmt.Sprint(u.Do(who[1], func(c *http.Client) error {
			bob = c
			for _, path := range []string{"/slow", "/"} { // the second goes on after bob gave way
				if status, body, err := get(t, c, server.URL()+path); err != nil || status != 200 || body != who[1] {
					t.Errorf("%s: %d %q %v", path, status, body, err)
				}
			}
			return nil
		}))
	}()
	<-begun
	if take(0) != alice {
		t.Error("a client that is known was made again")
	}
	take(2) // and bob gives way
	if take(0) != alice || len(u.known) != 2 || u.known[who[1]] != nil {
		t.Errorf("known are %d", len(u.known))
	}
	finish <- true
	if got := <-done; got != "<nil>" {
		t.Errorf("the call under way: %s", got)
	}
	m.drained(t, func() {}) // bob's connections, which are the only ones
	if take(1).client == bob {
		t.Error("a client that gave way is used again")
	}
	u.Forget(who[1])
	u.Forget("nobody@NOWHERE")
	if len(u.known) != 1 || u.order.Len() != 1 {
		t.Errorf("known are %d", len(u.known))
	}
	if err := u.Do("nobody@NOWHERE", func(*http.Client) error { return errors.New("from f") }); err == nil {
		t.Error("the error was lost")
	}
}
