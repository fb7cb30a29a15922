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
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/gssapi"
	"github.com/kerbchain/kerbchain/middleware"
)

// gssapiChild is set, to a task, in a process that calls the web server by the
// system's library, which reads the environment and the process' keyrings.
const gssapiChild = "KERBCHAIN_INTEROP_GSSAPI"

// A gssapiTask is what such a process does.
type gssapiTask struct {
	Options  gssapi.Options
	URL      string
	CA       string
	Requests int
}

// callByGSSAPI carries out a task, and prints as whom.
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
	c, err := client.New(client.Options{Initiator: in, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, MaxConnsPerHost: 16, MaxIdleConnsPerHost: 16}})
	if err != nil {
		return err
	}
	many := func(n int) error {
		var left atomic.Int64
		left.Store(int64(n))
		var all sync.WaitGroup
		errs := make(chan error, 16)
		for range 16 {
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

func callOnce(c *http.Client, url string) error {
	resp, err := c.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	sc := middleware.SecurityOf(resp.Request)
	if resp.StatusCode != http.StatusOK || string(body) != authText || sc == nil || !sc.Verified() || !strings.HasPrefix(middleware.PrincipalOf(resp.Request), "alice@") {
		return fmt.Errorf("%s, %q, as %q, verified %t", resp.Status, body, middleware.PrincipalOf(resp.Request), sc != nil && sc.Verified())
	}
	return nil
}

// byGSSAPI runs a task in a process with that environment.
func (l *lab) byGSSAPI(t *testing.T, env environment, within []string, kind string, o gssapi.Options, n int) (string, error) {
	t.Helper()
	text, err := json.Marshal(gssapiTask{o, l.url(t, kind, "/auth/hello"), l.ca, n})
	if err != nil {
		t.Fatal(err)
	}
	line := append(slices.Clone(within), os.Args[0])
	cmd := exec.CommandContext(t.Context(), line[0], line[1:]...)
	cmd.Env = append(env.list(), gssapiChild+"="+string(text))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// gssapiLibraries are those of the packages libgssapi-krb5-2 and libgssapi3-heimdal.
var gssapiLibraries = map[string]string{"MIT": "libgssapi_krb5.so.2", "Heimdal": "libgssapi.so.3"}

// TestGSSAPI calls Apache by MIT's and by Heimdal's library, with the caches that each
// can read.
func TestGSSAPI(t *testing.T) {
	r := startRealm(t, etypes[1])
	l := &lab{r, startWeb(t, r)}
	ok := func(t *testing.T, env environment, within []string, kind string, o gssapi.Options, n int) {
		t.Helper()
		if out, err := l.byGSSAPI(t, env, within, kind, o, n); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
	for name, file := range gssapiLibraries {
		o := gssapi.Options{Library: file}
		t.Run(name+" FILE", func(t *testing.T) { ok(t, l.kinit(t), nil, "http", o, 800) })
		t.Run(name+" FILE, bound to https", func(t *testing.T) {
			o := o
			o.Bindings = gssapi.BindingsRequired
			ok(t, l.kinit(t), nil, "https", o, 200)
		})
		t.Run(name+" no credentials", func(t *testing.T) {
			if out, err := l.byGSSAPI(t, l.env, nil, "http", o, 5); err == nil || !strings.Contains(out, middleware.ErrCredentials.Error()) || !strings.Contains(out, "kinit") {
				t.Errorf("%v: %s", err, out)
			}
		})
		t.Run(name+" grows nothing", func(t *testing.T) { ok(t, l.kinit(t), nil, "http", o, 10_000) })
	}
	mit := gssapi.Options{Library: gssapiLibraries["MIT"]}
	t.Run("MIT named cache", func(t *testing.T) {
		o := mit
		o.CCache, o.Principal = l.kinit(t)["KRB5CCNAME"], "alice"
		ok(t, l.env, nil, "http", o, 10)
	})
	t.Run("MIT client keytab", func(t *testing.T) {
		o := mit
		o.ClientKeytab, o.CCache = "FILE:"+l.path("alice.keytab"), "MEMORY:gssapi"
		ok(t, l.env, nil, "http", o, 10)
	})
	t.Run("MIT client keytab of the environment", func(t *testing.T) {
		ok(t, l.env.with("KRB5_CLIENT_KTNAME", "FILE:"+l.path("alice.keytab")).with("KRB5CCNAME", "FILE:"+l.path("made")), nil, "http", mit, 10)
	})
	places := keyringPlaces(t, l)
	places["KCM"], places["KCM sssd"] = heimdalKCM(t, l), sssdKCM(t, l)
	for name, p := range places {
		t.Run("MIT "+name, func(t *testing.T) {
			p.lab = l
			p.kinit(t, "alice")
			ok(t, p.env, p.within, "http", mit, 50)
		})
	}
}
