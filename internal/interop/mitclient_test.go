//go:build interop

package interop

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// TestFakeKDCAndCurlDelegation has curl delegate to fakekdc's web service, which acts
// with what it got, once for each encryption type.
func TestFakeKDCAndCurlDelegation(t *testing.T) {
	t.Parallel()
	for _, e := range etypes {
		t.Run(e.name, func(t *testing.T) {
			f := startFake(t, e)
			h := fakeweb.New(f.Realm, "HTTP/localhost", fakeweb.Options{Next: actor{f.Realm}})
			url := fakeweb.Serve(f.Realm, h, fakeweb.ServerOptions{}).URL()
			greeting := "hello alice@" + f.Name()
			none, acting := greeting+", nothing delegated\n", greeting+", acting as alice@"+f.Name()+"\n"
			check := func(forwardable, mode, want string) {
				t.Helper()
				f.kinit(t, forwardable)
				args := []string{"--delegation", mode, url}
				if mode == "" {
					args = args[2:]
				}
				if status, body := f.get(t, args...); status != "200" || body != want {
					t.Errorf("kinit %s, delegation %q: %s %q, want %q", forwardable, mode, status, body, want)
				}
			}
			check("-f", "", none)
			check("-f", "none", none)
			check("-f", "policy", none) // the KDC does not say so
			check("-f", "always", acting)
			check("-F", "always", none) // libgssapi goes on without
			if err := f.Modify("HTTP/localhost", fakekdc.OKAsDelegate()); err != nil {
				t.Fatal(err)
			}
			check("-f", "policy", acting)
			check("-f", "none", none)
			f.AddUser("fixed", alicePassword, fakekdc.NotForwardable())
			must(t, f.env, alicePassword+"\n", tool(t, "kinit"), "-f", "fixed")
			if _, body := f.get(t, "--delegation", "always", url); body != "hello fixed@"+f.Name()+", nothing delegated\n" {
				t.Errorf("credentials that are not forwardable: %q", body)
			}
		})
	}
}

// TestFakeKDCAsked lets MIT's tools ask for what they can.
func TestFakeKDCAsked(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*fake, *testing.T){
		"flags":          (*fake).testFlags,
		"addresses":      (*fake).testTicketAddresses,
		"session key":    (*fake).testSessionKey,
		"rotation":       (*fake).testRotation,
		"DIR collection": (*fake).testCollection,
		"other realm":    (*fake).testWrongRealm,
	} {
		t.Run(name, func(t *testing.T) { test(startFake(t, etypes[1]), t) })
	}
}

func (f *fake) testFlags(t *testing.T) {
	// Forwardable, proxiable, renewable, initial, pre-authenticated.
	f.kinit(t, "-f", "-p", "-r", "2d")
	f.wantListed(t, "Flags: FPRIA\n")
	f.kvno(t)
	f.wantListed(t, "Flags: FPRAT\n") // T for transit policy checked
	f.kinit(t, "-F", "-P", "-l", "1h")
	f.wantListed(t, "Flags: IA,")
	f.Modify("alice", fakekdc.NotForwardable(), fakekdc.NotProxiable(), fakekdc.Lifetime(time.Hour, -1))
	f.kinit(t, "-f", "-p", "-r", "2d")
	f.wantListed(t, "Flags: IA,")
	if r := run(t, f.env, "", tool(t, "kinit"), "-R"); r.code == 0 {
		t.Errorf("a ticket that is not renewable: %v", r)
	}
}

// testTicketAddresses asks for a ticket that is good for the addresses of this machine.
func (f *fake) testTicketAddresses(t *testing.T) {
	f.kinit(t, "-a")
	list := must(t, f.env, "", tool(t, "klist"), "-a", "-n").stdout
	if !strings.Contains(list, "Addresses: ") || strings.Contains(list, "Addresses: (none)") {
		t.Errorf("no addresses:\n%s", list)
	}
	f.kinit(t, "-A")
	if list := must(t, f.env, "", tool(t, "klist"), "-a", "-n").stdout; !strings.Contains(list, "Addresses: (none)") {
		t.Errorf("addresses:\n%s", list)
	}
}

