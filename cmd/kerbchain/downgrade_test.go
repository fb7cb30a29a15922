package main

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
)

// A redirect from https to plain http is followed without a token, the timeline
// says what to set, and the flag sets it.
func TestDowngrade(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	secure := fakeweb.Serve(l.Realm, http.RedirectHandler(l.server.URL()+"/", http.StatusFound), fakeweb.ServerOptions{TLS: true})
	args := []string{"get", "-v", "-k", "-L", "--mutual", "optional"}
	code, _, says := l.run("", append(args, secure.URL())...)
	if code != exitStatus || !strings.Contains(says, "--allow-downgrade") {
		t.Errorf("exit %d: %s", code, says)
	}
	code, body, says := l.run("", append(args, "--allow-downgrade", secure.URL())...)
	if code != exitOK || !strings.HasPrefix(body, "alice") {
		t.Errorf("exit %d, %q: %s", code, body, says)
	}
}

// TestGetKeepsSecretsAtHome: as with curl, an Authorization or Cookie of the user's own is for
// the origin of the URL alone, and goes with no redirect to another host, port or scheme.
func TestGetKeepsSecretsAtHome(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	var to string
	var got []string // of the requests in order, what was secret in them
	tell := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secrets := r.Header.Get("Authorization") + r.Header.Get("Cookie") + r.Header.Get("Proxy-Authorization")
		got = append(got, r.Header.Get("X-Other")+secrets)
		switch r.URL.Path {
		case "/":
			http.Redirect(w, r, to, http.StatusTemporaryRedirect)
		case "/on":
			http.Redirect(w, r, "/end", http.StatusFound)
		}
	})
	plain, other := fakeweb.Serve(l.Realm, tell, fakeweb.ServerOptions{}), fakeweb.Serve(l.Realm, tell, fakeweb.ServerOptions{})
	secure := fakeweb.Serve(l.Realm, tell, fakeweb.ServerOptions{TLS: true})
	port := func(s *fakeweb.Server) string {
		_, p, _ := net.SplitHostPort(strings.SplitAfter(s.URL(), "//")[1])
		return p
	}
	for name, tc := range map[string]struct {
		from, to string
		want     string // of each request: s with the secrets, - without
	}{
		"a path":               {plain.URL(), "/end", "ss"},
		"the same origin":      {plain.URL(), plain.URL() + "/on", "sss"},
		"another port":         {plain.URL(), other.URL() + "/on", "s--"},
		"to plain http":        {secure.URL(), plain.URL() + "/on", "s--"},
		"to https":             {plain.URL(), secure.URL() + "/end", "s-"},
		"a host below":         {plain.URL(), "http://deep.localhost:" + port(plain) + "/on", "s--"},
		"another host":         {plain.URL(), "http://127.0.0.1:" + port(plain) + "/end", "s-"},
		"another, by the path": {plain.URL(), "//127.0.0.1:" + port(plain) + "/end", "s-"},
	} {
		for _, header := range []string{"Authorization: Bearer mine", "authorization:Basic bWluZQ==", "Cookie: mine"} {
			to, got = tc.to, nil
			code, _, says := l.run("", "get", "-L", "-k", "--mutual", "optional", "-H", header, "-H", "X-Other: x", "--connect-to", "deep.localhost::127.0.0.1:", tc.from+"/")
			wire := ""
			for _, g := range got {
				switch {
				case !strings.HasPrefix(g, "x"):
					t.Errorf("%s: a header that is no secret is gone", name)
				case g == "x":
					wire += "-"
				default:
					wire += "s"
				}
			}
			if wire != tc.want || code != exitOK {
				t.Errorf("%s, %s: %q, want %q; exit %d: %s", name, header, wire, tc.want, code, says)
			}
		}
	}
}

func TestSameOrigin(t *testing.T) {
	for pair, want := range map[[2]string]bool{
		{"https://a.test/x", "https://A.test:443/y"}:   true,
		{"http://a.test", "http://a.test:80/"}:         true,
		{"http://[::1]:8080", "http://[::1]:8080/x"}:   true,
		{"https://a.test", "https://a.test:80"}:        false,
		{"http://a.test", "http://a.test:443"}:         false,
		{"http://a.test:443", "https://a.test"}:        false,
		{"https://a.test:8443", "https://a.test:8444"}: false,
		{"https://a.test", "https://b.a.test"}:         false,
		{"https://a.test", "https://a.test.b.test"}:    false,
	} {
		var urls [2]*url.URL
		for i, text := range pair {
			u, err := url.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			urls[i] = u
		}
		if sameOrigin(urls[0], urls[1]) != want || sameOrigin(urls[1], urls[0]) != want {
			t.Errorf("%q: want %t", pair, want)
		}
	}
}

// User info in the URL is not sent, and the timeline says so.
func TestUserInfo(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	_, rest, _ := strings.Cut(l.server.URL(), "://")
	for _, user := range []string{":@", "bob@", "bob:secret@"} {
		code, body, says := l.run("", "get", "-v", "http://"+user+rest)
		if code != exitOK || !strings.HasPrefix(body, "alice") || !strings.Contains(says, "user info in the URL is not used") || strings.Contains(says, "secret") {
			t.Errorf("%s: exit %d, %q: %s", user, code, body, says)
		}
	}
	code, _, says := l.run("", "get", "-v", "--mutual", "optional", "-H", "authorization: Bearer mine", l.server.URL())
	if code != exitStatus || !strings.Contains(says, "bears Authorization of its own") || strings.Contains(says, "mine") {
		t.Errorf("exit %d: %s", code, says)
	}
	// A host that is none is wrong usage.
	code, _, says = l.run("", "get", "--preemptive", "always", "http://localhost%25.evil.test/")
	if code != exitUsage || !strings.Contains(says, "localhost%.evil.test") {
		t.Errorf("exit %d: %s", code, says)
	}
}
