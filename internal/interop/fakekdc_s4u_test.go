//go:build interop

package interop

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
)

// TestFakeKDCDelegation lets MIT's and Heimdal's tools act for users, as users to
// users and with passwords to change, once for each encryption type.
func TestFakeKDCDelegation(t *testing.T) {
	for _, e := range etypes {
		t.Run(e.name, func(t *testing.T) {
			for name, test := range map[string]func(*fake, *testing.T){
				"S4U2Self":         (*fake).testS4U2Self,
				"S4U2Proxy":        (*fake).testS4U2Proxy,
				"S4U Heimdal":      (*fake).testS4UHeimdal,
				"user to user":     (*fake).testUserToUser,
				"PAC":              (*fake).testPAC,
				"PAC by Samba":     (*fake).testPACBySamba,
				"enc-pa-rep":       (*fake).testEncPARep,
				"kpasswd":          (*fake).testKpasswd,
				"kpasswd Heimdal":  (*fake).testKpasswdHeimdal,
				"expired password": (*fake).testExpiredPassword,
				"postdated":        (*fake).testPostdated,
				"addresses":        (*fake).testAddresses,
				"proxiable":        (*fake).testProxiable,
			} {
				t.Run(name, func(t *testing.T) { test(startDelegation(t, e), t) })
			}
		})
	}
}

// startDelegation has services that may act for users in all of the ways there
// are, PACs, and a policy for passwords.
func startDelegation(t *testing.T, e etype, opts ...fakekdc.Option) *fake {
	t.Helper()
	r := fakekdc.Start(t, append([]fakekdc.Option{
		fakekdc.WithEtypes(e.number), fakekdc.WithPAC(),
		fakekdc.WithKpasswd(func(_, password string) error {
			if len(password) < 8 {
				return errors.New("Passwords here have eight letters.")
			}
			return nil
		}),
		fakekdc.WithUser("alice", alicePassword, fakekdc.Groups(1234)),
		fakekdc.WithUser("bob", bobPassword, fakekdc.NotForwardable(), fakekdc.UserToUserOnly()),
		fakekdc.WithUser("old", bobPassword, fakekdc.Refuse(fakekdc.CodeKeyExpired)),
		fakekdc.WithUser("later", bobPassword, fakekdc.Postdatable()),
		fakekdc.WithService("HTTP/front", fakekdc.TrustedToAuth(), fakekdc.AllowedToDelegateTo("HTTP/back")),
		fakekdc.WithService("HTTP/plain", fakekdc.AllowedToDelegateTo("HTTP/back")),
		fakekdc.WithService("HTTP/back"), fakekdc.WithService("HTTP/open", fakekdc.AllowedToDelegateFrom("HTTP/plain")),
	}, opts...)...)
	f := &fake{Realm: r, etype: e, dir: t.TempDir()}
	f.env = environment{
		"KRB5_CONFIG": f.config(t, "krb5.conf"), "KRB5CCNAME": "FILE:" + f.path("ccache"),
		"HOME": f.dir, "KRB5_TRACE": f.path("trace"),
	}
	f.keytab(t, "keytab")
	f.keytab(t, "all.keytab", "krbtgt/"+f.Name(), "HTTP/front", "HTTP/plain", "HTTP/back", "HTTP/open")
	showOnFailure(t, f.path("trace"))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("exchanges:\n%v", r.Exchanges())
		}
	})
	return f
}

func (f *fake) keytab(t *testing.T, file string, principals ...string) string {
	t.Helper()
	if err := os.WriteFile(f.path(file), f.Keytab(principals...), 0o600); err != nil {
		t.Fatal(err)
	}
	return f.path(file)
}

// as logs a service in.
func (f *fake) as(t *testing.T, service string) {
	t.Helper()
	must(t, f.env, "", tool(t, "kinit"), "-f", "-k", "-t", f.path("keytab"), service)
}

func (f *fake) forUser(t *testing.T, args ...string) result {
	t.Helper()
	return run(t, f.env, "", tool(t, "kvno"), append([]string{"-k", f.path("keytab")}, args...)...)
}

// last is the last exchange, without the realm's name.
func (f *fake) last() string {
	l := f.Exchanges()
	return strings.ReplaceAll(l[len(l)-1].String(), "@"+f.Name(), "")
}

