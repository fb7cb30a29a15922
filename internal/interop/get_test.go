//go:build interop

package interop

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The exit statuses of the command.
const (
	exitOK          = 0
	exitCredentials = 3
	exitKDC         = 4
	exitNotVerified = 5
	exitNetwork     = 6
	exitStatus      = 22
)

// get runs "kerbchain get -v".
func (l *lab) get(t *testing.T, env environment, args ...string) result {
	t.Helper()
	return run(t, env, "", kerbchain(t), append([]string{"get", "-v", "--cacert", l.ca}, args...)...)
}

// verdict is what the timeline says of a verified response.
func (l *lab) verdict() string {
	return "verified: the server holds the key of HTTP/localhost@" + l.name
}

// wantGet fails unless the command ended as told, and its timeline tells all of
// the texts.
func wantGet(t *testing.T, r result, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("want exit status %d: %v", code, r)
		return
	}
	for _, s := range texts {
		if !strings.Contains(r.stderr, s) {
			t.Errorf("want %q on standard error: %v", s, r)
		}
	}
}

func (l *lab) testCredentials(t *testing.T) {
	cache := l.kinit(t)
	for name, tc := range map[string]struct {
		env  environment
		args []string
		user string
	}{
		"environment": {cache, nil, "alice"},
		"ccache":      {l.env, []string{"--ccache", cache["KRB5CCNAME"]}, "alice"},
		"keytab":      {l.env, []string{"--keytab", l.path("alice.keytab"), "--principal", "alice"}, "alice"},
		"any key":     {l.env, []string{"--keytab", l.path("alice.keytab")}, "alice"},
		"client keytab": {
			l.env.with("KRB5_CLIENT_KTNAME", "FILE:"+l.path("alice.keytab")), nil, "alice",
		},
		"password": {
			l.env, []string{"--principal", "alice@" + l.name, "--password-file", passwordFile(t, alicePassword)}, "alice",
		},
		"no preauth": {l.env, []string{"--principal", "bob", "--password-file", passwordFile(t, bobPassword)}, "bob"},
	} {
		for _, kind := range kinds {
			t.Run(name+" over "+kind, func(t *testing.T) {
				r := l.get(t, tc.env, append(tc.args, l.url(t, kind, "/auth/hello"))...)
				wantGet(t, r, exitOK, l.verdict(), " as "+tc.user+"@"+l.name, l.etype.name)
				if r.stdout != authText {
					t.Errorf("body: %v", r)
				}
				if bound := strings.Contains(r.stderr, "bound to the TLS connection"); bound != (kind != "http") {
					t.Errorf("%s: bound to TLS: %t: %v", kind, bound, r)
				}
			})
		}
	}
}

// testDir lets MIT's tools fill and switch a collection of type DIR.
func (l *lab) testDir(t *testing.T) {
	dir := t.TempDir()
	env := l.env.with("KRB5CCNAME", "DIR:"+dir)
	must(t, env, alicePassword+"\n", tool(t, "kinit"), "alice")
	must(t, env, bobPassword+"\n", tool(t, "kinit"), "bob")
	url := l.url(t, "http", "/auth/hello")
	for _, who := range []string{"alice", "bob"} {
		must(t, env, "", tool(t, "kswitch"), "-p", who)
		wantGet(t, l.get(t, env, url), exitOK, l.verdict(), " as "+who+"@"+l.name)
	}
	for _, who := range []string{"alice", "bob"} {
		wantGet(t, l.get(t, env, "--principal", who, url), exitOK, l.verdict(), " as "+who+"@"+l.name)
	}
	r := l.get(t, env, "--principal", "carol", url)
	wantGet(t, r, exitCredentials, "carol@"+l.name, "kinit")
}

// testTCP asks the KDC over TCP alone.
func (l *lab) testTCP(t *testing.T) {
	env := l.env.with("KRB5_CONFIG", l.config(t, "tcp.conf", l.kdc, "udp_preference_limit = 1"))
	r := l.get(t, env, "--principal", "alice", "--password-file", passwordFile(t, alicePassword), l.url(t, "http", "/auth/hello"))
	wantGet(t, r, exitOK, l.verdict(), "AS exchange with "+l.kdc+"/tcp", "TGS exchange with "+l.kdc+"/tcp")
	if strings.Contains(r.stderr, "/udp") {
		t.Error(r)
	}
}

// testStatuses asks for what is not to be had. Apache proves itself then too,
// so its error pages are passed on.
func (l *lab) testStatuses(t *testing.T) {
	env := l.kinit(t)
	for _, kind := range kinds {
		r := l.get(t, env, l.url(t, kind, "/auth/missing"))
		wantGet(t, r, exitStatus, "404", l.verdict())
		if !strings.Contains(r.stdout, "Not Found") {
			t.Errorf("body: %v", r)
		}
		r = l.get(t, env, l.url(t, kind, "/auth/forbidden"))
		wantGet(t, r, exitStatus, "403", l.verdict())
		if !strings.Contains(r.stdout, "Forbidden") {
			t.Errorf("body: %v", r)
		}
		// A ticket that Apache has no key for.
		r = l.get(t, env, "--host-override", "stranger.example", l.url(t, kind, "/auth/hello"))
		wantGet(t, r, exitStatus, "401", "HTTP/stranger.example@"+l.name)
	}
}

