//go:build interop

package interop

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Realms that trust one another: each has clients of the one named, as well as
// its own. alice is of the first. The names of the first three lead from one to
// the next; how to get to the last two, [capaths] alone can tell.
const (
	euRealm       = "EU.CORP.TEST"
	corpRealm     = "CORP.TEST"        // trusts EU.CORP.TEST
	usRealm       = "US.CORP.TEST"     // trusts CORP.TEST
	partnerRealm  = "PARTNER.TEST"     // trusts US.CORP.TEST
	supplierRealm = "SUPPLIER.EXAMPLE" // trusts US.CORP.TEST
)

// trustOrder has each realm after the one that it trusts.
var trustOrder = []string{euRealm, corpRealm, usRealm, partnerRealm, supplierRealm}

// trusts says whom a realm trusts.
var trusts = map[string]string{corpRealm: euRealm, usRealm: corpRealm, partnerRealm: usRealm, supplierRealm: usRealm}

// trustHost is the host of a realm's web service. All are one Apache.
func trustHost(realm string) string { return "web." + strings.ToLower(realm) }

const trustDomains = `
[domain_realm]
	.corp.test = CORP.TEST
	.us.corp.test = US.CORP.TEST
	.partner.test = PARTNER.TEST
	.supplier.example = SUPPLIER.EXAMPLE
`

// trustPaths is [capaths] for those realms beyond US.CORP.TEST that are given.
func trustPaths(to ...string) string {
	var b strings.Builder
	b.WriteString("[capaths]\n")
	for _, from := range []string{euRealm, corpRealm} {
		fmt.Fprintf(&b, "\t%s = {\n", from)
		for _, to := range to {
			if from == euRealm {
				fmt.Fprintf(&b, "\t\t%s = %s\n", to, corpRealm)
			}
			fmt.Fprintf(&b, "\t\t%s = %s\n", to, usRealm)
		}
		b.WriteString("\t}\n")
	}
	return b.String()
}

// A trust is realms with a KDC each, and a lab whose realm is that of alice.
type trust struct {
	*lab
	kdcs map[string]*kdc // by realm
}

func startTrust(t *testing.T) *trust {
	t.Helper()
	r := &realm{name: euRealm, dir: tempDir(t)}
	tr := &trust{kdcs: make(map[string]*kdc)}
	for i, addr := range freePorts(t, len(trustOrder)) {
		name := trustOrder[i]
		tr.kdcs[name] = &kdc{name: name, addr: addr, dir: r.path(name)}
	}
	queries := map[string][]string{euRealm: {
		fmt.Sprintf("addprinc -clearpolicy +requires_preauth -pw %q alice", bobPassword),
		"ktadd -norandkey -k " + r.path("alice.keytab") + " alice",
	}}
	for name, trusted := range trusts {
		spn := "HTTP/" + trustHost(name)
		queries[name] = append(queries[name], "addprinc -clearpolicy -randkey "+spn, "ktadd -k "+r.path("service.keytab")+" "+spn)
		for _, kdc := range []string{name, trusted} {
			queries[kdc] = append(queries[kdc], fmt.Sprintf("addprinc -clearpolicy +requires_preauth -pw %q krbtgt/%s@%s",
				"from "+trusted+" to "+name, name, trusted))
		}
	}
	for _, name := range trustOrder {
		// The supplier's KDC must know who may be on the way to it. The others
		// send nobody there: clients have to know.
		paths := trustPaths(partnerRealm)
		if name == supplierRealm {
			paths = trustPaths(supplierRealm)
		}
		tr.kdcs[name].start(t, tr.text(name)+trustDomains+paths, queries[name]...)
	}
	r.conf = write(t, r.path("krb5.conf"), tr.text(euRealm))
	r.env = environment{"KRB5_CONFIG": r.conf, "HOME": r.dir, "KRB5CCNAME": "FILE:" + r.path("none")}
	tr.lab = &lab{r, startWeb(t, r)}
	return tr
}

// text is a krb5.conf that says where the KDCs are, and no more.
func (tr *trust) text(defaultRealm string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `[libdefaults]
	default_realm = %s
	dns_lookup_kdc = false
	dns_lookup_realm = false
	dns_canonicalize_hostname = false
	rdns = false
[realms]
`, defaultRealm)
	for _, name := range slices.Sorted(maps.Keys(tr.kdcs)) {
		fmt.Fprintf(&b, "\t%s = {\n\t\tkdc = %s\n\t}\n", name, tr.kdcs[name].addr)
	}
	return b.String()
}