func (f *fake) wantLast(t *testing.T, want string) {
	t.Helper()
	got := strings.NewReplacer("/udp", "", "/tcp", "").Replace(f.last())
	if got != strings.ReplaceAll(want, "ETYPE", f.etype.name) {
		t.Errorf("%q, want %q", got, want)
	}
}

// flags are those that klist shows of a ticket for the server, of a client if
// it is not the cache's own.
func (f *fake) flags(t *testing.T, server, client string) string {
	t.Helper()
	lines := strings.Split(f.klist(t), "\n")
	found := ""
	for i, l := range lines {
		if !strings.HasSuffix(l, "  "+server+"@"+f.Name()) || i+1 == len(lines) {
			continue
		}
		_, flags, _ := strings.Cut(lines[i+1], "Flags: ")
		if whose := "for client " + client + "@" + f.Name(); client == "" || strings.Contains(lines[i+1], whose) {
			found = strings.TrimSpace(flags)
		}
	}
	return found
}

func (f *fake) testS4U2Self(t *testing.T) {
	f.as(t, "HTTP/front")
	for _, args := range [][]string{{"-U", "alice"}, {"-I", "alice"}, {"-U", "alice@" + f.Name()}} {
		must(t, f.env, "", tool(t, "kdestroy"))
		f.as(t, "HTTP/front")
		if r := f.forUser(t, append(args, "HTTP/front")...); r.code != 0 || !strings.Contains(r.stdout, "keytab entry valid") {
			t.Fatal(r)
		}
		f.wantLast(t, "TGS HTTP/front for HTTP/front, S4U2Self for alice: ETYPE")
		if got := f.flags(t, "HTTP/front", "alice"); !strings.Contains(got, "F") {
			t.Errorf("flags %q", got)
		}
	}
	if r := f.forUser(t, "-U", "nobody", "HTTP/front"); r.code == 0 || !strings.Contains(r.stderr, "not found in Kerberos database") {
		t.Error(r)
	}
	// Not for a user who must not be delegated, and not for a service that is
	// not trusted.
	if r := f.forUser(t, "-I", "bob", "HTTP/front"); r.code != 0 || strings.Contains(f.flags(t, "HTTP/front", "bob"), "F") {
		t.Errorf("%v\n%s", r, f.klist(t))
	}
	f.as(t, "HTTP/plain")
	if r := f.forUser(t, "-I", "alice", "HTTP/plain"); r.code != 0 || strings.Contains(f.flags(t, "HTTP/plain", "alice"), "F") {
		t.Errorf("%v\n%s", r, f.klist(t))
	}
}

func (f *fake) testS4U2Proxy(t *testing.T) {
	for name, tc := range map[string]struct{ service, user, target, last string }{
		"allowed":          {"HTTP/front", "alice", "HTTP/back", ""},
		"not allowed":      {"HTTP/front", "alice", "HTTP/plain", "KDC_ERR_BADOPTION"},
		"not trusted":      {"HTTP/plain", "alice", "HTTP/back", "KDC_ERR_BADOPTION"},
		"resource-based":   {"HTTP/plain", "alice", "HTTP/open", ""},
		"user not allowed": {"HTTP/plain", "bob", "HTTP/open", "KDC_ERR_BADOPTION"},
	} {
		must(t, f.env, "", tool(t, "kdestroy"), "-A")
		f.as(t, tc.service)
		r := f.forUser(t, "-I", tc.user, "-P", tc.target)
		end := tc.last
		if end == "" {
			end = "ETYPE"
		}
		f.wantLast(t, "TGS "+tc.service+" for "+tc.target+", S4U2Proxy for "+tc.user+": "+end)
		if (r.code == 0) != (tc.last == "") {
			t.Errorf("%s: %v", name, r)
		}
		if r.code == 0 && !strings.Contains(f.flags(t, tc.target, tc.user), "F") {
			t.Errorf("%s:\n%s", name, f.klist(t))
		}
	}
}

