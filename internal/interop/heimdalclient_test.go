//go:build interop

package interop

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// TestHeimdalClients lets Heimdal's tools take fakekdc for a realm, once for each
// encryption type.
func TestHeimdalClients(t *testing.T) {
	t.Parallel()
	for _, e := range etypes {
		t.Run(e.name, func(t *testing.T) {
			for name, test := range map[string]func(*heimdalUser, *testing.T){
				"kinit":          (*heimdalUser).testKinit,
				"kinit over TCP": (*heimdalUser).testTCP,
				"too big":        (*heimdalUser).testTooBig,
				"keytab":         (*heimdalUser).testKeytab,
				"no preauth":     (*heimdalUser).testNoPreauth,
				"salt":           (*heimdalUser).testSalt,
				"flags":          (*heimdalUser).testFlags,
				"renew":          (*heimdalUser).testRenew,
				"ccache":         (*heimdalUser).testCCache,
				"enterprise":     (*heimdalUser).testEnterprise,
				"referral":       (*heimdalUser).testReferral,
				"refusals":       (*heimdalUser).testRefusals,
			} {
				t.Run(name, func(t *testing.T) { test(startHeimdalUser(t, e), t) })
			}
		})
	}
}

// A heimdalUser is a realm of fakekdc and the environment that leads Heimdal's
// tools there.
type heimdalUser struct{ *fake }

func startHeimdalUser(t *testing.T, e etype) *heimdalUser {
	t.Helper()
	f := startFake(t, e)
	h := &heimdalUser{f}
	h.use(t)
	return h
}

// use writes the krb5.conf, with lines for [libdefaults].
func (h *heimdalUser) use(t *testing.T, lines ...string) {
	t.Helper()
	if h.etype.number == krb.RC4HMAC {
		lines = append(lines, "allow_weak_crypto = true") // Heimdal's name for it
	}
	h.env["KRB5_CONFIG"] = h.config(t, "heimdal.conf", lines...)
}

