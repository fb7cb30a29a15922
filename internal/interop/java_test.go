//go:build interop

package interop

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/gss"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// TestJava lets OpenJDK log in to fakekdc, call its web service and be called by
// our client, once for each encryption type.
func TestJava(t *testing.T) {
	t.Parallel()
	for _, e := range etypes {
		t.Run(e.name, func(t *testing.T) {
			j := startJava(t, e)
			if !t.Run("login", j.testLogin) {
				t.Fatal("without a login there is nothing else")
			}
			for name, test := range map[string]func(*testing.T){
				"renewal":          j.testRenewal,
				"get":              j.testGet,
				"get delegating":   j.testDelegating,
				"get bindings":     j.testBindings,
				"get impostor":     j.testImpostor,
				"connection":       j.testConnection,
				"wrap":             j.testWrap,
				"accept":           j.testAccept,
				"accept delegated": j.testAcceptDelegated,
				"accept bindings":  j.testAcceptBindings,
			} {
				t.Run(name, test)
			}
		})
	}
}

// JDK's class for channel bindings of TLS is not in its API.
const javaExports = "java.security.jgss/sun.security.jgss.krb5.internal=ALL-UNNAMED"

// jdk returns the path of a program of the JDK.
func jdk(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v: install the Debian package openjdk-17-jdk-headless (.ci/packages does)", err)
	}
	return path
}

// compiled compiles testdata/JgssPeer.java, once.
var compiled = sync.OnceValues(func() (string, error) {
	dir, err := binDir()
	if err != nil {
		return "", err
	}
	out, err := exec.Command("javac", "--add-exports", javaExports, "-d", dir, filepath.Join("testdata", "JgssPeer.java")).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("javac: %w\n%s", err, out)
	}
	return dir, nil
})

// A java is testdata/JgssPeer.java.
type java struct{ *gssPeer }

func startJava(t *testing.T, e etype) java {
	t.Helper()
	program := jdk(t, "java")
	jdk(t, "javac")
	classes, err := compiled()
	if err != nil {
		t.Fatal(err)
	}
	j := java{newGSSPeer(t, e)}
	j.serve(t, environment{"HOME": j.dir}, program, []string{
		"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m", "-cp", classes, "--add-exports", javaExports,
		"-Dsun.net.httpserver.nodelay=true", "-Djdk.https.negotiate.cbt=always",
		"-Djava.security.krb5.conf=" + j.conf, "-Djava.io.tmpdir=" + j.dir, "JgssPeer",
	}, []string{j.keytab})
	return j
}

func (j java) testLogin(t *testing.T) {
	tgt := fmt.Sprintf("alice@%[1]s for krbtgt/%[1]s@%[1]s, session key %[2]d, forwardable\n", j.Name(), j.etype.number)
	j.wantLogin(t, "password", "", alicePassword, tgt, fakekdc.AS, fakekdc.AS)
	j.wantLogin(t, "keytab", j.file(t, "alice.keytab", j.Keytab("alice")), "", tgt, fakekdc.AS, fakekdc.AS)
	j.wantLogin(t, "ccache", j.file(t, "ccache", j.CCache("alice")), "", tgt)
}

// testRenewal has a ticket renewed whose life is half over.
func (j java) testRenewal(t *testing.T) {
	j.clock.Advance(-6 * time.Hour)
	old := j.file(t, "old", j.CCache("alice"))
	j.clock.Advance(6 * time.Hour)
	j.ResetExchanges()
	j.post(t, "/login", "", "as", "alice", "with", "renewed ccache", "path", old)
	seen := j.Exchanges()
	if len(seen) != 1 || seen[0].Kind != fakekdc.TGS || seen[0].Code != 0 || seen[0].Options&krb.OptionRenew == 0 {
		t.Errorf("exchanges %v, want a renewal", seen)
	}
	h := fakeweb.New(j.Realm, "HTTP/localhost", fakeweb.Options{})
	j.wantGot(t, h, "alice/renewed ccache", nil, "status 200\n", "hello alice@"+j.Name())
}