// testRedirect follows a redirect of a server that proved itself, and none of one
// that did not.
func (l *lab) testRedirect(t *testing.T) {
	env := l.kinit(t)
	for _, kind := range kinds {
		url := l.url(t, kind, "/auth/cgi/moved")
		r := l.get(t, env, "-i", url)
		wantGet(t, r, exitOK, "302", l.verdict())
		if !strings.Contains(r.stdout, "/auth/hello") {
			t.Errorf("no Location: %v", r)
		}
		r = l.get(t, env, "-L", url)
		wantGet(t, r, exitOK, l.verdict())
		if n := strings.Count(r.stderr, l.verdict()); n != 2 || r.stdout != authText {
			t.Errorf("%d responses verified, want 2: %v", n, r)
		}
		url = l.url(t, kind, "/open/moved")
		wantGet(t, l.get(t, env, "-L", url), exitNotVerified, "unverified redirect")
		r = l.get(t, env, "-L", "--mutual", "optional", url)
		wantGet(t, r, exitOK, l.verdict())
		if r.stdout != authText {
			t.Errorf("body: %v", r)
		}
	}
}

// testOpen asks for what needs no authentication, so that nothing is proved.
func (l *lab) testOpen(t *testing.T) {
	env := l.kinit(t)
	for _, kind := range kinds {
		url := l.url(t, kind, "/open/hello")
		wantGet(t, l.get(t, env, url), exitNotVerified, "not verified")
		r := l.get(t, env, "--mutual", "optional", url)
		wantGet(t, r, exitOK, "not verified")
		if r.stdout != openText {
			t.Errorf("body: %v", r)
		}
	}
}

// testPost sends 5 MiB, which Apache refuses before it has read them.
func (l *lab) testPost(t *testing.T) {
	env := l.kinit(t)
	body := make([]byte, 5<<20)
	rand.Read(body)
	path := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%d %x\n", len(body), sha256.Sum256(body))
	for _, kind := range kinds {
		for _, preemptive := range []string{"off", "always"} {
			r := l.get(t, env, "--preemptive", preemptive, "--data-binary", "@"+path, l.url(t, kind, "/auth/cgi/sum"))
			wantGet(t, r, exitOK, l.verdict())
			if r.stdout != want {
				t.Errorf("%s, preemptive %s: want %q: %v", kind, preemptive, want, r)
			}
		}
	}
}

// testBindings binds tokens to TLS or not. Apache takes both.
func (l *lab) testBindings(t *testing.T) {
	env := l.kinit(t)
	const bound = "bound to the TLS connection"
	for _, kind := range []string{"https", "h2"} {
		for _, preemptive := range []string{"off", "always"} {
			url := l.url(t, kind, "/auth/hello")
			wantGet(t, l.get(t, env, "--cbt", "require", "--preemptive", preemptive, url), exitOK, l.verdict(), bound)
			r := l.get(t, env, "--cbt", "off", "--preemptive", preemptive, url)
			wantGet(t, r, exitOK, l.verdict())
			if strings.Contains(r.stderr, bound) {
				t.Errorf("--cbt off: %v", r)
			}
		}
	}
	if r := l.get(t, env, "--cbt", "require", l.url(t, "http", "/auth/hello")); r.code == exitOK || r.stdout != "" {
		t.Errorf("--cbt require over plain HTTP: %v", r)
	}
}

// testProxy goes through a proxy that wants to be authenticated to, for an origin
// that does not and for one that does.
func (l *lab) testProxy(t *testing.T) {
	env := l.kinit(t)
	r := l.get(t, env, "--mutual", "optional", "--proxy", l.proxy, l.url(t, "http", "/open/hello"))
	wantGet(t, r, exitOK, "407")
	if r.stdout != openText {
		t.Errorf("body: %v", r)
	}
	r = l.get(t, env, "--proxy", l.proxy, l.url(t, "http", "/auth/hello"))
	wantGet(t, r, exitOK, "407", "401", l.verdict())
	if r.stdout != authText {
		t.Errorf("body: %v", r)
	}
}

