package krb5conf

import (
	"fmt"
	"os"
	"path"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// TestMisplaced: a name that nothing reads where it stands is told of with its line, if
// it looks like one that is read there or is read elsewhere. Names of which nobody knows
// anything are those of other programs.
func TestMisplaced(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"all in its place": {`[libdefaults]
 default_realm = A.TEST
 dns_lookup_kdc = true
 default_as_etypes = aes256-cts-hmac-sha1-96
 fcc-mit-ticketflags = true
 kdc_timeout = 3000
 v4_name_convert = {
  host = {
   rcmd = host
  }
 }
 A.TEST = {
  pkinit_anchors = FILE:/x
  disable_encrypted_timestamp = true
  forwardable = true
 }
[realms]
 A.TEST = {
  kdc = a.test
  master_kdc = a.test
  pkinit_anchors = FILE:/x
  max_renewable_life = 7d
  auth_to_local_names = {
   default_realm = root
  }
 }
[domain_realm]
 kdc_a.a.test = A.TEST
 kdc = A.TEST
 realm = A.TEST
 .a.test = A.TEST
[appdefaults]
 default_realm = A.TEST
 pam = {
  kdc = x
 }
[plugins]
 localauth = {
  module = sssd:/x
 }
[kdcdefaults]
 kdc_ports = 88
[login]
 krb4_convert = false
[kdc]
 enable-http = true
[logging]
 default = FILE:/x
`, nil},
		"programs' own": {"[libdefaults]\n frobnicate = 1\n vendor_kdc_list = x\n rdn = x\n[my-program]\n default_realm = x\n[realms]\n A = {\n ldap = x\n }\n", []string{
			`4: nothing reads "rdn" in [libdefaults]: the nearest name that is known is rdns`}},
		"letters that change places": {"[libdefaults]\n dns_lookup_kcd = x\n", []string{`2: nothing reads "dns_lookup_kcd" in [libdefaults]: the nearest name that is known is dns_lookup_kdc`}},
		"two letters":                {"[libdefaults]\n dns_canonicalise_hostnam = x\n", []string{`2: nothing reads "dns_canonicalise_hostnam" in [libdefaults]: the nearest name that is known is dns_canonicalize_hostname`}},
		"three letters":              {"[libdefaults]\n dns_canonicalise_hostna = x\n", nil},
		"case":                       {"[LibDefaults]\n x = y\n[libdefaults]\n Default_Realm = x\n", []string{`1: nothing reads [LibDefaults]: the nearest section that is known is [libdefaults]`, `4: nothing reads "Default_Realm" in [libdefaults]: the nearest name that is known is default_realm`}},
		"hyphens":                    {"[libdefaults]\n default-realm = x\n", []string{`2: nothing reads "default-realm" in [libdefaults]: the nearest name that is known is default_realm`}},
		"once for all its values":    {"[libdefaults]\n default-realm = x\n default-realm = y\n", []string{`2: nothing reads "default-realm" in`}},
		"a section":                  {"[realm]\n A = {\n kdc = x\n }\n[domain_realms]\n x = y\n", []string{`1: nothing reads [realm]: the nearest section that is known is [realms]`, `5: nothing reads [domain_realms]: the nearest section that is known is [domain_realm]`}},
		"of a realm":                 {"[realms]\n A = {\n kdc_ = a\n kcd = a\n }\n", []string{`3: nothing reads "kdc_" in a realm of [realms]: the nearest name that is known is kdc`, `4: nothing reads "kcd" in a realm of [realms]: the nearest name that is known is kdc`}},
		"of a realm's settings":      {"[libdefaults]\n A = {\n forwardabel = true\n }\n", []string{`3: nothing reads "forwardabel" in a realm of [libdefaults]: the nearest name that is known is forwardable`}},
		"of [libdefaults]":           {"[realms]\n A = {\n dns_lookup_kdc = true\n }\n[domain_realm]\n default_realm = A\n[capaths]\n clockskew_ = 1\n kdc_timesync = 1\n", []string{`3: nothing reads "dns_lookup_kdc" in a realm of [realms]: it belongs in [libdefaults]`, `6: nothing reads "default_realm" in [domain_realm]: it belongs in [libdefaults]`, `9: nothing reads "kdc_timesync" in [capaths]: it belongs in [libdefaults]`}},
		"of [realms]":                {"[libdefaults]\n kdc = x\n admin_server = y\n[kdcdefaults]\n acl_file = /x\n[domain_realm]\n kdc = A\n", []string{`2: nothing reads "kdc" in [libdefaults]: it belongs in a realm of [realms]`, `3: nothing reads "admin_server" in [libdefaults]`, `5: nothing reads "acl_file" in [kdcdefaults]: it belongs in a realm`}},
		"a section within another":   {"[libdefaults]\n realms = {\n x = y\n }\n", []string{`2: nothing reads the section "realms" in [libdefaults]: write [realms] for it`}},
		"of plug-ins":                {"[plugins]\n localauths = {\n modul = x\n }\n mine = {\n module = x\n }\n", []string{`2: nothing reads "localauths" in [plugins]: the nearest name that is known is localauth`, `3: nothing reads "modul" in an interface of [plugins]: the nearest name that is known is module`}},
		"of other programs' files":   {"[global]\n workgroup = A\n default_realm = x\n[domain/a.test]\n id_provider = ad\n[sssd]\n services = nss\n[service/HTTP]\n euid = 0\n", []string{`1: nothing reads [global]: it is a section of smb.conf`, `4: nothing reads [domain/a.test]: it is a section of sssd.conf`, `6: nothing reads [sssd]: it is a section of sssd.conf`, `8: nothing reads [service/HTTP]: it is a section of gssproxy.conf`}},
		"before all sections":        {"default_realm = A\n# kdc = x\nThe kdc = x\nnothing = x\n [libdefaults]\n  kdc= x\n [mine]\n[libdefaults]\n clockskew = 1\n", []string{`1: "default_realm" stands before the first section, and so is taken for a comment: it belongs in [libdefaults]`, `5: [libdefaults] is indented before the first section, and so taken for a comment`, `6: "kdc" stands before the first section, and so is taken for a comment: it belongs in a realm of [realms]`}},
		"odd names":                  {"[libdefaults]\n \x01 = x\n \u00e4\u00f6 = x\n[\x1b[31m]\n", nil},
	} {
		p, err := Parse("krb5.conf", []byte(tc.text))
		if err != nil && name != "odd names" {
			t.Fatalf("%s: %v", name, err)
		}
		var got []string
		for i, w := range p.Misplaced() {
			text := strings.TrimPrefix(w.String(), "krb5.conf:")
			if i < len(tc.want) && strings.HasPrefix(text, tc.want[i]) {
				text = tc.want[i]
			}
			got = append(got, text)
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%s (-want +got)\n%s", name, d)
		}
	}
}

