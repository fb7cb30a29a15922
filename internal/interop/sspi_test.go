//go:build interop

package interop

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/kerbchain/kerbchain/middleware"
)

// TestSSPI calls Apache as Windows programs do in Wine, whose package Kerberos asks MIT's
// library: by package sspi with the credentials of the user who is logged on, which are
// the cache of kinit here, or with a password; and by package kerberos. What Wine 8 does
// not do is told in docs/support.md.
func TestSSPI(t *testing.T) {
	r := startRealm(t, etypes[1])
	l := &windowsLab{&lab{r, startWeb(t, r)}, startWine(t), ""}
	l.command = l.program(t, "kerbchain.exe", "build", "./cmd/kerbchain")
	for name, test := range map[string]func(*testing.T){
		"logged on":        l.testLoggedOn,
		"by default":       l.testDefault,
		"delegation":       l.testDelegation,
		"nobody logged on": l.testNobody,
		"password":         l.testPassword,
		"wrong password":   l.testWrongPassword,
		"impostors":        l.testImpostors,
		"package kerberos": l.testOwn,
		"package sspi":     l.testPackage,
	} {
		t.Run(name, test)
	}
}

// A windowsLab is a lab with our command for Windows.
type windowsLab struct {
	*lab
	*wine
	command string
}

// verdict names the service as we do: Windows does not tell of which realm it is.
func (l *windowsLab) verdict() string {
	return "verified: the server holds the key of HTTP/localhost\n"
}

// get runs "kerbchain get -v" with the credentials of Windows.
func (l *windowsLab) get(t *testing.T, env environment, args ...string) result {
	t.Helper()
	args = append([]string{"get", "-v", "--cacert", windowsPath(l.ca), "--credentials", "system"}, args...)
	return l.wine.run(t, env, l.command, args...)
}

func (l *windowsLab) testLoggedOn(t *testing.T) {
	env := l.kinit(t)
	l.overAll(t, "200", func(t *testing.T, kind string) {
		r := l.get(t, env, l.url(t, kind, "/auth/hello"))
		wantGet(t, r, exitOK, l.verdict())
		if r.stdout != authText {
			t.Errorf("body: %v", r)
		}
	})
	l.overAll(t, "403", func(t *testing.T, kind string) {
		wantGet(t, l.get(t, env, l.url(t, kind, "/auth/forbidden")), exitStatus, "403", l.verdict())
	})
	wantGet(t, l.get(t, env, "--preemptive", "always", l.url(t, "http", "/auth/hello")), exitOK, "request 1", l.verdict())
	wantGet(t, l.get(t, env, "-d", "x=y", l.url(t, "http", "/auth/cgi/sum")), exitOK, l.verdict())
}

// testDefault: where nothing names credentials, Windows is asked. MIT's library has its
// environment from the process in which Wine runs, and Windows' programs see another one.
func (l *windowsLab) testDefault(t *testing.T) {
	script := write(t, filepath.Join(t.TempDir(), "get.bat"),
		"@set KRB5_CONFIG=\r\n@set KRB5CCNAME=\r\n@"+windowsPath(l.command)+" get -v %1\r\n@exit %ERRORLEVEL%\r\n")
	r := l.wine.run(t, l.kinit(t), "cmd", "/c", windowsPath(script), l.url(t, "http", "/auth/hello"))
	wantGet(t, r, exitOK, l.verdict())
}

func (l *windowsLab) testDelegation(t *testing.T) {
	env := l.env.with("KRB5CCNAME", "FILE:"+filepath.Join(t.TempDir(), "ccache"))
	must(t, env, alicePassword+"\n", tool(t, "kinit"), "-f", "alice")
	url := l.url(t, "http", "/auth/cgi/deleg")
	r := l.get(t, env, "--delegate", "always", url)
	wantGet(t, r, exitOK, l.verdict(), "delegates the user's credentials")
	for _, want := range []string{"Default principal: alice@" + l.name, "Flags: Ff", "HTTP/localhost@" + l.name + ": kvno = "} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("want %q in what the server did with the credentials: %v", want, r)
		}
	}
	if r = l.get(t, env, url); r.code != exitOK || r.stdout != "no credentials\n" {
		t.Errorf("unasked: %v", r)
	}
}

