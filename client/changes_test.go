package client_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// A login is a place for credentials that becomes another user's.
type login struct {
	options kerberos.Options
	name    string // of the cache
	// collection is set where another cache would take the place of a missing one.
	collection bool
	become     func(t *testing.T, user string) // "" for nobody
}

// logins are the kinds of caches that this process can change by itself.
func logins(t *testing.T, realm *fakekdc.Realm) map[string]*login {
	t.Helper()
	cache := func(user string) []byte { return realm.CCache(user, spn) }
	put := func(t *testing.T, path string, b []byte) {
		t.Helper()
		tmp := path + ".new"
		if err := os.WriteFile(tmp, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, path); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "krb5cc")
	dir := t.TempDir()
	put(t, filepath.Join(dir, "tktalice"), cache("alice"))
	put(t, filepath.Join(dir, "tktbob"), cache("bob"))
	memory := new(kerberos.MemoryCaches)
	return map[string]*login{
		"FILE": {name: "FILE:" + file, become: func(t *testing.T, user string) {
			if user == "" {
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
				return
			}
			put(t, file, cache(user))
		}},
		"DIR": {name: "DIR:" + dir, collection: true, become: func(t *testing.T, user string) { // as kswitch does
			if user == "" {
				user = "alice" // with others there, nobody is not to be had
			}
			put(t, filepath.Join(dir, "primary"), []byte("tkt"+user+"\n"))
		}},
		"MEMORY": {name: "MEMORY:x", options: kerberos.Options{MemoryCaches: memory}, become: func(t *testing.T, user string) {
			var b []byte
			if user != "" {
				b = cache(user)
			}
			if err := memory.Put("x", b); err != nil {
				t.Fatal(err)
			}
		}},
	}
}

// source returns one for the place.
func (l *login) source(t *testing.T, realm *fakekdc.Realm) *kerberos.Source {
	t.Helper()
	o := l.options
	o.Krb5ConfText, o.Now, o.Getenv = realm.Config(), realm.Now, func(string) string { return "" }
	s, err := kerberos.CCache(l.name, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// whoami answers with the user that the server takes the caller for.
var whoami = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	caller, _ := fakekdc.CallerOf(r.Context())
	name, _, _ := strings.Cut(caller.Name, "@")
	fmt.Fprint(w, name)
})

// The principal of a connection is the principal of every request on it: whatever
// the credentials become, and whatever goes on beside, a server that authenticates
// connections takes nobody for somebody else.
func TestChangesOfIdentity(t *testing.T) {
	for mode, change := range map[string]func(*client.Options){
		"required":           func(*client.Options) {},
		"optional":           func(o *client.Options) { o.Mutual = mutual.Optional },
		"disabled":           func(o *client.Options) { o.Mutual = mutual.Disabled },
		"trusting":           func(o *client.Options) { o.TrustConnection = true },
		"at once":            func(o *client.Options) { o.Preemptive = preemptive.Always() },
		"learned":            func(o *client.Options) { o.Preemptive = preemptive.Learned() },
		"bindings required":  func(o *client.Options) { o.Preemptive, o.Bindings = preemptive.Always(), kerberos.BindingsRequire },
		"optional, trusting": func(o *client.Options) { o.Mutual, o.TrustConnection = mutual.Optional, true },
		"foreign transport": func(o *client.Options) {
			o.Mutual, o.Transport = mutual.Optional, hidden{o.Transport}
		},
	} {
		for _, secure := range []bool{false, true} {
			if !secure && mode == "bindings required" || secure && strings.Contains(mode, "optional") {
				continue
			}
			t.Run(fmt.Sprintf("%s, TLS %t", mode, secure), func(t *testing.T) {
				t.Parallel()
				clock := new(fakekdc.Clock)
				realm := start(t, fakekdc.WithUser("bob", password), fakekdc.WithClock(clock.Now))
				for kind, l := range logins(t, realm) {
					t.Run(kind, func(t *testing.T) {
						t.Parallel()
						h := realm.Handler(spn, fakekdc.WebOptions{ConnectionBound: true, Next: whoami})
						server := realm.Serve(h, fakekdc.ServerOptions{TLS: secure})
						l.become(t, "alice")
						o := bare(realm)
						o.Source, o.Transport, o.Krb5ConfText, o.Getenv = l.source(t, realm), server.Transport(), "", nil
						change(&o)
						changing(t, clock, l, newClient(t, o), server.URL(), mode == "foreign transport")
					})
				}
			})
		}
	}
}

// hidden is a transport of a kind that nobody knows.
type hidden struct{ http.RoundTripper }

func (h hidden) CloseIdleConnections() { h.RoundTripper.(*http.Transport).CloseIdleConnections() }

