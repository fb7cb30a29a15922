//go:build interop

package interop

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// An etype is an encryption type (RFC 3961), by number and name.
type etype struct {
	number int32
	name   string
}

var etypes = []etype{
	{17, "aes128-cts-hmac-sha1-96"},
	{18, "aes256-cts-hmac-sha1-96"},
	{19, "aes128-cts-hmac-sha256-128"},
	{20, "aes256-cts-hmac-sha384-192"},
	{23, "arcfour-hmac"},
}

// Passwords of the users. One has bytes that are not ASCII, and quotes.
const (
	alicePassword = `Grüße, "世界"`
	bobPassword   = "correct horse battery staple"
)

// A realm is one that MIT's KDC serves. All its keys are of one encryption type.
// alice must pre-authenticate, bob need not. HTTP/localhost is a service;
// HTTP/stranger.example is one as well, whose key no server has.
type realm struct {
	etype   etype
	name    string
	dir     string
	kdc     string      // address
	kpasswd string      // address of what changes passwords; "" where nobody is asked
	conf    string      // path of krb5.conf
	env     environment // for clients; KRB5CCNAME names no file yet
}

// realm is the name of the one whose keys are of that type.
func (e etype) realm() string { return fmt.Sprintf("ETYPE%d.TEST", e.number) }

// startRealm starts a KDC that ends with the test, with lines for its section in
// kdc.conf.
func startRealm(t *testing.T, e etype, lines ...string) *realm {
	t.Helper()
	r := &realm{etype: e, name: e.realm(), dir: tempDir(t), kdc: freePorts(t, 1)[0]}
	r.conf = r.config(t, "krb5.conf", r.kdc)
	r.env = environment{"KRB5_CONFIG": r.conf, "HOME": r.dir, "KRB5CCNAME": "FILE:" + r.path("none")}
	log := r.path("krb5kdc.log")
	showOnFailure(t, log)
	admin := r.env.with("KRB5_KDC_PROFILE", write(t, r.path("kdc.conf"), fmt.Sprintf(`[realms]
	%[1]s = {
		database_name = %[2]s/principal
		key_stash_file = %[2]s/stash
		acl_file = %[2]s/kadm5.acl
		kdc_listen = %[3]s
		kdc_tcp_listen = %[3]s
		master_key_type = %[4]s
		supported_enctypes = %[4]s:normal
		max_life = 10h
		max_renewable_life = 7d
		%[6]s
	}
[logging]
	kdc = FILE:%[5]s
`, r.name, r.dir, r.kdc, e.name, log, strings.Join(lines, "\n\t\t"))))
	must(t, admin, "", tool(t, "kdb5_util"), "-r", r.name, "create", "-s", "-P", "master of "+r.name)
	kadmin := func(args ...string) {
		t.Helper()
		// kadmin.local reports failure on standard error alone.
		if res := must(t, admin, "", tool(t, "kadmin.local"), append([]string{"-r", r.name}, args...)...); strings.Contains(res.stderr, "while") {
			t.Fatal(res)
		}
	}
	kadmin("addprinc", "-clearpolicy", "+requires_preauth", "-pw", alicePassword, "alice")
	kadmin("addprinc", "-clearpolicy", "-pw", bobPassword, "bob")
	kadmin("addprinc", "-clearpolicy", "-randkey", "HTTP/localhost")
	kadmin("addprinc", "-clearpolicy", "-randkey", "HTTP/stranger.example")
	kadmin("ktadd", "-k", r.path("service.keytab"), "HTTP/localhost")
	kadmin("ktadd", "-norandkey", "-k", r.path("alice.keytab"), "alice")
	serve(t, admin, nil, []string{r.kdc}, tool(t, "krb5kdc"), "-n", "-r", r.name)
	return r
}

func (r *realm) path(name string) string { return filepath.Join(r.dir, name) }

// config writes a krb5.conf for clients, with lines for [libdefaults].
func (r *realm) config(t *testing.T, file, kdc string, lines ...string) string {
	t.Helper()
	if r.etype.number == 23 {
		lines = append(lines, "allow_rc4 = true")
	}
	return write(t, r.path(file), fmt.Sprintf(`[libdefaults]
	default_realm = %[1]s
	dns_lookup_kdc = false
	dns_lookup_realm = false
	dns_canonicalize_hostname = false
	rdns = false
	permitted_enctypes = %[2]s
	%[4]s

[realms]
	%[1]s = {
		kdc = %[3]s
	}

[domain_realm]
	localhost = %[1]s
	.example = %[1]s
`, r.name, r.etype.name, kdc, strings.Join(lines, "\n\t")))
}

// kinit logs alice in, in a cache of its own, and returns the environment that
// names it.
func (r *realm) kinit(t *testing.T) environment {
	t.Helper()
	env := r.env.with("KRB5CCNAME", "FILE:"+filepath.Join(t.TempDir(), "ccache"))
	must(t, env, alicePassword+"\n", tool(t, "kinit"), "alice")
	return env
}
