package krb5conf

import (
	"io/fs"
	"os"
	"path"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The samples are files as the distributions ship them or their tools write
// them, each a root directory: RHEL 9 out of the box, Debian, a host enrolled
// by ipa-client-install, one joined to Active Directory by realmd and sssd.

func sample(t testing.TB, name string) *Config {
	t.Helper()
	c, err := Load([]string{"/etc/krb5.conf"}, machine(os.DirFS(path.Join("testdata/samples", name))))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// summary is what the samples set.
type summary struct {
	Realm, CCache          string
	Hostname               Canonicalize
	RDNS, DNSRealm, DNSKDC bool
	Forwardable, Canon     bool
	Lifetime, Renew        time.Duration
	UDP                    int
	Enctypes               []int32
	KDCs                   []string
	RealmOf                map[string]string
	Files                  []string
	Warnings               string
}

func summarize(c *Config, hosts ...string) summary {
	s := summary{
		Realm: c.DefaultRealm, CCache: c.DefaultCCacheName, Hostname: c.CanonicalizeHostname, RDNS: c.RDNS,
		DNSRealm: c.DNSLookupRealm, DNSKDC: c.DNSLookupKDC, Forwardable: c.Forwardable, Canon: c.Canonicalize,
		Lifetime: c.TicketLifetime, Renew: c.RenewLifetime, UDP: c.UDPPreferenceLimit,
		Enctypes: c.DefaultTktEnctypes, Files: c.Profile.Files(), Warnings: said(c.Warnings),
		RealmOf: make(map[string]string),
	}
	for _, k := range c.KDCs(c.DefaultRealm) {
		s.KDCs = append(s.KDCs, k.Address())
	}
	for _, host := range hosts {
		s.RealmOf[host], _ = c.RealmOf(host)
	}
	return s
}

func TestSamples(t *testing.T) {
	const day = 24 * time.Hour
	for name, tc := range map[string]struct {
		hosts []string
		want  summary
	}{
		"rhel9": {[]string{"www.example.com"}, summary{
			CCache: "KCM:", Hostname: CanonicalizeFallback, DNSKDC: true, Forwardable: true,
			Lifetime: day, Renew: 7 * day, UDP: 1465,
			Enctypes: []int32{18, 20, 19, 17},
			RealmOf:  map[string]string{"www.example.com": ""},
			Files:    []string{"/etc/krb5.conf", "/etc/krb5.conf.d/crypto-policies", "/etc/krb5.conf.d/kcm_default_ccache"},
		}},
		"debian": {[]string{"web.mit.edu", "mit.edu", "x.csail.mit.edu", "www.stanford.edu", "stanford.edu"}, summary{
			Realm: "ATHENA.MIT.EDU", CCache: "FILE:/tmp/krb5cc_1000", DNSKDC: true, Forwardable: true,
			Lifetime: day, UDP: 1465,
			Enctypes: []int32{18, 17, 20, 19},
			KDCs:     []string{"kerberos.mit.edu:88", "kerberos-1.mit.edu:88", "kerberos-2.mit.edu:88"},
			RealmOf: map[string]string{"web.mit.edu": "ATHENA.MIT.EDU", "mit.edu": "ATHENA.MIT.EDU",
				"x.csail.mit.edu": "CSAIL.MIT.EDU", "www.stanford.edu": "stanford.edu", "stanford.edu": ""},
			Files: []string{"/etc/krb5.conf"},
		}},
		"freeipa": {[]string{"client7.ipa.example.org", "dc1.ad.example.org", "example.org"}, summary{
			Realm: "IPA.EXAMPLE.ORG", CCache: "KEYRING:persistent:1000", Hostname: CanonicalizeNever,
			DNSRealm: true, DNSKDC: true, Forwardable: true, Canon: true, Lifetime: day, UDP: 0,
			Enctypes: []int32{18, 17, 20, 19},
			KDCs:     []string{"ipa1.ipa.example.org:88"},
			RealmOf: map[string]string{"client7.ipa.example.org": "IPA.EXAMPLE.ORG",
				"dc1.ad.example.org": "AD.EXAMPLE.ORG", "example.org": ""},
			Files: []string{"/etc/krb5.conf", "/etc/krb5.conf.d/freeipa",
				"/var/lib/sss/pubconf/krb5.include.d/domain_realm_ipa_example_org",
				"/var/lib/sss/pubconf/krb5.include.d/krb5_libdefaults",
				"/var/lib/sss/pubconf/krb5.include.d/localauth_plugin"},
		}},
		"ad": {[]string{"dc1.corp.example.com", "fs.emea.corp.example.com"}, summary{
			Realm: "CORP.EXAMPLE.COM", CCache: "KEYRING:persistent:1000", DNSKDC: true, Forwardable: true,
			Canon: true, Lifetime: day, Renew: 7 * day, UDP: 1,
			Enctypes: []int32{18, 17, 23},
			RealmOf: map[string]string{"dc1.corp.example.com": "CORP.EXAMPLE.COM",
				"fs.emea.corp.example.com": "EMEA.CORP.EXAMPLE.COM"},
			Files: []string{"/etc/krb5.conf", "/etc/krb5.conf.d/rc4.conf",
				"/var/lib/sss/pubconf/krb5.include.d/domain_realm_corp_example_com",
				"/var/lib/sss/pubconf/krb5.include.d/krb5_libdefaults"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, summarize(sample(t, name), tc.hosts...)); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestSampleDetails(t *testing.T) {
	ipa := sample(t, "freeipa")
	if got := ipa.PrimaryKDCs("IPA.EXAMPLE.ORG"); len(got) != 1 || got[0].Where() != "/etc/krb5.conf:21" {
		t.Errorf("primary KDCs %+v", got)
	}
	if got := ipa.AdminServers("IPA.EXAMPLE.ORG"); len(got) != 1 || got[0].Address() != "ipa1.ipa.example.org:749" {
		t.Errorf("admin servers %+v", got)
	}
	if between, ok := ipa.Capath("IPA.EXAMPLE.ORG", "AD.EXAMPLE.ORG"); !ok || len(between) != 0 {
		t.Errorf("capath %q %v, want the direct way", between, ok)
	}
	ad := sample(t, "ad")
	if !ad.HasRealm("CORP.EXAMPLE.COM") || ad.KDCs("CORP.EXAMPLE.COM") != nil {
		t.Error("a realm whose KDCs are in DNS alone")
	}
	want := []Value{{"root", "/etc/krb5.conf", 24}}
	if d := cmp.Diff(want, ad.Profile.Values("realms", "CORP.EXAMPLE.COM", "auth_to_local_names", "Administrator")); d != "" {
		t.Errorf("auth_to_local_names: -want +got:\n%s", d)
	}
	if got := ad.Source("allow_rc4").Where(); got != "/etc/krb5.conf.d/rc4.conf:2" {
		t.Errorf("allow_rc4 from %s", got)
	}
	if rhel := sample(t, "rhel9"); rhel.Source("qualify_shortname").Line != 20 || rhel.QualifyShortname != "" {
		t.Errorf("qualify_shortname %q from %s", rhel.QualifyShortname, rhel.Source("qualify_shortname").Where())
	}
}

// sampleTexts returns every file of every sample and of the comparison with
// MIT.
func sampleTexts(t testing.TB) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	err := fs.WalkDir(os.DirFS("testdata"), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || name == "mit/golden.txt" || name == "profdump.c" {
			return err
		}
		text, err := os.ReadFile("testdata/" + name)
		texts[name] = string(text)
		return err
	})
	if err != nil || len(texts) < 70 {
		t.Fatalf("%d samples, %v", len(texts), err)
	}
	return texts
}

// exercise asks everything of a profile. It is to end without a panic.
func exercise(p *Profile) *Config {
	c := New(p, machine(tree(nil)))
	for _, realm := range c.Realms() {
		for _, s := range c.KDCs(realm) {
			_ = s.Address()
		}
		c.RealmPath(realm, "A.B")
		c.For(realm)
	}
	for _, host := range p.Keys("domain_realm") {
		c.RealmOf(host)
		c.RealmOf("x" + host)
	}
	dump(p)
	said(c.Warnings)
	return c
}

func TestTruncation(t *testing.T) {
	for name, text := range sampleTexts(t) {
		for n := range len(text) + 1 {
			p, err := Parse(name, []byte(text[:n]))
			if (p == nil) == (err == nil) {
				t.Fatalf("%s cut at %d: %v and %v", name, n, p, err)
			}
			if p != nil {
				exercise(p)
			}
		}
	}
}

func TestMutation(t *testing.T) {
	for name, text := range sampleTexts(t) {
		mutant := []byte(text)
		for i, old := range mutant {
			for _, c := range []byte{0, '\n', '=', '{', '}', '[', ']', '*', '"', '#', old ^ 0x80, old ^ 0x20} {
				mutant[i] = c
				if p, err := Parse(name, mutant); err == nil && i%16 == 0 {
					exercise(p)
				}
			}
			mutant[i] = old
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	for _, name := range []string{"rhel9", "debian"} {
		b.Run(name, func(b *testing.B) {
			// From memory: the files' own cost is not ours.
			files := make(map[string]string)
			root := os.DirFS("testdata/samples/" + name)
			err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				text, err := fs.ReadFile(root, name)
				files[name] = string(text)
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
			o := machine(tree(files))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Load([]string{"/etc/krb5.conf"}, o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRealmOf(b *testing.B) {
	c := sample(b, "debian")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := c.RealmOf("www.a.b.mit.edu"); !ok {
			b.Fatal("no realm")
		}
	}
}