func changing(t *testing.T, clock *fakekdc.Clock, l *login, c *http.Client, url string, mayRefuse bool) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(7, 7))
	served := 0
	for i := range 12 {
		user := []string{"alice", "bob"}[rnd.IntN(2)]
		if i == 6 {
			user = ""
		}
		if i == 11 {
			user = "bob"
		}
		l.become(t, user)
		if l.collection && user == "" {
			user = "alice"
		}
		clock.Advance(15 * time.Second)
		if user == "" {
			// A cache may be gone for ten seconds from when that was seen, while kinit
			// replaces it.
			if resp, err := c.Get(url); err == nil {
				resp.Body.Close()
			}
			clock.Advance(15 * time.Second)
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		for range 1 + rnd.IntN(4) {
			method, body := http.MethodGet, ""
			if rnd.IntN(2) == 0 {
				method, body = http.MethodPost, "something"
			}
			wg.Go(func() {
				r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				resp, err := c.Do(r)
				if err != nil {
					if user != "" && !(mayRefuse && strings.Contains(err.Error(), "another user")) {
						t.Errorf("as %s: %v", user, err)
					}
					return
				}
				defer resp.Body.Close()
				b, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Error(err)
				}
				if resp.StatusCode == http.StatusUnauthorized && user == "" {
					return
				}
				if got := string(b); resp.StatusCode != http.StatusOK || got != user {
					t.Errorf("%s is logged in, and the server took the caller for %q (status %d)", user, got, resp.StatusCode)
				}
				mu.Lock()
				served++
				mu.Unlock()
			})
			if rnd.IntN(3) == 0 {
				wg.Wait()
			}
		}
		wg.Wait()
	}
	if served < 8 {
		t.Errorf("%d calls were served", served)
	}
}

// A program's other requests are nobody's, whatever a client of ours has done at the
// same server before.
func TestOtherRequestsOfTheProgram(t *testing.T) {
	realm := start(t, fakekdc.WithUser("bob", password))
	usual := http.DefaultTransport
	for kind, def := range map[string]http.RoundTripper{"usual": usual, "replaced": hidden{usual.(*http.Transport).Clone()}} {
		for name, open := range map[string]func(*testing.T, string) *http.Client{
			"New": func(t *testing.T, user string) *http.Client {
				o := bare(realm)
				o.Source = realm.TicketSource(user)
				o.Krb5ConfText, o.Getenv = "", nil
				return newClient(t, o)
			},
			"Retryable": func(t *testing.T, user string) *http.Client {
				o := bare(realm)
				o.Source = realm.TicketSource(user)
				o.Krb5ConfText, o.Getenv = "", nil
				r, err := client.Retryable(o)
				if err != nil {
					t.Fatal(err)
				}
				return r.StandardClient()
			},
			"a chain of one's own": func(t *testing.T, user string) *http.Client {
				in, err := kerberos.NewInitiator(realm.TicketSource(user), kerberos.InitiatorOptions{})
				if err != nil {
					t.Fatal(err)
				}
				return &http.Client{Transport: kerbchain.Wrap(nil, mutual.New(mutual.Options{}), negotiate.New(in, negotiate.Options{}))}
			},
			"a chain over connections apart": func(t *testing.T, user string) *http.Client {
				in, err := kerberos.NewInitiator(realm.TicketSource(user), kerberos.InitiatorOptions{})
				if err != nil {
					t.Fatal(err)
				}
				return &http.Client{Transport: kerbchain.Wrap(client.Connections(in, nil), mutual.New(mutual.Options{}), negotiate.New(in, negotiate.Options{}))}
			},
		} {
			t.Run(name+", default transport "+kind, func(t *testing.T) {
				http.DefaultTransport = def
				t.Cleanup(func() { http.DefaultTransport = usual })
				server := realm.Serve(realm.Handler(spn, fakekdc.WebOptions{ConnectionBound: true, Next: whoami}), fakekdc.ServerOptions{})
				for _, user := range []string{"alice", "bob"} {
					c := open(t, user)
					t.Cleanup(c.CloseIdleConnections)
					for range 2 {
						status, body, err := get(t, c, server.URL())
						if err != nil || status != 200 || body != user {
							t.Errorf("%s: %d, %q, %v", user, status, body, err)
						}
						plain := &http.Client{}
						if status, body, err := get(t, plain, server.URL()); err != nil || status != 401 {
							t.Errorf("a request of nobody's: %d, %q, %v", status, body, err)
						}
						plain.CloseIdleConnections()
					}
				}
			})
		}
	}
}

// What a transport of ours does is worth nothing if the application cannot see as
// whom it was served.
func TestPrincipalOf(t *testing.T) {
	realm := start(t)
	server := realm.Serve(realm.Handler(spn, fakekdc.WebOptions{}), serverOptions())
	o := kinit(t, realm, spn)
	o.Transport = server.Transport()
	resp, err := newClient(t, o).Get(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got, want := middleware.PrincipalOf(resp.Request), "alice@"+realm.Name(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if middleware.PrincipalOf(nil) != "" {
		t.Error("no request has a principal")
	}
}