// testS4UHeimdal: its client knows only the old form of S4U2Self.
func (f *fake) testS4UHeimdal(t *testing.T) {
	kgetcred := heimdal(t, "usr/bin/kgetcred")
	f.as(t, "HTTP/front")
	must(t, f.env, "", kgetcred, "--forwardable", "--impersonate=alice", "--out-cache=FILE:"+f.path("evidence"), "HTTP/front")
	f.wantLast(t, "TGS HTTP/front for HTTP/front, S4U2Self for alice: ETYPE")
	must(t, f.env, "", kgetcred, "--delegation-credential-cache=FILE:"+f.path("evidence"), "HTTP/back")
	f.wantLast(t, "TGS HTTP/front for HTTP/back, S4U2Proxy for alice: ETYPE")
	f.verifyPAC(t, "HTTP/back", "alice", "1 10 11 6 7 16 19")
}

func (f *fake) testUserToUser(t *testing.T) {
	bobs := "FILE:" + f.path("bob")
	must(t, f.env, bobPassword+"\n", tool(t, "kinit"), "-c", bobs, "bob")
	f.kinit(t)
	if r := must(t, f.env, "", tool(t, "kvno"), "--u2u", bobs, "bob"); r.stdout != "bob@"+f.Name()+": kvno = 0\n" {
		t.Error(r)
	}
	f.wantLast(t, "TGS alice for bob, user to user: ETYPE")
	must(t, f.env, "", tool(t, "kdestroy"))
	f.kinit(t)
	if r := run(t, f.env, "", tool(t, "kvno"), "bob"); r.code == 0 || !strings.Contains(r.stderr, "user2user only") {
		t.Error(r)
	}
	if r := run(t, f.env, "", tool(t, "kvno"), "--u2u", bobs, "alice"); r.code == 0 || !strings.Contains(r.stderr, "server and ticket don't match") {
		t.Error(r)
	}
}

// verifyPAC lets MIT's library verify all signatures of a ticket that it knows.
func (f *fake) verifyPAC(t *testing.T, server, client, kinds string) {
	t.Helper()
	program := f.path("pacverify")
	if _, err := os.Stat(program); err != nil {
		if out, err := exec.Command("cc", "-Wall", "-o", program, "testdata/pacverify.c", "-lkrb5").CombinedOutput(); err != nil {
			t.Fatalf("want a C compiler and the headers of libkrb5 (.ci/packages has them): %v\n%s", err, out)
		}
	}
	r := must(t, f.env, "", program, "FILE:"+f.path("all.keytab"), server+"@"+f.Name(), client+"@"+f.Name())
	if want := kinds + " " + client + "\n"; r.stdout != want {
		t.Errorf("%s, want %s", r, want)
	}
}

func (f *fake) testPAC(t *testing.T) {
	f.kinit(t, "-f")
	f.kvnoFor(t, "HTTP/back")
	f.verifyPAC(t, "HTTP/back", "alice", "1 10 6 7 16 19")
	f.verifyPAC(t, "krbtgt/"+f.Name(), "alice", "1 10 6 7")
	must(t, f.env, "", tool(t, "kinit"), "-R")
	f.kvnoFor(t, "HTTP/front")
	f.verifyPAC(t, "HTTP/front", "alice", "1 10 6 7 16 19")
	f.as(t, "HTTP/front")
	if r := f.forUser(t, "-I", "alice", "-P", "HTTP/back"); r.code != 0 {
		t.Fatal(r)
	}
	f.verifyPAC(t, "HTTP/front", "alice", "1 10 6 7 16 19")
	f.verifyPAC(t, "HTTP/back", "alice", "1 10 11 6 7 16 19")
	// A client that wants none gets none.
	f.kinit(t, "--no-request-pac")
	f.kvnoFor(t, "HTTP/back")
	if r := run(t, f.env, "", f.path("pacverify"), "FILE:"+f.path("all.keytab"), "HTTP/back@"+f.Name(), "alice@"+f.Name()); r.code == 0 || !strings.Contains(r.stderr, "no PAC") {
		t.Error(r)
	}
}

func (f *fake) kvnoFor(t *testing.T, service string) {
	t.Helper()
	if r := f.forUser(t, service); r.code != 0 {
		t.Fatal(r)
	}
}

