//go:build interop

package interop

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/gssapi"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
)

// gssapiChild is set, to a task, in a process that calls the web server by the
// system's library, which reads the environment and the process' keyrings.
const gssapiChild = "KERBCHAIN_INTEROP_GSSAPI"

// A gssapiTask is what such a process does.
type gssapiTask struct {
	Options gssapi.Options
	URL     string
	CA      string
	// Requests are made that must succeed, AtOnce of them at the same time. Where it is
	// 0 there is one, and what came of it is printed.
	Requests int
	AtOnce   int
}

// callByGSSAPI carries out a task.
func callByGSSAPI(text string) error {
	var task gssapiTask
	if err := json.Unmarshal([]byte(text), &task); err != nil {
		return err
	}
	in, err := gssapi.New(task.Options)
	if err != nil {
		return err
	}
	pem, err := os.ReadFile(task.CA)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	const conns = 16
	c, err := client.New(client.Options{Initiator: in, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, MaxConnsPerHost: conns, MaxIdleConnsPerHost: conns}})
	if err != nil {
		return err
	}
	if task.Requests == 0 {
		came, err := callBy(c, task.URL)
		if err == nil {
			fmt.Println(came)
		}
		return err
	}
	many := func(n int) error {
		var left atomic.Int64
		left.Store(int64(n))
		var all sync.WaitGroup
		errs := make(chan error, task.AtOnce)
		for range task.AtOnce {
			all.Go(func() {
				for left.Add(-1) >= 0 {
					if err := callOnce(c, task.URL); err != nil {
						errs <- err
						return
					}
				}
			})
		}
		all.Wait()
		close(errs)
		return <-errs
	}
	// What the first requests open stays open.
	if err := many(task.Requests / 5); err != nil {
		return err
	}
	files, threads := countIn("/proc/self/fd"), countIn("/proc/self/task")
	if err := many(task.Requests - task.Requests/5); err != nil {
		return err
	}
	const slack = 24 // threads of the runtime come and go
	if f, t := countIn("/proc/self/fd"), countIn("/proc/self/task"); f > files+slack || t > threads+slack {
		return fmt.Errorf("after %d requests %d files and %d threads, before %d and %d", task.Requests, f, t, files, threads)
	}
	return nil
}

func countIn(dir string) int {
	list, err := os.ReadDir(dir)
	if err != nil {
		panic(err)
	}
	return len(list)
}

// came is what came of a request.
type came struct {
	status   int
	body     string
	as       string
	verified bool
}

func (c came) String() string {
	return fmt.Sprintf("%d %q as %q, verified %t", c.status, c.body, c.as, c.verified)
}

