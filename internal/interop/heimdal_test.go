//go:build interop

package interop

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// heimdal returns the path of a program of Heimdal. Its packages cannot be
// installed beside MIT's, so .ci/packages unpacks them in a folder.
func heimdal(t *testing.T, path string) string {
	t.Helper()
	dir := os.Getenv("KERBCHAIN_HEIMDAL")
	if dir == "" {
		dir = "/opt/kerbchain-peers/heimdal"
	}
	path = filepath.Join(dir, path)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: unpack the Debian packages heimdal-kdc and heimdal-clients there, or in the folder that KERBCHAIN_HEIMDAL names (.ci/packages does)", err)
	}
	return path
}

// startHeimdal starts a KDC of Heimdal that ends with the test, for a realm as
// startRealm makes it.
func startHeimdal(t *testing.T, e etype) *realm {
	t.Helper()
	r := &realm{etype: e, name: fmt.Sprintf("HEIMDAL%d.TEST", e.number), dir: tempDir(t), kdc: freePorts(t, 1)[0]}
	r.conf = r.config(t, "krb5.conf", r.kdc)
	r.env = environment{"KRB5_CONFIG": r.conf, "HOME": r.dir, "KRB5CCNAME": "FILE:" + r.path("none")}
	showOnFailure(t, r.path("kdc.log"))
	key, preauth := e.name, "no"
	switch e.number {
	case 19, 20:
		// Their salts are random, and without pre-authentication the KDC tells
		// no salt.
		preauth = "yes"
	case 23:
		key = "arcfour-hmac-md5"
	}
	conf := write(t, r.path("kdc.conf"), fmt.Sprintf(`[libdefaults]
	default_realm = %[1]s
	allow_weak_crypto = true
[kdc]
	database = {
		dbname = %[2]s/hdb
		mkey_file = %[2]s/mkey
		acl_file = %[2]s/acl
		log_file = %[2]s/iprop
	}
	signal_socket = %[2]s/signal
	require-preauth = %[4]s
	num-kdc-processes = 1
[kadmin]
	default_keys = %[3]s:pw-salt
[logging]
	kdc = 0-/FILE:%[2]s/kdc.log
	default = 0-/FILE:%[2]s/other.log
`, r.name, r.dir, key, preauth))
	env := environment{"KRB5_CONFIG": conf, "HOME": r.dir}
	kadmin := func(args ...string) {
		t.Helper()
		args = append([]string{"--local", "--config-file=" + conf, "--realm=" + r.name}, args...)
		// It says why it failed, and exits as if it had not.
		if res := must(t, env, "", heimdal(t, "usr/bin/kadmin.heimdal"), args...); res.stderr != "" {
			t.Fatal(res)
		}
	}
	kadmin("init", "--realm-max-ticket-life=10h", "--realm-max-renewable-life=7d", r.name)
	kadmin("add", "--use-defaults", "--attributes=requires-pre-auth", "--password="+alicePassword, "alice")
	kadmin("add", "--use-defaults", "--password="+bobPassword, "bob")
	kadmin("add", "--use-defaults", "--random-key", "HTTP/localhost")
	kadmin("add", "--use-defaults", "--random-key", "HTTP/stranger.example")
	kadmin("ext_keytab", "--keytab="+r.path("service.keytab"), "HTTP/localhost")
	kadmin("ext_keytab", "--keytab="+r.path("alice.keytab"), "alice")
	serve(t, env, nil, []string{r.kdc}, heimdal(t, "usr/lib/heimdal-servers/kdc"),
		"--config-file="+conf, "--addresses=127.0.0.1", "--ports="+port(r.kdc))
	return r
}

// TestHeimdal runs what needs Heimdal's KDC and Apache, once for each encryption
// type. Apache has a keytab that Heimdal wrote.
func TestHeimdal(t *testing.T) {
	t.Parallel()
	for _, e := range append(slices.Clone(etypes), etype{23, "arcfour-hmac"}) {
		t.Run(e.name, func(t *testing.T) {
			r := startHeimdal(t, e)
			l := &lab{r, startWeb(t, r)}
			if !t.Run("curl", l.testCurl) {
				t.Fatal("the lab itself does not work")
			}
			for name, test := range map[string]func(*testing.T){
				"get credentials":   l.testCredentials,
				"get Heimdal cache": l.testHeimdalCache,
				"get TCP":           l.testTCP,
				"get delegation":    l.testDelegation,
				"get failures":      l.testFailures,
				"client retry":      l.testRetryKDC,
				"renewal":           l.testRenewal,
				"armour":            func(t *testing.T) { l.testArmor(t, l.path("service.keytab"), "HTTP/localhost") },
			} {
				t.Run(name, test)
			}
		})
	}
}

