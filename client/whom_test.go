package client_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
)

// An origin that answers 407 gets no token for the proxy that the environment
// names for others, by whichever way the stages were put together.
func TestOrigin407(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://proxy.example:3128")
	realm := start(t, fakekdc.WithService("HTTP/proxy.example"))
	var got []string
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a := r.Header.Get("Proxy-Authorization"); a != "" {
			got = append(got, a)
		}
		w.Header().Set("Proxy-Authenticate", "Negotiate")
		w.WriteHeader(http.StatusProxyAuthRequired)
	}))
	defer origin.Close()
	_, port, err := net.SplitHostPort(origin.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	in, err := kerberos.NewInitiator(clienttest.TicketSource(t, realm, "alice"), kerberos.InitiatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	foreign := func() http.RoundTripper { return kerbchain.Wrap(toLoopback()) }
	stack, err := client.NewStack(client.Options{Initiator: in, Mutual: mutual.Optional})
	if err != nil {
		t.Fatal(err)
	}
	for name, rt := range map[string]http.RoundTripper{
		"a chain of one's own":     kerbchain.Wrap(toLoopback(), mutual.New(mutual.Options{Mode: mutual.Optional}), negotiate.New(in, negotiate.Options{})),
		"the stack":                stack.Wrap(foreign()),
		"the client":               newClient(t, client.Options{Initiator: in, Transport: toLoopback()}).Transport,
		"a transport of one's own": newClient(t, client.Options{Initiator: in, Transport: foreign()}).Transport,
	} {
		t.Run(name, func(t *testing.T) {
			status, _, err := get(t, &http.Client{Transport: rt}, "http://evil.example:"+port+"/")
			if err != nil || status != http.StatusProxyAuthRequired || len(got) > 0 {
				t.Errorf("status %d, error %v, tokens for a proxy %q", status, err, got)
			}
			got = nil
			if c, ok := rt.(interface{ CloseIdleConnections() }); ok {
				c.CloseIdleConnections()
			}
		})
	}
}

// A redirect from https to http is followed without a token, unless AllowDowngrade
// says otherwise, whoever asks for one.
func TestDowngrade(t *testing.T) {
	realm := start(t, fakekdc.WithService("HTTP/a.example"))
	for name, tc := range map[string]struct {
		policy preemptive.Policy
		allow  bool
		status int
	}{
		"asked":               {nil, false, 401},
		"asked, allowed":      {nil, true, 200},
		"preemptive":          {preemptive.Always(), false, 401},
		"preemptive, allowed": {preemptive.Always(), true, 200},
		"learned":             {preemptive.Learned(), false, 401},
	} {
		t.Run(name, func(t *testing.T) {
			plain := fakeweb.New(realm, "HTTP/a.example", fakeweb.Options{})
			b := fakeweb.Serve(realm, plain, fakeweb.ServerOptions{Host: "a.example"})
			ha := fakeweb.New(realm, spn, fakeweb.Options{Next: http.RedirectHandler(b.URL(), http.StatusFound)})
			a := fakeweb.Serve(realm, ha, fakeweb.ServerOptions{TLS: true})
			o := kinit(t, realm)
			tr := a.Transport()
			dial := toLoopback().DialContext
			tr.DialContext = dial
			o.Transport, o.Preemptive, o.AllowDowngrade = tr, tc.policy, tc.allow
			var hints strings.Builder
			ctx := middleware.WithTrace(t.Context(), func(e middleware.Event) {
				switch e := e.(type) {
				case middleware.RefusedEvent:
					hints.WriteString(e.Err.Error())
				case middleware.WithheldEvent:
					hints.WriteString(e.Err.Error())
				}
			})
			c := newClient(t, o)
			// The same host over plain http is another matter where the caller asks for it.
			if status, _, err := get(t, c, b.URL()); status != 200 || err != nil {
				t.Errorf("asked for by the caller: %d, %v", status, err)
			}
			plain.ResetRequests()
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL(), nil)
			if err != nil {
				t.Fatal(err)
			}
			status, _, err := do(t, c, r)
			if err != nil || status != tc.status {
				t.Errorf("status %d, error %v, want %d", status, err, tc.status)
			}
			if named := strings.Contains(hints.String(), "AllowDowngrade"); named == tc.allow {
				t.Errorf("the trace says %q", hints.String())
			}
		})
	}
}

