package gssapi_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/gssapi"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
)

// libraries are those that tests run with where they are installed.
var libraries = map[string]string{"MIT": "libgssapi_krb5.so.2", "Heimdal": "libgssapi.so.3"}

// each runs a test with each library that is installed, and skips it for the others.
// Heimdal's reads its configuration once in a thread, so that each of its tests has a
// process of its own.
func each(t *testing.T, test func(t *testing.T, library string)) {
	for name, file := range libraries {
		t.Run(name, func(t *testing.T) {
			if _, err := gssapi.New(gssapi.Options{Library: file}); err != nil {
				t.Skipf("no GSS-API library to test with: %v", err)
			}
			if name != "Heimdal" || os.Getenv(own) == t.Name() {
				test(t, file)
				return
			}
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$")
			cmd.Env = append(os.Environ(), own+"="+t.Name())
			if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
				t.Errorf("in a process of its own: %v\n%s", err, out)
			}
		})
	}
}

// own is set to the name of the test that a process is for.
const own = "KERBCHAIN_GSSAPI_TEST"

// realm starts one, and has libraries of this process use it as alice, who ran kinit.
func realm(t *testing.T, o ...fakekdc.Option) *fakekdc.Realm {
	t.Helper()
	r := fakekdc.Start(t, append(o, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))...)
	environ(t, r)
	return r
}

// environ has libraries of this process use a realm as alice.
func environ(t *testing.T, r *fakekdc.Realm) {
	t.Helper()
	for _, line := range r.Environ("alice") {
		name, value, _ := strings.Cut(line, "=")
		t.Setenv(name, value)
	}
}

func initiator(t *testing.T, o gssapi.Options) middleware.Initiator {
	t.Helper()
	in, err := gssapi.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// A request is answered, and the answer verified.
func TestGet(t *testing.T) {
	each(t, func(t *testing.T, library string) {
		r := realm(t)
		server := fakeweb.Serve(r, fakeweb.New(r, "HTTP/localhost", fakeweb.Options{}), fakeweb.ServerOptions{})
		transport := server.Transport()
		defer transport.CloseIdleConnections()
		rt := kerbchain.Wrap(transport, mutual.New(mutual.Options{}), negotiate.New(initiator(t, gssapi.Options{Library: library}), negotiate.Options{}))
		resp, err := (&http.Client{Transport: rt}).Get(server.URL())
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		sc := middleware.SecurityOf(resp.Request)
		if resp.StatusCode != 200 || string(body) != "hello alice@"+r.Name()+"\n" || sc == nil || !sc.Verified() {
			t.Errorf("%s %q, verified %t", resp.Status, body, sc != nil && sc.Verified())
		}
		if got := middleware.PrincipalOf(resp.Request); got != "alice@"+r.Name() {
			t.Errorf("made as %q", got)
		}
	})
}

// A host that DNS knows by another name, which is the one that the KDC knows, gets a
// token where Canonicalize allows it.
func TestCanonicalHost(t *testing.T) {
	alias, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := net.LookupHost(alias)
	names, _ := net.LookupAddr("127.0.0.1")
	if err != nil || !slices.Equal(addresses, []string{"127.0.0.1"}) || len(names) == 0 || strings.TrimSuffix(names[0], ".") != "localhost" || alias == "localhost" {
		t.Skipf("%s is no alias of localhost here: %v, %v", alias, addresses, names)
	}
	if _, err := gssapi.New(gssapi.Options{Library: libraries["MIT"]}); err != nil {
		t.Skip(err)
	}
	r := realm(t)
	conf := filepath.Join(t.TempDir(), "krb5.conf")
	if err := os.WriteFile(conf, []byte("[libdefaults]\ndns_canonicalize_hostname = true\nrdns = true\n"+r.Config()), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KRB5_CONFIG", conf)
	for _, canonicalize := range []bool{false, true} {
		in := initiator(t, gssapi.Options{Library: libraries["MIT"], Canonicalize: canonicalize})
		sc, err := in.Initiate(t.Context(), middleware.Target{Host: alias, Port: "80"})
		if err != nil {
			t.Fatal(err)
		}
		token, err := sc.Step(t.Context(), nil)
		if (err == nil) != canonicalize || !canonicalize && !errors.Is(err, middleware.ErrKDC) {
			t.Errorf("Canonicalize %t: %v", canonicalize, err)
		}
		if err != nil {
			continue
		}
		if accepted, err := r.Accept(token, fakekdc.AcceptOptions{Service: "HTTP/localhost"}); err != nil || accepted == nil {
			t.Errorf("it is for another service: %v", err)
		}
	}
}
