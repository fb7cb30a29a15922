package arch

import (
	"slices"
	"strings"
	"testing"
)

// TestFakeKDCBringsNoClient: a test of another program that imports the realm gets
// neither our client nor what that is built on, and nothing of gokrb5; and it gets no
// web services unless it imports them.
func TestFakeKDCBringsNoClient(t *testing.T) {
	t.Parallel()
	none := []string{
		"github.com/sirupsen", "github.com/hashicorp", "github.com/spf13", "github.com/jcmturner",
		module + "/client", module + "/kerberos", module + "/middleware", module + "/internal/kdcclient",
	}
	for dir, walls := range map[string][]string{
		"fakekdc":           append(slices.Clip(none), "golang.org/x/net", "net/http", module+"/fakekdc/fakeweb"),
		"fakekdc/fakeweb":   none,
		"fakekdc/fakewinrm": none,
	} {
		for _, system := range systems {
			deps := append([]string{module + "/" + dir}, theListing(t, system)[dir].deps...)
			if !slices.Contains(deps, module+"/internal/krb") {
				t.Fatalf("%s: go list says that %s depends on %q", system, dir, deps)
			}
			for _, p := range deps {
				for _, wall := range walls {
					if within(p, wall) {
						t.Errorf("%s: %s depends on %s", system, dir, p)
					}
				}
			}
		}
	}
}

// TestGoKRB5HasOneDoor: a program with our client links nothing of gokrb5, unless it
// imports kerberos/gokrb5, which links the client alone.
func TestGoKRB5HasOneDoor(t *testing.T) {
	t.Parallel()
	for dir, want := range map[string]string{"client": "", "kerberos/gokrb5": module + "/kerberos/gokrb5 github.com/jcmturner/gokrb5/v8/client"} {
		for _, system := range systems {
			var got []string
			all := theListing(t, system)
			if _, ok := all[dir]; !ok {
				t.Fatalf("%s: %s is not listed", system, dir)
			}
			for _, p := range append([]string{module + "/" + dir}, all[dir].deps...) {
				of, ok := all[strings.TrimPrefix(strings.TrimPrefix(p, module), "/")]
				if within(p, module) && !ok {
					t.Errorf("%s: %s is not listed", system, p)
				}
				for _, imported := range of.imports {
					if within(imported, "github.com/jcmturner") {
						got = append(got, p+" "+imported)
					}
				}
			}
			if strings.Join(got, ", ") != want {
				t.Errorf("%s: with %s %q import gokrb5, want %q alone", system, dir, got, want)
			}
		}
	}
}
