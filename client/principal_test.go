package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/client/clienttest"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/fakekdc/fakewinrm"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
	"github.com/kerbchain/kerbchain/middleware/seal"
)

// sightings are as whom a server saw which calls.
type sightings struct {
	mu   sync.Mutex
	seen map[string][]string // by the call's name
}

func (s *sightings) note(call, principal string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = make(map[string][]string)
	}
	user, _, _ := strings.Cut(principal, "@")
	s.seen[call] = append(s.seen[call], user)
}

func (s *sightings) of(call string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen[call])
}

func (s *sightings) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	caller, _ := fakeweb.CallerOf(r.Context())
	_, _ = io.Copy(io.Discard, r.Body) // whoever sends it finds out
	s.note(r.Header.Get("X-Call"), caller.Name)
	fmt.Fprint(w, caller.Name)
}

// A way is one in which calls are made, to a server that authenticates connections.
type way struct {
	tls  bool
	open func(t *testing.T, at *meeting) *http.Client
}

// A meeting is where a client, whose user changes, meets a server.
type meeting struct {
	realm  *fakekdc.Realm
	source kerberos.TicketSource
	tls    bool
	seen   sightings
	url    string
	soap   bool
}

func (m *meeting) initiator(t *testing.T) middleware.Initiator {
	t.Helper()
	in, err := kerberos.NewInitiator(m.source, kerberos.InitiatorOptions{Now: m.realm.Now})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// server is in memory where it speaks TLS. Of other connections, only those of sockets
// can be told from one another, as the stages do.
func (m *meeting) server() fakeweb.ServerOptions {
	return fakeweb.ServerOptions{TLS: m.tls, InMemory: m.tls}
}

// web starts a web service, and returns a transport to it.
func (m *meeting) web(t *testing.T) *http.Transport {
	t.Helper()
	server := fakeweb.Serve(m.realm, fakeweb.New(m.realm, spn, fakeweb.Options{ConnectionBound: true, Next: &m.seen}), m.server())
	m.url = server.URL()
	return server.Transport()
}

// winrm starts a WinRM endpoint.
func (m *meeting) winrm(t *testing.T) *http.Transport {
	t.Helper()
	end := fakewinrm.New(m.realm, spn, fakewinrm.Options{Answer: func(c fakekdc.Caller, b []byte) (int, []byte) {
		m.seen.note(string(b), c.Name)
		return 200, []byte(c.Name)
	}})
	server := fakeweb.Serve(m.realm, end, m.server())
	m.url, m.soap = server.URL()+"/wsman", true
	return server.Transport()
}

func (m *meeting) options(tr http.RoundTripper) client.Options {
	return client.Options{Source: m.source, Now: m.realm.Now, Transport: tr}
}

func standard(change func(*client.Options)) func(*testing.T, *meeting) *http.Client {
	return func(t *testing.T, m *meeting) *http.Client {
		o := m.options(m.web(t))
		change(&o)
		return newClient(t, o)
	}
}

func onWinRM(change func(*client.WinRMOptions)) func(*testing.T, *meeting) *http.Client {
	return func(t *testing.T, m *meeting) *http.Client {
		o := client.WinRMOptions{Options: m.options(m.winrm(t)), Sessions: 2}
		change(&o)
		c, err := client.NewWinRM(o)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

// telltale hides everything of an initiator but that it makes contexts.
type telltale struct{ middleware.Initiator }

var ways = map[string]way{
	"required":             {false, standard(func(*client.Options) {})},
	"required, TLS":        {true, standard(func(*client.Options) {})},
	"optional":             {false, standard(func(o *client.Options) { o.Mutual = mutual.Optional })},
	"disabled":             {false, standard(func(o *client.Options) { o.Mutual = mutual.Disabled })},
	"trusting":             {false, standard(func(o *client.Options) { o.TrustConnection = true })},
	"trusting, TLS":        {true, standard(func(o *client.Options) { o.TrustConnection = true })},
	"trusting, optional":   {false, standard(func(o *client.Options) { o.TrustConnection, o.Mutual = true, mutual.Optional })},
	"at once":              {false, standard(func(o *client.Options) { o.Preemptive = preemptive.Always() })},
	"learned":              {false, standard(func(o *client.Options) { o.Preemptive = preemptive.Learned() })},
	"at once, bound":       {true, standard(func(o *client.Options) { o.Preemptive, o.Bindings = preemptive.Always(), kerberos.BindingsRequired })},
	"one connection":       {false, standard(func(o *client.Options) { o.OneConnection = true })},
	"a foreign transport":  {false, standard(func(o *client.Options) { o.Mutual, o.Transport = mutual.Optional, hidden{o.Transport} })},
	"foreign and trusting": {true, standard(func(o *client.Options) { o.TrustConnection, o.Transport = true, hidden{o.Transport} })},
	"foreign, bound": {true, standard(func(o *client.Options) {
		o.Preemptive, o.Bindings, o.Transport = preemptive.Always(), kerberos.BindingsRequired, hidden{o.Transport}
	})},
	"foreign, never closes": {false, standard(func(o *client.Options) {
		o.Mutual, o.Transport = mutual.Optional, kerbchain.Next(o.Transport.RoundTrip)
	})},
	"an initiator that is silent": {false, func(t *testing.T, m *meeting) *http.Client {
		return newClient(t, client.Options{Initiator: telltale{m.initiator(t)}, Transport: m.web(t), TrustConnection: true})
	}},
	"silent and foreign": {false, func(t *testing.T, m *meeting) *http.Client {
		return newClient(t, client.Options{Initiator: telltale{m.initiator(t)}, Transport: hidden{m.web(t)}, Mutual: mutual.Optional})
	}},
	"silent and bound": {true, func(t *testing.T, m *meeting) *http.Client {
		in, err := kerberos.NewInitiator(m.source, kerberos.InitiatorOptions{Now: m.realm.Now, Bindings: kerberos.BindingsRequired})
		if err != nil {
			t.Fatal(err)
		}
		return newClient(t, client.Options{Initiator: telltale{in}, Transport: m.web(t), Preemptive: preemptive.Always()})
	}},
	"a chain of one's own": {false, func(t *testing.T, m *meeting) *http.Client {
		in := m.initiator(t)
		return &http.Client{Transport: kerbchain.Wrap(client.Connections(in, m.web(t)),
			mutual.New(mutual.Options{TrustConnection: true}), negotiate.New(in, negotiate.Options{}))}
	}},
	"a sealed chain of one's own": {false, func(t *testing.T, m *meeting) *http.Client {
		in, tr := m.initiator(t), m.winrm(t)
		tr.MaxConnsPerHost = 1
		auth := kerbchain.Chain(mutual.New(mutual.Options{}), preemptive.New(in, preemptive.Always(), preemptive.Options{}), negotiate.New(in, negotiate.Options{}))
		return &http.Client{Transport: kerbchain.Wrap(client.Connections(in, tr), mutual.New(mutual.Options{}), seal.New(auth, seal.Options{}))}
	}},
	"WinRM":              {false, onWinRM(func(*client.WinRMOptions) {})},
	"WinRM, TLS":         {true, onWinRM(func(*client.WinRMOptions) {})},
	"WinRM, sealed TLS":  {true, onWinRM(func(o *client.WinRMOptions) { o.Encryption = seal.Always })},
	"WinRM over foreign": {false, onWinRM(func(o *client.WinRMOptions) { o.Transport = hidden{o.Transport} })},
	// The proxy is the one who knows connections.
	"through a proxy": {false, func(t *testing.T, m *meeting) *http.Client {
		at := fakeweb.Serve(m.realm, fakeweb.New(m.realm, spn, fakeweb.Options{Proxy: true, ConnectionBound: true, Next: &m.seen}), fakeweb.ServerOptions{})
		m.url = "http://origin.example/"
		o := m.options(&http.Transport{})
		o.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(at.URL()) }
		o.Mutual = mutual.Optional
		return newClient(t, o)
	}},
}

// The principal of a connection is the principal of every request on it. Whatever
// kind of cache becomes another user's, in whatever way calls are made, between
// calls or while they are under way, a server that authenticates connections sees
// each call as the user who would sign it, and once.
func TestPrincipalOfEveryRequest(t *testing.T) {
	for name, w := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := new(fakekdc.Clock)
			realm := start(t, fakekdc.WithoutSockets(), fakekdc.WithUser("bob", password), fakekdc.WithClock(clock.Now))
			for kind, l := range logins(t, realm) {
				t.Run(kind, func(t *testing.T) {
					t.Parallel()
					l.become(t, "alice")
					m := &meeting{realm: realm, source: l.source(t, realm), tls: w.tls}
					c := w.open(t, m)
					t.Cleanup(c.CloseIdleConnections)
					m.change(t, clock, l, c)
				})
			}
		})
	}
}