// testBindings has the bindings that the API's class makes among the wrong ones:
// they have another type of address than everybody's. JGSS leaves them out of
// tokens with SPNEGO.
func (j java) testBindings(t *testing.T) { j.wantBindings(t, "krb5", "plain", "wrong") }

// testConnection leaves it to HttpURLConnection, which reads the first challenge,
// answers it, and binds its tokens.
func (j java) testConnection(t *testing.T) {
	for _, o := range []fakeweb.ServerOptions{{}, {TLS: true}} {
		h := fakeweb.New(j.Realm, "HTTP/localhost", fakeweb.Options{})
		s := fakeweb.Serve(j.Realm, h, o)
		pairs := []string{"as", "alice/ccache", "url", s.URL()}
		if o.TLS {
			pairs = append(pairs, "cert", j.certOf(t, s))
		}
		got := j.post(t, "/connection", "", pairs...)
		if want := "status 200\nhello alice@" + j.Name() + "\n"; got != want || !slices.Equal(h.Statuses(), []int{401, 200}) {
			t.Errorf("got %q, want %q; requests %v", got, want, h.Requests())
		} else if bound := h.Requests()[1].Caller.Bound; bound != o.TLS {
			t.Errorf("TLS %v: bound %v", o.TLS, bound)
		}
	}
}

// testWrap seals and opens messages with the peer as acceptor and as initiator.
func (j java) testWrap(t *testing.T) {
	w := &wrapPeer{j.Realm, j.etype.number, j.plain}
	for _, mutual := range []bool{true, false} {
		t.Run(fmt.Sprintf("initiator, mutual %v", mutual), func(t *testing.T) {
			c := w.connect(t)
			c.exchangeWrapped(t, c.accept(t, mutual))
		})
		t.Run(fmt.Sprintf("acceptor, mutual %v", mutual), func(t *testing.T) {
			c := w.connect(t)
			c.exchangeWrapped(t, c.initiate(t, mutual))
		})
	}
	t.Run("refused", func(t *testing.T) {
		c := w.connect(t)
		ch := c.accept(t, true)
		token, err := ch.Wrap([]byte("first"), true)
		if err != nil {
			t.Fatal(err)
		}
		changed := bytes.Clone(token)
		changed[len(changed)-1] ^= 1
		for what, token := range map[string][]byte{"changed": changed, "cut": token[:len(token)-1]} {
			if _, b, err := c.post(t, "/wrap", nil, token); err == nil || !strings.Contains(err.Error(), "GSSException") {
				t.Errorf("%s: answered with %x, error %v", what, b, err)
			}
		}
		c.must(t, "/wrap", nil, token)
		if _, b, err := c.post(t, "/wrap", nil, token); err == nil || !strings.Contains(err.Error(), "GSSException") {
			t.Errorf("replayed: answered with %x, error %v", b, err)
		}
	})
}

// exchangeWrapped is exchange for peers without message framing of their own.
func (c *wrapConn) exchangeWrapped(t *testing.T, ch *gss.Channel) {
	t.Helper()
	for _, n := range []int{0, 1, 15, 16, 17, 31, 32, 33, 255, 256, 5000, 1 << 16} {
		plain := text(n)
		for _, conf := range []bool{true, false} {
			token, err := ch.Wrap(plain, conf)
			if err != nil {
				t.Fatal(err)
			}
			got, sealed, err := ch.Unwrap(c.must(t, "/wrap", nil, token))
			if err != nil || sealed != conf || !bytes.Equal(got, bytes.ToUpper(plain)) {
				t.Fatalf("%d bytes, sealed %v: %.100q, sealed %v, %v", n, conf, got, sealed, err)
			}
		}
	}
	const message = "a message of its own" // the peer's MESSAGE
	mic, err := ch.MIC([]byte(message))
	if err != nil {
		t.Fatal(err)
	}
	if err := ch.VerifyMIC([]byte(message), c.must(t, "/mic", nil, mic)); err != nil {
		t.Fatal(err)
	}
}
