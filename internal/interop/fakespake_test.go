//go:build interop

package interop

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
)

// TestFakeSPAKE: MIT's kinit logs in to a realm of fakekdc that takes SPAKE alone, with
// keys of every type and in either group, and not with a wrong password, another group
// alone, or a timestamp.
func TestFakeSPAKE(t *testing.T) {
	for _, e := range etypes {
		r := fakekdc.Start(t, fakekdc.WithEtypes(e.number), fakekdc.WithSPAKE("edwards25519", "P-256"), fakekdc.WithoutTimestamps(), fakekdc.WithEncPARep(),
			fakekdc.WithUser("alice", alicePassword), fakekdc.WithService("HTTP/localhost"))
		for name, tc := range map[string]struct {
			groups, password string
			works            bool
		}{
			"default":      {"", alicePassword, true},
			"edwards25519": {"edwards25519", alicePassword, true},
			"P-256":        {"P-256", alicePassword, true},
			"both":         {"P-256 edwards25519", alicePassword, true},
			"another":      {"P-521", alicePassword, false},
			"wrong":        {"edwards25519", "guess", false},
			"wrong, P-256": {"P-256", "guess", false},
		} {
			t.Run(e.name+"/"+name, func(t *testing.T) {
				dir := t.TempDir()
				lines := []string{"dns_lookup_kdc = false", "dns_canonicalize_hostname = false"}
				if tc.groups != "" {
					lines = append(lines, "spake_preauth_groups = "+tc.groups)
				}
				env := environment{
					"KRB5_CONFIG": write(t, filepath.Join(dir, "krb5.conf"), r.Config(lines...)), "KRB5CCNAME": "FILE:" + filepath.Join(dir, "ccache"),
					"HOME": dir, "KRB5_TRACE": filepath.Join(dir, "trace"),
				}
				showOnFailure(t, filepath.Join(dir, "trace"))
				out := run(t, env, tc.password+"\n", tool(t, "kinit"), "alice")
				if (out.code == 0) != tc.works {
					t.Fatalf("kinit: %v\n%s", out, fmt.Sprint(r.Exchanges()))
				}
				if tc.works {
					must(t, env, "", tool(t, "kvno"), "HTTP/localhost")
				}
			})
		}
	}
}
