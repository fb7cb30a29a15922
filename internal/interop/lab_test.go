//go:build interop

package interop

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestMIT runs everything that needs MIT's KDC and Apache, once for each
// encryption type.
func TestMIT(t *testing.T) {
	for _, e := range etypes {
		t.Run(e.name, func(t *testing.T) {
			r := startRealm(t, e)
			l := &lab{r, startWeb(t, r)}
			if !t.Run("curl", l.testCurl) {
				t.Fatal("the lab itself does not work")
			}
			for name, test := range map[string]func(*testing.T){
				"get credentials":       l.testCredentials,
				"get DIR":               l.testDir,
				"get TCP":               l.testTCP,
				"get statuses":          l.testStatuses,
				"get redirect":          l.testRedirect,
				"get open":              l.testOpen,
				"get post":              l.testPost,
				"get bindings":          l.testBindings,
				"get delegation":        l.testDelegation,
				"get proxy":             l.testProxy,
				"get failures":          l.testFailures,
				"get impostors":         l.testImpostors,
				"client verified":       l.testVerified,
				"client replay":         l.testReplay,
				"client preemptive":     l.testPreemptive,
				"client parallel":       l.testParallel,
				"retryable status":      l.testRetryStatus,
				"retryable KDC":         l.testRetryKDC,
				"retryable no lock-out": l.testNoLockOut,
			} {
				t.Run(name, test)
			}
		})
	}
}

// A lab is a realm and its web server.
type lab struct {
	*realm
	*web
}

var kinds = []string{"http", "https", "h2"}

// overAll runs a test over each kind of connection.
func (l *lab) overAll(t *testing.T, name string, test func(t *testing.T, kind string)) {
	for _, kind := range kinds {
		t.Run(name+" over "+kind, func(t *testing.T) { test(t, kind) })
	}
}

// testCurl proves that the lab itself works.
func (l *lab) testCurl(t *testing.T) {
	env := l.kinit(t)
	for _, kind := range kinds {
		r := must(t, env, "", tool(t, "curl"), "-sS", "--cacert", l.ca, "--negotiate", "-u", ":",
			l.url(t, kind, "/auth/hello"), "-w", "%{http_code}")
		if r.stdout != authText+"200" {
			t.Errorf("%s: %v", kind, r)
		}
	}
	r := must(t, env, "", tool(t, "curl"), "-sS", l.url(t, "http", "/auth/hello"), "-o", "/dev/null", "-w", "%{http_code}")
	if r.stdout != "401" {
		t.Errorf("without credentials: %v", r)
	}
}

// kdcLog counts the lines of the KDC's log that hold all of the texts.
func (l *lab) kdcLog(t *testing.T, texts ...string) (n int) {
	t.Helper()
	for line := range strings.Lines(readAll(t, l.path("krb5kdc.log"))) {
		if !slices.ContainsFunc(texts, func(s string) bool { return !strings.Contains(line, s) }) {
			n++
		}
	}
	return n
}

// passwordFile writes a password as --password-file wants it.
func passwordFile(t *testing.T, password string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
