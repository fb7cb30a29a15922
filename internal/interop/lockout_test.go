//go:build interop

package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/kerberos"
)

// staleSources are sources for svc with a key or password that is no longer true.
func staleSources(t *testing.T, env environment, realm string) map[string]func() (*kerberos.Source, error) {
	t.Helper()
	file := keytabFile(t, realm, "svc", keyOf{"old", 1, 18, day}, keyOf{"old", 1, 17, day}, keyOf{"older", 0, 18, 2 * day})
	o := kerberos.SourceOptions{Principal: "svc", Krb5Conf: []string{env["KRB5_CONFIG"]}, Getenv: func(string) string { return "" }}
	return map[string]func() (*kerberos.Source, error){
		"keytab":   func() (*kerberos.Source, error) { return kerberos.FromKeytab(file, o) },
		"password": func() (*kerberos.Source, error) { return kerberos.FromPassword(kerberos.NewSecret("old"), o) },
		"client keytab": func() (*kerberos.Source, error) {
			o := o
			o.Getenv = func(name string) string {
				return map[string]string{"KRB5_CLIENT_KTNAME": file, "KRB5CCNAME": "FILE:" + file + ".none"}[name]
			}
			return kerberos.FromEnvironment(o)
		},
	}
}

// insist asks two sources for tickets, six times each, all at once.
func insist(t *testing.T, source func() (*kerberos.Source, error)) {
	t.Helper()
	var wg sync.WaitGroup
	for range 2 {
		s, err := source()
		if err != nil {
			t.Fatal(err)
		}
		for range 6 {
			wg.Go(func() {
				if _, err := s.ServiceTicket(t.Context(), "HTTP/localhost"); err == nil || !strings.Contains(err.Error(), "PREAUTH_FAILED") {
					t.Errorf("%v", err)
				}
			})
		}
	}
	wg.Wait()
}

// TestLockOut shows a real KDC, which locks accounts after three wrong keys, what is
// stale. It locks the account of kinit's user; ours goes on to work.
func TestLockOut(t *testing.T) {
	t.Parallel()
	policy := []string{"addpol -maxfailure 3 -failurecountinterval 1h -lockoutduration 1h strict", "modprinc -policy strict svc"}
	kinit := func(t *testing.T, env environment, args ...string) result {
		return run(t, env.with("KRB5CCNAME", "FILE:"+filepath.Join(t.TempDir(), "cc")), "new\n", tool(t, "kinit"), append(args, "svc")...)
	}
	t.Run("kinit", func(t *testing.T) {
		k, env := soloRealm(t, policy...)
		file := keytabFile(t, k.name, "svc", keyOf{"old", 1, 18, day})
		for range 6 {
			kinit(t, env, "-k", "-t", file)
		}
		if r := kinit(t, env); r.code == 0 || !strings.Contains(r.stderr, "revoked") {
			t.Fatalf("the policy locks nobody, so this proves nothing: %v", r)
		}
	})
	for _, name := range []string{"keytab", "password", "client keytab"} {
		t.Run(name, func(t *testing.T) {
			k, env := soloRealm(t, policy...)
			insist(t, staleSources(t, env, k.name)[name])
			if n := strings.Count(readAll(t, k.path("krb5kdc.log")), "PREAUTH_FAILED"); n != 1 {
				t.Errorf("the KDC counted %d wrong keys, want 1", n)
			}
			if r := kinit(t, env); r.code != 0 {
				t.Errorf("the account is locked: %v", r)
			}
		})
	}
}

// adPassword is as long as a domain wants it.
const adPassword = "new and long"

// testLockOut does so with an Active Directory domain whose threshold is three.
func (l *lab) testLockOut(t *testing.T) {
	samba := func(args ...string) { l.samba(t, args...) }
	samba("domain", "passwordsettings", "set", "--account-lockout-threshold=3", "--account-lockout-duration=30", "--reset-account-lockout-after=30")
	for _, user := range []string{"svc", "control"} {
		samba("user", "create", user, adPassword)
	}
	kinit := func(user, password string) result {
		return run(t, l.env.with("KRB5CCNAME", "FILE:"+filepath.Join(t.TempDir(), "cc")), password+"\n", tool(t, "kinit"), user)
	}
	for range 4 {
		kinit("control", "old")
	}
	if r := kinit("control", adPassword); r.code == 0 {
		t.Fatalf("the domain locks nobody, so this proves nothing: %v", r)
	}
	for name, source := range staleSources(t, l.env, l.name) {
		insist(t, source)
		// A login that succeeds sets the domain's count back.
		if r := kinit("svc", adPassword); r.code != 0 {
			t.Errorf("%s: the account is locked: %v", name, r)
		}
	}
}

// samba runs samba-tool on the domain.
func (l *lab) samba(t *testing.T, args ...string) {
	t.Helper()
	conf := filepath.Join(l.path("ad"), "smb.conf")
	must(t, environment{"HOME": l.dir}, "", debianPython(t), append([]string{tool(t, "samba-tool")}, append(args, "--configfile="+conf)...)...)
}

