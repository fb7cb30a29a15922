//go:build interop

package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	krb5 "github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/spnego"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/middleware/mutual"
)

// A contest is what a client is asked to do: get a URL with the credentials of a
// cache.
type contest struct {
	dir, cache string
	conf       string // krb5.conf, its path
	server     *fakeweb.Server
	url, proxy string
	optional   bool // mutual authentication, where that can be chosen
}

// ca writes the server's certificate, and returns the file's path, "" for plain http.
func (c contest) ca(t *testing.T) string {
	t.Helper()
	cert := c.server.Certificate()
	if cert == nil {
		return ""
	}
	path := filepath.Join(c.dir, "ca.pem")
	write(t, path, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})))
	return path
}

func (c contest) transport(t *testing.T) *http.Transport {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.server.CertPool()}}
	if c.proxy != "" {
		at, err := url.Parse(c.proxy)
		if err != nil {
			t.Fatal(err)
		}
		tr.Proxy = http.ProxyURL(at)
	}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// A contender gets the contest's URL until ctx ends, and tells how the server
// answered in the end: a status, or why there is none.
type contender func(context.Context, *testing.T, contest) string

// contenders are the clients in the columns of the README that are there to be run.
var contenders = map[string]contender{
	"kerbchain": func(ctx context.Context, t *testing.T, c contest) string {
		o := client.Options{Krb5Conf: []string{c.conf}, CCache: c.cache, ReadOnlyCache: true, Getenv: func(string) string { return "" }, Transport: c.transport(t)}
		if c.optional {
			o.Mutual = mutual.Optional
		}
		return answerTo(ctx, newClient(t, o).Do, c.url)
	},
	"gokrb5": func(ctx context.Context, t *testing.T, c contest) string {
		text, err := os.ReadFile(c.conf)
		if err != nil {
			t.Fatal(err)
		}
		conf, err := config.NewFromString(string(text))
		if err != nil {
			t.Fatal(err)
		}
		cache, err := credentials.LoadCCache(c.cache)
		if err != nil {
			return err.Error()
		}
		cl, err := krb5.NewFromCCache(cache, conf, krb5.DisablePAFXFAST(true))
		if err != nil {
			t.Fatal(err)
		}
		do := spnego.NewClient(cl, &http.Client{Transport: &upTo{n: 20, next: c.transport(t)}}, "HTTP/localhost").Do
		got := make(chan string, 1)
		go func() { got <- answerTo(ctx, do, c.url) }()
		select {
		case s := <-got:
			return s
		case <-afterPatience(ctx):
			t.Cleanup(func() { <-got }) // its wait for the KDC ends by itself
			return "still waiting"
		}
	},
	"curl": func(ctx context.Context, t *testing.T, c contest) string {
		args := []string{"-sS", "--negotiate", "-u", ":", "-o", "/dev/null", "-w", "%{http_code}", c.url}
		if ca := c.ca(t); ca != "" {
			args = append(args, "--cacert", ca)
		}
		if c.proxy != "" {
			args = append(args, "-x", c.proxy, "--proxy-negotiate", "-U", ":", "--noproxy", "")
		}
		if at, ok := ctx.Deadline(); ok {
			args = append(args, "-m", fmt.Sprint(max(time.Until(at).Seconds(), 0.1)))
		}
		return runUntil(ctx, t, c.env(), "", tool(t, "curl"), args...)
	},
	"requests-kerberos": func(ctx context.Context, t *testing.T, c contest) string {
		in := map[string]any{"url": c.url, "ca": c.ca(t), "cache": c.cache}
		if c.proxy != "" {
			in["proxies"] = map[string]string{"http": c.proxy, "https": c.proxy}
		}
		if c.optional {
			in["args"] = map[string]any{"mutual_authentication": 2}
		}
		if at, ok := ctx.Deadline(); ok {
			in["timeout"] = max(time.Until(at).Seconds(), 0.1)
		}
		b, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		out := runUntil(ctx, t, c.env(), string(b)+"\n", python(t, "requests_kerberos", "python3-requests-kerberos"), filepath.Join("testdata", "requests_cases.py"))
		var calls []received
		if json.Unmarshal([]byte(out), &calls) != nil {
			return out
		}
		if calls[0].Error != "" {
			return calls[0].Error
		}
		return fmt.Sprint(calls[0].Status)
	},
}

// upTo sends so many requests.
type upTo struct {
	n    int
	next http.RoundTripper
}

var errForEver = errors.New("it asks for ever")

func (u *upTo) RoundTrip(r *http.Request) (*http.Response, error) {
	if u.n--; u.n < 0 {
		return nil, errForEver
	}
	return u.next.RoundTrip(r)
}

func (c contest) env() environment {
	return environment{"KRB5_CONFIG": c.conf, "KRB5CCNAME": c.cache, "KRB5_CLIENT_KTNAME": filepath.Join(c.dir, "none")}
}

// answerTo is the status that do gets, or the kind of error.
func answerTo(ctx context.Context, do func(*http.Request) (*http.Response, error), at string) string {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return err.Error()
	}
	resp, err := do(r)
	if err != nil {
		return err.Error()
	}
	resp.Body.Close()
	return fmt.Sprint(resp.StatusCode)
}

// afterPatience is for who does not heed a deadline: three seconds more.
func afterPatience(ctx context.Context) <-chan time.Time {
	at, ok := ctx.Deadline()
	if !ok {
		return nil
	}
	return time.After(time.Until(at) + 3*time.Second)
}