// testNobody: the error says what to do.
func (l *windowsLab) testNobody(t *testing.T) {
	r := l.get(t, l.env, l.url(t, "http", "/auth/hello"))
	wantGet(t, r, exitCredentials, middleware.ErrCredentials.Error(), "HTTP/localhost", "log on")
}

func (l *windowsLab) testPassword(t *testing.T) {
	env := l.env.with("KRB5CCNAME", "FILE:"+filepath.Join(t.TempDir(), "ccache")) // where Wine puts its tickets
	for who, password := range map[string]string{"alice": alicePassword, "bob": bobPassword} {
		for _, name := range []string{who + "@" + l.name, l.name + `\` + who} {
			r := l.get(t, env, "--principal", name, "--password-file", windowsPath(passwordFile(t, password)), "-w", "as %{principal}", l.url(t, "http", "/auth/hello"))
			wantGet(t, r, exitOK, l.verdict())
			if r.stdout != authText+"as "+name {
				t.Errorf("as whom: %v", r)
			}
		}
	}
}

// testWrongPassword: it is refused once, and no token of any kind is sent.
func (l *windowsLab) testWrongPassword(t *testing.T) {
	var mu sync.Mutex
	var sent []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		sent = append(sent, r.Header.Get("Authorization"))
		w.Header().Add("WWW-Authenticate", "Negotiate")
		w.Header().Add("WWW-Authenticate", "NTLM")
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer s.Close()
	refused := l.kdcLog(t, "PREAUTH_FAILED")
	r := l.get(t, l.env, "--principal", "alice@"+l.name, "--password-file", windowsPath(passwordFile(t, "not the password")), "http://localhost:"+port(s.Listener.Addr().String()))
	wantGet(t, r, exitCredentials, middleware.ErrCredentials.Error(), "alice")
	if strings.Contains(r.stdout+r.stderr, "not the password") {
		t.Errorf("the password is shown: %v", r)
	}
	if n := l.kdcLog(t, "PREAUTH_FAILED") - refused; n != 1 {
		t.Errorf("the KDC refused the password %d times: %v", n, r)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(sent) != 1 || sent[0] != "" {
		t.Errorf("Authorization headers: %q", sent)
	}
}

// testOwn: package kerberos on Windows, with cache, keytab and password.
func (l *windowsLab) testOwn(t *testing.T) {
	cache := l.kinit(t)["KRB5CCNAME"]
	for name, args := range map[string][]string{
		"cache":    {"--ccache", strings.Replace(cache, "FILE:", "FILE:Z:", 1)},
		"keytab":   {"--keytab", windowsPath(l.path("alice.keytab"))},
		"password": {"--principal", "alice", "--password-file", windowsPath(passwordFile(t, alicePassword))},
	} {
		t.Run(name, func(t *testing.T) {
			for _, kind := range kinds {
				line := append([]string{"get", "-v", "--cacert", windowsPath(l.ca)}, args...)
				env := environment{"KRB5_CONFIG": windowsPath(l.conf)}
				r := l.wine.run(t, env, l.command, append(line, l.url(t, kind, "/auth/hello"))...)
				wantGet(t, r, exitOK, l.lab.verdict(), " as alice@"+l.name)
				if bound := strings.Contains(r.stderr, "bound to the TLS connection"); bound != (kind != "http") {
					t.Errorf("%s: bound to TLS: %t: %v", kind, bound, r)
				}
			}
		})
	}
}

// testPackage runs the package's own tests, among them the contract that every
// initiator keeps, 200 requests at once, and that no handle is left.
func (l *windowsLab) testPackage(t *testing.T) {
	home := t.TempDir()
	program := l.program(t, "sspi.exe", "test", "-c", "./sspi")
	env := environment{
		"KERBCHAIN_SSPI_HOME": windowsPath(home),
		"KRB5_CONFIG":         filepath.Join(home, "krb5.conf"), "KRB5CCNAME": "FILE:" + filepath.Join(home, "cc"),
	}
	r := runFor(t, 4*patience, l.environ(env), "", wine64, program, "-test.v")
	for _, test := range []string{"TestContract", "TestContractOfWine", "TestPasswordOfWine"} {
		if r.code != 0 || !strings.Contains(r.stdout, "--- PASS: "+test+" ") {
			t.Fatalf("%s did not pass: %v", test, r)
		}
	}
}
