package client_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// TestCookiesOfUsersAreApart: no cookie that a server gave to one request goes with another,
// whoever is acted for: neither that of a challenge, which goes with the answer to it and no
// further, nor that of a session.
func TestCookiesOfUsersAreApart(t *testing.T) {
	users := []string{"alice", "bob", "carol"}
	for name, web := range map[string]fakeweb.Options{"requests": {}, "connections": {ConnectionBound: true, SignalPersistent: true}} {
		for policy, p := range map[string]preemptive.Policy{"asked": nil, "learned": preemptive.Learned(), "always": preemptive.Always()} {
			t.Run(name+", "+policy, func(t *testing.T) {
				realm := fakekdc.Start(t, fakekdc.WithUser("alice", "x"), fakekdc.WithUser("bob", "x"), fakekdc.WithUser("carol", "x"), fakekdc.WithService("HTTP/localhost"),
					fakekdc.WithService("HTTP/gateway", fakekdc.TrustedToAuth(), fakekdc.AllowedToDelegateTo("HTTP/localhost")))
				var answered atomic.Int32 // challenges whose cookie came back
				service := fakeweb.New(realm, "HTTP/localhost", web)
				server := fakeweb.Serve(realm, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					call := r.Header.Get("X-Call")
					for _, c := range r.Cookies() {
						if c.Value != call {
							t.Errorf("call %s brings the cookie %s", call, c)
						} else {
							answered.Add(1)
						}
					}
					http.SetCookie(w, &http.Cookie{Name: "balancer", Value: call, Path: "/"})
					http.SetCookie(w, &http.Cookie{Name: "session" + call, Value: call, Path: "/"})
					service.ServeHTTP(w, r)
				}), fakeweb.ServerOptions{})
				o := actingFor(t, realm)
				o.Transport, o.Preemptive = server.Transport(), p
				c := newClient(t, o)
				var calls atomic.Int32
				ask := func(user string) error {
					r, err := http.NewRequestWithContext(kerberos.AsUser(t.Context(), user), http.MethodGet, server.URL(), nil)
					if err != nil {
						return err
					}
					r.Header.Set("X-Call", strconv.Itoa(int(calls.Add(1))))
					resp, err := c.Do(r)
					if err != nil {
						return err
					}
					defer resp.Body.Close()
					b, err := io.ReadAll(resp.Body)
					if err == nil && !strings.HasPrefix(string(b), "hello "+user+"@") {
						err = fmt.Errorf("%s: %q for %s", resp.Status, b, user)
					}
					return err
				}
				var wg sync.WaitGroup
				for range 4 {
					wg.Go(func() {
						for range 15 {
							if err := ask(users[rand.IntN(len(users))]); err != nil {
								t.Error(err)
							}
						}
					})
				}
				wg.Wait()
				if policy == "asked" && answered.Load() == 0 {
					t.Error("no cookie of a challenge came back with its answer")
				}
			})
		}
	}
}
