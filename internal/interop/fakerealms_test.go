//go:build interop

package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// TestFakeRealms lets MIT's tools find their way between realms of fakekdc.
func TestFakeRealms(t *testing.T) {
	for name, test := range map[string]func(*fakeRealms, *testing.T){
		"referral":          (*fakeRealms).testReferral,
		"referral of hosts": (*fakeRealms).testReferralOfHosts,
		"realm known":       (*fakeRealms).testRealmKnown,
		"paths known":       (*fakeRealms).testPathsKnown,
		"path forbidden":    (*fakeRealms).testPathForbidden,
		"circle":            (*fakeRealms).testCircle,
		"nowhere":           (*fakeRealms).testNowhere,
		"denied":            (*fakeRealms).testDenied,
		"one way":           (*fakeRealms).testOneWay,
		"enterprise name":   (*fakeRealms).testEnterprise,
		"client referral":   (*fakeRealms).testClientReferral,
		"curl":              (*fakeRealms).testCurl,
	} {
		t.Run(name, func(t *testing.T) { test(startFakeRealms(t), t) })
	}
}

// fakeRealms trust in a row, a <-> b <-> c. Each has a service HTTP/web.X.test;
// alice is of a, bob of b and carol of c.
type fakeRealms struct {
	a, b, c *fakekdc.Realm
	dir     string
	env     environment
}

func startFakeRealms(t *testing.T) *fakeRealms {
	t.Helper()
	start := func(x, user, password string) *fakekdc.Realm {
		return fakekdc.Start(t, fakekdc.WithRealm(strings.ToUpper(x)+".TEST"),
			fakekdc.WithUser(user, password), fakekdc.WithService("HTTP/web."+x+".test"))
	}
	f := &fakeRealms{
		a: start("a", "alice", alicePassword), b: start("b", "bob", bobPassword), c: start("c", "carol", bobPassword),
		dir: t.TempDir(),
	}
	f.a.Trust(f.b)
	f.b.Trust(f.c)
	trace := filepath.Join(f.dir, "trace")
	f.env = environment{"KRB5CCNAME": "FILE:" + filepath.Join(f.dir, "ccache"), "HOME": f.dir, "KRB5_TRACE": trace}
	f.use(t, f.a.Config())
	showOnFailure(t, trace)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("exchanges: %q", f.exchanges())
		}
	})
	return f
}

func (f *fakeRealms) use(t *testing.T, config string) {
	t.Helper()
	f.env["KRB5_CONFIG"] = write(t, filepath.Join(f.dir, "krb5.conf"), config)
}

func (f *fakeRealms) kinit(t *testing.T) {
	t.Helper()
	must(t, f.env, alicePassword+"\n", tool(t, "kinit"), "-f", "alice@A.TEST")
}

// ask gets a ticket. A service without a realm is one whose realm krb5.conf or the
// KDC has to tell.
func (f *fakeRealms) ask(t *testing.T, service string) {
	t.Helper()
	args := []string{service}
	if class, host, _ := strings.Cut(service, "/"); !strings.Contains(host, "@") {
		args = []string{"-S", class, host}
	}
	must(t, f.env, "", tool(t, "kvno"), args...)
}

// kvno gets a ticket, and has MIT open it with the service's keytab.
func (f *fakeRealms) kvno(t *testing.T, r *fakekdc.Realm, service string) {
	t.Helper()
	f.ask(t, service)
	name, _, _ := strings.Cut(service, "@")
	if got := f.judge(t, r, name); got.code != 0 || !strings.Contains(got.stdout, "keytab entry valid") {
		t.Error(got)
	}
}

