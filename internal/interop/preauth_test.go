//go:build interop

package interop

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/kerberos"
)

// TestSPAKEAlone has KDCs of MIT's that take SPAKE and no encrypted timestamp: we log
// in as kinit does, and a wrong password is told from a group that the KDC has not.
func TestSPAKEAlone(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ kdc, client, fails string }{
		{kdc: "edwards25519", client: "edwards25519"},
		{kdc: "P-256", client: "P-256"},
		{kdc: "edwards25519 P-256", client: "P-256 edwards25519"},
		{kdc: "P-256", client: "edwards25519", fails: "SPAKE in none of the groups edwards25519"},
	} {
		t.Run(tc.kdc+", client "+tc.client, func(t *testing.T) {
			k := &kdc{name: "SPAKE.TEST", addr: freePorts(t, 1)[0], dir: filepath.Join(tempDir(t), "kdc")}
			config := func(groups string) string {
				conf := soloConfig(k.name, "kdc = "+k.addr) + "[plugins]\n\tkdcpreauth = {\n\t\tdisable = encrypted_timestamp\n\t}\n"
				return strings.Replace(conf, "[libdefaults]\n", "[libdefaults]\n\tspake_preauth_groups = "+groups+"\n", 1)
			}
			k.start(t, config(tc.kdc), "addprinc -clearpolicy +requires_preauth -pw secret alice", "addprinc -clearpolicy -randkey HTTP/localhost")
			conf := write(t, k.path("client.conf"), config(tc.client))
			env := environment{"KRB5_CONFIG": conf, "HOME": k.dir, "KRB5CCNAME": "FILE:" + k.path("cc")}
			if r := run(t, env, "secret\n", tool(t, "kinit"), "alice"); (r.code == 0) != (tc.fails == "") {
				t.Fatalf("kinit: %v", r)
			}
			ticket := func(password string) error {
				s, err := kerberos.FromPassword(kerberos.NewSecret(password), kerberos.SourceOptions{Principal: "alice", Krb5Conf: []string{conf},
					Getenv: func(string) string { return "" }, Logins: new(kerberos.Logins)})
				if err != nil {
					t.Fatal(err)
				}
				_, err = s.ServiceTicket(t.Context(), "HTTP/localhost")
				return err
			}
			if tc.fails != "" {
				if err := ticket("secret"); err == nil || !strings.Contains(err.Error(), tc.fails) {
					t.Error(err)
				}
				return
			}
			if err := ticket("secret"); err != nil {
				t.Error(err)
			}
			if err := ticket("wrong"); err == nil || !strings.Contains(err.Error(), "KDC_ERR_PREAUTH_FAILED") || !strings.Contains(err.Error(), "with the key of type") {
				t.Error(err)
			}
		})
	}
}
