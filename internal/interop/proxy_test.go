//go:build interop

package interop

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
	"github.com/kerbchain/kerbchain/tunnel"
)

// TestProxy goes through Apache as a forward proxy that wants Negotiate, for
// http and by CONNECT, once for each encryption type.
func TestProxy(t *testing.T) {
	for _, e := range etypes {
		t.Run(e.name, func(t *testing.T) {
			r := startRealm(t, e)
			l := &lab{r, startWeb(t, r)}
			if !t.Run("curl", l.testProxyCurl) {
				t.Fatal("the lab itself does not work")
			}
			t.Run("both hops", l.testProxyHops)
			t.Run("proof", l.testProxyProof)
			t.Run("refused", l.testProxyRefused)
			t.Run("parallel", l.testProxyParallel)
			t.Run("replay", l.testProxyReplay)
		})
	}
}

// testProxyCurl shows that the proxy works, and wants what it says.
func (l *lab) testProxyCurl(t *testing.T) {
	env := l.kinit(t)
	for _, kind := range kinds {
		for path, tc := range map[string]struct {
			args []string
			want string
		}{
			"/open/hello": {nil, openText},
			"/auth/hello": {[]string{"--negotiate", "-u", ":"}, authText},
		} {
			args := append([]string{"-sS", "--cacert", l.ca, "-x", l.proxy, "--proxy-negotiate", "-U", ":", l.url(t, kind, path)}, tc.args...)
			if r := must(t, env, "", tool(t, "curl"), args...); r.stdout != tc.want {
				t.Errorf("%s of %s: %v", path, kind, r)
			}
		}
	}
	r := run(t, env, "", tool(t, "curl"), "-sS", "--cacert", l.ca, "-x", l.proxy, "--proxy-header", "X-Trial: curl-bare",
		"-o", "/dev/null", "-w", "%{http_connect}", l.url(t, "https", "/open/hello"))
	if r.stdout != "407" || !slices.Equal(l.connects(t, "curl-bare", 1), []string{"407"}) {
		t.Errorf("without credentials: %v", r)
	}
}

// connects returns the answers to all CONNECTs of one trial, once there are as
// many as wanted: Apache logs one when its tunnel is closed.
func (l *lab) connects(t *testing.T, trial string, want int) []string {
	t.Helper()
	var got []string
	await(t, func() bool {
		got = nil
		for line := range strings.Lines(readAll(t, l.hops)) {
			if f := strings.Fields(line); len(f) == 3 && f[0] == http.MethodConnect && f[2] == trial {
				got = append(got, f[1])
			}
		}
		return len(got) >= want
	}, t.Context().Done())
	return got
}

// proxied are options that lead through the proxy.
func (l *lab) proxied(t *testing.T) client.Options {
	t.Helper()
	o := l.options(t)
	at, err := url.Parse(l.proxy)
	if err != nil {
		t.Fatal(err)
	}
	o.Proxy = http.ProxyURL(at)
	return o
}

// testProxyHops authenticates to proxy and server, and counts CONNECTs.
func (l *lab) testProxyHops(t *testing.T) {
	const calls = 4
	for name, tc := range map[string]struct {
		change func(*client.Options)
		want   []string // answers to CONNECT
	}{
		"as asked": {func(*client.Options) {}, []string{"407", "200"}},
		"at once": {func(o *client.Options) {
			o.Preemptive, o.Tunnel.Always = preemptive.Always(), true
		}, []string{"200"}},
	} {
		l.overAll(t, name, func(t *testing.T, kind string) {
			trial := strings.ReplaceAll(name+" over "+kind, " ", "-")
			o := l.proxied(t)
			o.Transport.(*http.Transport).ProxyConnectHeader = http.Header{"X-Trial": {trial}}
			tc.change(&o)
			c := newClient(t, o)
			for range calls {
				wantFetched(t, c, l.url(t, kind, "/auth/hello"), authText)
			}
			c.CloseIdleConnections()
			want := tc.want
			if kind == "http" {
				want = nil
			}
			if got := l.connects(t, trial, len(want)); !slices.Equal(got, want) {
				t.Errorf("answers to CONNECT %v, want %v", got, want)
			}
		})
	}
}

