package arch

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestFakeKDCBringsNoClient: a test of another program that imports the realm gets
// neither our client nor what that is built on, and no client of gokrb5.
func TestFakeKDCBringsNoClient(t *testing.T) {
	b, err := exec.CommandContext(t.Context(), "go", "list", "-deps", module+"/fakekdc").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, b)
	}
	deps := strings.Fields(string(b))
	if !slices.Contains(deps, module+"/internal/krb") {
		t.Fatalf("go list says that fakekdc depends on %q", deps)
	}
	for _, p := range deps {
		for _, wall := range []string{
			"github.com/sirupsen", "github.com/hashicorp", "github.com/spf13", "github.com/jcmturner/gokrb5/v8/client",
			module + "/client", module + "/kerberos", module + "/middleware", module + "/internal/kdcclient",
		} {
			if within(p, wall) {
				t.Errorf("fakekdc depends on %s", p)
			}
		}
	}
}
