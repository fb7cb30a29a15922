//go:build interop

package interop

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

// TestFakeKDC lets the tools of MIT and curl take fakekdc for a realm, once for
// each encryption type.
func TestFakeKDC(t *testing.T) {
	for _, e := range append(slices.Clone(etypes), etype{23, "arcfour-hmac"}) {
		t.Run(e.name, func(t *testing.T) {
			for name, test := range map[string]func(*fake, *testing.T){
				"kinit":           (*fake).testKinit,
				"kinit over TCP":  (*fake).testTCP,
				"keytab":          (*fake).testKeytab,
				"no preauth":      (*fake).testNoPreauth,
				"salt":            (*fake).testSalt,
				"initial service": (*fake).testInitialService,
				"renew":           (*fake).testRenew,
				"ccache":          (*fake).testCCache,
				"refusals":        (*fake).testRefusals,
				"curl":            (*fake).testCurl,
				"curl verifies":   (*fake).testCurlVerifies,
				"curl over TLS":   (*fake).testCurlTLS,
			} {
				t.Run(name, func(t *testing.T) { test(startFake(t, e), t) })
			}
		})
	}
}

// A fake is a realm of fakekdc and the environment that leads MIT's tools
// there. All its keys are of one encryption type.
type fake struct {
	*fakekdc.Realm
	etype etype
	dir   string
	env   environment
}

func startFake(t *testing.T, e etype) *fake {
	t.Helper()
	r := fakekdc.Start(t, fakekdc.WithEtypes(e.number),
		fakekdc.WithUser("alice", alicePassword),
		fakekdc.WithUser("bob", bobPassword, fakekdc.NoPreauth()),
		fakekdc.WithUser("carol", bobPassword, fakekdc.Salt("SALT.OF.OLD"), fakekdc.Iterations(40000)),
		fakekdc.WithService("HTTP/localhost"))
	f := &fake{Realm: r, etype: e, dir: t.TempDir()}
	f.env = environment{
		"KRB5_CONFIG": f.config(t, "krb5.conf"), "KRB5CCNAME": "FILE:" + f.path("ccache"),
		"HOME": f.dir, "KRB5_TRACE": f.path("trace"),
	}
	showOnFailure(t, f.path("trace"))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("exchanges: %v", r.Exchanges())
		}
	})
	return f
}

func (f *fake) path(name string) string { return filepath.Join(f.dir, name) }

// config writes a krb5.conf, with lines for [libdefaults].
func (f *fake) config(t *testing.T, file string, lines ...string) string {
	t.Helper()
	return write(t, f.path(file), f.Config(lines...))
}

func (f *fake) kinit(t *testing.T, args ...string) {
	t.Helper()
	must(t, f.env, alicePassword+"\n", tool(t, "kinit"), append(args, "alice")...)
}

// klist returns what the cache holds.
func (f *fake) klist(t *testing.T) string {
	t.Helper()
	return must(t, f.env, "", tool(t, "klist"), "-e", "-f").stdout
}

// wantListed fails unless klist shows the texts.
func (f *fake) wantListed(t *testing.T, texts ...string) {
	t.Helper()
	list := f.klist(t)
	for _, s := range texts {
		if !strings.Contains(list, s) {
			t.Errorf("klist does not show %q:\n%s", s, list)
		}
	}
}

func (f *fake) tgt() string { return fmt.Sprintf("krbtgt/%[1]s@%[1]s", f.Name()) }

// kvno asks for a service ticket.
func (f *fake) kvno(t *testing.T) {
	t.Helper()
	r := must(t, f.env, "", tool(t, "kvno"), "HTTP/localhost")
	if want := "HTTP/localhost@" + f.Name() + ": kvno = 1\n"; r.stdout != want {
		t.Errorf("want %q: %v", want, r)
	}
}