// testPACBySamba: what is in the PAC, by the description that Samba has of it.
func (f *fake) testPACBySamba(t *testing.T) {
	python := debianPython(t)
	f.as(t, "HTTP/front")
	if r := f.forUser(t, "-I", "alice", "-P", "HTTP/back"); r.code != 0 {
		t.Fatal(r)
	}
	program := write(t, f.path("pac.py"), `
import sys
from samba.dcerpc import krb5pac
from samba.ndr import ndr_unpack
data = sys.stdin.buffer.read()
for b in ndr_unpack(krb5pac.PAC_DATA, data).buffers:
    if b.type == krb5pac.PAC_TYPE_LOGON_INFO:
        i = b.info.info.info3.base
        print(i.account_name, i.logon_domain.string, i.primary_gid, [g.rid for g in i.groups.rids], str(i.domain_sid)[:9])
    elif b.type == krb5pac.PAC_TYPE_LOGON_NAME:
        print(b.info.account_name)
    elif b.type == krb5pac.PAC_TYPE_CONSTRAINED_DELEGATION:
        i = b.info.info
        print(i.proxy_target, [s.string for s in i.transited_services])
`)
	domain, _, _ := strings.Cut(f.Name(), ".")
	want := fmt.Sprintf("alice %s 513 [513, 1234] S-1-5-21-\nalice\nHTTP/back ['HTTP/front@%s']\n", domain, f.Name())
	r := must(t, environment{"HOME": f.dir, "PYTHONDONTWRITEBYTECODE": "1"}, f.pacOf(t, "HTTP/back"), python, program)
	if r.stdout != want {
		t.Errorf("%v, want %q", r, want)
	}
}

// pacOf is the PAC of a ticket in the cache, as bytes.
func (f *fake) pacOf(t *testing.T, server string) string {
	t.Helper()
	program := f.path("pacdump")
	if out, err := exec.Command("cc", "-Wall", "-DDUMP", "-o", program, "testdata/pacverify.c", "-lkrb5").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return must(t, f.env, "", program, "FILE:"+f.path("all.keytab"), server+"@"+f.Name(), "alice@"+f.Name()).stdout
}

func (f *fake) testEncPARep(t *testing.T) {
	r := fakekdc.Start(t, fakekdc.WithEtypes(f.etype.number), fakekdc.WithEncPARep(), fakekdc.WithUser("alice", alicePassword), fakekdc.WithService("HTTP/localhost"))
	g := &fake{Realm: r, etype: f.etype, dir: t.TempDir()}
	g.env = environment{"KRB5_CONFIG": g.config(t, "krb5.conf"), "KRB5CCNAME": "FILE:" + g.path("ccache"), "HOME": g.dir, "KRB5_TRACE": g.path("trace")}
	g.kinit(t)
	g.kvno(t)
	if trace := readAll(t, g.path("trace")); !strings.Contains(trace, "FAST negotiation: available") {
		t.Errorf("MIT's trace:\n%s", trace)
	}
	must(t, g.env, "", heimdal(t, "usr/bin/kinit.heimdal"), "--password-file="+passwordFile(t, alicePassword), "alice")
	must(t, g.env, "", heimdal(t, "usr/bin/kgetcred"), "HTTP/localhost")
}

func (f *fake) testKpasswd(t *testing.T) {
	change := func(user, old, password string) result {
		return run(t, f.env, old+"\n"+password+"\n"+password+"\n", tool(t, "kpasswd"), user)
	}
	if r := change("alice", alicePassword, "short"); r.code == 0 || !strings.Contains(r.stdout, "Passwords here have eight letters.") {
		t.Error(r)
	}
	if r := change("alice", alicePassword, "naïve but long"); r.code != 0 || !strings.Contains(r.stdout, "Password changed.") {
		t.Error(r)
	}
	f.wantLast(t, "kpasswd alice for alice: changed")
	must(t, f.env, "naïve but long\n", tool(t, "kinit"), "alice")
	if r := run(t, f.env, alicePassword+"\n", tool(t, "kinit"), "alice"); r.code == 0 {
		t.Error(r)
	}
	if n := f.Count(fakekdc.Kpasswd, 0); n != 1 {
		t.Errorf("%d passwords changed", n)
	}
	f.FailNext(fakekdc.Kpasswd, fakekdc.ReplyError(fakekdc.CodeUnavailable, nil))
	if r := change("alice", "naïve but long", "long enough"); r.code == 0 {
		t.Error(r)
	}
}