// judge opens the ticket in the cache. MIT's acceptors go by [capaths], even
// where the KDC has checked the path.
func (f *fakeRealms) judge(t *testing.T, r *fakekdc.Realm, name string) result {
	t.Helper()
	path := filepath.Join(f.dir, "keytab")
	if err := os.WriteFile(path, r.Keytab(), 0o600); err != nil {
		t.Fatal(err)
	}
	conf := write(t, filepath.Join(f.dir, "acceptor.conf"), f.a.ConfigWithCapaths())
	return run(t, f.env.with("KRB5_CONFIG", conf), "", tool(t, "kvno"), "-k", path, name+"@"+r.Name())
}

// exchanges are what the KDCs granted, or with which code they refused.
func (f *fakeRealms) exchanges() []string {
	var out []string
	for _, r := range []*fakekdc.Realm{f.a, f.b, f.c} {
		for _, e := range r.Exchanges() {
			what := e.Granted
			if e.Code != 0 {
				what = fmt.Sprint(e.Code)
			}
			out = append(out, fmt.Sprintf("%s %s %s", e.Realm, e.Kind, what))
		}
	}
	return out
}

func (f *fakeRealms) want(t *testing.T, want ...string) {
	t.Helper()
	if got := f.exchanges(); !slices.Equal(got, want) {
		t.Errorf("exchanges %q, want %q", got, want)
	}
}

func (f *fakeRealms) forget() {
	for _, r := range []*fakekdc.Realm{f.a, f.b, f.c} {
		r.ResetExchanges()
	}
}

// testReferral leaves it to the KDCs to know who has the service.
func (f *fakeRealms) testReferral(t *testing.T) {
	f.kinit(t)
	f.forget()
	f.ask(t, "HTTP/web.c.test")
	f.want(t, "A.TEST TGS krbtgt/B.TEST@A.TEST", "B.TEST TGS krbtgt/C.TEST@B.TEST", "C.TEST TGS HTTP/web.c.test@C.TEST")
	f.kvno(t, f.c, "HTTP/web.c.test")
}

func (f *fakeRealms) testReferralOfHosts(t *testing.T) {
	f.a.Refer(".far.test", "C.TEST")
	f.b.Refer("x.far.test", "C.TEST")
	f.c.AddService("HTTP/x.far.test")
	f.kinit(t)
	f.forget()
	f.ask(t, "HTTP/x.far.test")
	f.want(t, "A.TEST TGS krbtgt/B.TEST@A.TEST", "B.TEST TGS krbtgt/C.TEST@B.TEST", "C.TEST TGS HTTP/x.far.test@C.TEST")
	f.kvno(t, f.c, "HTTP/x.far.test")
}

// testRealmKnown names the realm, and no way there: A's KDC offers one.
func (f *fakeRealms) testRealmKnown(t *testing.T) {
	f.kinit(t)
	f.forget()
	f.kvno(t, f.b, "HTTP/web.b.test@B.TEST")
	f.want(t, "A.TEST TGS krbtgt/B.TEST@A.TEST", "B.TEST TGS HTTP/web.b.test@B.TEST")
	f.kvno(t, f.c, "HTTP/web.c.test@C.TEST")
}

// testPathsKnown has all that is to be known in krb5.conf.
func (f *fakeRealms) testPathsKnown(t *testing.T) {
	f.use(t, f.a.ConfigWithCapaths())
	f.kinit(t)
	f.forget()
	f.kvno(t, f.c, "HTTP/web.c.test")
	list := must(t, f.env, "", tool(t, "klist"), "-f").stdout
	for _, s := range []string{"krbtgt/C.TEST@B.TEST", "HTTP/web.c.test@C.TEST"} {
		if !strings.Contains(list, s) {
			t.Errorf("klist does not show %q:\n%s", s, list)
		}
	}
}