func (l *lab) testFailures(t *testing.T) {
	cache := l.kinit(t)
	truncated := filepath.Join(t.TempDir(), "ccache")
	whole := readAll(t, strings.TrimPrefix(cache["KRB5CCNAME"], "FILE:"))
	write(t, truncated, whole[:len(whole)/2])
	addrs := freePorts(t, 2)
	url := l.url(t, "http", "/auth/hello")
	for name, tc := range map[string]struct {
		env   environment
		args  []string
		code  int
		texts []string
	}{
		"wrong password": {
			l.env, []string{"--principal", "alice", "--password-file", passwordFile(t, "wrong"), url},
			exitCredentials, []string{"alice@" + l.name, "HTTP/localhost"},
		},
		"unknown principal": {
			l.env, []string{"--principal", "nobody", "--password-file", passwordFile(t, "wrong"), url},
			exitCredentials, []string{"nobody@" + l.name},
		},
		"no ccache":        {l.env, []string{url}, exitCredentials, []string{l.path("none")}},
		"truncated ccache": {l.env, []string{"--ccache", truncated, url}, exitCredentials, []string{truncated}},
		"no keytab":        {l.env, []string{"--keytab", l.path("nothing"), url}, exitCredentials, []string{l.path("nothing")}},
		"unknown SPN": {
			cache, []string{"--host-override", "nowhere.example", url},
			exitKDC, []string{"HTTP/nowhere.example", "alice@" + l.name},
		},
		"KDC down": {
			l.env.with("KRB5_CONFIG", l.config(t, "down.conf", addrs[0])),
			[]string{"--keytab", l.path("alice.keytab"), url},
			exitKDC, []string{addrs[0]},
		},
		"server down": {cache, []string{"http://localhost:" + port(addrs[1]) + "/"}, exitNetwork, nil},
		"unknown CA": {
			cache, []string{"--cacert", l.otherCA(t), l.url(t, "https", "/auth/hello")}, exitNetwork, []string{"certificate"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := l.get(t, tc.env, tc.args...)
			wantGet(t, r, tc.code, tc.texts...)
			if r.stdout != "" {
				t.Errorf("standard output: %v", r)
			}
			if strings.Contains(r.stderr, alicePassword) || strings.Contains(r.stderr, "panic") {
				t.Error(r)
			}
		})
	}
}

// otherCA writes a certificate that no server has.
func (l *lab) otherCA(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	certificate(t, filepath.Join(dir, "cert"), filepath.Join(dir, "key"))
	return filepath.Join(dir, "cert")
}

// testImpostors sends requests to servers that take the token and have no key.
func (l *lab) testImpostors(t *testing.T) {
	env := l.kinit(t)
	for name, line := range map[string]string{
		"no token":     "",
		"empty token":  "Negotiate",
		"not base64":   "Negotiate !!!",
		"no token yet": "Negotiate " + base64.StdEncoding.EncodeToString([]byte("\xa1\x07\x30\x05\xa0\x03\x0a\x01\x00")),
		"garbage":      "Negotiate " + base64.StdEncoding.EncodeToString([]byte("no token of any kind")),
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") == "" {
					w.Header().Set("WWW-Authenticate", "Negotiate")
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				if line != "" {
					w.Header().Set("WWW-Authenticate", line)
				}
				fmt.Fprint(w, "forged")
			}))
			defer s.Close()
			url := "http://localhost:" + port(s.Listener.Addr().String()) + "/"
			r := l.get(t, env, url)
			wantGet(t, r, exitNotVerified, "HTTP/localhost", "refused as required")
			if r.stdout != "" {
				t.Errorf("what the impostor said is passed on: %v", r)
			}
			if r = l.get(t, env, "--mutual", "disabled", url); r.code != exitOK || r.stdout != "forged" {
				t.Errorf("disabled: %v", r)
			}
		})
	}
}

// testDelegation lets Apache act as the caller with what was delegated to it:
// MIT's klist reads the cache that mod_auth_gssapi made, and kvno gets a ticket
// with it.
func (l *lab) testDelegation(t *testing.T) {
	l.overAll(t, "always", func(t *testing.T, kind string) {
		r := l.get(t, l.env, "--principal", "alice", "--password-file", passwordFile(t, alicePassword),
			"--delegate", "always", l.url(t, kind, "/auth/cgi/deleg"))
		wantGet(t, r, exitOK, l.verdict(), "delegates the user's credentials")
		for _, want := range []string{"Default principal: alice@" + l.name, "krbtgt/" + l.name, "Flags: Ff", "HTTP/localhost@" + l.name + ": kvno = "} {
			if !strings.Contains(r.stdout, want) {
				t.Errorf("want %q in what the server did with the credentials: %v", want, r)
			}
		}
	})
	for _, mode := range []string{"off", "policy"} {
		r := l.get(t, l.env, "--principal", "alice", "--password-file", passwordFile(t, alicePassword),
			"--delegate", mode, l.url(t, "http", "/auth/cgi/deleg"))
		wantGet(t, r, exitOK, l.verdict())
		if r.stdout != "no credentials\n" {
			t.Errorf("%s: the server has credentials: %v", mode, r)
		}
	}
}
