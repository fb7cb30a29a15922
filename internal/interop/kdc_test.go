//go:build interop

package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A kdc is MIT's, of one realm.
type kdc struct {
	name string // of the realm
	dir  string // is made when it starts
	addr string
	read int // how far issued has read its log
}

func (k *kdc) path(name string) string { return filepath.Join(k.dir, name) }

// start makes a database with queries to kadmin and starts the KDC, which ends
// with the test. The text is its krb5.conf.
func (k *kdc) start(t *testing.T, config string, queries ...string) {
	t.Helper()
	k.create(t, config, queries...)
	k.serve(t)
}

// create makes the database.
func (k *kdc) create(t *testing.T, config string, queries ...string) {
	t.Helper()
	if err := os.Mkdir(k.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	showOnFailure(t, k.path("krb5kdc.log"))
	write(t, k.path("krb5.conf"), config)
	write(t, k.path("kdc.conf"), fmt.Sprintf(`[realms]
	%[1]s = {
		database_name = %[2]s/principal
		key_stash_file = %[2]s/stash
		acl_file = %[2]s/kadm5.acl
		kdc_listen = %[3]s
		kdc_tcp_listen = %[3]s
		max_life = 10h
		max_renewable_life = 7d
	}
[logging]
	kdc = FILE:%[2]s/krb5kdc.log
`, k.name, k.dir, k.addr))
	k.admin(t, "", "kdb5_util", "create", "-s", "-P", "master of "+k.name)
	k.admin(t, strings.Join(queries, "\n")+"\n", "kadmin.local")
}

// serve starts the KDC.
func (k *kdc) serve(t *testing.T) {
	t.Helper()
	serve(t, k.env(), nil, []string{k.addr}, tool(t, "krb5kdc"), "-n", "-r", k.name)
}

func (k *kdc) env() environment {
	return environment{"HOME": k.dir, "KRB5_CONFIG": k.path("krb5.conf"), "KRB5_KDC_PROFILE": k.path("kdc.conf")}
}

// admin runs a program that works on the database.
func (k *kdc) admin(t *testing.T, stdin, name string, args ...string) {
	t.Helper()
	r := must(t, k.env(), stdin, tool(t, name), append([]string{"-r", k.name}, args...)...)
	// kadmin.local reports failure on standard error alone.
	if strings.Contains(r.stderr, "while") || strings.Contains(r.stderr, "kadmin.local:") {
		t.Fatal(r)
	}
}

var issuedFor = regexp.MustCompile(`TGS_REQ .* ISSUE: .* for (\S+)$`)

// issued returns the services of the tickets that were given for other tickets
// since the last call.
func (k *kdc) issued(t *testing.T) (services []string) {
	t.Helper()
	log := readAll(t, k.path("krb5kdc.log"))
	for line := range strings.Lines(log[k.read:]) {
		if m := issuedFor.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			services = append(services, m[1])
		}
	}
	k.read = len(log)
	return services
}