// testProxyProof looks at what Apache proves as a proxy: itself, with what it
// answers over plain HTTP, and nothing with a tunnel, whose 200 mod_proxy_connect
// writes by itself.
func (l *lab) testProxyProof(t *testing.T) {
	resp, err := newClient(t, l.proxied(t)).Get(l.url(t, "http", "/auth/hello"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if sc := middleware.ProxySecurityOf(resp.Request); sc == nil || !sc.Verified() {
		t.Error("over plain HTTP the proxy is not verified")
	}

	var fields []string
	watch := func(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
		if resp.StatusCode == http.StatusOK {
			fields = append(fields, resp.Header.Get("Proxy-Authenticate")+resp.Header.Get("Proxy-Authentication-Info"))
		}
		return nil
	}
	for proof, ok := range map[tunnel.Proof]bool{tunnel.ProofOptional: true, tunnel.ProofDisabled: true, tunnel.ProofRequired: false} {
		o := l.proxied(t)
		o.Tunnel.Proof = proof
		o.Transport.(*http.Transport).OnProxyConnectResponse = watch
		status, _, verified, err := fetch(newClient(t, o), l.url(t, "https", "/auth/hello"))
		e, failed := errors.AsType[*middleware.Error](err)
		switch {
		case ok && (err != nil || status != http.StatusOK || !verified):
			t.Errorf("%v: %d, verified %t, %v", proof, status, verified, err)
		case !ok && (!failed || e.Stage != "tunnel" || e.Reason != middleware.ReasonNoToken || !errors.Is(err, middleware.ErrNotVerified)):
			t.Errorf("%v: %d, %v", proof, status, err)
		}
	}
	if !slices.Equal(fields, []string{"", "", ""}) {
		t.Errorf("Apache sends proof with tunnels now: %d answers", len(fields))
	}
}

// testProxyRefused sends what the proxy cannot open, and nothing to one that is
// not listed.
func (l *lab) testProxyRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		names kerberos.InitiatorOptions
		kind  error
		text  string
	}{
		"another's ticket": {kerberos.InitiatorOptions{HostOverride: "stranger.example"}, tunnel.ErrTunnel, "HTTP/stranger.example"},
		"not listed":       {kerberos.InitiatorOptions{AllowedHosts: []string{"proxy.example"}}, middleware.ErrNotAllowed, "offering Negotiate"},
	} {
		t.Run(name, func(t *testing.T) {
			o := l.proxied(t)
			o.ForProxy = &tc.names
			_, _, _, err := fetch(newClient(t, o), l.url(t, "https", "/auth/hello"))
			e, ok := errors.AsType[*middleware.Error](err)
			if !ok || e.Stage != "tunnel" || !errors.Is(err, tc.kind) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("%v, want %v", err, tc.kind)
			}
		})
	}
}

// testProxyParallel opens many tunnels at once.
func (l *lab) testProxyParallel(t *testing.T) {
	const calls = 30
	for _, kind := range kinds {
		c := newClient(t, l.proxied(t))
		var wg sync.WaitGroup
		for range calls {
			wg.Go(func() { wantFetched(t, c, l.url(t, kind, "/auth/hello"), authText) })
		}
		wg.Wait()
		c.CloseIdleConnections()
	}
}

// testProxyReplay shows that the proxy keeps a replay cache, and so that the
// other tests prove that each CONNECT bears a token of its own.
func (l *lab) testProxyReplay(t *testing.T) {
	source, err := kerberos.FromCCache(l.kinit(t)["KRB5CCNAME"], kerberos.SourceOptions{Krb5Conf: []string{l.conf}})
	if err != nil {
		t.Fatal(err)
	}
	in, err := kerberos.NewInitiator(source, kerberos.InitiatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(l.proxy)
	if err != nil {
		t.Fatal(err)
	}
	target := middleware.TargetOfURL(at)
	target.Proxy = true
	sc, err := in.Initiate(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	token, err := sc.Step(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	to := strings.TrimPrefix(l.origins["https"], "https://")
	for i, want := range []int{http.StatusOK, http.StatusProxyAuthRequired} {
		conn, err := net.Dial("tcp", at.Host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nProxy-Authorization: Negotiate %s\r\n\r\n",
			to, to, base64.StdEncoding.EncodeToString(token)); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != want {
			b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
			t.Errorf("try %d: %s, want %d: %s %v", i+1, resp.Status, want, b, err)
		}
	}
}