// testHeimdalCache shares caches with Heimdal's tools.
func (l *lab) testHeimdalCache(t *testing.T) {
	kinit := func() environment {
		env := l.env.with("KRB5CCNAME", "FILE:"+filepath.Join(t.TempDir(), "ccache"))
		must(t, env, "", heimdal(t, "usr/bin/kinit.heimdal"), "--forwardable", "--keytab="+l.path("alice.keytab"), "alice")
		return env
	}
	url := l.url(t, "http", "/auth/hello")
	ours := kinit()
	wantGet(t, l.get(t, ours, url), exitOK, l.verdict(), " as alice@"+l.name, "TGS exchange")
	if r := must(t, ours, "", heimdal(t, "usr/bin/heimtools"), "klist"); !strings.Contains(r.stdout, "HTTP/localhost@"+l.name) {
		t.Errorf("the ticket that we wrote is not there: %v", r)
	}
	theirs := kinit()
	must(t, theirs, "", heimdal(t, "usr/bin/kgetcred"), "HTTP/localhost")
	r := l.get(t, theirs, url)
	wantGet(t, r, exitOK, l.verdict(), " as alice@"+l.name, "at hand")
	if strings.Contains(r.stderr, "exchange") {
		t.Errorf("the ticket is in the cache: %v", r)
	}
}

// testRenewal gets a ticket that can be renewed, and renews it with
// the exchanges that the library is made of.
func (l *lab) testRenewal(t *testing.T) {
	c := l.kdcClient(t)
	alice := krb.NewPrincipal(l.name, "alice")
	tgt, err := c.AS(t.Context(), kdcclient.ASRequest{
		Client: alice, Keys: kdcclient.Password(alice, alicePassword), Lifetime: 10 * time.Minute, RenewLife: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	if life := tgt.RenewTill.Sub(tgt.EndTime); life < 40*time.Minute || tgt.Flags&krb.FlagRenewable == 0 {
		t.Fatalf("the ticket can be renewed for %v, want an hour: %v", life, tgt)
	}
	renewed, err := c.TGS(t.Context(), tgt, krb.Principal{}, kdcclient.TGSOptions{Renew: true})
	if err != nil {
		t.Fatal(err)
	}
	if renewed.EndTime.Before(tgt.EndTime) || !renewed.RenewTill.Equal(tgt.RenewTill) || !renewed.Server.Equal(tgt.Server) {
		t.Errorf("renewed %v to %v", tgt, renewed)
	}
	if _, err := c.TGS(t.Context(), renewed, krb.NewPrincipal(l.name, "HTTP", "localhost"), kdcclient.TGSOptions{}); err != nil {
		t.Errorf("a renewed ticket gets no other: %v", err)
	}
	plain, err := c.AS(t.Context(), kdcclient.ASRequest{Client: alice, Keys: kdcclient.Password(alice, alicePassword)})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.TGS(t.Context(), plain, krb.Principal{}, kdcclient.TGSOptions{Renew: true}); err == nil {
		t.Errorf("a ticket that is not renewable: %v, renewed to %v", plain, again)
	}
}

// kdcClient makes exchanges with the KDC, with keys of its type alone.
func (l *lab) kdcClient(t *testing.T) *kdcclient.Client {
	t.Helper()
	n, err := strconv.Atoi(port(l.kdc))
	if err != nil {
		t.Fatal(err)
	}
	return kdcclient.New(kdcclient.Options{
		Locate: func(context.Context, string) ([]kdcclient.KDC, error) {
			return []kdcclient.KDC{{Host: "127.0.0.1", Port: n}}, nil
		},
		Etypes: []int32{l.etype.number},
	})
}