// testPathForbidden shows that the ticket says which way it came.
func (f *fakeRealms) testPathForbidden(t *testing.T) {
	f.kinit(t)
	f.kvno(t, f.b, "HTTP/web.b.test")
	f.kvno(t, f.c, "HTTP/web.c.test")
	conf := write(t, filepath.Join(f.dir, "strict.conf"), f.a.Config()+"[capaths]\n\tA.TEST = {\n\t\tC.TEST = X.TEST\n\t}\n")
	f.env["KRB5_CONFIG"] = conf
	for r, service := range map[*fakekdc.Realm]string{f.b: "HTTP/web.b.test@B.TEST", f.c: "HTTP/web.c.test@C.TEST"} {
		path := filepath.Join(f.dir, "strict.keytab")
		if err := os.WriteFile(path, r.Keytab(), 0o600); err != nil {
			t.Fatal(err)
		}
		got := run(t, f.env, "", tool(t, "kvno"), "-k", path, service)
		if refused := strings.Contains(got.stderr, "Illegal cross-realm ticket"); refused != (r == f.c) {
			t.Error(got)
		}
	}
}

// testCircle sends MIT's client back where it came from, which it notices.
func (f *fakeRealms) testCircle(t *testing.T) {
	f.a.Refer("round.test", "B.TEST")
	f.b.Refer("round.test", "A.TEST")
	f.kinit(t)
	if r := run(t, f.env, "", tool(t, "kvno"), "HTTP/round.test"); r.code == 0 {
		t.Error(r)
	}
	if n := f.a.Count(fakekdc.TGS) + f.b.Count(fakekdc.TGS); n < 2 || n > 20 {
		t.Errorf("%d exchanges", n)
	}
}

func (f *fakeRealms) testNowhere(t *testing.T) {
	f.kinit(t)
	f.a.FailNext(fakekdc.TGS, fakekdc.ReferTo("MOON.TEST"))
	if r := run(t, f.env, "", tool(t, "kvno"), "HTTP/web.b.test"); r.code == 0 || !strings.Contains(r.stderr, "MOON.TEST") {
		t.Error(r)
	}
}

func (f *fakeRealms) testDenied(t *testing.T) {
	f.kinit(t)
	f.c.DenyTransit("B.TEST")
	if r := run(t, f.env, "", tool(t, "kvno"), "HTTP/web.c.test"); r.code == 0 || !strings.Contains(r.stderr, "policy") {
		t.Error(r)
	}
}

func (f *fakeRealms) testOneWay(t *testing.T) {
	if err := f.a.Remove("krbtgt/B.TEST"); err != nil {
		t.Fatal(err)
	}
	f.kinit(t)
	if r := run(t, f.env, "", tool(t, "kvno"), "HTTP/web.b.test@B.TEST"); r.code == 0 {
		t.Error(r)
	}
	must(t, f.env, bobPassword+"\n", tool(t, "kinit"), "bob@B.TEST")
	f.kvno(t, f.a, "HTTP/web.a.test@A.TEST")
}

func (f *fakeRealms) testEnterprise(t *testing.T) {
	f.a.Alias("Alice.Smith@corp.test", "alice")
	for _, name := range []string{"alice.smith@corp.test", "alice@A.TEST"} {
		must(t, f.env, alicePassword+"\n", tool(t, "kinit"), "-C", "-E", name)
		if list := must(t, f.env, "", tool(t, "klist")).stdout; !strings.Contains(list, "Default principal: alice@A.TEST") {
			t.Errorf("%s:\n%s", name, list)
		}
		f.kvno(t, f.a, "HTTP/web.a.test")
	}
	f.a.Alias("asmith", "alice")
	must(t, f.env, alicePassword+"\n", tool(t, "kinit"), "-C", "asmith")
	if r := run(t, f.env, alicePassword+"\n", tool(t, "kinit"), "asmith"); r.code == 0 {
		t.Error(r)
	}
}