// testNTStatus has accounts that may not log on, of which the domain says why.
func (l *lab) testNTStatus(t *testing.T) {
	l.samba(t, "user", "create", "off", adPassword)
	l.samba(t, "user", "disable", "off")
	l.samba(t, "user", "create", "fresh", adPassword, "--must-change-at-next-login")
	l.samba(t, "user", "create", "gone", adPassword)
	l.samba(t, "user", "setexpiry", "gone", "--days=-1")
	for user, want := range map[string][]string{
		"off":   {"KDC_ERR_CLIENT_REVOKED, STATUS_ACCOUNT_DISABLED", "the account is disabled"},
		"fresh": {"KDC_ERR_KEY_EXPIRED, STATUS_PASSWORD_MUST_CHANGE", "kpasswd"},
		"gone":  {"STATUS_ACCOUNT_EXPIRED", "the account has expired"},
	} {
		t.Run(user, func(t *testing.T) {
			r := l.get(t, l.env, "--principal", user, "--password-file", passwordFile(t, adPassword), l.url(t, "http", "/auth/hello"))
			wantGet(t, r, exitCredentials, want...)
		})
	}
}

// TestNTStatusNames compares our names of NTSTATUS codes with those of Samba.
func TestNTStatusNames(t *testing.T) {
	t.Parallel()
	script := "from samba import ntstatus\n" +
		"for n in dir(ntstatus):\n" +
		"    if n.startswith('NT_STATUS_'): print(n[3:], getattr(ntstatus, n))\n"
	theirs := map[string]uint64{}
	for line := range strings.Lines(must(t, nil, "", debianPython(t), "-c", script).stdout) {
		var name string
		var code uint64
		if _, err := fmt.Sscan(line, &name, &code); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		theirs[name] = code
	}
	known := 0
	for code := range uint64(0x1000) {
		code |= 0xC0000000
		name := krb.NTStatus(code).String()
		if !strings.HasPrefix(name, "STATUS_") {
			continue
		}
		known++
		if theirs[name] != code {
			t.Errorf("%s is %#x, and %#x for Samba", name, code, theirs[name])
		}
	}
	if known == 0 {
		t.Error("no code has a name")
	}
}

// TestReplicaIsBehind has a replica and its primary, of MIT's. After a change of the
// password the replica refuses the new one, for a while, and kinit asks the primary;
// so do we.
func TestReplicaIsBehind(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	addrs := freePorts(t, 2)
	primary := &kdc{name: "REPLICA.TEST", addr: addrs[0], dir: filepath.Join(dir, "primary")}
	replica := &kdc{name: primary.name, addr: addrs[1], dir: filepath.Join(dir, "replica")}
	// MIT tells KDCs apart by their hosts alone.
	conf := soloConfig(primary.name, "kdc = "+replica.addr, "primary_kdc = localhost:"+port(primary.addr))
	primary.start(t, conf, "addprinc -clearpolicy +requires_preauth -pw old svc", "addprinc -clearpolicy -randkey HTTP/localhost")
	// Propagated once, and not since.
	replica.create(t, conf)
	dump := filepath.Join(dir, "dump")
	primary.admin(t, "", "kdb5_util", "dump", dump)
	stash, err := os.ReadFile(primary.path("stash"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(replica.path("stash"), stash, 0o600); err != nil {
		t.Fatal(err)
	}
	replica.admin(t, "", "kdb5_util", "load", dump)
	replica.serve(t)
	primary.admin(t, "", "kadmin.local", "cpw", "-pw", "new", "svc")
	env := environment{"HOME": dir, "KRB5CCNAME": "FILE:" + filepath.Join(dir, "cc"), "KRB5_CONFIG": write(t, filepath.Join(dir, "krb5.conf"), conf)}
	failed := func(k *kdc) int { return strings.Count(readAll(t, k.path("krb5kdc.log")), "PREAUTH_FAILED") }

	must(t, env, "new\n", tool(t, "kinit"), "svc")
	if a, b := failed(replica), failed(primary); a != 1 || b != 0 {
		t.Fatalf("with kinit the replica refused %d keys and the primary %d, want 1 and 0: the lab does not work", a, b)
	}
	s, err := kerberos.FromPassword(kerberos.NewSecret("new"), kerberos.SourceOptions{Principal: "svc", Krb5Conf: []string{env["KRB5_CONFIG"]},
		Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if ticket, err := s.ServiceTicket(t.Context(), "HTTP/localhost"); err != nil || ticket.Client() != "svc@"+primary.name {
			t.Errorf("%v %v", ticket, err)
		}
	}
	if a, b := failed(replica)-1, failed(primary); a != 1 || b != 0 {
		t.Errorf("the replica refused %d keys and the primary %d, want 1 and 0", a, b)
	}

	// A wrong password counts at both as often as with kinit.
	before := [2]int{failed(replica), failed(primary)}
	if r := run(t, env, "wrong\n", tool(t, "kinit"), "svc"); r.code == 0 {
		t.Fatal(r)
	}
	kinit := [2]int{failed(replica) - before[0], failed(primary) - before[1]}
	before = [2]int{failed(replica), failed(primary)}
	for i := range 2 {
		s, err := kerberos.FromPassword(kerberos.NewSecret("wrong"), kerberos.SourceOptions{Principal: "svc", Krb5Conf: []string{env["KRB5_CONFIG"]},
			Getenv: func(string) string { return "" }})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.ServiceTicket(t.Context(), "HTTP/localhost"); err == nil {
			t.Fatalf("round %d: a wrong password was taken", i)
		}
	}
	ours := [2]int{failed(replica) - before[0], failed(primary) - before[1]}
	if fmt.Sprint(ours) != fmt.Sprint(kinit) {
		t.Errorf("refused at replica and primary: %v with two of our sources, %v with kinit", ours, kinit)
	}
}