// An included file begins anew: what stands in it before a section belongs to none.
func TestMisplacedInFiles(t *testing.T) {
	files := fstest.MapFS{
		"etc/krb5.conf": {Data: []byte("[libdefaults]\ninclude /etc/more\n")},
		"etc/more":      {Data: []byte("  default_realm = A.TEST\n")},
	}
	c, err := Load([]string{"/etc/krb5.conf"}, machine(files))
	if err != nil {
		t.Fatal(err)
	}
	if got := said(c.Profile.Misplaced()); !strings.HasPrefix(got, `/etc/more:1: "default_realm" stands before the first section`) || strings.Count(got, "\n") != 1 {
		t.Errorf("%s", got)
	}
	var none *Profile
	if none.Misplaced() != nil {
		t.Error("of nothing there is nothing to say")
	}
}

// What distributions and their tools write has nothing out of place.
func TestMisplacedInSamples(t *testing.T) {
	samples, err := os.ReadDir("testdata/samples")
	if err != nil || len(samples) == 0 {
		t.Fatal(err)
	}
	for _, s := range samples {
		c, err := Load([]string{"/etc/krb5.conf"}, machine(os.DirFS(path.Join("testdata/samples", s.Name()))))
		if err != nil {
			t.Fatal(err)
		}
		if got := said(c.Profile.Misplaced()); got != "" {
			t.Errorf("%s:\n%s", s.Name(), got)
		}
	}
}

// Names that are known are not taken for one another, and files without end end.
func TestKnownNames(t *testing.T) {
	for _, list := range []string{knownSections, knownTickets, knownPKINIT, knownLibdefaults, knownRealm, knownKDCDefaults, knownPlugins, knownPlugin} {
		seen := map[string]bool{}
		for name := range strings.FieldsSeq(list) {
			if seen[name] || len(name) > maxName {
				t.Errorf("%s is there twice, or is too long", name)
			}
			seen[name] = true
		}
	}
	for _, w := range []struct {
		a, b string
		want int
	}{{"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "abcd", 1}, {"abc", "bc", 1}, {"abc", "axyc", 2}, {"", "ab", 2}, {"abcdef", "badcfe", 3}, {"abc", "xyz", 3}} {
		for _, most := range []int{0, 1, 2, 3} {
			got := apart(w.a, w.b, most)
			if w.want <= most && got != w.want || w.want > most && got <= most {
				t.Errorf("%s and %s are %d apart, want %d", w.a, w.b, got, w.want)
			}
		}
	}
	var text strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&text, "kdc%d = x\n", i)
	}
	text.WriteString("[libdefaults]\n")
	for i := range 50_000 {
		fmt.Fprintf(&text, "default_realm%d = x\n", i)
	}
	p, err := Parse("krb5.conf", []byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(p.Misplaced()); n == 0 || n > maxWarnings+1 {
		t.Errorf("%d warnings", n)
	}
}
