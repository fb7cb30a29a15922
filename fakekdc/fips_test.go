package fakekdc

import (
	"crypto/fips140"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestFIPS: where FIPS 140-3 is enforced a realm has the types that are approved, and says why it has
// no others.
func TestFIPS(t *testing.T) {
	if !fips140.Enforced() {
		t.Parallel()
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		again := exec.CommandContext(t.Context(), self, "-test.run=^TestFIPS$", "-test.v")
		again.Env = append(os.Environ(), "GODEBUG=fips140=only")
		if out, err := again.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestFIPS") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	realm, err := New(WithUser("alice", "secret"), WithService("HTTP/localhost"), WithFAST())
	if err != nil {
		t.Fatal(err)
	}
	realm.Close()
	for want, o := range map[string]Option{
		"encryption type not supported where FIPS 140-3 is enforced": WithEtypes(AES256SHA1),
		"no group of SPAKE is approved where FIPS 140-3 is enforced": WithSPAKE("P-256"),
	} {
		if realm, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, %v; want %q", realm, err, want)
		}
	}
}
