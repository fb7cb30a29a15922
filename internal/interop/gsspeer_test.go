//go:build interop

package interop

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/kerberos"
)

// A gssPeer is a program that is an HTTP client and server with somebody else's
// GSS-API, testdata/JgssPeer.java or testdata/gss_peer.py, and its realm. Both
// understand /login, /get and /protected.
type gssPeer struct {
	*fakekdc.Realm
	clock  *fakekdc.Clock
	etype  etype
	dir    string
	conf   string // path
	cert   string // path
	key    string // path
	keytab string // path
	plain  string // URL
	secure string // URL
}

// newGSSPeer makes the realm and the files that the program needs.
func newGSSPeer(t *testing.T, e etype) *gssPeer {
	t.Helper()
	p := &gssPeer{clock: new(fakekdc.Clock), etype: e, dir: t.TempDir()}
	p.Realm = fakekdc.Start(t, fakekdc.WithEtypes(e.number), fakekdc.WithClock(p.clock.Now),
		fakekdc.WithUser("alice", alicePassword), fakekdc.WithService("HTTP/localhost"))
	lines := []string{"forwardable = true"}
	if e.number == krb.RC4HMAC {
		lines = append(lines, "allow_weak_crypto = true") // Java's name for it
	}
	p.conf = write(t, p.path("krb5.conf"), p.Config(lines...))
	p.keytab = p.file(t, "keytab", p.Keytab("HTTP/localhost"))
	p.cert, p.key = p.path("cert.pem"), p.path("key.pem")
	certificate(t, p.cert, p.key)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("exchanges: %v", p.Exchanges())
		}
	})
	return p
}

// serve starts the program with arguments that end in two ports, the
// certificate, its key and the rest.
func (p *gssPeer) serve(t *testing.T, env environment, program string, args, rest []string) {
	t.Helper()
	addrs := freePorts(t, 2)
	args = append(slices.Clone(args), port(addrs[0]), port(addrs[1]), p.cert, p.key)
	serve(t, env, nil, addrs, program, append(args, rest...)...)
	p.plain, p.secure = "http://localhost:"+port(addrs[0]), "https://localhost:"+port(addrs[1])
}

func (p *gssPeer) path(name string) string { return filepath.Join(p.dir, name) }

