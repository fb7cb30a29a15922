//go:build interop

package interop

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// startSquid starts a Squid for HTTP/localhost that ends with the test: a forward
// proxy for those who authenticate, with Squid's own helper for Kerberos, and the
// defaults for all else but one: Squid 5.7 takes a buffer of its that a fast client
// has filled (512 KiB) for the end of the connection, and hangs up, on curl too. It
// returns its URL without path, and its log, of method and status.
func startSquid(t *testing.T, r *realm) (at, log string) {
	t.Helper()
	const helper = "/usr/lib/squid/negotiate_kerberos_auth"
	if _, err := os.Stat(helper); err != nil {
		t.Fatalf("%s is missing: install the Debian package squid (.ci/packages does)", helper)
	}
	dir := tempDir(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	write(t, in("service.keytab"), readAll(t, r.path("service.keytab")))
	write(t, in("access.log"), "")
	addr := freePorts(t, 1)[0]
	write(t, in("squid.conf"), fmt.Sprintf(`
http_port %[2]s
visible_hostname localhost
pid_filename none
netdb_filename none
coredump_dir %[1]s
cache_log %[1]s/cache.log
logformat brief %%rm %%>Hs
access_log stdio:%[1]s/access.log brief
auth_param negotiate program %[3]s -k %[1]s/service.keytab -s HTTP/localhost
auth_param negotiate children 4 startup=1
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
shutdown_lifetime 0 seconds
client_request_buffer_max_size 64 MB
`, dir, addr, helper))
	showOnFailure(t, in("cache.log"), in("access.log"))
	as := unprivileged(t)
	give(t, dir, as)
	env := environment{"KRB5_CONFIG": r.conf, "KRB5RCACHENAME": "file2:" + in("replay"), "HOME": dir, "TMPDIR": dir}
	serve(t, env, as, []string{addr}, tool(t, "squid"), "-N", "-f", in("squid.conf"))
	return "http://localhost:" + port(addr), in("access.log")
}

// TestSquid goes through a Squid that wants Negotiate. After its 407 to a body of
// 64 KiB and more it says nothing more on the connection.
func TestSquid(t *testing.T) {
	r := startRealm(t, etypes[0])
	w := startWeb(t, r)
	var log string
	w.proxy, log = startSquid(t, r)
	l := &lab{r, w}
	for _, kind := range kinds {
		res := must(t, l.kinit(t), "", tool(t, "curl"), "-sS", "--cacert", l.ca, "-x", l.proxy, "--proxy-negotiate", "-U", ":",
			"--negotiate", "-u", ":", l.url(t, kind, "/auth/hello"))
		if res.stdout != authText {
			t.Fatalf("the lab itself does not work: %v", res)
		}
	}
	t.Run("uploads", func(t *testing.T) { l.testSquidUploads(t) })
	t.Run("proof", func(t *testing.T) { l.testSquidProof(t, log) })
}

func (l *lab) testSquidUploads(t *testing.T) {
	for _, kind := range kinds {
		for _, size := range []int64{0, 1, 1 << 10, 64<<10 - 1, 64 << 10, 1 << 20, 8 << 20} {
			for name, tc := range map[string]struct {
				upload string
				expect bool
			}{
				"GetBody":                {upload: "GetBody"},
				"file of unknown length": {upload: "file of unknown length"},
				"Expect":                 {upload: "GetBody", expect: true},
			} {
				t.Run(fmt.Sprintf("%s of %d bytes over %s", name, size, kind), func(t *testing.T) {
					o := l.proxied(t)
					o.Transport.(*http.Transport).ExpectContinueTimeout = patience / 2 // longer than they take
					c := newClient(t, o)
					// Two calls, the second over connections that are known.
					for range 2 {
						r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.url(t, kind, "/auth/cgi/sum"), nil)
						if err != nil {
							t.Fatal(err)
						}
						uploads[tc.upload].make(t, r, size)
						if tc.expect {
							r.Header.Set("Expect", "100-continue")
						}
						resp, err := c.Do(r)
						if err != nil {
							t.Fatal(err)
						}
						got, err := io.ReadAll(resp.Body)
						resp.Body.Close()
						if err != nil {
							t.Fatal(err)
						}
						h := sha256.New()
						if _, err := io.Copy(h, random(size)); err != nil {
							t.Fatal(err)
						}
						if want := fmt.Sprintf("%d %x\n", size, h.Sum(nil)); string(got) != want {
							t.Errorf("status %d, %q, want %q", resp.StatusCode, got, want)
						}
						if sc := middleware.SecurityOf(resp.Request); sc == nil || !sc.Verified() {
							t.Error("the server is not verified")
						}
					}
				})
			}
		}
	}
}

// testSquidProof looks at what Squid proves, and at how often it asks: once, and
// not for each connection. Tokens that follow one another on a connection that it
// has authenticated are no trouble to it.
func (l *lab) testSquidProof(t *testing.T, log string) {
	for name, tc := range map[string]struct {
		change func(*client.Options)
		want   string
	}{
		"as asked": {func(*client.Options) {}, "GET 407 GET 401 GET 200 GET 200 GET 200"},
		"at once":  {func(o *client.Options) { o.PreemptiveProxy = preemptive.Always() }, "GET 401 GET 200 GET 200 GET 200"},
		"both, over many connections": {func(o *client.Options) {
			o.PreemptiveProxy, o.Preemptive = preemptive.Always(), preemptive.Always()
			o.Transport.(*http.Transport).DisableKeepAlives = true
		}, "GET 200 GET 200 GET 200"},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(readAll(t, log))
			o := l.proxied(t)
			tc.change(&o)
			c := newClient(t, o)
			for range 3 {
				resp, err := c.Get(l.url(t, "http", "/auth/hello"))
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || string(text) != authText {
					t.Errorf("%s, %q, %v", resp.Status, text, err)
				}
				if sc := middleware.ProxySecurityOf(resp.Request); sc == nil || sc.Verified() {
					t.Errorf("Squid's context is %v; it proves nothing, as far as known", sc)
				}
			}
			var got []string
			await(t, func() bool {
				got = nil
				for entry := range slices.Chunk(strings.Fields(readAll(t, log)[before:]), 2) {
					if entry[0] != "CONNECT" { // of a tunnel before, which is logged when it ends
						got = append(got, entry...)
					}
				}
				return len(got) >= len(strings.Fields(tc.want))
			}, t.Context().Done())
			if strings.Join(got, " ") != tc.want {
				t.Errorf("Squid logged %v, want %s", got, tc.want)
			}
		})
	}
	// Of a server that asks for nothing the proxy says nothing.
	_, err := newClient(t, l.proxied(t)).Get(l.url(t, "http", "/open/hello"))
	if at := strings.TrimPrefix(l.proxy, "http://"); !errors.Is(err, middleware.ErrNotVerified) || !strings.Contains(err.Error(), at) {
		t.Errorf("%v, want it to name %s", err, at)
	}
}