// testSessionKey asks for a session key of a type of one's own choice.
func (f *fake) testSessionKey(t *testing.T) {
	r := fakekdc.Start(t, fakekdc.WithUser("alice", alicePassword), fakekdc.WithService("HTTP/localhost"))
	f.env["KRB5_CONFIG"] = write(t, f.path("all.conf"), r.Config())
	f.kinit(t)
	for _, e := range etypes {
		if e.number == krb.RC4HMAC {
			continue
		}
		must(t, f.env, "", tool(t, "kvno"), "-e", e.name, "HTTP/localhost")
		f.wantListed(t, "Etype (skey, tkt): "+e.name+", aes256-cts-hmac-sha1-96")
	}
	if r := run(t, f.env, "", tool(t, "kvno"), "-e", "camellia128-cts-cmac", "HTTP/localhost"); r.code == 0 {
		t.Error(r)
	}
}

// testRotation changes the service's keys under its tickets.
func (f *fake) testRotation(t *testing.T) {
	f.kinit(t)
	f.kvno(t)
	if err := f.Rotate("HTTP/localhost"); err != nil {
		t.Fatal(err)
	}
	path := f.path("keytab")
	opens := func() bool {
		t.Helper()
		if err := os.WriteFile(path, f.Keytab("HTTP/localhost"), 0o600); err != nil {
			t.Fatal(err)
		}
		return run(t, f.env, "", tool(t, "kvno"), "-k", path, "HTTP/localhost").code == 0
	}
	if !opens() {
		t.Error("the keytab lost the old key")
	}
	if err := f.Purge("HTTP/localhost"); err != nil {
		t.Fatal(err)
	}
	if opens() {
		t.Error("the keytab has the old key still")
	}
	f.kinit(t)
	if r := must(t, f.env, "", tool(t, "kvno"), "-k", path, "HTTP/localhost"); !strings.Contains(r.stdout, "kvno = 2, keytab entry valid") {
		t.Error(r)
	}
}

// testCollection has two users at once.
func (f *fake) testCollection(t *testing.T) {
	f.env["KRB5CCNAME"] = "DIR:" + t.TempDir()
	f.kinit(t)
	must(t, f.env, bobPassword+"\n", tool(t, "kinit"), "bob")
	for _, who := range []string{"alice", "bob"} {
		must(t, f.env, "", tool(t, "kswitch"), "-p", who)
		f.kvno(t)
	}
	if n := f.Count(fakekdc.TGS, 0); n != 2 {
		t.Errorf("%d tickets, want 2", n)
	}
}

// testWrongRealm asks a KDC for a user of a realm that is not its own.
func (f *fake) testWrongRealm(t *testing.T) {
	conf := strings.Replace(f.Config(), "[realms]\n", "[realms]\n\tOTHER.TEST = {\n\t\tkdc = "+f.Addr()+"\n\t}\n", 1)
	f.env["KRB5_CONFIG"] = write(t, f.path("other.conf"), conf)
	if r := run(t, f.env, alicePassword+"\n", tool(t, "kinit"), "alice@OTHER.TEST"); r.code == 0 {
		t.Error(r)
	}
	f.wantExchanges(t, "AS 68")
}

// TestFakeKDCSkew sets the realm's clock ahead. MIT's clients follow it, and say
// so to nobody; web services do not.
func TestFakeKDCSkew(t *testing.T) {
	t.Parallel()
	clock := new(fakekdc.Clock)
	r := fakekdc.Start(t, fakekdc.WithClock(clock.Now), fakekdc.WithUser("alice", alicePassword),
		fakekdc.WithService("HTTP/localhost"))
	clock.Advance(time.Hour)
	dir := t.TempDir()
	f := &fake{Realm: r, etype: etypes[1], dir: dir, env: environment{"HOME": dir, "KRB5CCNAME": "FILE:" + dir + "/ccache"}}
	f.env["KRB5_CONFIG"] = f.config(t, "krb5.conf")
	f.kinit(t)
	f.kvno(t)
	f.wantExchanges(t, "AS 25", "AS 0", "TGS 0")
	f.env["KRB5_CONFIG"] = f.config(t, "strict.conf", "kdc_timesync = 0")
	f.ResetExchanges()
	if r := run(t, f.env, alicePassword+"\n", tool(t, "kinit"), "alice"); r.code == 0 {
		t.Error(r)
	}
	f.wantExchanges(t, "AS 25", "AS 37")
}