func callBy(c *http.Client, url string) (came, error) {
	resp, err := c.Get(url)
	if err != nil {
		return came{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	sc := middleware.SecurityOf(resp.Request)
	return came{resp.StatusCode, string(body), middleware.PrincipalOf(resp.Request), sc != nil && sc.Verified()}, err
}

func callOnce(c *http.Client, url string) error {
	got, err := callBy(c, url)
	if err == nil && (got.status != http.StatusOK || got.body != authText || !got.verified || !strings.HasPrefix(got.as, "alice@")) {
		err = fmt.Errorf("%v", got)
	}
	return err
}

// run carries out a task in a process with that environment, and returns what it
// prints.
func (task gssapiTask) run(t *testing.T, env environment, within []string) (string, error) {
	t.Helper()
	text, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	line := append(slices.Clone(within), os.Args[0])
	cmd := exec.CommandContext(t.Context(), line[0], line[1:]...)
	cmd.Env = append(env.list(), gssapiChild+"="+string(text))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// byGSSAPI makes n requests, 16 at a time.
func (l *lab) byGSSAPI(t *testing.T, env environment, within []string, kind string, o gssapi.Options, n int) {
	t.Helper()
	task := gssapiTask{o, l.url(t, kind, "/auth/hello"), l.ca, n, 16}
	if out, err := task.run(t, env, within); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// gssapiLibraries are those of the packages libgssapi-krb5-2 and libgssapi3-heimdal.
var gssapiLibraries = map[string]string{"MIT": "libgssapi_krb5.so.2", "Heimdal": "libgssapi.so.3"}

// TestGSSAPI calls Apache by MIT's and by Heimdal's library, with the caches that each
// can read.
func TestGSSAPI(t *testing.T) {
	r, a := startPKINITRealm(t, etypes[1])
	l := &lab{r, startWeb(t, r)}
	for name, file := range gssapiLibraries {
		o := gssapi.Options{Library: file}
		t.Run(name+" 800 at once", func(t *testing.T) {
			task := gssapiTask{o, l.url(t, "http", "/auth/hello"), l.ca, 1600, 800}
			if out, err := task.run(t, l.kinit(t), nil); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
		t.Run(name+" bound to https", func(t *testing.T) {
			o := o
			o.Bindings = gssapi.BindingsRequired
			l.byGSSAPI(t, l.kinit(t), nil, "https", o, 200)
		})
		t.Run(name+" garbage collected", func(t *testing.T) {
			l.byGSSAPI(t, l.kinit(t).with("GOGC", "1").with("GODEBUG", "cgocheck=1,clobberfree=1,invalidptr=1"), nil, "http", o, 200)
		})
		t.Run(name+" no credentials", func(t *testing.T) {
			task := gssapiTask{Options: o, URL: l.url(t, "http", "/auth/hello"), CA: l.ca}
			if out, err := task.run(t, l.env, nil); err == nil || !strings.Contains(out, middleware.ErrCredentials.Error()) || !strings.Contains(out, "kinit") {
				t.Errorf("%v: %s", err, out)
			}
		})
		t.Run(name+" command", func(t *testing.T) {
			for _, kind := range kinds {
				r := l.get(t, l.kinit(t), "--credentials", "system", "--gssapi-library", file, l.url(t, kind, "/auth/hello"))
				wantGet(t, r, exitOK, l.verdict(), "signed by the system as alice@"+l.name)
			}
			r := l.get(t, l.env, "--credentials", "system", "--gssapi-library", file, l.url(t, "http", "/auth/hello"))
			wantGet(t, r, exitCredentials, "run kinit")
		})
		t.Run(name+" delegation", func(t *testing.T) { l.testGSSAPIDelegation(t, o) })
		t.Run(name+" PKINIT", func(t *testing.T) { l.byGSSAPI(t, l.kinitByCertificate(t, a), nil, "http", o, 10) })
		t.Run(name+" grows nothing", func(t *testing.T) { l.byGSSAPI(t, l.kinit(t), nil, "http", o, 10_000) })
	}
	mit, heimdal := gssapi.Options{Library: gssapiLibraries["MIT"]}, gssapi.Options{Library: gssapiLibraries["Heimdal"]}
	t.Run("MIT named cache", func(t *testing.T) {
		o := mit
		o.CCache, o.Principal = l.kinit(t)["KRB5CCNAME"], "alice"
		l.byGSSAPI(t, l.env, nil, "http", o, 10)
	})
	t.Run("MIT client keytab", func(t *testing.T) {
		o := mit
		o.ClientKeytab, o.CCache = "FILE:"+l.path("alice.keytab"), "MEMORY:gssapi"
		l.byGSSAPI(t, l.env, nil, "http", o, 10)
	})
	t.Run("MIT client keytab of the environment", func(t *testing.T) {
		l.byGSSAPI(t, l.env.with("KRB5_CLIENT_KTNAME", "FILE:"+l.path("alice.keytab")).with("KRB5CCNAME", "FILE:"+l.path("made")), nil, "http", mit, 10)
	})
	t.Run("MIT gssproxy", func(t *testing.T) { l.testGSSProxy(t, mit) })
	places := keyringPlaces(t, l)
	places["KCM"], places["KCM sssd"] = heimdalKCM(t, l), sssdKCM(t, l)
	for name, p := range places {
		t.Run("MIT "+name, func(t *testing.T) {
			p.lab = l
			p.kinit(t, "alice")
			l.byGSSAPI(t, p.env, p.within, "http", mit, 50)
		})
	}
	t.Run("Heimdal KCM", func(t *testing.T) {
		p := places["KCM"]
		p.kinit(t, "alice")
		// To Heimdal's library KCM: alone is no name of a cache.
		l.byGSSAPI(t, p.env.with("KRB5CCNAME", fmt.Sprintf("KCM:%d", os.Geteuid())), p.inside, "http", heimdal, 50)
	})
}

// testGSSAPIDelegation has Apache use what is delegated to it, and nothing else.
func (l *lab) testGSSAPIDelegation(t *testing.T, o gssapi.Options) {
	env := l.env.with("KRB5CCNAME", "FILE:"+filepath.Join(t.TempDir(), "ccache"))
	task := gssapiTask{Options: o, URL: l.url(t, "http", "/auth/cgi/deleg"), CA: l.ca}
	get := func(mode gssapi.Delegation) (string, error) {
		task.Options.Delegation = mode
		return task.run(t, env, nil)
	}
	must(t, env, alicePassword+"\n", tool(t, "kinit"), "-f", "alice")
	out, err := get(gssapi.DelegationAlways)
	for _, want := range []string{"200 ", "Default principal: alice@" + l.name, "Flags: Ff", "HTTP/localhost@" + l.name + ": kvno = ", "verified true"} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("want %q: %v: %s", want, err, out)
		}
	}
	for _, mode := range []gssapi.Delegation{gssapi.DelegationOff, gssapi.DelegationPolicy} { // the service is not marked
		if out, err := get(mode); err != nil || !strings.Contains(out, "no credentials") {
			t.Errorf("mode %v: %v: %s", mode, err, out)
		}
	}
	must(t, env, alicePassword+"\n", tool(t, "kinit"), "-F", "alice")
	if out, err := get(gssapi.DelegationAlways); err == nil || !strings.Contains(out, gssapi.ErrNotForwardable.Error()) || !strings.Contains(out, "kinit -f") {
		t.Errorf("what cannot be forwarded: %v: %s", err, out)
	}
}

// testGSSProxy signs with credentials that only the daemon gssproxy can read.
func (l *lab) testGSSProxy(t *testing.T, o gssapi.Options) {
	dir := tempDir(t)
	socket := filepath.Join(dir, "socket")
	config := write(t, filepath.Join(dir, "gssproxy.conf"), fmt.Sprintf(`[gssproxy]
[service/interop]
	mechs = krb5
	socket = %[1]s
	cred_store = client_keytab:%[2]s
	cred_store = ccache:FILE:%[3]s/ccache
	cred_usage = initiate
	euid = %[4]d
`, socket, l.path("alice.keytab"), dir, os.Geteuid()))
	serve(t, l.env, nil, nil, tool(t, "gssproxy"), "-i", "-d", "-c", config, "-C", dir, "-s", filepath.Join(dir, "default"))
	if !await(t, func() bool { return isSocket(socket) }, nil) {
		t.Fatal("gssproxy does not listen")
	}
	task := gssapiTask{Options: o, URL: l.url(t, "http", "/auth/hello"), CA: l.ca}
	if out, err := task.run(t, l.env, nil); err == nil || !strings.Contains(out, middleware.ErrCredentials.Error()) {
		t.Errorf("without the daemon: %v: %s", err, out)
	}
	env := l.env.with("GSS_USE_PROXY", "yes").with("GSSPROXY_SOCKET", socket)
	// Threads of the daemon that log in at once read each other's unfinished caches.
	if out, err := task.run(t, env, nil); err != nil || !strings.Contains(out, `200 "`+strings.TrimSpace(authText)) || !strings.Contains(out, "alice@") || !strings.Contains(out, "verified true") {
		t.Fatalf("%v: %s", err, out)
	}
	wantGet(t, l.get(t, env, "--credentials", "system", l.url(t, "https", "/auth/hello")), exitOK, "verified: the server holds the key of HTTP/localhost", "signed by the system as alice@"+l.name)
	l.byGSSAPI(t, env, nil, "http", o, 50)
}

func isSocket(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&os.ModeSocket != 0
}

// TestGSSAPIBindings has libgssapi check the bindings that each library makes of ours:
// the right ones, those of another certificate, and none.
func TestGSSAPIBindings(t *testing.T) {
	u := newBoundUser(t, krb.AES256SHA1)
	peer := u.startPeer(t, x509.ECDSAWithSHA256, "sha256")
	other, otherCA := endingTLS(t, u, peer)
	plain, _ := plainHTTP(t, u, peer)
	u.file(t, "cache", u.realm.CCache("alice", "HTTP/localhost"))
	env := environment{"HOME": u.dir, "KRB5_CONFIG": u.path("krb5.conf"), "KRB5CCNAME": "FILE:" + u.path("cache")}
	ca, caller := u.path("cert.pem"), "alice@"+u.realm.Name()
	bound, unbound := fmt.Sprintf("200 %q", caller+", bound"), fmt.Sprintf("200 %q", caller+", not bound")
	for name, file := range gssapiLibraries {
		for what, tc := range map[string]struct {
			mode    gssapi.Bindings
			url, ca string
			want    string
			fails   bool
		}{
			"right":                   {gssapi.BindingsAuto, peer + "/required", ca, bound, false},
			"right, required":         {gssapi.BindingsRequired, peer + "/required", ca, bound, false},
			"right, not demanded":     {gssapi.BindingsAuto, peer + "/supported", ca, bound, false},
			"missing":                 {gssapi.BindingsOff, peer + "/required", ca, "401 ", false},
			"missing, not demanded":   {gssapi.BindingsOff, peer + "/supported", ca, unbound, false},
			"wrong":                   {gssapi.BindingsAuto, other + "/required", otherCA, "401 ", false},
			"wrong, not demanded":     {gssapi.BindingsAuto, other + "/supported", otherCA, "401 ", false},
			"wrong, not looked at":    {gssapi.BindingsAuto, other + "/off", otherCA, unbound, false},
			"over plain http":         {gssapi.BindingsAuto, plain + "/supported", ca, unbound, false},
			"over http, and required": {gssapi.BindingsRequired, plain + "/supported", ca, middleware.ErrToken.Error(), true},
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				task := gssapiTask{Options: gssapi.Options{Library: file, Bindings: tc.mode}, URL: tc.url, CA: tc.ca}
				out, err := task.run(t, env, nil)
				if (err != nil) != tc.fails || !strings.Contains(out, tc.want) || strings.HasPrefix(tc.want, "200") && !strings.Contains(out, "verified true") {
					t.Errorf("want %q: %v: %s", tc.want, err, out)
				}
			})
		}
	}
}
