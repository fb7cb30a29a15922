package main

import (
	"encoding/pem"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
)

var update = flag.Bool("update", false, "write testdata anew")

// TestMessages: what the command says of the common failures, beside the one line that
// the library's error is.
func TestMessages(t *testing.T) { // alone, for its ports that nobody listens on
	if runtime.GOOS == "windows" {
		t.Skip("the system's own errors are worded otherwise there")
	}
	l := newLab(t, fakeweb.ServerOptions{})
	basic := fakeweb.Serve(l.Realm, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	}), fakeweb.ServerOptions{})
	gone := fakeweb.Serve(l.Realm, l.service, fakeweb.ServerOptions{})
	gone.Close()
	secure := fakeweb.Serve(l.Realm, l.service, fakeweb.ServerOptions{TLS: true})
	ca := l.write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}))
	_, port, _ := strings.Cut(strings.TrimPrefix(secure.URL(), "https://"), ":")
	nothing := "[libdefaults]\ndns_lookup_kdc = false\n"
	var b strings.Builder
	for _, tc := range []struct {
		name   string
		quirks fakeweb.Quirks
		env    map[string]string
		stdin  string
		args   []string
		url    string
	}{
		{name: "nobody ran kinit", args: []string{"--ccache", "FILE:/nonexistent"}},
		{name: "the cache is damaged", args: []string{"--ccache", l.write("damaged", []byte("x"))}},
		{name: "the cache is a keytab", args: []string{"--ccache", l.write("keytab", l.Keytab("alice"))}},
		{name: "the keytab is a cache", args: []string{"--keytab", l.write("cache", l.CCache("alice"))}},
		{name: "no daemon keeps the cache", env: map[string]string{"KRB5_CONFIG": l.write("kcm.conf", []byte(l.Config()+"[libdefaults]\nkcm_socket = /nonexistent\n"))}, args: []string{"--ccache", "KCM:1000"}},
		{name: "an unknown type of cache", args: []string{"--ccache", "FOO:x"}},
		{name: "neither cache nor keytab", env: map[string]string{"KRB5CCNAME": "FILE:/nonexistent", "KRB5_CLIENT_KTNAME": "/nonexistent/keytab"}},
		{name: "a wrong password", stdin: "hunter2", args: []string{"--principal", "alice", "--password-file", "-"}},
		{name: "no ticket to armour with", stdin: "hunter23", args: []string{"--principal", "alice", "--password-file", "-", "--armor-ccache", "FILE:/nonexistent"}},
		{name: "nobody of that name", stdin: "x", args: []string{"--principal", "carol", "--password-file", "-"}},
		{name: "the KDC does not know the service", args: []string{"--service", "NFS"}},
		{name: "no KDC is known", env: map[string]string{"KRB5_CONFIG": l.write("nothing.conf", []byte(nothing))}},
		{name: "krb5.conf is damaged", env: map[string]string{"KRB5_CONFIG": l.write("broken.conf", []byte("[libdefaults\n"))}},
		{name: "the server proves nothing", quirks: fakeweb.Quirks{Proof: fakeweb.ProofNone}},
		{name: "the server's proof is forged", quirks: fakeweb.Quirks{Proof: fakeweb.ProofForged}},
		{name: "the server refuses the ticket", quirks: fakeweb.Quirks{Reject: true}},
		{name: "an error page that nobody proves", quirks: fakeweb.Quirks{Proof: fakeweb.ProofNone}, url: l.server.URL() + "/missing"},
		{name: "an error page that the server proves", url: l.server.URL() + "/missing"},
		{name: "the server offers Basic alone", url: basic.URL()},
		{name: "the host is not on the list", args: []string{"--allowed-hosts", "*.corp.example"}},
		{name: "nobody listens", url: gone.URL()},
		{name: "no proxy listens", args: []string{"-x", gone.URL()}},
		{name: "an unknown certificate", url: secure.URL()},
		{name: "a certificate for another name", args: []string{"--cacert", ca, "--connect-to", "::localhost:" + port}, url: "https://other.test"},
		{name: "https where it is http", url: strings.Replace(l.server.URL(), "http:", "https:", 1)},
		{name: "the server hangs up", quirks: fakeweb.Quirks{Hangup: true}},
	} {
		env := maps.Clone(l.env)
		maps.Copy(env, tc.env)
		if tc.url == "" {
			tc.url = l.server.URL()
		}
		restore(t, filepath.Join(l.dir, "cc"))
		l.service.SetQuirks(tc.quirks)
		args := append(append([]string{"get", "-f", "-w", "%{errormsg}"}, tc.args...), tc.url)
		code, before, after := runWith(t.Context(), env, tc.stdin, args...)
		if before == "" {
			before = "the status alone"
		}
		if strings.Contains(before+after, "hunter2") || strings.Count(after, "\n") > 3 {
			t.Errorf("%s: %s", tc.name, after)
		}
		fmt.Fprintf(&b, "# %s: exit status %d\n- %s\n%s\n", tc.name, code, before, after)
	}
	got := strings.NewReplacer(l.dir, "/home/alice", l.Name(), "EXAMPLE.TEST", l.Addr(), "127.0.0.1:88").Replace(b.String())
	for _, s := range []string{l.server.URL(), basic.URL(), gone.URL(), secure.URL()} {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		got = strings.ReplaceAll(got, ":"+u.Port(), ":443")
	}
	got = regexp.MustCompile(`127\.0\.0\.1:\d+->`).ReplaceAllString(got, "127.0.0.1:1024->")
	golden := filepath.Join("testdata", "messages.txt")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("testdata/messages.txt (-want +got), -update writes it anew\n%s", d)
	}
}