func (f *fake) testKpasswdHeimdal(t *testing.T) {
	kpasswd := heimdal(t, "usr/bin/kpasswd.heimdal")
	r := must(t, f.env, bobPassword+"\nlong enough\nlong enough\n", kpasswd, "bob")
	if !strings.Contains(r.stdout, "password changed") {
		t.Error(r)
	}
	f.wantLast(t, "kpasswd bob for bob: changed")
	r = run(t, f.env, "long enough\nshort\nshort\n", kpasswd, "bob")
	if !strings.Contains(r.stdout+r.stderr, "Passwords here have eight letters.") {
		t.Error(r)
	}
	must(t, f.env, "long enough\n", tool(t, "kinit"), "bob")
}

// testExpiredPassword: kinit offers to change it, and goes on.
func (f *fake) testExpiredPassword(t *testing.T) {
	r := must(t, f.env, bobPassword+"\nlong enough\nlong enough\n", tool(t, "kinit"), "old")
	if !strings.Contains(r.stdout, "Password expired") {
		t.Error(r)
	}
	f.wantListed(t, "Default principal: old@"+f.Name(), f.tgt())
	must(t, f.env, "long enough\n", tool(t, "kinit"), "old")
}

func (f *fake) testPostdated(t *testing.T) {
	if r := run(t, f.env, alicePassword+"\n", tool(t, "kinit"), "-s", "1h", "alice"); r.code == 0 || !strings.Contains(r.stderr, "ineligible for postdating") {
		t.Error(r)
	}
	must(t, f.env, bobPassword+"\n", tool(t, "kinit"), "-s", "1h", "later")
	f.wantListed(t, "Flags: Ddi")
	if r := run(t, f.env, "", tool(t, "kinit"), "-v"); r.code == 0 || !strings.Contains(r.stderr, "not yet valid") {
		t.Error(r)
	}
	f.wantLast(t, "TGS later for krbtgt/"+f.Name()+", to validate: KRB_AP_ERR_TKT_NYV")
}

// testAddresses: -a lists those of all interfaces but the loopback.
func (f *fake) testAddresses(t *testing.T) {
	f.kinit(t, "-a")
	list := must(t, f.env, "", tool(t, "klist"), "-a").stdout
	r := run(t, f.env, "", tool(t, "kvno"), "HTTP/back")
	if strings.Contains(list, "Addresses: (none)") {
		if r.code != 0 {
			t.Error(r)
		}
		return
	}
	if r.code == 0 || !strings.Contains(r.stderr, "Incorrect net address") {
		t.Errorf("%v\n%s", r, list)
	}
}

func (f *fake) testProxiable(t *testing.T) {
	f.kinit(t, "-p", "-F")
	if got := f.flags(t, "krbtgt/"+f.Name(), ""); !strings.Contains(got, "P") || strings.Contains(got, "F") {
		t.Errorf("flags %q", got)
	}
	must(t, f.env, "", heimdal(t, "usr/bin/kgetcred"), "--forwardable", "HTTP/back")
	if got := f.flags(t, "HTTP/back", ""); strings.Contains(got, "F") {
		t.Errorf("flags %q", got)
	}
}