// way returns the tickets that the KDCs have given for other tickets since the
// last call, in the order of trust.
func (tr *trust) way(t *testing.T) (way []string) {
	t.Helper()
	for _, name := range trustOrder {
		for _, service := range tr.kdcs[name].issued(t) {
			way = append(way, name+" gave "+service)
		}
	}
	return way
}

// TestTrust goes to services of other realms, with credentials of each kind, and
// compares the way there with that of MIT's kvno.
func TestTrust(t *testing.T) {
	t.Parallel()
	tr := startTrust(t)
	for name, tc := range map[string]struct {
		realm    string
		mappings string // in the client's krb5.conf
		hops     int    // tickets on the way
	}{
		"next realm":            {corpRealm, trustDomains, 2},
		"next realm, referred":  {corpRealm, "", 2},
		"two hops by name":      {usRealm, trustDomains, 3},
		"two hops, referred":    {usRealm, "", 3},
		"two hops, far capaths": {usRealm, trustDomains + trustPaths(supplierRealm), 3},
		"three hops, KDCs know": {partnerRealm, trustDomains, 4},
		"three hops, referred":  {partnerRealm, "", 4},
		"three hops, both know": {partnerRealm, trustDomains + trustPaths(partnerRealm), 4},
		"three hops by capaths": {supplierRealm, trustDomains + trustPaths(supplierRealm), 4},
	} {
		t.Run(name, func(t *testing.T) {
			env := tr.env.with("KRB5_CONFIG", write(t, filepath.Join(t.TempDir(), "krb5.conf"), tr.text(euRealm)+tc.mappings))
			fresh, used := tr.kinitAt(t, env), tr.kinitAt(t, env)
			host := trustHost(tc.realm)
			spn := "HTTP/" + host + "@" + tc.realm
			tr.way(t)
			must(t, used, "", tool(t, "kvno"), "-S", "HTTP", host)
			mit := tr.way(t)
			if len(mit) != tc.hops || mit[len(mit)-1] != tc.realm+" gave "+spn {
				t.Fatalf("the lab itself does not work: MIT's way to %s is %q", spn, mit)
			}
			for name, with := range map[string]struct {
				env  environment
				args []string
				want []string
			}{
				"ccache":         {fresh, nil, mit},
				"ccache with it": {used, nil, nil},
				"keytab":         {env, []string{"--keytab", tr.path("alice.keytab"), "--principal", "alice"}, mit},
				"password":       {env, []string{"--principal", "alice@" + euRealm, "--password-file", passwordFile(t, bobPassword)}, mit},
			} {
				t.Run(name, func(t *testing.T) {
					tr.way(t)
					r := tr.get(t, with.env, append(with.args, "--host-override", host, tr.url(t, "http", "/auth/hello"))...)
					wantGet(t, r, exitOK, "verified: the server holds the key of "+spn, " as alice@"+euRealm)
					if got := tr.way(t); !slices.Equal(got, with.want) {
						t.Errorf("way to %s: %q, want %q", spn, got, with.want)
					}
				})
			}
		})
	}
	t.Run("no way", tr.testNoWay)
}

// kinitAt logs alice in, in a cache of her own.
func (tr *trust) kinitAt(t *testing.T, env environment) environment {
	t.Helper()
	env = env.with("KRB5CCNAME", "FILE:"+filepath.Join(t.TempDir(), "ccache"))
	must(t, env, "", tool(t, "kinit"), "-k", "-t", tr.path("alice.keytab"), "alice")
	return env
}

// testNoWay asks for a service that no KDC on the way knows how to reach.
func (tr *trust) testNoWay(t *testing.T) {
	env := tr.kinitAt(t, tr.env.with("KRB5_CONFIG", write(t, filepath.Join(t.TempDir(), "krb5.conf"), tr.text(euRealm)+trustDomains)))
	host := trustHost(supplierRealm)
	if r := run(t, env, "", tool(t, "kvno"), "-S", "HTTP", host); r.code == 0 {
		t.Fatalf("the lab itself does not work: %v", r)
	}
	r := tr.get(t, env, "--host-override", host, tr.url(t, "http", "/auth/hello"))
	wantGet(t, r, exitKDC, "HTTP/"+host, supplierRealm, corpRealm, "alice@"+euRealm)
}
