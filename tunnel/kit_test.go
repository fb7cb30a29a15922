package tunnel_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/tunnel"
)

func TestMain(m *testing.M) { testmain.Run(m) }

const spn = "HTTP/proxy.example"

// A lab is a realm with a proxy in it, and a server behind that knows nothing of
// Kerberos.
type lab struct {
	realm  *fakekdc.Realm
	proxy  *fakeweb.Proxy
	origin *fakeweb.Server

	mu   sync.Mutex
	hits []string // requests that the server has seen
}

type setup struct {
	web     fakeweb.Options
	secure  bool // the proxy is one by https
	h2      bool
	handler http.Handler // of the server
	realm   []fakekdc.Option
}

func start(t *testing.T, s setup) *lab {
	t.Helper()
	l := &lab{realm: fakekdc.Start(t, append([]fakekdc.Option{
		fakekdc.WithEtypes(fakekdc.AES256SHA1), fakekdc.WithUser("alice", "secret"), fakekdc.WithService(spn),
	}, s.realm...)...)}
	l.proxy = fakeweb.ServeProxy(l.realm, spn, s.web, fakeweb.ServerOptions{Host: "proxy.example", TLS: s.secure})
	l.origin = fakeweb.Serve(l.realm, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		l.hits = append(l.hits, r.Method+" "+r.URL.Path)
		l.mu.Unlock()
		if r.Header.Get("Proxy-Authorization") != "" {
			t.Errorf("%s: the server was told what is for the proxy", r.URL)
		}
		if s.handler != nil {
			s.handler.ServeHTTP(w, r)
			return
		}
		b, err := io.ReadAll(r.Body)
		if err == nil {
			_, err = fmt.Fprintf(w, "%shello over HTTP/%d", b, r.ProtoMajor)
		}
		if err != nil {
			t.Errorf("%s: %v", r.URL, err)
		}
	}), fakeweb.ServerOptions{Host: "app.example", TLS: true, HTTP2: s.h2})
	return l
}

func (l *lab) seen() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.hits...)
}

// initiator signs for alice, who has a ticket-granting ticket.
func (l *lab) initiator(t *testing.T, o kerberos.InitiatorOptions) middleware.Initiator {
	t.Helper()
	path := filepath.Join(t.TempDir(), "krb5cc")
	if err := os.WriteFile(path, l.realm.CCache("alice"), 0o600); err != nil {
		t.Fatal(err)
	}
	source, err := kerberos.FromCCache(path, kerberos.SourceOptions{Krb5ConfText: l.realm.Config(), Now: l.realm.Now})
	if err != nil {
		t.Fatal(err)
	}
	in, err := kerberos.NewInitiator(source, o)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// through returns the transport that is under test.
func (l *lab) through(t *testing.T, o tunnel.Options, changes ...func(*http.Transport)) *tunnel.Transport {
	t.Helper()
	return l.with(t, l.initiator(t, kerberos.InitiatorOptions{}), o, changes...)
}

func (l *lab) with(t *testing.T, in middleware.Initiator, o tunnel.Options, changes ...func(*http.Transport)) *tunnel.Transport {
	t.Helper()
	base := l.proxy.Transport(l.origin)
	for _, c := range changes {
		c(base)
	}
	rt := tunnel.New(in, base, o)
	t.Cleanup(rt.CloseIdleConnections)
	return rt
}

// statuses are the answers to CONNECT.
func (l *lab) statuses(t *testing.T) []int {
	t.Helper()
	var out []int
	for _, r := range l.proxy.Connects() {
		out = append(out, r.Status)
	}
	return out
}

func get(ctx context.Context, rt http.RoundTripper, url string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	return do(rt, r)
}

func do(rt http.RoundTripper, r *http.Request) (string, error) {
	resp, err := rt.RoundTrip(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// wantHello fails unless a request comes through.
func wantHello(t *testing.T, rt http.RoundTripper, url string) {
	t.Helper()
	if body, err := get(t.Context(), rt, url); err != nil || body != "hello over HTTP/1" {
		t.Fatalf("%q, %v", body, err)
	}
}
