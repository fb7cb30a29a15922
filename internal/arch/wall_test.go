package arch

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestFakeKDCBringsNoClient: a test of another program that imports the realm gets
// neither our client nor what that is built on, and nothing of gokrb5; and it gets no
// web services unless it imports them.
func TestFakeKDCBringsNoClient(t *testing.T) {
	none := []string{
		"github.com/sirupsen", "github.com/hashicorp", "github.com/spf13", "github.com/jcmturner",
		module + "/client", module + "/kerberos", module + "/middleware", module + "/internal/kdcclient",
	}
	for dir, walls := range map[string][]string{
		"fakekdc":           append(slices.Clip(none), "golang.org/x/net", "net/http", module+"/fakekdc/fakeweb"),
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

// TestGoKRB5HasOneDoor: a program with our client links nothing of gokrb5, unless it
// imports kerberos/gokrb5, which links the client alone.
func TestGoKRB5HasOneDoor(t *testing.T) {
	for dir, want := range map[string]string{"client": "", "kerberos/gokrb5": module + "/kerberos/gokrb5 github.com/jcmturner/gokrb5/v8/client"} {
		b, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"/"+dir).CombinedOutput()
		if err != nil {
			t.Fatalf("go list: %v: %s", err, b)
		}
		var got []string
		for line := range strings.Lines(string(b)) {
			words := strings.Fields(line)
			if !within(words[0], module) {
				continue
			}
			for _, p := range words[1:] {
				if within(p, "github.com/jcmturner") {
					got = append(got, words[0]+" "+p)
				}
			}
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("with %s %q import gokrb5, want %q alone", dir, got, want)
		}
	}
}
