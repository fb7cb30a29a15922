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
	if err := os.Mkdir(k.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	showOnFailure(t, k.path("krb5kdc.log"))
	env := environment{"HOME": k.dir, "KRB5_CONFIG": write(t, k.path("krb5.conf"), config)}
	env = env.with("KRB5_KDC_PROFILE", write(t, k.path("kdc.conf"), fmt.Sprintf(`[realms]
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
`, k.name, k.dir, k.addr)))
	must(t, env, "", tool(t, "kdb5_util"), "-r", k.name, "create", "-s", "-P", "master of "+k.name)
	r := must(t, env, strings.Join(queries, "\n")+"\n", tool(t, "kadmin.local"), "-r", k.name)
	// kadmin.local reports failure on standard error alone.
	if strings.Contains(r.stderr, "while") || strings.Contains(r.stderr, "kadmin.local:") {
		t.Fatal(r)
	}
	serve(t, env, nil, []string{k.addr}, tool(t, "krb5kdc"), "-n", "-r", k.name)
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