// User info in a URL, the caller's or a redirect's, is not sent and does not keep
// Kerberos from being spoken.
func TestUserInfo(t *testing.T) {
	realm := start(t)
	for name, policy := range map[string]preemptive.Policy{"asked": nil, "preemptive": preemptive.Always(), "learned": preemptive.Learned()} {
		t.Run(name, func(t *testing.T) {
			var arrived []string
			h := fakeweb.New(realm, spn, fakeweb.Options{Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/relative":
					http.Redirect(w, r, "/end", http.StatusFound)
				case "/absolute":
					http.Redirect(w, r, "http://mallory:evil@"+r.Host+"/end", http.StatusFound)
				default:
					who, _ := fakeweb.CallerOf(r.Context())
					_, _ = io.WriteString(w, who.Name)
				}
			})})
			server := fakeweb.Serve(realm, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
				arrived = append(arrived, scheme)
				h.ServeHTTP(w, r)
			}), fakeweb.ServerOptions{})
			o := kinit(t, realm, spn)
			o.Transport, o.Preemptive = server.Transport(), policy
			c := newClient(t, o)
			_, rest, _ := strings.Cut(server.URL(), "://")
			for _, user := range []string{"", ":@", "alice@", "alice:pw@", "alice:p%40w@"} {
				for _, path := range []string{"/", "/relative", "/absolute"} {
					status, body, err := get(t, c, "http://"+user+rest+path)
					if status != 200 || !strings.HasPrefix(body, "alice") || err != nil {
						t.Errorf("%s%s: %d %q %v", user, path, status, body, err)
					}
				}
			}
			for _, scheme := range arrived {
				if scheme != "" && scheme != "Negotiate" {
					t.Errorf("the server got %q", arrived)
					break
				}
			}
		})
	}
}

// The caller's own credentials go as they are, and the trace says that Kerberos is
// off because of them.
func TestOwnCredentials(t *testing.T) {
	realm := start(t)
	for _, key := range []string{"Authorization", "authorization"} {
		var arrived [][]string
		server := fakeweb.Serve(realm, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			arrived = append(arrived, r.Header["Authorization"])
		}), fakeweb.ServerOptions{})
		o := kinit(t, realm, spn)
		o.Transport, o.Preemptive, o.Mutual = server.Transport(), preemptive.Always(), mutual.Optional
		said := 0
		u, err := url.Parse(server.URL())
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword("alice", "pw")
		r, err := http.NewRequestWithContext(middleware.WithTrace(t.Context(), func(e middleware.Event) {
			if e, ok := e.(middleware.CredentialsEvent); ok && !e.Dropped {
				said++
			}
		}), http.MethodGet, u.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header[key] = []string{"Bearer mine"}
		if status, _, err := do(t, newClient(t, o), r); status != 200 || err != nil {
			t.Errorf("%s: %d, %v", key, status, err)
		}
		if d := cmp.Diff([][]string{{"Bearer mine"}}, arrived); d != "" || said == 0 {
			t.Errorf("%s: said %d times, arrived (-want +got):\n%s", key, said, d)
		}
	}
}

// The same over sealed WinRM, where a request with credentials of its own is
// refused: it would have to go in clear.
func TestUserInfoWinRM(t *testing.T) {
	w := startWinRM(t, fakewinrm.Options{}, fakeweb.ServerOptions{})
	c := w.client(t)
	plain := w.url
	for _, user := range []string{":@", "alice@", "alice:pw@"} {
		w.url = strings.Replace(plain, "://", "://"+user, 1)
		if resp, _, err := w.post(t, c, "<a/>"); err != nil || resp.StatusCode != 200 {
			t.Errorf("%s: %v", user, err)
		}
	}
	for _, key := range []string{"Authorization", "authorization"} {
		r := w.request(t.Context(), t, "<a/>")
		r.Header[key] = []string{"Bearer mine"}
		if _, _, err := do(t, c, r); err == nil || !strings.Contains(err.Error(), "credentials of its own") {
			t.Errorf("%s: %v", key, err)
		}
	}
}