// change lets users come and go while calls are made.
func (m *meeting) change(t *testing.T, clock *fakekdc.Clock, l *login, c *http.Client) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(uint64(len(t.Name())), 7))
	now, calls := "alice", 0
	var wg sync.WaitGroup
	for round := range 6 {
		// Nobody else is logged in: each call is now's.
		for range 1 + rnd.IntN(3) {
			calls++
			call := fmt.Sprint("call ", calls)
			wg.Go(func() {
				status, err := m.call(t, c, call)
				seen := m.seen.of(call)
				switch {
				case now == "":
					if len(seen) > 0 {
						t.Errorf("round %d: nobody is logged in, and the server saw %q", round, seen)
					}
				case err != nil || status != 200 || !slices.Equal(seen, []string{now}):
					t.Errorf("round %d: %s is logged in: status %d, error %v; the server saw %q", round, now, status, err, seen)
				}
			})
			if rnd.IntN(2) == 0 {
				wg.Wait()
			}
		}
		wg.Wait()
		// And now somebody else logs in while calls are under way.
		next := map[string]string{"alice": "bob", "bob": "alice", "": "bob"}[now]
		if round == 3 && l.leaves {
			next = ""
		}
		for range rnd.IntN(4) {
			calls++
			call := fmt.Sprint("call ", calls)
			wg.Go(func() {
				_, err := m.call(t, c, call)
				seen := m.seen.of(call)
				if len(seen) > 1 || len(seen) == 1 && seen[0] != now && seen[0] != next {
					t.Errorf("round %d: the server saw %q, and %q became %q meanwhile", round, seen, now, next)
				}
				var e *middleware.Error
				if err != nil && next != "" && now != "" && !(errors.As(err, &e) && e.Temporary()) {
					t.Errorf("round %d: %q became %q: %v", round, now, next, err)
				}
			})
		}
		l.become(t, next)
		clock.Advance(time.Duration(rnd.IntN(3)) * time.Second)
		wg.Wait()
		clock.Advance(15 * time.Second)
		if now = next; now == "" {
			// A cache may be gone for ten seconds from when that was seen, while kinit
			// replaces it.
			_, _ = m.call(t, c, "somebody notices") // be it refused
			clock.Advance(15 * time.Second)
		}
	}
}

