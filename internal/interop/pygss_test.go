//go:build interop

package interop

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
)

// TestPythonGSSAPI lets libgssapi, by way of python3-gssapi, log in to fakekdc,
// call its web service and be called by our client, once for each encryption
// type. How messages are sealed is in TestWrap.
func TestPythonGSSAPI(t *testing.T) {
	t.Parallel()
	for _, e := range etypes {
		t.Run(e.name, func(t *testing.T) {
			p := startPython(t, e)
			if !t.Run("login", p.testLogin) {
				t.Fatal("without a login there is nothing else")
			}
			for name, test := range map[string]func(*testing.T){
				"get":              p.testGet,
				"get minted":       p.testMinted,
				"get delegating":   p.testDelegating,
				"get bindings":     p.testBindings,
				"get impostor":     p.testImpostor,
				"accept":           p.testAccept,
				"accept delegated": p.testAcceptDelegated,
				"accept bindings":  p.testAcceptBindings,
			} {
				t.Run(name, test)
			}
		})
	}
}

// python returns the interpreter that Debian's modules are for.
func python(t *testing.T, modules, packages string) string {
	t.Helper()
	const path = "/usr/bin/python3"
	if out, err := exec.Command(path, "-c", "import "+modules).CombinedOutput(); err != nil {
		t.Fatalf("Python modules are missing: install the Debian packages %s (.ci/packages does): %v\n%s", packages, err, out)
	}
	return path
}

// A pyPeer is testdata/gss_peer.py.
type pyPeer struct{ *gssPeer }

func startPython(t *testing.T, e etype) pyPeer {
	t.Helper()
	program := python(t, "gssapi", "python3-gssapi")
	p := pyPeer{newGSSPeer(t, e)}
	p.serve(t, environment{
		"HOME": p.dir, "PYTHONDONTWRITEBYTECODE": "1", "KRB5_CONFIG": p.conf,
		"KRB5_KTNAME": "FILE:" + p.keytab, "KRB5CCNAME": "FILE:" + p.path("none"), "KRB5RCACHEDIR": p.dir,
	}, program, []string{filepath.Join("testdata", "gss_peer.py")}, nil)
	return p
}

func (p pyPeer) testLogin(t *testing.T) {
	want := "alice@" + p.Name() + ", alive"
	p.wantLogin(t, "password", "", alicePassword, want, fakekdc.AS, fakekdc.AS, fakekdc.AS, fakekdc.AS) // with krb5 and with SPNEGO
	p.wantLogin(t, "keytab", p.file(t, "alice.keytab", p.Keytab("alice")), "", want, fakekdc.AS, fakekdc.AS)
	p.wantLogin(t, "ccache", p.file(t, "ccache", p.CCache("alice")), "", want)
}

func (p pyPeer) testBindings(t *testing.T) {
	for _, mech := range []string{"spnego", "krb5"} {
		p.wantBindings(t, mech, "wrong")
	}
}

// testMinted calls with a service ticket that fakekdc made without an exchange.
// Java takes none but ticket-granting tickets from caches.
func (p pyPeer) testMinted(t *testing.T) {
	cache := p.file(t, "minted", p.CCache("alice", "HTTP/localhost"))
	p.post(t, "/login", "", "as", "alice@"+p.Name(), "with", "ccache", "path", cache)
	p.ResetExchanges()
	h := fakeweb.New(p.Realm, "HTTP/localhost", fakeweb.Options{})
	p.wantGot(t, h, "alice@"+p.Name()+"/ccache", []string{"mutual", "1"}, "status 200\n", "established true, mutual true")
	if seen := p.Exchanges(); len(seen) != 0 {
		t.Errorf("the ticket was there: %v", seen)
	}
}
