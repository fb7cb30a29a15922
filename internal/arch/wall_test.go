package arch

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestFakeKDCBringsNoClient: a test of another program that imports the realm gets
// neither our client nor what that is built on, and no client of gokrb5; and it gets no
// web services unless it imports them.
func TestFakeKDCBringsNoClient(t *testing.T) {
	none := []string{
		"github.com/sirupsen", "github.com/hashicorp", "github.com/spf13", "github.com/jcmturner/gokrb5/v8/client",
		module + "/client", module + "/kerberos", module + "/middleware", module + "/internal/kdcclient",
	}
	for dir, walls := range map[string][]string{
		"fakekdc":           append(slices.Clip(none), "golang.org/x/net", module+"/fakekdc/fakeweb"),
		"fakekdc/fakeweb":   none,
		"fakekdc/fakewinrm": none,
	} {
		b, err := exec.CommandContext(t.Context(), "go", "list", "-deps", module+"/"+dir).CombinedOutput()
		if err != nil {
			t.Fatalf("go list: %v: %s", err, b)
		}
		deps := strings.Fields(string(b))
		if !slices.Contains(deps, module+"/internal/krb") {
			t.Fatalf("go list says that %s depends on %q", dir, deps)
		}
		for _, p := range deps {
			for _, wall := range walls {
				if within(p, wall) {
					t.Errorf("%s depends on %s", dir, p)
				}
			}
		}
	}
}