// runUntil runs a program, which is ended if it has not heeded the end of ctx.
func runUntil(ctx context.Context, t *testing.T, env environment, stdin, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env, cmd.Stdin = env.list(), strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if text := strings.TrimSpace(out.String()); text != "" && text != "000" {
			return text
		}
		return fmt.Sprint(err, errs.String())
	case <-afterPatience(ctx):
		_ = cmd.Process.Kill()
		<-ended
		return "still waiting"
	}
}

// comparedFacts are the rows of the README that can be tried.
var comparedFacts = map[string]func(*testing.T, contender) bool{
	"refuses a forged proof": func(t *testing.T, get contender) bool {
		c := newContest(t, fakekdc.Start(t, contestRealm...), fakeweb.Options{Quirks: fakeweb.Quirks{Proof: fakeweb.ProofForged}}, false)
		return get(t.Context(), t, c) != "200"
	},
	"binds tokens to TLS": func(t *testing.T, get contender) bool {
		c := newContest(t, fakekdc.Start(t, contestRealm...), fakeweb.Options{Bindings: fakekdc.BindingsRequired}, true)
		return get(t.Context(), t, c) == "200"
	},
	"stops where every token is refused": func(t *testing.T, get contender) bool {
		q := fakeweb.Quirks{Reject: true, Rejection: fakeweb.RejectPlain}
		c := newContest(t, fakekdc.Start(t, contestRealm...), fakeweb.Options{Quirks: q}, false)
		return !strings.Contains(get(t.Context(), t, c), errForEver.Error())
	},
	"proxies, http": func(t *testing.T, get contender) bool {
		realm := fakekdc.Start(t, contestRealm...)
		c := newContest(t, realm, fakeweb.Options{Quirks: fakeweb.Quirks{Before: paged}}, false)
		c.proxy, c.optional = fakeweb.ServeProxy(realm, "HTTP/localhost", fakeweb.Options{}, fakeweb.ServerOptions{}).URL().String(), true
		return get(t.Context(), t, c) == "200"
	},
	"proxies, https (CONNECT)": func(t *testing.T, get contender) bool {
		realm := fakekdc.Start(t, contestRealm...)
		c := newContest(t, realm, fakeweb.Options{}, true)
		c.proxy = fakeweb.ServeProxy(realm, "HTTP/localhost", fakeweb.Options{}, fakeweb.ServerOptions{}).URL().String()
		return get(t.Context(), t, c) == "200"
	},
	"caches besides FILE": func(t *testing.T, get contender) bool {
		realm := fakekdc.Start(t, contestRealm...)
		c := newContest(t, realm, fakeweb.Options{}, false)
		folder := filepath.Join(c.dir, "collection")
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(folder, "tkt"), string(realm.CCache("alice")))
		write(t, filepath.Join(folder, "primary"), "tkt\n")
		c.cache = "DIR:" + folder
		return get(t.Context(), t, c) == "200"
	},
	"a deadline ends the wait for a KDC": func(t *testing.T, get contender) bool {
		realm := fakekdc.Start(t, contestRealm...)
		c := newContest(t, realm, fakeweb.Options{}, false)
		realm.Pause()
		t.Cleanup(realm.Resume)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return get(ctx, t, c) != "still waiting"
	},
}

var contestRealm = []fakekdc.Option{
	fakekdc.WithEtypes(fakekdc.AES256SHA1), fakekdc.WithUser("alice", "correct horse"), fakekdc.WithService("HTTP/localhost"),
}

func newContest(t *testing.T, realm *fakekdc.Realm, o fakeweb.Options, secure bool) contest {
	t.Helper()
	c := contest{dir: t.TempDir()}
	c.conf, c.cache = filepath.Join(c.dir, "krb5.conf"), filepath.Join(c.dir, "krb5cc")
	write(t, c.conf, realm.Config("dns_canonicalize_hostname = false", "rdns = false"))
	write(t, c.cache, string(realm.CCache("alice")))
	o.Next = paged
	c.server = fakeweb.Serve(realm, fakeweb.New(realm, "HTTP/localhost", o), fakeweb.ServerOptions{TLS: secure})
	c.url = c.server.URL() + "/200"
	return c
}

// TestComparison tries what the README says of ourselves and of other clients.
func TestComparison(t *testing.T) {
	columns, rows := readComparison(t)
	for fact, holds := range comparedFacts {
		cells, ok := rows[fact]
		if !ok {
			t.Errorf("the README compares nobody by %q", fact)
			continue
		}
		for name, get := range contenders {
			i := slices.Index(columns, name)
			if i < 0 || i >= len(cells) {
				t.Fatalf("the README has no column %s: %q", name, columns)
			}
			t.Run(fact+", "+name, func(t *testing.T) {
				t.Parallel()
				said, _, _ := strings.Cut(cells[i], ",")
				if got := map[bool]string{true: "yes", false: "no"}[holds(t, get)]; got != said {
					t.Errorf("%s, and the README says %q", got, cells[i])
				}
			})
		}
	}
}

// readComparison returns the columns of the README's comparison, and its rows by
// what stands first in them.
func readComparison(t *testing.T) ([]string, map[string][]string) {
	t.Helper()
	_, section, ok := strings.Cut(readAll(t, "../../README.md"), "\n## Beside others\n")
	if !ok {
		t.Fatal("the README compares nothing")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var columns []string
	rows := map[string][]string{}
	for line := range strings.Lines(section) {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| ---") {
			continue
		}
		var cells []string
		for _, cell := range strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		if columns == nil {
			columns = cells
		} else {
			rows[cells[0]] = cells
		}
	}
	return columns, rows
}