func (p *gssPeer) file(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := p.path(name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// certOf writes the certificate of a server, in PEM form.
func (p *gssPeer) certOf(t *testing.T, s *fakeweb.Server) string {
	t.Helper()
	return p.file(t, "server.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

// post asks the program for something, with pairs of names and values.
func (p *gssPeer) post(t *testing.T, path, body string, pairs ...string) string {
	t.Helper()
	q := url.Values{}
	for pair := range slices.Chunk(pairs, 2) {
		q.Set(pair[0], pair[1])
	}
	c := &wrapConn{&wrapPeer{url: p.plain}, &http.Client{Timeout: patience}}
	defer c.client.CloseIdleConnections()
	return string(c.must(t, path+"?"+q.Encode(), nil, []byte(body)))
}

// wantLogin gets a first ticket, and compares what the program says of it, and
// what the KDC was asked.
func (p *gssPeer) wantLogin(t *testing.T, with, path, password, want string, kinds ...fakekdc.Kind) {
	t.Helper()
	p.ResetExchanges()
	if got := p.post(t, "/login", password, "as", "alice", "with", with, "path", path); got != want {
		t.Errorf("%s: got %q, want %q", with, got, want)
	}
	var got []fakekdc.Kind
	for _, e := range p.Exchanges() {
		got = append(got, e.Kind)
	}
	if !slices.Equal(got, kinds) {
		t.Errorf("%s: exchanges %v, want %v", with, p.Exchanges(), kinds)
	}
}

// identities are those that testLogin makes.
var identities = []string{"alice/password", "alice/keytab", "alice/ccache"}

// get has the program make a request of a handler, and returns what it tells of
// it.
func (p *gssPeer) get(t *testing.T, h *fakeweb.Handler, as string, pairs ...string) string {
	t.Helper()
	pairs = append(pairs, "as", as, "url", fakeweb.Serve(p.Realm, h, fakeweb.ServerOptions{}).URL())
	return p.post(t, "/get", "", pairs...)
}

func (p *gssPeer) wantGot(t *testing.T, h *fakeweb.Handler, as string, pairs []string, want ...string) {
	t.Helper()
	got := p.get(t, h, as, pairs...)
	for _, s := range want {
		if !strings.Contains(got, s) {
			t.Errorf("%s %v: %q is not in %q; requests %v", as, pairs, s, got, h.Requests())
		}
	}
}

func (p *gssPeer) testGet(t *testing.T) {
	for _, as := range identities {
		for _, mech := range []string{"spnego", "krb5"} {
			h := fakeweb.New(p.Realm, "HTTP/localhost", fakeweb.Options{})
			p.wantGot(t, h, as, []string{"mech", mech, "mutual", "1", "conf", "1"},
				"status 200\n", "established true, mutual true, conf true, deleg false\n", "hello alice@"+p.Name()+"\n")
			const flags = fakekdc.GSSMutual | fakekdc.GSSConf | fakekdc.GSSInteg | fakekdc.GSSReplay | fakekdc.GSSSequence
			if r := h.Requests(); len(r) != 1 || r[0].Caller.Flags&(flags|fakekdc.GSSDeleg) != flags || !r[0].Proved || r[0].Caller.Etype != p.etype.number {
				t.Errorf("%s, %s: %+v", as, mech, r)
			}
		}
	}
}

func (p *gssPeer) testDelegating(t *testing.T) {
	for _, as := range identities {
		h := fakeweb.New(p.Realm, "HTTP/localhost", fakeweb.Options{Next: actor{p.Realm}})
		p.wantGot(t, h, as, []string{"mutual", "1", "deleg", "1"},
			"status 200\n", "established true, mutual true", "deleg true", "hello alice@"+p.Name()+", acting as alice@"+p.Name()+"\n")
		p.wantGot(t, h, as, []string{"mutual", "1"}, "nothing delegated")
	}
}

// wantBindings calls a service that looks at channel bindings; wrong names kinds
// of bindings that are.
func (p *gssPeer) wantBindings(t *testing.T, mech string, wrong ...string) {
	t.Helper()
	for mode, none := range map[fakekdc.Bindings]int{
		fakekdc.BindingsRequired: 401, fakekdc.BindingsWhenSupported: 200, fakekdc.BindingsOff: 200,
	} {
		h := fakeweb.New(p.Realm, "HTTP/localhost", fakeweb.Options{Bindings: mode})
		s := fakeweb.Serve(p.Realm, h, fakeweb.ServerOptions{TLS: true})
		want := map[string]int{"none": none, "tls": 200}
		for _, bind := range wrong {
			want[bind] = 401
			if mode == fakekdc.BindingsOff {
				want[bind] = 200
			}
		}
		for bind, want := range want {
			h.ResetRequests()
			got := p.post(t, "/get", "", "as", "alice/ccache", "mech", mech, "mutual", "1", "url", s.URL(), "cert", p.certOf(t, s), "bind", bind)
			if !strings.HasPrefix(got, fmt.Sprintf("status %d\n", want)) {
				t.Errorf("%s, mode %d, %s: got %q, want %d; %v", mech, mode, bind, got, want, h.Requests())
			}
			if r := h.Requests(); len(r) != 1 || mode != fakekdc.BindingsOff && r[0].Caller.Bound != (bind == "tls") {
				t.Errorf("%s, mode %d, %s: %+v", mech, mode, bind, r)
			}
		}
	}
}

// testImpostor shows that the program looks at our AP-REP.
func (p *gssPeer) testImpostor(t *testing.T) {
	for name, q := range map[string]fakeweb.Quirks{
		"forged": {Proof: fakeweb.ProofForged}, "foreign": {Proof: fakeweb.ProofForeign}, "garbage": {Proof: fakeweb.ProofGarbage},
	} {
		got := p.get(t, fakeweb.New(p.Realm, "HTTP/localhost", fakeweb.Options{Quirks: q}), "alice/ccache", "mutual", "1")
		if !strings.Contains(got, "refused ") || !strings.Contains(got, "established false") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// options are those of our client as alice; the program's certificate is trusted.
func (p *gssPeer) options(t *testing.T) client.Options {
	t.Helper()
	return client.Options{
		Krb5Conf: []string{p.conf}, CCache: "FILE:" + p.file(t, "our.ccache", p.CCache("alice")), ReadOnlyCache: true,
		Getenv:    func(string) string { return "" },
		Transport: (&lab{web: &web{ca: p.cert}}).transport(t),
	}
}

// testAccept has the program accept our client, which demands proof.
func (p *gssPeer) testAccept(t *testing.T) {
	want := "hello alice@" + p.Name() + ", established true\n"
	for _, origin := range []string{p.plain, p.secure} {
		wantFetched(t, newClient(t, p.options(t)), origin+"/protected", want)
		o := p.options(t)
		o.CCache, o.Principal, o.Password = "", "alice", kerberos.NewSecret(alicePassword)
		wantFetched(t, newClient(t, o), origin+"/protected", want)
	}
}

func (p *gssPeer) testAcceptDelegated(t *testing.T) {
	for _, origin := range []string{p.plain, p.secure} {
		o := p.options(t)
		o.Delegation = kerberos.DelegationAlways
		p.ResetExchanges()
		wantFetched(t, newClient(t, o), origin+"/protected", fmt.Sprintf("hello alice@%[1]s, established true, acting as alice@%[1]s\n", p.Name()))
		seen := p.Exchanges()
		if want := "HTTP/localhost@" + p.Name(); len(seen) == 0 || seen[len(seen)-1].Granted != want {
			t.Errorf("exchanges %v, want a ticket for %s at the end, that the service got for itself", seen, want)
		}
	}
}

// testAcceptBindings leaves the bindings out where the program wants them.
func (p *gssPeer) testAcceptBindings(t *testing.T) {
	o := p.options(t)
	o.Bindings = kerberos.BindingsOff
	c := newClient(t, o)
	status, body, _, err := fetch(c, p.secure+"/protected")
	if err != nil || status != http.StatusUnauthorized {
		t.Errorf("without bindings: %d, %q, %v", status, body, err)
	}
	wantFetched(t, c, p.secure+"/protected?bind=none", "hello alice@"+p.Name()+", established true\n")
}
