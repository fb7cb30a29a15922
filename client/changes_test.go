package client_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/client/clienttest"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
)

// A login is a place for credentials that becomes another user's.
type login struct {
	options kerberos.SourceOptions
	name    string                          // of the cache
	config  string                          // more of krb5.conf
	leaves  bool                            // nobody may be logged in
	become  func(t *testing.T, user string) // "" for nobody
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
	all := map[string]*login{
		"KCM": kcmLogin(t, cache),
		"FILE": {name: "FILE:" + file, leaves: true, become: func(t *testing.T, user string) {
			if user == "" {
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
				return
			}
			put(t, file, cache(user))
		}},
		"DIR": {name: "DIR:" + dir, become: func(t *testing.T, user string) { // as kswitch does
			put(t, filepath.Join(dir, "primary"), []byte("tkt"+user+"\n"))
		}},
		"MEMORY": {name: "MEMORY:x", leaves: true, options: kerberos.SourceOptions{MemoryCaches: memory}, become: func(t *testing.T, user string) {
			var b []byte
			if user != "" {
				b = cache(user)
			}
			if err := memory.Put("x", b); err != nil {
				t.Fatal(err)
			}
		}},
	}
	if l := keyringLogin(t, cache); l != nil {
		all["KEYRING"] = l
	}
	return all
}

// source returns one for the place.
func (l *login) source(t *testing.T, realm *fakekdc.Realm) *kerberos.Source {
	t.Helper()
	o := l.options
	o.Krb5ConfText, o.Now, o.Getenv = realm.Config()+l.config, realm.Now, func(string) string { return "" }
	if realm.InMemory() {
		o.Dial = realm.Dial
	}
	s, err := kerberos.FromCCache(l.name, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// whoami answers with the user that the server takes the caller for.
var whoami = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	caller, _ := fakeweb.CallerOf(r.Context())
	name, _, _ := strings.Cut(caller.Name, "@")
	fmt.Fprint(w, name)
})

// hidden is a transport of a kind that nobody knows.
type hidden struct{ http.RoundTripper }

func (h hidden) CloseIdleConnections() { h.RoundTripper.(*http.Transport).CloseIdleConnections() }

// A program's other requests are nobody's, whatever a client of ours has done at the
// same server before.
func TestOtherRequestsOfTheProgram(t *testing.T) {
	realm := start(t, fakekdc.WithUser("bob", password))
	usual := http.DefaultTransport
	for kind, def := range map[string]http.RoundTripper{"usual": usual, "replaced": hidden{usual.(*http.Transport).Clone()}} {
		for name, open := range map[string]func(*testing.T, string) *http.Client{
			"New": func(t *testing.T, user string) *http.Client {
				o := bare(realm)
				o.Source = clienttest.TicketSource(t, realm, user)
				o.Krb5ConfText, o.Getenv = "", nil
				return newClient(t, o)
			},
			"Retryable": func(t *testing.T, user string) *http.Client {
				o := bare(realm)
				o.Source = clienttest.TicketSource(t, realm, user)
				o.Krb5ConfText, o.Getenv = "", nil
				r, err := client.NewRetryable(o)
				if err != nil {
					t.Fatal(err)
				}
				return r.StandardClient()
			},
			"a chain of one's own": func(t *testing.T, user string) *http.Client {
				in, err := kerberos.NewInitiator(clienttest.TicketSource(t, realm, user), kerberos.InitiatorOptions{})
				if err != nil {
					t.Fatal(err)
				}
				return &http.Client{Transport: kerbchain.Wrap(nil, mutual.New(mutual.Options{}), negotiate.New(in, negotiate.Options{}))}
			},
			"a chain over connections apart": func(t *testing.T, user string) *http.Client {
				in, err := kerberos.NewInitiator(clienttest.TicketSource(t, realm, user), kerberos.InitiatorOptions{})
				if err != nil {
					t.Fatal(err)
				}
				return &http.Client{Transport: kerbchain.Wrap(client.Connections(in, nil), mutual.New(mutual.Options{}), negotiate.New(in, negotiate.Options{}))}
			},
		} {
			t.Run(name+", default transport "+kind, func(t *testing.T) {
				http.DefaultTransport = def
				t.Cleanup(func() { http.DefaultTransport = usual })
				server := fakeweb.Serve(realm, fakeweb.New(realm, spn, fakeweb.Options{ConnectionBound: true, Next: whoami}), fakeweb.ServerOptions{})
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
	server := fakeweb.Serve(realm, fakeweb.New(realm, spn, fakeweb.Options{}), serverOptions())
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