// wantExchanges compares what the KDC was asked, as "AS 25" or "TGS 0": kind and
// code.
func (f *fake) wantExchanges(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for _, e := range f.Exchanges() {
		got = append(got, fmt.Sprintf("%v %d", e.Kind, e.Code))
		if e.Code == 0 && e.Etype != f.etype.number {
			t.Errorf("%v: want a session key of etype %d", e, f.etype.number)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("exchanges: %v, want %v", got, want)
	}
}

func (f *fake) testKinit(t *testing.T) {
	f.kinit(t, "-f")
	f.kvno(t)
	f.wantExchanges(t, "AS 25", "AS 0", "TGS 0")
	f.wantListed(t, "Default principal: alice@"+f.Name(), f.tgt(), "HTTP/localhost@"+f.Name(), "Flags: F")
	// klist marks RC4 with a word before its name.
	keys := strings.ReplaceAll(f.klist(t), "DEPRECATED:", "")
	if n := strings.Count(keys, "Etype (skey, tkt): "+f.etype.name+", "+f.etype.name+" \n"); n != 2 {
		t.Errorf("%d tickets of etype %s, want 2:\n%s", n, f.etype.name, keys)
	}
}

func (f *fake) testTCP(t *testing.T) {
	f.env["KRB5_CONFIG"] = f.config(t, "tcp.conf", "udp_preference_limit = 1")
	f.kinit(t)
	f.kvno(t)
	for _, e := range f.Exchanges() {
		if e.Network != "tcp" {
			t.Errorf("%v: want TCP", e)
		}
	}
	f.wantExchanges(t, "AS 25", "AS 0", "TGS 0")
}

func (f *fake) testKeytab(t *testing.T) {
	path := f.path("alice.keytab")
	if err := os.WriteFile(path, f.Keytab("alice"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := must(t, f.env, "", tool(t, "klist"), "-k", "-e", path); !strings.Contains(r.stdout, "alice@"+f.Name()) || !strings.Contains(r.stdout, f.etype.name) {
		t.Error(r)
	}
	must(t, f.env, "", tool(t, "kinit"), "-k", "-t", path, "alice")
	f.kvno(t)
	// The keytab of the service opens its tickets, says MIT.
	if err := os.WriteFile(path, f.Keytab("HTTP/localhost"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := must(t, f.env, "", tool(t, "kvno"), "-k", path, "HTTP/localhost")
	if !strings.Contains(r.stdout, "keytab entry valid") {
		t.Error(r)
	}
}

func (f *fake) testNoPreauth(t *testing.T) {
	must(t, f.env, bobPassword+"\n", tool(t, "kinit"), "bob")
	f.wantExchanges(t, "AS 0")
	f.wantListed(t, "Default principal: bob@"+f.Name(), f.tgt())
}

func (f *fake) testSalt(t *testing.T) {
	must(t, f.env, bobPassword+"\n", tool(t, "kinit"), "carol")
	f.wantExchanges(t, "AS 25", "AS 0")
}

// testInitialService gets a service ticket without a ticket-granting ticket.
func (f *fake) testInitialService(t *testing.T) {
	f.kinit(t, "-S", "HTTP/localhost")
	f.wantExchanges(t, "AS 25", "AS 0")
	f.wantListed(t, "HTTP/localhost@"+f.Name())
}

func (f *fake) testRenew(t *testing.T) {
	f.kinit(t, "-r", "2d", "-l", "1h")
	f.wantListed(t, "renew until", "Flags: RIA")
	f.ResetExchanges()
	must(t, f.env, "", tool(t, "kinit"), "-R")
	f.wantExchanges(t, "TGS 0")
	f.wantListed(t, "renew until", "Default principal: alice@"+f.Name())
	f.kvno(t)
}

// testCCache takes the cache that fakekdc wrote for one that kinit wrote.
func (f *fake) testCCache(t *testing.T) {
	if err := os.WriteFile(f.path("ccache"), f.CCache("alice", "HTTP/localhost"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.wantListed(t, "Default principal: alice@"+f.Name(), f.tgt(), "HTTP/localhost@"+f.Name())
	f.kvno(t)
	f.wantExchanges(t)
	must(t, f.env, "", tool(t, "kinit"), "-R")
	f.wantExchanges(t, "TGS 0")
}

func (f *fake) testRefusals(t *testing.T) {
	f.AddUser("locked", alicePassword, fakekdc.Refuse(fakekdc.CodeClientRevoked))
	for name, tc := range map[string]struct{ password, user, says string }{
		"wrong password": {"wrong", "alice", "Password incorrect"},
		"unknown":        {alicePassword, "nobody", "not found in Kerberos database"},
		"locked":         {alicePassword, "locked", "credentials have been revoked"},
	} {
		if r := run(t, f.env, tc.password+"\n", tool(t, "kinit"), tc.user); r.code == 0 || !strings.Contains(r.stderr, tc.says) {
			t.Errorf("%s: want %q, got %v", name, tc.says, r)
		}
	}
	f.kinit(t)
	r := run(t, f.env, "", tool(t, "kvno"), "HTTP/nowhere.example")
	if r.code == 0 || !strings.Contains(r.stderr, "not found in Kerberos database") {
		t.Error(r)
	}
	f.Close()
	r = run(t, f.env, alicePassword+"\n", tool(t, "kinit"), "alice")
	if r.code == 0 || !strings.Contains(r.stderr, "Cannot contact any KDC") {
		t.Error(r)
	}
}

// get runs curl --negotiate and returns status and body.
func (f *fake) get(t *testing.T, args ...string) (status, body string) {
	t.Helper()
	args = append([]string{"-sS", "--max-time", "20", "--negotiate", "-u", ":", "-w", "\n%{http_code}"}, args...)
	r := must(t, f.env, "", tool(t, "curl"), args...)
	i := strings.LastIndexByte(r.stdout, '\n')
	return r.stdout[i+1:], r.stdout[:i]
}

func (f *fake) testCurl(t *testing.T) {
	h := fakeweb.New(f.Realm, "HTTP/localhost", fakeweb.Options{})
	s := fakeweb.Serve(f.Realm, h, fakeweb.ServerOptions{})
	f.kinit(t)
	f.wantGreeted(t, s.URL())
	// curl signs its first request, unless it is told to look for schemes.
	f.wantGreeted(t, "--anyauth", s.URL())
	f.wantGreeted(t, "-d", strings.Repeat("x", 1<<16), s.URL())
	if got := h.Statuses(); !slices.Equal(got, []int{http.StatusOK, http.StatusUnauthorized, http.StatusOK, http.StatusOK}) {
		t.Errorf("statuses %v", got)
	}
	for _, r := range h.Requests() {
		if r.Scheme != "" && (!r.Proved || r.Caller.Name != "alice@"+f.Name() || r.Caller.Etype != f.etype.number || r.Caller.Flags&fakekdc.GSSMutual == 0) {
			t.Errorf("%v: %+v", r, r.Caller)
		}
	}
	r := must(t, f.env, "", tool(t, "curl"), "-sS", "-o", "/dev/null", "-w", "%{http_code}", s.URL())
	if r.stdout != "401" {
		t.Errorf("without credentials: %v", r)
	}
}

func (f *fake) wantGreeted(t *testing.T, args ...string) {
	t.Helper()
	status, body := f.get(t, args...)
	if status != "200" || body != "hello alice@"+f.Name()+"\n" {
		t.Errorf("curl %v: %s %q", args, status, body)
	}
}

// testCurlVerifies proves AP-REP and mechListMIC: curl looks at the server's token
// only where it comes with a 401, so that is where it is sent. MIT's library says
// in its trace that it has read the AP-REP; what was changed on the way stops it.
func (f *fake) testCurlVerifies(t *testing.T) {
	f.kinit(t)
	h := fakeweb.New(f.Realm, "HTTP/localhost", fakeweb.Options{Quirks: fakeweb.Quirks{ExtraLeg: fakeweb.LegMIC}})
	f.wantGreeted(t, fakeweb.Serve(f.Realm, h, fakeweb.ServerOptions{}).URL())
	if trace := readAll(t, f.path("trace")); !strings.Contains(trace, "Read AP-REP") {
		t.Errorf("MIT's trace shows no AP-REP:\n%s", trace)
	}
	if got := h.Statuses(); !slices.Equal(got, []int{http.StatusUnauthorized, http.StatusOK}) {
		t.Errorf("statuses %v", got)
	}
	for name, change := range map[string]func(*spnego.Resp){
		"AP-REP":      func(r *spnego.Resp) { r.ResponseToken[len(r.ResponseToken)-1] ^= 1 },
		"mechListMIC": func(r *spnego.Resp) { r.MechListMIC[len(r.MechListMIC)-1] ^= 1 },
	} {
		s := fakeweb.Serve(f.Realm, tampering(h, change), fakeweb.ServerOptions{})
		if status, body := f.get(t, s.URL()); status != "401" {
			t.Errorf("with another %s: %s %q", name, status, body)
		}
	}
}

// tampering changes the tokens that a handler sends with a 401.
func tampering(h http.Handler, change func(*spnego.Resp)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(&tamperer{w, change}, r)
	})
}

type tamperer struct {
	http.ResponseWriter
	change func(*spnego.Resp)
}

func (w *tamperer) WriteHeader(status int) {
	line := w.Header().Get("WWW-Authenticate")
	token, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(line, "Negotiate "))
	if status == http.StatusUnauthorized && err == nil {
		if resp, err := spnego.ParseResp(token); err == nil {
			w.change(&resp)
			w.Header().Set("WWW-Authenticate", "Negotiate "+base64.StdEncoding.EncodeToString(resp.Append(nil)))
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (f *fake) testCurlTLS(t *testing.T) {
	f.kinit(t)
	for name, o := range map[string]fakeweb.ServerOptions{"HTTP/1.1": {TLS: true}, "HTTP/2": {TLS: true, HTTP2: true}} {
		// This curl knows of no channel bindings, so they cannot be required.
		h := fakeweb.New(f.Realm, "HTTP/localhost", fakeweb.Options{})
		s := fakeweb.Serve(f.Realm, h, o)
		f.wantGreeted(t, "-k", s.URL())
		f.wantGreeted(t, "-k", "--anyauth", s.URL())
		if got := h.Statuses(); !slices.Equal(got, []int{http.StatusOK, http.StatusUnauthorized, http.StatusOK}) {
			t.Errorf("%s: statuses %v", name, got)
		}
	}
}

// TestFakeKDCLifetime lets MIT judge what the realm says of time.
func TestFakeKDCLifetime(t *testing.T) {
	f := startFake(t, etypes[1])
	f.Modify("alice", fakekdc.Lifetime(2*time.Second, -1))
	f.kinit(t, "-r", "2d")
	expired := func() bool { return run(t, f.env, "", tool(t, "klist"), "-s").code != 0 }
	if expired() {
		t.Fatalf("expired at birth:\n%s", f.klist(t))
	}
	if list := f.klist(t); strings.Contains(list, "renew until") {
		t.Errorf("renewable:\n%s", list)
	}
	if !await(t, expired, t.Context().Done()) {
		t.Errorf("does not expire:\n%s", f.klist(t))
	}
}
