package client_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/tunnel"
)

// A tunnel is opened by the one for whose requests it is. When another user logs in
// while the transport is on its way to the proxy, no token is sent, and the call
// fails; the next one has a tunnel of that other user's.
func TestPrincipalOfTunnels(t *testing.T) {
	for name, always := range map[string]bool{"at once": true, "the proxy asks": false} {
		t.Run(name, func(t *testing.T) {
			clock := new(fakekdc.Clock)
			realm := start(t, fakekdc.WithUser("bob", password), fakekdc.WithService("HTTP/proxy.example"), fakekdc.WithClock(clock.Now))
			through := fakeweb.ServeProxy(realm, "HTTP/proxy.example", fakeweb.Options{}, fakeweb.ServerOptions{Host: "proxy.example"})
			var seen sightings
			server := fakeweb.Serve(realm, fakeweb.New(realm, spn, fakeweb.Options{ConnectionBound: true, Next: &seen}), fakeweb.ServerOptions{TLS: true})
			login := logins(t, realm)["FILE"]
			login.become(t, "alice")
			tr := through.Transport(server)
			var once sync.Once
			dial := tr.DialContext
			tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				once.Do(func() {
					login.become(t, "bob")
					clock.Advance(15 * time.Second)
				})
				return dial(ctx, network, addr)
			}
			c := newClient(t, client.Options{Source: login.source(t, realm), Now: realm.Now, Transport: tr, Tunnel: tunnel.Options{Always: always}})
			t.Cleanup(c.CloseIdleConnections)
			callers := func() (out []string) {
				for _, r := range through.Connects() {
					if r.Scheme != "" {
						user, _, _ := strings.Cut(r.Caller.Name, "@")
						out = append(out, user)
					}
				}
				return out
			}
			call := func(name string) error {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL(), nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("X-Call", name)
				status, _, err := do(t, c, r)
				if err == nil && status != 200 {
					t.Errorf("status %d", status)
				}
				return err
			}
			err := call("one")
			e, ok := errors.AsType[*middleware.Error](err)
			if !ok || !errors.Is(err, middleware.ErrConnection) || e.Stage != "tunnel" || !strings.HasPrefix(e.Host, "proxy.example:") || !e.Temporary() {
				t.Errorf("alice's call, for which bob would have opened the tunnel: %v", err)
			}
			if got := callers(); len(got) > 0 || through.Tunnels() > 0 || len(seen.of("one")) > 0 {
				t.Errorf("tokens of %q went to the proxy, which opened %d tunnels; the server saw %q", got, through.Tunnels(), seen.of("one"))
			}
			if err := call("two"); err != nil {
				t.Errorf("bob's call: %v", err)
			}
			if got := callers(); !slices.Equal(got, []string{"bob"}) || !slices.Equal(seen.of("two"), []string{"bob"}) {
				t.Errorf("bob's call: tokens of %q went to the proxy, and the server saw %q", got, seen.of("two"))
			}
		})
	}
}