// kinit logs in with a password.
func (h *heimdalUser) kinit(t *testing.T, user, password string, args ...string) {
	t.Helper()
	file := h.path("password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, h.env, "", heimdal(t, "usr/bin/kinit.heimdal"), append(append([]string{"--password-file=" + file}, args...), user)...)
}

func (h *heimdalUser) kgetcred(t *testing.T, args ...string) {
	t.Helper()
	must(t, h.env, "", heimdal(t, "usr/bin/kgetcred"), args...)
}

// wantListed fails unless Heimdal's klist shows the texts.
func (h *heimdalUser) wantListed(t *testing.T, texts ...string) {
	t.Helper()
	list := must(t, h.env, "", heimdal(t, "usr/bin/heimtools"), "klist", "-v").stdout
	for _, s := range texts {
		if !strings.Contains(list, s) {
			t.Errorf("klist does not show %q:\n%s", s, list)
		}
	}
}

// wantService fails unless klist shows the service's ticket, and MIT opens it with
// the keytab.
func (h *heimdalUser) wantService(t *testing.T) {
	t.Helper()
	h.wantListed(t, "Principal: alice@"+h.Name(), "Server: HTTP/localhost@"+h.Name(), "Ticket etype: "+h.heimdalEtype(), "kvno 1")
	path := h.path("service.keytab")
	if err := os.WriteFile(path, h.Keytab("HTTP/localhost"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := h.env.with("KRB5_CONFIG", h.path("krb5.conf"))
	if r := must(t, env, "", tool(t, "kvno"), "-k", path, "HTTP/localhost"); !strings.Contains(r.stdout, "keytab entry valid") {
		t.Error(r)
	}
}

// heimdalEtype is the name of the encryption type in Heimdal.
func (h *heimdalUser) heimdalEtype() string {
	if h.etype.number == krb.RC4HMAC {
		return "arcfour-hmac-md5"
	}
	return h.etype.name
}

func (h *heimdalUser) testKinit(t *testing.T) {
	h.kinit(t, "alice", alicePassword)
	h.kgetcred(t, "HTTP/localhost")
	h.wantExchanges(t, "AS 25", "AS 0", "TGS 0")
	h.wantListed(t, "Server: "+h.tgt())
	h.wantService(t)
}

func (h *heimdalUser) testTCP(t *testing.T) {
	conf := h.Config()
	if h.etype.number == krb.RC4HMAC {
		conf = h.Config("allow_weak_crypto = true")
	}
	conf = strings.ReplaceAll(conf, "kdc = "+h.Addr(), "kdc = tcp/"+h.Addr())
	h.env["KRB5_CONFIG"] = write(t, h.path("tcp.conf"), conf)
	h.kinit(t, "alice", alicePassword)
	h.kgetcred(t, "HTTP/localhost")
	h.wantExchanges(t, "AS 25", "AS 0", "TGS 0")
	for _, e := range h.Exchanges() {
		if e.Network != "tcp" {
			t.Errorf("%v: want TCP", e)
		}
	}
}

// testTooBig wants the client to come back over TCP.
func (h *heimdalUser) testTooBig(t *testing.T) {
	h.FailNext(fakekdc.TGS, fakekdc.TooBig())
	h.kinit(t, "alice", alicePassword)
	h.kgetcred(t, "HTTP/localhost")
	h.wantExchanges(t, "AS 25", "AS 0", "TGS 52", "TGS 0")
	if e := h.Exchanges()[3]; e.Network != "tcp" {
		t.Errorf("%v: want TCP", e)
	}
}

func (h *heimdalUser) testKeytab(t *testing.T) {
	path := h.path("alice.keytab")
	if err := os.WriteFile(path, h.Keytab("alice"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := must(t, h.env, "", heimdal(t, "usr/bin/ktutil.heimdal"), "--keytab="+path, "list")
	if !strings.Contains(r.stdout, "alice@"+h.Name()) || !strings.Contains(r.stdout, h.heimdalEtype()) {
		t.Error(r)
	}
	must(t, h.env, "", heimdal(t, "usr/bin/kinit.heimdal"), "--keytab="+path, "alice")
	h.kgetcred(t, "HTTP/localhost")
	h.wantService(t)
}

func (h *heimdalUser) testNoPreauth(t *testing.T) {
	h.kinit(t, "bob", bobPassword)
	h.wantExchanges(t, "AS 0")
	h.wantListed(t, "Principal: bob@"+h.Name(), "Server: "+h.tgt())
}

func (h *heimdalUser) testSalt(t *testing.T) {
	h.kinit(t, "carol", bobPassword)
	h.wantExchanges(t, "AS 25", "AS 0")
}

// testFlags asks for all that there is, and for none.
func (h *heimdalUser) testFlags(t *testing.T) {
	h.kinit(t, "alice", alicePassword, "--forwardable", "--proxiable", "--renewable-life=2d")
	h.wantListed(t, "Ticket flags: pre-authent, initial, renewable, proxiable, forwardable")
	h.kgetcred(t, "HTTP/localhost")
	h.wantListed(t, "Ticket flags: transited-policy-checked, pre-authent, renewable, proxiable, forwardable")
	h.kinit(t, "alice", alicePassword, "--no-forwardable", "--no-proxiable", "--no-renewable")
	h.wantListed(t, "Ticket flags: pre-authent, initial\n")
	h.AddService("HTTP/trusted", fakekdc.OKAsDelegate())
	h.kgetcred(t, "HTTP/trusted")
	h.wantListed(t, "ok-as-delegate")
}

func (h *heimdalUser) testRenew(t *testing.T) {
	h.kinit(t, "alice", alicePassword, "--renewable", "--renewable-life=2d", "--lifetime=1h")
	h.wantListed(t, "Renew till:", "renewable")
	h.ResetExchanges()
	must(t, h.env, "", heimdal(t, "usr/bin/kinit.heimdal"), "--renew")
	h.wantExchanges(t, "TGS 0")
	if e := h.Exchanges()[0]; e.Options&krb.OptionRenew == 0 {
		t.Errorf("%v is no renewal", e)
	}
	h.wantListed(t, "Renew till:", "Principal: alice@"+h.Name())
	h.kgetcred(t, "HTTP/localhost")
	h.wantService(t)
	h.Modify("alice", fakekdc.Lifetime(time.Hour, -1))
	h.kinit(t, "alice", alicePassword)
	if r := run(t, h.env, "", heimdal(t, "usr/bin/kinit.heimdal"), "--renew"); r.code == 0 {
		t.Errorf("a ticket that is not renewable: %v", r)
	}
}

// testCCache takes the cache that fakekdc wrote for one that kinit wrote.
func (h *heimdalUser) testCCache(t *testing.T) {
	if err := os.WriteFile(h.path("ccache"), h.CCache("alice", "HTTP/localhost"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.kgetcred(t, "HTTP/localhost")
	h.wantExchanges(t)
	h.wantListed(t, "Server: "+h.tgt())
	h.wantService(t)
	h.AddService("HTTP/other")
	h.kgetcred(t, "HTTP/other")
	h.wantExchanges(t, "TGS 0")
	must(t, h.env, "", heimdal(t, "usr/bin/kinit.heimdal"), "--renew")
	h.wantExchanges(t, "TGS 0", "TGS 0")
}

func (h *heimdalUser) testEnterprise(t *testing.T) {
	h.Alias("alice.smith@corp.test", "alice")
	h.kinit(t, "alice.smith@corp.test", alicePassword, "--enterprise", "--canonicalize")
	h.kgetcred(t, "HTTP/localhost")
	h.wantService(t)
}

// testReferral leaves it to the KDC to know in which realm a service is.
func (h *heimdalUser) testReferral(t *testing.T) {
	far := fakekdc.Start(t, fakekdc.WithEtypes(h.etype.number), fakekdc.WithService("HTTP/web.far.test"))
	h.Trust(far)
	h.use(t)
	h.kinit(t, "alice", alicePassword)
	h.kgetcred(t, "--canonicalize", "--name-type=SRV_HST", "HTTP/web.far.test@"+h.Name())
	h.wantListed(t, "Server: HTTP/web.far.test@"+far.Name())
	if n := far.Count(fakekdc.TGS, 0); n != 1 {
		t.Errorf("%d tickets of the other realm, want 1: %v, %v", n, h.Exchanges(), far.Exchanges())
	}
}

// testRefusals reads no messages: Heimdal shows those of the KDC.
func (h *heimdalUser) testRefusals(t *testing.T) {
	h.AddUser("locked", alicePassword, fakekdc.Refuse(fakekdc.CodeClientRevoked))
	file := h.path("password")
	refused := func(r result, code int32) {
		t.Helper()
		seen := h.Exchanges()
		if r.code == 0 || r.stderr == "" || len(seen) == 0 || seen[len(seen)-1].Code != code {
			t.Errorf("want code %d: %v; exchanges %v", code, r, seen)
		}
	}
	for _, tc := range []struct {
		user, password string
		code           int32
	}{
		{"alice", "wrong", krb.CodePreauthFailed},
		{"nobody", alicePassword, krb.CodeClientUnknown},
		{"locked", alicePassword, krb.CodeClientRevoked},
	} {
		write(t, file, tc.password+"\n")
		h.ResetExchanges()
		refused(run(t, h.env, "", heimdal(t, "usr/bin/kinit.heimdal"), "--password-file="+file, tc.user), tc.code)
	}
	h.kinit(t, "alice", alicePassword)
	refused(run(t, h.env, "", heimdal(t, "usr/bin/kgetcred"), "HTTP/nowhere.example"), krb.CodeServerUnknown)
}
