//go:build interop

package interop

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/kerberos"
)

// TestPreauthOffered has a KDC of MIT's that takes SPAKE and no encrypted timestamp:
// kinit logs in, and we say what is offered.
func TestPreauthOffered(t *testing.T) {
	t.Parallel()
	k := &kdc{name: "SPAKE.TEST", addr: freePorts(t, 1)[0], dir: filepath.Join(tempDir(t), "kdc")}
	conf := soloConfig(k.name, "kdc = "+k.addr) + "[plugins]\n\tkdcpreauth = {\n\t\tdisable = encrypted_timestamp\n\t}\n"
	conf = strings.Replace(conf, "[libdefaults]\n", "[libdefaults]\n\tspake_preauth_groups = edwards25519\n", 1)
	k.start(t, conf, "addprinc -clearpolicy +requires_preauth -pw secret alice", "addprinc -clearpolicy -randkey HTTP/localhost")
	env := environment{"KRB5_CONFIG": k.path("krb5.conf"), "HOME": k.dir, "KRB5CCNAME": "FILE:" + k.path("cc")}
	if r := run(t, env, "secret\n", tool(t, "kinit"), "alice"); r.code != 0 {
		t.Fatalf("kinit: %v", r)
	}
	s, err := kerberos.FromPassword(kerberos.NewSecret("secret"), kerberos.SourceOptions{Principal: "alice", Krb5Conf: []string{k.path("krb5.conf")},
		Getenv: func(string) string { return "" }, Logins: new(kerberos.Logins)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.ServiceTicket(t.Context(), "HTTP/localhost")
	if err == nil || !strings.Contains(err.Error(), "KDC_ERR_PREAUTH_REQUIRED") || !strings.Contains(err.Error(), "SPAKE (151)") ||
		!strings.Contains(err.Error(), "FAST (136)") || strings.Contains(err.Error(), "if it has no key") {
		t.Error(err)
	}
}
