package doctor_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/client/clienttest"
	"github.com/kerbchain/kerbchain/doctor"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/kerberos"
)

// What is on this machine: krb5.conf, caches and keytabs.
func TestConfigurationAndCredentials(t *testing.T) {
	t.Parallel()
	l := newLab(t, fakeweb.Options{}, fakeweb.ServerOptions{}, fakekdc.WithLifetime(10*time.Hour, 24*time.Hour))
	alice := l.write("alice.keytab", l.Keytab("alice"))
	rc4 := fakekdc.Start(t, fakekdc.WithRealm("EXAMPLE.TEST"), fakekdc.WithUser("alice", password), fakekdc.WithEtypes(23))
	dir := filepath.Join(l.dir, "caches")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l.write("caches/tkt1", l.CCache("alice"))
	l.write("caches/primary", []byte("tkt1\n"))
	cache, err := ccache.Parse(l.CCache("alice", "HTTP/localhost"))
	if err != nil {
		t.Fatal(err)
	}
	cache.Credentials = slices.DeleteFunc(cache.Credentials, func(c ccache.Credential) bool { return c.Server.IsTGS() })
	alone, err := cache.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	shared := l.write("shared", l.CCache("alice"))
	if err := os.Chmod(shared, 0o640); err != nil {
		t.Fatal(err)
	}
	at := func(d time.Duration) func(*doctor.Options) {
		return func(o *doctor.Options) { o.Client.Now = func() time.Time { return time.Now().Add(d) } }
	}
	armor := func(keytab string) *kerberos.Source {
		o := kerberos.SourceOptions{Getenv: func(name string) string { return l.env[name] }}
		s, err := kerberos.FromCCache("FILE:/nonexistent", o)
		if keytab != "" {
			s, err = kerberos.FromKeytab(keytab, o)
		}
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	broken := l.write("broken.conf", []byte("[libdefaults\n"))
	odd := l.write("odd.conf", []byte(l.Config("clockskew = soon", "pkinit_anchors = FILE:/x")))
	for name, tc := range map[string]struct {
		env     map[string]string
		change  func(*doctor.Options)
		want    []string
		windows bool // it is another way there
	}{
		"as it should be": {want: []string{
			"ok configuration: krb5.conf", "ok setting: default_realm = EXAMPLE.TEST (" + l.env["KRB5_CONFIG"] + ":",
			"ok credentials: FILE:" + l.dir, "ok credentials: as alice@EXAMPLE.TEST: there is no other", "ok cache: rw",
			"ok tgt: krbtgt/EXAMPLE.TEST@EXAMPLE.TEST, from ", "ok tgt: renewable until ", "ok tgt: flags forwardable", "ok tgt: session key aes256-cts-hmac-sha1-96, sealed with aes256",
		}},
		"no file": {env: map[string]string{"KRB5_CONFIG": "/nonexistent"}, want: []string{"warn configuration: no krb5.conf was found", "warn configuration: /nonexistent: file does not exist", "try: write a krb5.conf"}},
		"a file that is damaged": {env: map[string]string{"KRB5_CONFIG": broken}, want: []string{
			"fail configuration: broken.conf:1: wanted ]", "skip credentials: no credentials to go by", "try: mend the file"}},
		"settings that do nothing": {env: map[string]string{"KRB5_CONFIG": odd}, want: []string{
			"ok setting: pkinit_anchors = FILE:/x (" + odd, "ok setting: of which no use is made", "warn warning: clockskew = \"soon\"", "try: look at " + odd}},
		"no cache":        {env: map[string]string{"KRB5CCNAME": "FILE:/nonexistent"}, want: []string{"fail credentials: /nonexistent", "try: kinit"}},
		"expired":         {change: at(11 * time.Hour), want: []string{"fail credentials: expired", "warn tgt: it has expired", "try: run kinit"}},
		"not valid yet":   {change: at(-time.Hour), want: []string{"fail tgt: it is not valid yet", "try: compare the clock"}},
		"at its end":      {change: at(10*time.Hour - 5*time.Minute), want: []string{"warn tgt: it ends in ", "try: run kinit"}},
		"with time left":  {change: at(10*time.Hour - 11*time.Minute), want: []string{"ok tgt: krbtgt"}},
		"RC4":             {env: map[string]string{"KRB5CCNAME": l.write("rc4", rc4.CCache("alice"))}, change: func(o *doctor.Options) { o.Client.AllowRC4 = true }, want: []string{"warn tgt: RC4"}},
		"others may read": {env: map[string]string{"KRB5CCNAME": shared}, want: []string{"warn cache: others may read", "try: chmod 600 " + shared}, windows: true},
		"a collection":    {env: map[string]string{"KRB5CCNAME": "DIR:" + dir}, want: []string{"ok credentials: DIR::" + dir, "ok cache: DIR::"}},
		"service tickets": {env: map[string]string{"KRB5CCNAME": l.write("alone", alone)}, want: []string{"ok credentials: alone", "warn tgt: no ticket-granting ticket, and 1 other", "try: run kinit"}},
		"damaged cache":   {env: map[string]string{"KRB5CCNAME": l.write("damaged", []byte("x"))}, want: []string{"fail credentials: ends too early"}},
		"client keytab": {env: map[string]string{"KRB5CCNAME": "FILE:/nonexistent", "KRB5_CLIENT_KTNAME": alice}, want: []string{
			"ok credentials: client keytab " + alice, "ok credentials: holds nothing of use", "ok client keytab: alice@EXAMPLE.TEST version 1 aes256-cts-hmac-sha1-96, alice@EXAMPLE.TEST version 1 aes128"}},
		"no client keytab":      {env: map[string]string{"KRB5_CLIENT_KTNAME": "/nonexistent"}, want: []string{"skip client keytab: none at /nonexistent"}},
		"damaged client keytab": {env: map[string]string{"KRB5_CLIENT_KTNAME": l.write("bad.keytab", []byte("\x05\x02\x00\x00\x00\x40x"))}, want: []string{"warn client keytab: is damaged"}},
		"empty client keytab":   {env: map[string]string{"KRB5_CLIENT_KTNAME": l.write("none.keytab", []byte("\x05\x02"))}, want: []string{"warn client keytab: holds no keys"}},
		"a folder for a keytab": {env: map[string]string{"KRB5_CLIENT_KTNAME": dir}, want: []string{"warn client keytab: cannot be read"}},
		"RC4 client keytab":     {env: map[string]string{"KRB5_CLIENT_KTNAME": l.write("rc4.keytab", rc4.Keytab("alice"))}, want: []string{"warn client keytab: RC4 keys alone"}},
		"keytab":                {change: func(o *doctor.Options) { o.Client.Keytab = alice }, want: []string{"ok credentials: keytab " + alice + ", as alice@EXAMPLE.TEST", "ok keytab: version 1"}},
		"no keytab": {change: func(o *doctor.Options) { o.Client.Keytab = "/nonexistent" }, want: []string{"ok configuration: krb5.conf", "ok setting: default_realm", "fail credentials: /nonexistent",
			"ok realm: EXAMPLE.TEST", "ok kdc: over udp answers", "ok server: 401", "skip ticket: no credentials", "skip answer: no ticket", "try: name a keytab file that exists"}},
		"a folder as keytab": {change: func(o *doctor.Options) { o.Client.Keytab = dir }, want: []string{"fail credentials: not a regular file", "try: name credentials that this process can read"}},
		"no keytab, and nobody may be asked": {change: func(o *doctor.Options) {
			o.Client.Keytab, o.Client.AllowedHosts = "/nonexistent", []string{"*.corp.example"}
		},
			want: []string{"fail credentials: /nonexistent", "fail allowed: AllowedHosts leaves out", "skip answer: nothing was sent"}},
		"a list that cannot be read": {change: func(o *doctor.Options) { o.Client.AllowedHosts = []string{"["} },
			want: []string{"fail configuration: AllowedHosts", "ok configuration: krb5.conf", "ok kdc: ", "skip server: AllowedHosts cannot be read", "skip answer: nothing was sent", "try: mend the option"}},
		"neither a list nor credentials": {change: func(o *doctor.Options) {
			o.Client.AllowedHosts, o.CredentialsErr = []string{"["}, errors.New("no password there")
		}, want: []string{"fail configuration: AllowedHosts", "fail credentials: no password there", "skip server: AllowedHosts cannot be read", "skip answer: nothing was sent"}},
		"no service": {change: func(o *doctor.Options) { o.Client.Service = "/x" },
			want: []string{"fail configuration: service class", "ok configuration: krb5.conf", "skip credentials: no credentials", "ok kdc: ", "ok server: 401", "try: mend the option"}},
		"credentials that somebody could not read": {change: func(o *doctor.Options) {
			o.Client.Principal, o.CredentialsErr = "bob@OTHER.TEST", errors.New("no password there")
		}, want: []string{"ok configuration: krb5.conf", "fail credentials: no password there", "ok server: 401", "fail kdc: OTHER.TEST", "skip ticket: no credentials", "skip answer: no ticket", "try: name credentials"}},
		"no credentials, and krb5.conf is damaged": {env: map[string]string{"KRB5_CONFIG": broken}, change: func(o *doctor.Options) { o.CredentialsErr = errors.New("no password there") },
			want: []string{"fail configuration: broken.conf:1: wanted ]", "fail credentials: no password there", "ok server: 401", "try: mend the file", "try: name credentials"}},
		"armour": {change: func(o *doctor.Options) { o.Client.Armor, o.Client.Keytab = armor(alice), alice }, want: []string{"ok armor: keytab " + alice + ", as alice@EXAMPLE.TEST, protects the login", "fail login: "}},
		"no armour": {change: func(o *doctor.Options) { o.Client.Armor, o.Client.Keytab = armor(""), alice },
			want: []string{"fail armor: /nonexistent", "skip ticket: there is none: ", "skip answer: ", "try: kinit -k -c"}},
		"no armour, and no login": {change: func(o *doctor.Options) { o.Client.Armor = armor("") }, want: []string{"warn armor: a login has no armour", "ok answer: 200", "try: kinit -k -c"}},
		"a password": {change: func(o *doctor.Options) {
			o.Client.Principal, o.Client.Password = "alice", kerberos.NewSecret(password)
		}, want: []string{"ok credentials: password, as alice@EXAMPLE.TEST"}},
		"two kinds of credentials": {change: func(o *doctor.Options) { o.Client.Keytab, o.Client.CCache = alice, shared }, want: []string{"fail configuration: "}},
		"a source of one's own": {change: func(o *doctor.Options) {
			o.Client = client.Options{Source: kerberos.NewImpersonator(clienttest.TicketSource(t, l.Realm, "alice")), Transport: o.Client.Transport}
		}, want: []string{"skip configuration: tickets come from a *kerberos.Impersonator", "skip credentials: ", "fail ticket: ", "skip answer: "}},
		"the KDC's name has no address": {
			env:    map[string]string{"KRB5_CONFIG": l.write("names.conf", []byte(strings.Replace(l.Config(), "kdc = 127", "kdc = none.example.test\n    kdc = 127", 1)))},
			change: func(o *doctor.Options) { o.Client.Resolver = noDNS{} },
			want: []string{"warn kdc: EXAMPLE.TEST: none.example.test:88 does not answer: lookup", "ok kdc: over udp answers", "ok answer: 200",
				"try: look for mistakes in the name, and at the name servers of this machine", "try: and at [realms] in krb5.conf"},
		},
		"a source of ours": {change: func(o *doctor.Options) {
			o.Client = client.Options{Source: clienttest.TicketSource(t, l.Realm, "alice"), Transport: o.Client.Transport}
		}, want: []string{"ok credentials: ", "ok kdc: ", "ok ticket: HTTP/localhost@EXAMPLE.TEST", "ok answer: 200"}},
		"an initiator with a list of its own": {change: func(o *doctor.Options) {
			in, err := client.NewInitiator(client.Options{Source: clienttest.TicketSource(t, l.Realm, "alice"), AllowedHosts: []string{"*.corp.example"}})
			if err != nil {
				t.Fatal(err)
			}
			o.Client = client.Options{Initiator: in, Transport: o.Client.Transport}
		}, want: []string{"fail allowed: ", "skip answer: ", "try: AllowedHosts"}},
		"an initiator of one's own": {change: func(o *doctor.Options) {
			in, err := client.NewInitiator(client.Options{Source: clienttest.TicketSource(t, l.Realm, "alice")})
			if err != nil {
				t.Fatal(err)
			}
			o.Client = client.Options{Initiator: in, Transport: o.Client.Transport}
		}, want: []string{"skip configuration: the initiator", "skip credentials: the initiator", "skip kdc: the initiator", "skip realm: ",
			"ok ticket: HTTP/localhost@EXAMPLE.TEST", "ok token: ", "ok answer: 200"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.windows && runtime.GOOS == "windows" {
				t.Skip("files have no such mode")
			}
			o := l.options(tc.env)
			if tc.change != nil {
				tc.change(&o)
			}
			r := l.examine(o)
			wants(t, r, tc.want...)
			if want := "HTTP/localhost@EXAMPLE.TEST"; name == "an initiator of one's own" && r.Service != want {
				t.Errorf("service %s, want %s", r.Service, want)
			}
			failed := slices.ContainsFunc(r.Checks, func(c doctor.Check) bool { return c.Status == doctor.Fail })
			if r.OK == failed || len(r.Try) > 3 || failed && len(r.Try) == 0 {
				t.Errorf("OK %t, failed %t, %q", r.OK, failed, r.Try)
			}
			if strings.Contains(r.String(), password) {
				t.Error("the password is in it")
			}
		})
	}
}

// What no request can be made for.
func TestURL(t *testing.T) {
	for _, url := range []string{"", "ftp://x/", "http://", "http://%zz/", "http://a%25b/", "x"} {
		if r, err := doctor.Examine(t.Context(), url, doctor.Options{}); r != nil || err == nil {
			t.Errorf("%q: %v, %v", url, r, err)
		}
	}
}

// A cache that is not used because it is another user's has its advice from the choice of
// credentials, and not once more.
func TestForeignCacheAdvice(t *testing.T) {
	t.Parallel()
	l := newLab(t, fakeweb.Options{}, fakeweb.ServerOptions{})
	dir := filepath.Join(l.dir, "shared")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	cache := l.write("shared/cc", l.CCache("alice"))
	if runtime.GOOS == "windows" || os.Chown(cache, 4711, -1) != nil {
		t.Skip("files cannot be given away here")
	}
	if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	r := l.examine(l.options(map[string]string{"KRB5CCNAME": "FILE:" + cache}))
	if len(r.Try) != 1 || !strings.HasPrefix(r.Try[0], "remove that file, or run kinit with another name") {
		t.Errorf("to try: %q", r.Try)
	}
}