func (m *meeting) call(t *testing.T, c *http.Client, name string) (int, error) {
	t.Helper()
	return m.callIn(t.Context(), t, c, name)
}

func (m *meeting) callIn(ctx context.Context, t *testing.T, c *http.Client, name string) (int, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url, strings.NewReader(name))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Call", name)
	if m.soap {
		r.Header.Set("Content-Type", soap)
	}
	resp, err := c.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// What a caller says of itself goes over connections apart: the server then knows
// them as whoever that is.
func TestCallersOwnCredentialsAreApart(t *testing.T) {
	for name, foreign := range map[string]bool{"connections of ours": false, "foreign": true} {
		t.Run(name, func(t *testing.T) {
			realm := start(t, fakekdc.WithUser("bob", password))
			var seen sightings
			server := fakeweb.Serve(realm, fakeweb.New(realm, spn, fakeweb.Options{ConnectionBound: true, Next: &seen}), fakeweb.ServerOptions{})
			o := bare(realm)
			o.Krb5ConfText, o.Getenv = "", nil
			o.Source, o.Mutual, o.Transport = clienttest.TicketSource(t, realm, "alice"), mutual.Optional, server.Transport()
			if foreign {
				o.Transport = hidden{o.Transport}
			}
			c := newClient(t, o)
			sign := func() string {
				in, err := kerberos.NewInitiator(clienttest.TicketSource(t, realm, "bob"), kerberos.InitiatorOptions{})
				if err != nil {
					t.Fatal(err)
				}
				var header string
				rt := kerbchain.Wrap(kerbchain.Next(func(r *http.Request) (*http.Response, error) {
					header = r.Header.Get("Authorization")
					return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r, Header: http.Header{}}, nil
				}), preemptive.New(in, preemptive.Always(), preemptive.Options{}))
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL(), nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := rt.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				return header
			}
			for i, own := range []bool{true, false, true, false, false, true} {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL(), nil)
				if err != nil {
					t.Fatal(err)
				}
				call, want := fmt.Sprint("call ", i), "alice"
				r.Header.Set("X-Call", call)
				if own {
					r.Header.Set("Authorization", sign())
					want = "bob"
				}
				if status, _, err := do(t, c, r); err != nil || status != 200 || !slices.Equal(seen.of(call), []string{want}) {
					t.Errorf("call %d: %d, %v; the server saw %q, want %s", i, status, err, seen.of(call), want)
				}
			}
		})
	}
}
