//go:build interop

package interop

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/kerberos"
)

// fastKDC starts MIT's KDC, with what kdcpreauth of its krb5.conf is to say. alice must
// prove her key, carol need not, and host/armor has a keytab.
func fastKDC(t *testing.T, plugins string) (k *kdc, conf string, env environment) {
	t.Helper()
	k = &kdc{name: "FAST.TEST", addr: freePorts(t, 1)[0], dir: filepath.Join(tempDir(t), "kdc")}
	text := soloConfig(k.name, "kdc = "+k.addr) + "[plugins]\n\tkdcpreauth = {\n\t\t" + plugins + "\n\t}\n"
	k.start(t, text, "addprinc -clearpolicy +requires_preauth -pw secret alice", "addprinc -clearpolicy -pw secret carol",
		"addprinc -clearpolicy -randkey host/armor", "addprinc -clearpolicy -randkey HTTP/localhost", "ktadd -k "+k.path("host.keytab")+" host/armor")
	conf = write(t, k.path("client.conf"), text)
	env = environment{"KRB5_CONFIG": conf, "HOME": k.dir, "KRB5CCNAME": "FILE:" + k.path("cc"), "KRB5_TRACE": k.path("trace")}
	showOnFailure(t, k.path("trace"))
	must(t, env, "", tool(t, "kinit"), "-c", k.path("armor"), "-k", "-t", k.path("host.keytab"), "host/armor")
	return k, conf, env
}

// TestFASTOfMIT: MIT's KDC takes from us, as from kinit -T, logins that the ticket of a
// host armours, in a cache or got with its keytab, and requests for tickets after them.
func TestFASTOfMIT(t *testing.T) {
	t.Parallel()
	for name, plugins := range map[string]string{
		"encrypted challenge":           "disable = encrypted_timestamp",
		"encrypted challenge and stamp": "disable = none",
	} {
		t.Run(name, func(t *testing.T) {
			k, conf, env := fastKDC(t, plugins)
			o := kerberos.SourceOptions{Krb5Conf: []string{conf}, Getenv: func(string) string { return "" }}
			for armor, make := range map[string]func() (*kerberos.Source, error){
				"cache":  func() (*kerberos.Source, error) { return kerberos.FromCCache("FILE:"+k.path("armor"), o) },
				"keytab": func() (*kerberos.Source, error) { return kerberos.FromKeytab(k.path("host.keytab"), o) },
			} {
				for _, user := range []string{"alice", "carol"} {
					for _, optional := range []bool{false, true} {
						host, err := make()
						if err != nil {
							t.Fatal(err)
						}
						for password, works := range map[string]bool{"secret": true, "wrong": false} {
							kinit := run(t, env, password+"\n", tool(t, "kinit"), "-T", k.path("armor"), user)
							s, err := kerberos.FromPassword(kerberos.NewSecret(password), kerberos.SourceOptions{Principal: user, Krb5Conf: o.Krb5Conf, Getenv: o.Getenv,
								Armor: host, ArmorOptional: optional, Logins: new(kerberos.Logins)})
							if err != nil {
								t.Fatal(err)
							}
							_, err = s.ServiceTicket(t.Context(), "HTTP/localhost")
							if (err == nil) != works || (kinit.code == 0) != works {
								t.Errorf("armour of a %s, optional %v, %s with password %q: %v; kinit -T: %v", armor, optional, user, password, err, kinit)
							}
							if err != nil && user == "alice" && !strings.Contains(err.Error(), "KDC_ERR_PREAUTH_FAILED") {
								t.Error(err)
							}
						}
					}
				}
			}
		})
	}
}

// testArmor has a KDC of another make take logins that a keytab's ticket armours, from us as
// from MIT's kinit -T, and not with a wrong password; and requests for tickets after them.
func (l *lab) testArmor(t *testing.T, keytab, principal string) {
	dir := t.TempDir()
	armor := filepath.Join(dir, "armor")
	env := l.env.with("KRB5CCNAME", "FILE:"+filepath.Join(dir, "cc")).with("KRB5_TRACE", filepath.Join(dir, "trace"))
	showOnFailure(t, filepath.Join(dir, "trace"))
	must(t, env, "", tool(t, "kinit"), "-c", armor, "-k", "-t", keytab, principal)
	o := kerberos.SourceOptions{Krb5Conf: []string{l.conf}, Getenv: func(string) string { return "" }}
	host, err := kerberos.FromKeytab(keytab, kerberos.SourceOptions{Principal: principal, Krb5Conf: o.Krb5Conf, Getenv: o.Getenv, Logins: new(kerberos.Logins)})
	if err != nil {
		t.Fatal(err)
	}
	for password, works := range map[string]bool{alicePassword: true, "wrong": false} {
		kinit := run(t, env, password+"\n", tool(t, "kinit"), "-T", armor, "alice")
		if works {
			must(t, env, "", tool(t, "kvno"), "HTTP/localhost")
		}
		s, err := kerberos.FromPassword(kerberos.NewSecret(password), kerberos.SourceOptions{Principal: "alice", Krb5Conf: o.Krb5Conf, Getenv: o.Getenv,
			Armor: host, Logins: new(kerberos.Logins)})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.ServiceTicket(t.Context(), "HTTP/localhost")
		if (err == nil) != works || (kinit.code == 0) != works {
			t.Errorf("password %q: %v; kinit -T: %v", password, err, kinit)
		}
		// Heimdal's KDC calls it KRB_AP_ERR_BAD_INTEGRITY.
		if err != nil && !strings.Contains(err.Error(), "with the key of type") {
			t.Error(err)
		}
	}
	// kinit -T says in its trace what was used.
	if trace := readAll(t, filepath.Join(dir, "trace")); !strings.Contains(trace, "FAST armor key") {
		t.Error("kinit -T used no FAST, so this proves nothing")
	}
}