// testClientReferral logs in with a name whose realm is not the client's own.
func (f *fakeRealms) testClientReferral(t *testing.T) {
	f.c.Alias("carol@corp.test", "carol")
	must(t, f.env, bobPassword+"\n", tool(t, "kinit"), "-C", "-E", "carol@corp.test")
	if list := must(t, f.env, "", tool(t, "klist")).stdout; !strings.Contains(list, "Default principal: carol@C.TEST") {
		t.Error(list)
	}
	f.want(t, fmt.Sprintf("A.TEST AS %d", krb.CodeWrongRealm), fmt.Sprintf("C.TEST AS %d", krb.CodePreauthRequired), "C.TEST AS krbtgt/C.TEST@C.TEST")
	f.kvno(t, f.a, "HTTP/web.a.test@A.TEST")

	f.forget()
	f.a.ReferUsers("bob", "B.TEST")
	must(t, f.env, bobPassword+"\n", tool(t, "kinit"), "-C", "bob")
	f.want(t, fmt.Sprintf("A.TEST AS %d", krb.CodeWrongRealm), fmt.Sprintf("B.TEST AS %d", krb.CodePreauthRequired), "B.TEST AS krbtgt/B.TEST@B.TEST")
}

// testCurl brings a ticket that went through B to a web service of C.
func (f *fakeRealms) testCurl(t *testing.T) {
	f.c.AddService("HTTP/localhost")
	f.use(t, f.a.Config()) // in which localhost is not A's now
	s := fakeweb.Serve(f.c, fakeweb.New(f.c, "HTTP/localhost", fakeweb.Options{}), fakeweb.ServerOptions{})
	f.kinit(t)
	r := must(t, f.env, "", tool(t, "curl"), "-sS", "--max-time", "20", "--negotiate", "-u", ":", s.URL())
	if r.stdout != "hello alice@A.TEST\n" {
		t.Error(r)
	}
}

// TestFakeRealmAndMIT connects a realm of fakekdc with one of MIT's KDC by a
// password, as administrators do, once for each encryption type.
func TestFakeRealmAndMIT(t *testing.T) {
	for _, e := range etypes {
		t.Run(e.name, func(t *testing.T) {
			mit := startRealm(t, e)
			fake := fakekdc.Start(t, fakekdc.WithRealm("FAKE.TEST"), fakekdc.WithEtypes(e.number),
				fakekdc.WithUser("alice", bobPassword), fakekdc.WithService("HTTP/web.fake.test"))
			const shared = "one password for both ways"
			admin := mit.env.with("KRB5_KDC_PROFILE", mit.path("kdc.conf"))
			for _, name := range []string{"krbtgt/FAKE.TEST@" + mit.name, "krbtgt/" + mit.name + "@FAKE.TEST"} {
				fake.AddService(name, fakekdc.ServicePassword(shared))
				must(t, admin, "", tool(t, "kadmin.local"), "-r", mit.name, "addprinc", "-clearpolicy", "-pw", shared, name)
			}
			dir := t.TempDir()
			conf := strings.Replace(fake.Config(), "[realms]\n", fmt.Sprintf("[realms]\n\t%s = {\n\t\tkdc = %s\n\t}\n", mit.name, mit.kdc), 1)
			env := environment{"KRB5_CONFIG": write(t, filepath.Join(dir, "krb5.conf"), conf), "KRB5CCNAME": "FILE:" + filepath.Join(dir, "ccache"), "HOME": dir}
			keytab := filepath.Join(dir, "keytab")
			if err := os.WriteFile(keytab, fake.Keytab(), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, way := range []struct{ client, password, keytab, service string }{
				{"alice@FAKE.TEST", bobPassword, mit.path("service.keytab"), "HTTP/localhost@" + mit.name},
				{"alice@" + mit.name, alicePassword, keytab, "HTTP/web.fake.test@FAKE.TEST"},
			} {
				must(t, env, way.password+"\n", tool(t, "kinit"), way.client)
				if got := must(t, env, "", tool(t, "kvno"), "-k", way.keytab, way.service); !strings.Contains(got.stdout, "keytab entry valid") {
					t.Error(got)
				}
			}
		})
	}
}