// TestFakeKDCAsMIT gives the same commands to MIT's KDC and to fakekdc, and wants
// the same to come of them.
func TestFakeKDCAsMIT(t *testing.T) {
	e := etypes[1]
	mit := startRealm(t, e)
	admin := mit.env.with("KRB5_KDC_PROFILE", mit.path("kdc.conf"))
	kadmin := func(args ...string) {
		t.Helper()
		if r := must(t, admin, "", tool(t, "kadmin.local"), append([]string{"-r", mit.name}, args...)...); strings.Contains(r.stderr, "while") {
			t.Fatal(r)
		}
	}
	add := func(name, password string, attributes ...string) {
		t.Helper()
		args := append([]string{"addprinc", "-clearpolicy", "+requires_preauth"}, attributes...)
		if password == "" {
			args = append(args, "-randkey")
		} else {
			args = append(args, "-pw", password)
		}
		kadmin(append(args, name)...)
	}
	add("later", bobPassword, "+allow_postdated")
	add("fixed", bobPassword, "-allow_forwardable", "-allow_proxiable", "-allow_postdated", "-allow_renewable")
	add("shy", bobPassword, "-allow_svr")
	add("locked", bobPassword, "-allow_tix")
	add("brief", bobPassword, "-maxlife", "1h", "-maxrenewlife", "2h")
	add("HTTP/front", "", "+ok_to_auth_as_delegate")
	add("HTTP/plain", "")
	add("HTTP/agent", "", "+ok_as_delegate")
	add("HTTP/brief", "", "-maxlife", "1h")
	kadmin("modprinc", "-allow_postdated", "alice")
	keytab := mit.path("services.keytab")
	kadmin("ktadd", "-norandkey", "-k", keytab, "HTTP/front", "HTTP/plain")

	r := fakekdc.Start(t, fakekdc.WithRealm(mit.name), fakekdc.WithEtypes(e.number),
		fakekdc.WithUser("alice", alicePassword),
		fakekdc.WithUser("later", bobPassword, fakekdc.Postdatable()),
		fakekdc.WithUser("fixed", bobPassword, fakekdc.NotForwardable(), fakekdc.NotProxiable(), fakekdc.Lifetime(0, -1)),
		fakekdc.WithUser("shy", bobPassword, fakekdc.UserToUserOnly()),
		fakekdc.WithUser("locked", bobPassword, fakekdc.Refuse(fakekdc.CodeClientRevoked)),
		fakekdc.WithUser("brief", bobPassword, fakekdc.Lifetime(time.Hour, 2*time.Hour)),
		fakekdc.WithService("HTTP/front", fakekdc.TrustedToAuth(), fakekdc.Postdatable()), fakekdc.WithService("HTTP/plain", fakekdc.Postdatable()),
		fakekdc.WithService("HTTP/agent", fakekdc.OKAsDelegate(), fakekdc.Postdatable()), fakekdc.WithService("HTTP/brief", fakekdc.Lifetime(time.Hour, 0), fakekdc.Postdatable()))
	dir := t.TempDir()
	fakeKeytab := filepath.Join(dir, "keytab")
	if err := os.WriteFile(fakeKeytab, r.Keytab(), 0o600); err != nil {
		t.Fatal(err)
	}
	fakeConf := write(t, filepath.Join(dir, "krb5.conf"), r.Config())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("exchanges:\n%v", r.Exchanges())
		}
	})

	kinit := func(user string, args ...string) [][]string {
		password := bobPassword
		if user == "alice" {
			password = alicePassword
		}
		return [][]string{append([]string{password + "\n", "kinit"}, append(args, user)...)}
	}
	service := func(name string, args ...string) [][]string {
		return [][]string{append([]string{"", "kinit", "-k", "-t", "KEYTAB"}, append(args, name)...)}
	}
	then := func(before [][]string, args ...string) [][]string {
		return append(slices.Clone(before), append([]string{""}, args...))
	}
	for name, commands := range map[string][][]string{
		"plain":                      then(kinit("alice"), "kvno", "HTTP/plain"),
		"forwardable":                then(kinit("alice", "-f", "-p"), "kvno", "HTTP/plain"),
		"neither":                    then(kinit("alice", "-F", "-P"), "kvno", "HTTP/plain"),
		"fixed":                      then(kinit("fixed", "-r", "2d"), "kvno", "HTTP/plain"),
		"fixed, forwardable":         kinit("fixed", "-f"),
		"fixed, proxiable":           kinit("fixed", "-p"),
		"fixed, postdated":           kinit("fixed", "-s", "1h"),
		"short":                      then(kinit("alice", "-l", "10m"), "kvno", "HTTP/plain"),
		"too long":                   then(kinit("alice", "-l", "20h"), "kvno", "HTTP/plain"),
		"renewable":                  then(then(kinit("alice", "-l", "1h", "-r", "2h"), "kvno", "HTTP/plain"), "kinit", "-R"),
		"renewable, less than life":  kinit("alice", "-l", "5h", "-r", "1h"),
		"renewable, too long":        kinit("alice", "-r", "30d"),
		"not renewable":              then(kinit("alice", "-l", "1h"), "kinit", "-R"),
		"brief":                      then(kinit("brief", "-r", "2d"), "kvno", "HTTP/plain"),
		"brief service":              then(kinit("alice", "-r", "2d"), "kvno", "HTTP/brief"),
		"ok as delegate":             then(kinit("alice", "-f"), "kvno", "HTTP/agent"),
		"postdated":                  then(then(kinit("later", "-s", "1h"), "kvno", "HTTP/plain"), "kinit", "-v"),
		"postdated, not allowed":     kinit("alice", "-s", "1h"),
		"validate what is valid":     then(kinit("alice"), "kinit", "-v"),
		"wrong password":             {{"wrong\n", "kinit", "alice"}},
		"unknown":                    kinit("nobody"),
		"locked":                     kinit("locked"),
		"anonymous":                  {{"", "kinit", "-n"}},
		"unknown service":            then(kinit("alice"), "kvno", "HTTP/nowhere.example"),
		"initial service":            kinit("alice", "-S", "HTTP/plain"),
		"addresses":                  then(kinit("alice", "-a"), "kvno", "HTTP/plain"),
		"user to user only":          then(kinit("alice"), "kvno", "shy"),
		"user to user":               then(append(kinit("shy", "-c", "FILE:SHY"), kinit("alice")...), "kvno", "--u2u", "FILE:SHY", "shy"),
		"user to another user":       then(append(kinit("shy", "-c", "FILE:SHY"), kinit("alice")...), "kvno", "--u2u", "FILE:SHY", "alice"),
		"S4U2Self":                   then(service("HTTP/front", "-f"), "kvno", "-I", "alice", "HTTP/front"),
		"S4U2Self, enterprise":       then(service("HTTP/front", "-f"), "kvno", "-U", "alice", "HTTP/front"),
		"S4U2Self, not trusted":      then(service("HTTP/plain", "-f"), "kvno", "-I", "alice", "HTTP/plain"),
		"S4U2Self, not forwardable":  then(service("HTTP/front", "-F"), "kvno", "-I", "alice", "HTTP/front"),
		"S4U2Self, fixed user":       then(service("HTTP/front", "-f"), "kvno", "-I", "fixed", "HTTP/front"),
		"S4U2Self, unknown":          then(service("HTTP/front", "-f"), "kvno", "-I", "nobody", "HTTP/front"),
		"S4U2Self, locked":           then(service("HTTP/front", "-f"), "kvno", "-I", "locked", "HTTP/front"),
		"S4U2Self, another service":  then(service("HTTP/front", "-f"), "kvno", "-I", "alice", "HTTP/plain"),
		"S4U2Self, no pre-auth":      then(service("HTTP/front", "-f"), "kvno", "-I", "shy", "HTTP/front"),
		"S4U2Proxy, not allowed":     then(service("HTTP/front", "-f"), "kvno", "-k", "KEYTAB", "-I", "alice", "-P", "HTTP/plain"),
		"S4U2Proxy, not forwardable": then(service("HTTP/plain", "-f"), "kvno", "-k", "KEYTAB", "-I", "alice", "-P", "HTTP/front"),
	} {
		t.Run(name, func(t *testing.T) {
			play := func(conf, keytab string) (out string) {
				dir := t.TempDir()
				env := environment{"KRB5_CONFIG": conf, "KRB5CCNAME": "FILE:" + filepath.Join(dir, "ccache"), "HOME": dir}
				replace := strings.NewReplacer("KEYTAB", keytab, "SHY", filepath.Join(dir, "shy"))
				for _, c := range commands {
					args := slices.Clone(c[2:])
					for i := range args {
						args[i] = replace.Replace(args[i])
					}
					res := run(t, env, c[0], tool(t, c[1]), args...)
					out += fmt.Sprintf("%s: %d %s%s", c[1], res.code, res.stdout, res.stderr)
				}
				list := run(t, env, "", tool(t, "klist"), "-f", "-e", "-a")
				return strings.NewReplacer(dir, "DIR", keytab, "KEYTAB").Replace(out + times(t, list.stdout))
			}
			want, got := play(mit.conf, keytab), play(fakeConf, fakeKeytab)
			if got != want {
				t.Errorf("fakekdc:\n%s\nMIT:\n%s", got, want)
			}
		})
	}
}

var klistTime = regexp.MustCompile(`\d\d/\d\d/\d\d \d\d:\d\d:\d\d`)

// times makes the times that klist shows minutes from now.
func times(t *testing.T, list string) string {
	now := time.Now()
	return klistTime.ReplaceAllStringFunc(list, func(s string) string {
		at, err := time.ParseInLocation("01/02/06 15:04:05", s, time.Local)
		if err != nil {
			t.Error(err)
		}
		return fmt.Sprintf("%+.0f", at.Sub(now).Minutes())
	})
}
