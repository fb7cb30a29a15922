//go:build interop

package interop

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Bits of msDS-SupportedEncryptionTypes and of userAccountControl (MS-KILE 2.2.7,
// MS-ADTS 2.2.16).
const (
	adRC4            = 0x4
	adAES            = 0x8 | 0x10
	adNoPreauth      = 0x400000
	adTrustedToDeleg = 0x80000
)

// The domain, in the form that testdata/ad.py reads.
type adDomain struct {
	Dir     string     `json:"dir"`
	Realm   string     `json:"realm"`
	Domain  string     `json:"domain"`
	Port    string     `json:"port"`
	Kpasswd string     `json:"kpasswd"`
	Users   []adUser   `json:"users"`
	Keytabs []adKeytab `json:"keytabs"`
}

type adUser struct {
	Name     string   `json:"name"`
	Password string   `json:"password"`
	UPN      string   `json:"upn,omitempty"`
	Flags    int      `json:"flags"`
	Etypes   int      `json:"etypes"`
	SPNs     []string `json:"spns,omitempty"`
	Groups   int      `json:"groups"` // groups of its own that it is in
}

type adKeytab struct {
	File      string `json:"file"`
	Principal string `json:"principal"`
}

// aliceUPN is the user principal name of alice, in a domain that is no realm.
const aliceUPN = "alice.smith@mail.example"

// startSamba starts the KDC of an Active Directory domain that ends with the
// test, for a realm as startRealm makes it. Tickets of alice are large, since
// she is in many groups. Beside the usual services there are, on the same
// server, HTTP/deleg.corp.example, which is trusted with delegation, and
// HTTP/rc4.corp.example, which has but an RC4 key.
func startSamba(t *testing.T) *realm {
	t.Helper()
	addrs := freePorts(t, 2)
	r := &realm{etype: etypes[1], name: "CORP.EXAMPLE", dir: tempDir(t), kdc: addrs[0], kpasswd: addrs[1]}
	service := func(name string, flags, etypes int, spns ...string) adUser {
		return adUser{Name: name, Password: "the password of " + name, Flags: flags, Etypes: etypes, SPNs: spns}
	}
	d := adDomain{
		Dir: r.path("ad"), Realm: r.name, Domain: "CORP", Port: port(addrs[0]), Kpasswd: port(addrs[1]),
		Users: []adUser{
			{Name: "alice", Password: alicePassword, UPN: aliceUPN, Etypes: adAES, Groups: 100},
			{Name: "bob", Password: bobPassword, Flags: adNoPreauth, Etypes: adAES},
			service("web", 0, adAES, "HTTP/localhost"),
			service("stranger", 0, adAES, "HTTP/stranger.example"),
			service("deleg", adTrustedToDeleg, adAES, "HTTP/deleg.corp.example"),
			service("rc4", 0, adRC4, "HTTP/rc4.corp.example"),
			service("gateway", 0, adAES, "HTTP/gateway.corp.example"),
			service("plain", 0, adAES, "HTTP/plain.corp.example"),
		},
		Keytabs: []adKeytab{
			{r.path("service.keytab"), "HTTP/localhost"},
			{r.path("service.keytab"), "HTTP/deleg.corp.example"},
			{r.path("service.keytab"), "HTTP/rc4.corp.example"},
			{r.path("alice.keytab"), "alice"},
			{r.path("gateway.keytab"), "gateway"},
			{r.path("plain.keytab"), "plain"},
		},
	}
	if err := os.Mkdir(d.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	in, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	env := environment{"HOME": r.dir, "TDB_NO_FSYNC": "1"}
	must(t, env, string(in), debianPython(t), filepath.Join("testdata", "ad.py"))
	serve(t, env, nil, []string{r.kdc}, tool(t, "samba"), "--foreground", "--no-process-group",
		"--model=single", "--debug-stdout", "--configfile="+filepath.Join(d.Dir, "smb.conf"))
	r.conf = r.config(t, "krb5.conf", r.kdc)
	r.env = environment{"KRB5_CONFIG": r.conf, "HOME": r.dir, "KRB5CCNAME": "FILE:" + r.path("none")}
	return r
}

// debianPython returns the interpreter that Debian's modules are for, which
// another one may hide.
func debianPython(t *testing.T) string {
	t.Helper()
	const path = "/usr/bin/python3"
	if out, err := exec.Command(path, "-c", "import samba.dckeytab, samba.provision").CombinedOutput(); err != nil {
		t.Fatalf("Samba's Python modules are missing: install the Debian packages python3-samba, samba-ad-provision and samba-ad-dc (.ci/packages does): %v\n%s", err, out)
	}
	return path
}

// TestSamba runs what needs an Active Directory domain controller and Apache,
// which has a keytab that Samba exported.
func TestSamba(t *testing.T) {
	t.Parallel()
	r := startSamba(t)
	server := *r
	server.etype.name += " arcfour-hmac"
	server.conf = server.config(t, "server.conf", r.kdc)
	l := &lab{r, startWeb(t, &server)}
	if !t.Run("curl", l.testCurl) {
		t.Fatal("the lab itself does not work")
	}
	for name, test := range map[string]func(*testing.T){
		"get credentials":      l.testCredentials,
		"get large ticket":     l.testLargeTicket,
		"get enterprise name":  l.testEnterprise,
		"get lower-case realm": l.testLowerCase,
		"get RC4":              l.testRC4,
		"get TCP":              l.testTCP,
		"get delegation":       l.testDelegation,
		"get trusted service":  l.testTrusted,
		"get failures":         l.testFailures,
		"client retry":         l.testRetryKDC,
		"renewal":              l.testRenewal,
		"lock-out":             l.testLockOut,
		"NTSTATUS":             l.testNTStatus,
		"acting for users":     l.testActingForUsers,
		"expired password":     l.testExpiredPassword,
		"armour":               func(t *testing.T) { l.testArmor(t, l.path("gateway.keytab"), "gateway") },
	} {
		t.Run(name, test)
	}
}

// testLargeTicket has tickets that no datagram holds: the KDC sends us to TCP with
// the first, with which we then go there ourselves.
func (l *lab) testLargeTicket(t *testing.T) {
	big := []string{"AS exchange with " + l.kdc + "/udp", "answered KRB_ERR_RESPONSE_TOO_BIG", "AS exchange with " + l.kdc + "/tcp"}
	for name, tc := range map[string]struct {
		env  environment
		args []string
		want []string
	}{
		"ccache":   {l.kinit(t), nil, nil},
		"keytab":   {l.env, []string{"--keytab", l.path("alice.keytab"), "--principal", "alice"}, big},
		"password": {l.env, []string{"--principal", "alice", "--password-file", passwordFile(t, alicePassword)}, big},
	} {
		t.Run(name, func(t *testing.T) {
			r := l.get(t, tc.env, append(tc.args, l.url(t, "http", "/auth/hello"))...)
			wantGet(t, r, exitOK, append(tc.want, l.verdict(), "TGS exchange with "+l.kdc+"/tcp")...)
		})
	}
}

// testEnterprise logs in with names that the KDC translates.
func (l *lab) testEnterprise(t *testing.T) {
	escaped := strings.ReplaceAll(aliceUPN, "@", `\@`) + "@" + l.name
	kinit := func(flags ...string) environment {
		env := l.env.with("KRB5CCNAME", "FILE:"+filepath.Join(t.TempDir(), "ccache"))
		must(t, env, alicePassword+"\n", tool(t, "kinit"), append(flags, aliceUPN)...)
		return env
	}
	password := passwordFile(t, alicePassword)
	for name, tc := range map[string]struct {
		env  environment
		args []string
		who  string
	}{
		"kinit -C -E":    {kinit("-C", "-E"), nil, "alice@" + l.name},
		"kinit -E":       {kinit("-E"), nil, escaped}, // which changes no names
		"UPN":            {l.env, []string{"--enterprise", "--principal", aliceUPN, "--password-file", password}, "alice@" + l.name},
		"UPN with realm": {l.env, []string{"--principal", escaped, "--password-file", password}, "alice@" + l.name},
		"implicit UPN": {
			l.env, []string{"--enterprise", "--principal", "alice@" + strings.ToLower(l.name), "--password-file", password}, "alice@" + l.name,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := l.get(t, tc.env, append(tc.args, l.url(t, "http", "/auth/hello"))...)
			wantGet(t, r, exitOK, l.verdict(), " as "+tc.who)
		})
	}
	r := l.get(t, l.env, "--enterprise", "--principal", "nobody@mail.example", "--password-file", password, l.url(t, "http", "/auth/hello"))
	wantGet(t, r, exitCredentials, "nobody", "mail.example")
}

// testLowerCase spells the realm as the domain is, for which krb5.conf has no
// KDC.
func (l *lab) testLowerCase(t *testing.T) {
	r := l.get(t, l.env, "--principal", "alice@"+strings.ToLower(l.name), "--password-file", passwordFile(t, alicePassword), l.url(t, "http", "/auth/hello"))
	wantGet(t, r, exitKDC, "alice@"+strings.ToLower(l.name), "in capitals")
}

// testTrusted delegates to the service that the domain marks for it, by policy.
func (l *lab) testTrusted(t *testing.T) {
	r := l.get(t, l.env, "--principal", "alice", "--password-file", passwordFile(t, alicePassword), "--delegate", "policy",
		"--host-override", "deleg.corp.example", l.url(t, "http", "/auth/cgi/deleg"))
	wantGet(t, r, exitOK, "the server holds the key of HTTP/deleg.corp.example@"+l.name, "delegates the user's credentials")
	for _, want := range []string{"Default principal: alice@" + l.name, "HTTP/localhost@" + l.name + ": kvno = "} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("want %q in what the server did with the credentials: %v", want, r)
		}
	}
}

// testRC4 goes to a service that has an RC4 key alone, which must be allowed.
func (l *lab) testRC4(t *testing.T) {
	env := l.kinit(t)
	args := []string{"--host-override", "rc4.corp.example", l.url(t, "http", "/auth/hello")}
	r := l.get(t, env, args...)
	wantGet(t, r, exitKDC, "KDC_ERR_ETYPE_NOSUPP", "HTTP/rc4.corp.example")
	allowed := *l.realm
	allowed.etype.name += " arcfour-hmac"
	env = env.with("KRB5_CONFIG", allowed.config(t, "rc4.conf", l.kdc, "allow_rc4 = true"))
	must(t, env, "", tool(t, "kvno"), "HTTP/rc4.corp.example")
	for _, with := range [][]string{nil, {"--keytab", l.path("alice.keytab"), "--principal", "alice"}} {
		r = l.get(t, env, append(with, args...)...)
		wantGet(t, r, exitOK, "the server holds the key of HTTP/rc4.corp.example@"+l.name, "arcfour-hmac")
	}
}
