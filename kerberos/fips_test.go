package kerberos_test

import (
	"context"
	"crypto/fips140"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/kerberos"
)

// inFIPSMode runs one test of this package in a process of its own, under a mode
// of FIPS 140-3, and returns what it printed.
func inFIPSMode(t *testing.T, mode, test string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+test+"$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140="+mode, "KERBCHAIN_FIPS_CHILD="+mode)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("under fips140=%s: %v\n%s", mode, err, out)
	}
	if !strings.Contains(string(out), "--- PASS: "+test) {
		t.Errorf("under fips140=%s: the test did not run:\n%s", mode, out)
	}
	return string(out)
}

// Every kind of source gets tickets under every mode of FIPS 140-3, of the types
// that the mode allows, and says so where none is left. Nothing panics.
func TestFIPS(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"off", "on", "only"} {
		t.Run(mode, func(t *testing.T) {
			inFIPSMode(t, mode, "TestFIPSSources")
			inFIPSMode(t, mode, "TestFIPSNothingLeft")
		})
	}
}

func inChild(t *testing.T) (enforced bool) {
	mode := os.Getenv("KERBCHAIN_FIPS_CHILD")
	if mode == "" {
		t.Skip("runs as a child of TestFIPS")
	}
	if fips140.Enabled() != (mode != "off") || fips140.Enforced() != (mode == "only") {
		t.Fatalf("fips140=%s: enabled %v, enforced %v", mode, fips140.Enabled(), fips140.Enforced())
	}
	return mode == "only"
}

// fipsSources are those of alice, of each kind.
func fipsSources(t *testing.T, realm *fakekdc.Realm, conf string) map[string]func() (kerberos.TicketSource, error) {
	caches := new(kerberos.MemoryCaches)
	if err := caches.Put("alice", realm.CCache("alice")); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, b := range map[string][]byte{"keytab": realm.Keytab("alice"), "ccache": realm.CCache("alice"), "krb5.conf": []byte(conf)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := kerberos.SourceOptions{
		Principal: "alice@" + realm.Name(), Krb5ConfText: conf, MemoryCaches: caches,
		Getenv: func(name string) string {
			return map[string]string{"KRB5CCNAME": filepath.Join(dir, "ccache")}[name]
		},
	}
	secret := kerberos.NewSecret("secret")
	return map[string]func() (kerberos.TicketSource, error){
		"password": func() (kerberos.TicketSource, error) { return kerberos.FromPassword(secret, o) },
		"password func": func() (kerberos.TicketSource, error) {
			return kerberos.FromPasswordFunc(func(context.Context, string) (kerberos.Secret, error) { return secret, nil }, o)
		},
		"keytab": func() (kerberos.TicketSource, error) { return kerberos.FromKeytab(filepath.Join(dir, "keytab"), o) },
		"file": func() (kerberos.TicketSource, error) {
			return kerberos.FromCCache("FILE:"+filepath.Join(dir, "ccache"), o)
		},
		"memory":      func() (kerberos.TicketSource, error) { return kerberos.FromCCache("MEMORY:alice", o) },
		"environment": func() (kerberos.TicketSource, error) { return kerberos.FromEnvironment(o) },
	}
}

func TestFIPSSources(t *testing.T) {
	enforced := inChild(t)
	realm := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	for name, open := range fipsSources(t, realm, realm.Config()) {
		t.Run(name, func(t *testing.T) {
			source, err := open()
			if err != nil {
				t.Fatal(err)
			}
			ticket, err := source.ServiceTicket(t.Context(), "HTTP/localhost")
			if err != nil {
				t.Fatal(err)
			}
			if want := map[bool]int32{false: fakekdc.AES256SHA1, true: fakekdc.AES256SHA384}[enforced]; ticket.Etype() != want {
				t.Errorf("session key of type %d, want %d", ticket.Etype(), want)
			}
		})
	}
}

// A cache that kinit filled with tickets of SHA-1 types is of no use then.
func TestFIPSCache(t *testing.T) {
	realm := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	name := os.Getenv("KERBCHAIN_FIPS_CACHE")
	if name == "" {
		name = filepath.Join(t.TempDir(), "ccache")
		if err := os.WriteFile(name, realm.CCache("alice"), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("KERBCHAIN_FIPS_CACHE", name)
		inFIPSMode(t, "only", "TestFIPSCache")
		return
	}
	inChild(t)
	source, err := kerberos.FromCCache(name, kerberos.SourceOptions{Krb5ConfText: realm.Config()})
	if err == nil {
		_, err = source.ServiceTicket(t.Context(), "HTTP/localhost")
	}
	if err == nil || !strings.Contains(err.Error(), "fips140=only") || !strings.Contains(err.Error(), "aes256-cts-hmac-sha1-96") {
		t.Errorf("%v; want an error that names the type and fips140=only", err)
	}
}

// Where nobody has a key of an allowed type there is an error that says so.
func TestFIPSNothingLeft(t *testing.T) {
	enforced := inChild(t)
	realm := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	// Of two values the first counts.
	conf := "[libdefaults]\n"
	for _, name := range []string{"permitted_enctypes", "default_tkt_enctypes", "default_tgs_enctypes"} {
		conf += name + " = aes256-cts aes128-cts\n"
	}
	conf += realm.Config()
	for name, open := range fipsSources(t, realm, conf) {
		t.Run(name, func(t *testing.T) {
			if name == "file" || name == "memory" || name == "environment" {
				t.Skip("TestFIPSCache is about caches")
			}
			source, err := open()
			if err == nil {
				_, err = source.ServiceTicket(t.Context(), "HTTP/localhost")
			}
			switch {
			case !enforced && err != nil:
				t.Error(err)
			case enforced && (err == nil || !strings.Contains(fmt.Sprint(err), "fips140=only")):
				t.Errorf("%v; want an error that names fips140=only", err)
			}
		})
	}
}
