package client_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// A balancer stands before nodes that know nothing of one another's exchanges: who
// does not name its node by a cookie is sent to the next one, whatever token he
// brings, and that one says 401.
type balancer struct {
	node http.Handler

	mu  sync.Mutex
	log []string
}

func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := r.Cookie("NODE")
	line := r.Method + " " + r.URL.Path
	if err == nil {
		line += " " + c.Value
	}
	if r.Header.Get("Authorization") != "" {
		line += " signed"
	}
	b.mu.Lock()
	b.log = append(b.log, line)
	b.mu.Unlock()
	if err == nil {
		b.node.ServeHTTP(w, r)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: "NODE", Value: "n1", Path: "/", HttpOnly: true})
	w.Header().Set("WWW-Authenticate", "Negotiate")
	w.WriteHeader(http.StatusUnauthorized)
}

// TestStickyBalancer: behind a balancer that keeps clients to one node by a cookie,
// every kind of call ends with 200, and the cookie in the caller's jar, if there is
// one.
func TestStickyBalancer(t *testing.T) {
	realm := start(t)
	node := fakeweb.New(realm, spn, fakeweb.Options{Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b, err := io.ReadAll(r.Body); err != nil || r.Method == http.MethodPut && string(b) != "payload" {
			t.Errorf("%q, %v", b, err)
		}
		switch r.URL.Path {
		case "/go":
			http.Redirect(w, r, "/there", http.StatusTemporaryRedirect)
		case "/fail":
			w.WriteHeader(http.StatusInternalServerError)
		}
	})})
	for name, tc := range map[string]struct {
		change func(*client.Options)
		method string
		path   string
		oneWay bool // a body that can be sent once
		status int
		log    []string // of the first call
		again  []string // of the second one, with a jar
	}{
		"challenged": {
			status: 200, log: []string{"GET /", "GET / n1 signed"}, again: []string{"GET / n1 signed"},
		},
		"preemptive": {
			change: func(o *client.Options) { o.Preemptive = preemptive.Always() },
			status: 200, log: []string{"GET / signed", "GET / n1 signed"}, again: []string{"GET / n1 signed"},
		},
		"learned": {
			change: func(o *client.Options) { o.Preemptive = preemptive.Learned() },
			status: 200, log: []string{"GET /", "GET / n1 signed"}, again: []string{"GET / n1 signed"},
		},
		"redirected": {
			path: "/go", status: 200,
			log:   []string{"GET /go", "GET /go n1 signed", "GET /there n1 signed"},
			again: []string{"GET /go n1 signed", "GET /there n1 signed"},
		},
		"with a body": {
			method: http.MethodPut, status: 200, log: []string{"PUT /", "PUT / n1 signed"}, again: []string{"PUT / n1 signed"},
		},
		"with a probe": {
			change: func(o *client.Options) { o.BodyLimit, o.OneShot = -1, negotiate.Probe },
			method: http.MethodPut, oneWay: true, status: 200,
			log: []string{"HEAD /", "PUT / n1 signed"}, again: []string{"HEAD / n1", "PUT / n1 signed"},
		},
		"an error of the node, proved": {
			path: "/fail", status: 500, log: []string{"GET /fail", "GET /fail n1 signed"}, again: []string{"GET /fail n1 signed"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := &balancer{node: node}
			server := fakeweb.Serve(realm, b, serverOptions())
			call := func(c *http.Client) (int, []string) {
				var body io.Reader
				if tc.method == http.MethodPut {
					body = strings.NewReader("payload")
					if tc.oneWay {
						body = io.MultiReader(body)
					}
				}
				r, err := http.NewRequestWithContext(t.Context(), tc.method, server.URL()+tc.path, body)
				if err != nil {
					t.Fatal(err)
				}
				if tc.path == "" {
					r.URL.Path = "/"
				}
				status, _, err := do(t, c, r)
				if err != nil {
					t.Fatal(err)
				}
				b.mu.Lock()
				defer b.mu.Unlock()
				log := b.log
				b.log = nil
				return status, log
			}
			for _, jar := range []bool{false, true} {
				o := kinit(t, realm)
				o.Transport = server.Transport()
				if tc.change != nil {
					tc.change(&o)
				}
				c := newClient(t, o)
				if jar {
					c.Jar, _ = cookiejar.New(nil)
				}
				want := [][]string{tc.log, tc.again}
				if !jar {
					if tc.path == "/go" {
						continue // each request of the redirect is a call of its own, without a jar
					}
					want = [][]string{tc.log}
				}
				for i, log := range want {
					status, got := call(c)
					if d := cmp.Diff(log, got); status != tc.status || d != "" {
						t.Errorf("jar %v, call %d: status %d\n%s", jar, i+1, status, d)
					}
				}
			}
		})
	}
}

// TestSanitizedCookies: an error that nobody proved brings no cookie, neither its
// own nor those of the challenges before it. With mutual.Optional all come.
func TestSanitizedCookies(t *testing.T) {
	realm := start(t)
	server := fakeweb.Serve(realm, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusNotFound
		http.SetCookie(w, &http.Cookie{Name: "PLANTED", Value: r.Header.Get("Authorization")[:min(9, len(r.Header.Get("Authorization")))], Path: "/"})
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", "Negotiate")
			status = http.StatusUnauthorized
		}
		w.WriteHeader(status)
	}), serverOptions())
	for mode, want := range map[mutual.Mode]int{mutual.Required: 0, mutual.Optional: 2} {
		o := kinit(t, realm)
		o.Transport, o.Mutual = server.Transport(), mode
		c := newClient(t, o)
		resp, err := c.Get(server.URL())
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if n := len(resp.Header["Set-Cookie"]); n != want || resp.StatusCode != http.StatusNotFound {
			t.Errorf("%v: status %d with %d cookies, want %d", mode, resp.StatusCode, n, want)
		}
	}
}

// TestEndedGateway: a gateway's session is over; its 401 deletes the cookie, and
// as long as that comes along it looks at nothing else.
func TestEndedGateway(t *testing.T) {
	realm := start(t)
	h := fakeweb.New(realm, spn, fakeweb.Options{})
	server := fakeweb.Serve(realm, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("GATE"); err != nil {
			h.ServeHTTP(w, r)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "GATE", Path: "/", MaxAge: -1})
		w.Header().Set("WWW-Authenticate", "Negotiate")
		w.WriteHeader(http.StatusUnauthorized)
	}), serverOptions())
	for name, policy := range map[string]preemptive.Policy{"challenged": nil, "always": preemptive.Always()} {
		o := kinit(t, realm)
		o.Transport, o.Preemptive = server.Transport(), policy
		c := newClient(t, o)
		c.Jar, _ = cookiejar.New(nil)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL(), nil)
		if err != nil {
			t.Fatal(err)
		}
		c.Jar.SetCookies(r.URL, []*http.Cookie{{Name: "GATE", Value: "of yesterday", Path: "/"}, {Name: "OTHER", Value: "1", Path: "/"}})
		if status, _, err := do(t, c, r); status != http.StatusOK || err != nil {
			t.Errorf("%s: status %d, error %v", name, status, err)
		}
		if left := c.Jar.Cookies(r.URL); len(left) != 1 || left[0].Name != "OTHER" {
			t.Errorf("%s: the jar has %v, want OTHER alone", name, left)
		}
	}
}
