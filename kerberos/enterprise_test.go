package kerberos_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
)

// An enterprise name takes no cache but its own, alone or in a collection, until a
// KDC has said whose it is.
func TestEnterpriseNameIsNotAnybody(t *testing.T) {
	const alias, escaped = "a.liddell@corp.example", `a.liddell\@corp.example`
	realm := fakekdc.Start(t, fakekdc.WithUser("alice", "a"), fakekdc.WithUser("bob", "b"), fakekdc.WithUser(escaped, "e"), fakekdc.WithService(spn))
	for name, tc := range map[string]struct {
		files map[string]string // name: user
		login bool              // with a password, first
		want  string            // "" for an error
	}{
		"bob's":               {map[string]string{"cc": "bob"}, false, ""},
		"alice's, unproven":   {map[string]string{"cc": "alice"}, false, ""},
		"alice's":             {map[string]string{"cc": "alice"}, true, "alice@"},
		"bob's after all":     {map[string]string{"cc": "bob"}, true, ""},
		"that very name":      {map[string]string{"cc": escaped}, false, escaped + "@"},
		"collection of one":   {map[string]string{"tkt": "bob"}, false, ""},
		"collection":          {map[string]string{"tkt": "bob", "tktA": "alice"}, false, ""},
		"collection, proven":  {map[string]string{"tkt": "bob", "tktA": "alice"}, true, "alice@"},
		"collection, by name": {map[string]string{"tkt": "bob", "tktA": escaped}, false, escaped + "@"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := realm.Alias(alias, "alice"); err != nil {
				t.Fatal(err)
			}
			dir, cache := t.TempDir(), ""
			for file, user := range tc.files {
				if err := os.WriteFile(filepath.Join(dir, file), realm.CCache(user), 0o600); err != nil {
					t.Fatal(err)
				}
				if cache = "DIR:" + dir; file == "cc" {
					cache = "FILE:" + filepath.Join(dir, file)
				}
			}
			o := as(environment(realm, "KRB5CCNAME="+cache), alias)
			o.Enterprise, o.Logins = true, new(kerberos.Logins)
			if tc.login {
				// The realm has a user of that name too; the alias is to count.
				if err := realm.Remove(escaped); err != nil {
					t.Fatal(err)
				}
				defer realm.AddUser(escaped, "e")
				s, err := kerberos.FromPassword(kerberos.NewSecret("a"), o)
				if err != nil {
					t.Fatal(err)
				}
				if ticket, err := s.ServiceTicket(t.Context(), spn); err != nil || !strings.HasPrefix(ticket.Client(), "alice@") {
					t.Fatalf("%v %v", ticket, err)
				}
			}
			for kind, source := range map[string]func() (*kerberos.Source, error){
				"cache":       func() (*kerberos.Source, error) { return kerberos.FromCCache(cache, o) },
				"environment": func() (*kerberos.Source, error) { return kerberos.FromEnvironment(o) },
			} {
				s, err := source()
				if err != nil {
					t.Fatal(err)
				}
				ticket, err := s.ServiceTicket(t.Context(), spn)
				if tc.want != "" {
					if err != nil || ticket.Client() != tc.want+realm.Name() {
						t.Errorf("%s: want a ticket of %s, got %v, %v", kind, tc.want, ticket, err)
					}
					continue
				}
				if err == nil {
					t.Errorf("%s: asked for %s, got a ticket of %s", kind, alias, ticket.Client())
					continue
				}
				for _, says := range []string{"kinit -E " + alias, "kinit -E -C " + alias, "canonical name"} {
					if !strings.Contains(err.Error(), says) {
						t.Errorf("%s: %q is not in: %v", kind, says, err)
					}
				}
			}
		})
	}
}

// The cache of another does not keep a client keytab of the enterprise name from
// being used, and the KDC's answer then says whose caches will do.
func TestEnterpriseNameInKeytab(t *testing.T) {
	const alias = "a.liddell@corp.example"
	realm := fakekdc.Start(t, oneType, fakekdc.WithUser("alice", "a", fakekdc.Salt("salt")), fakekdc.WithUser("bob", "b"), fakekdc.WithService(spn))
	if err := realm.Alias(alias, "alice"); err != nil {
		t.Fatal(err)
	}
	// A keytab of alice's keys, named as the enterprise name.
	keytab := renamed(t, realm.Keytab("alice"), "alice", alias)
	dir := t.TempDir()
	cache := func(name, user string) {
		if err := os.WriteFile(filepath.Join(dir, name), realm.CCache(user), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cache("tkt", "bob")
	o := as(environment(realm, "KRB5CCNAME=DIR:"+dir, "KRB5_CLIENT_KTNAME="+testmain.File(t, "keytab", keytab)), alias)
	o.Enterprise, o.Logins = true, new(kerberos.Logins)
	for _, others := range []bool{false, true} {
		if others {
			cache("tktB", "bob") // with two, none is the one that is asked for
			s, err := kerberos.FromEnvironment(o)
			if err != nil {
				t.Fatal(err)
			}
			o.Logins = new(kerberos.Logins)
			if ticket, err := s.ServiceTicket(t.Context(), spn); err != nil || ticket.Client() != "alice@"+realm.Name() {
				t.Errorf("%v %v", ticket, err)
			}
			continue
		}
		s, err := kerberos.FromEnvironment(o)
		if err != nil {
			t.Fatal(err)
		}
		ticket, err := s.ServiceTicket(t.Context(), spn)
		if err != nil || ticket.Client() != "alice@"+realm.Name() {
			t.Fatalf("%v %v", ticket, err)
		}
		if !strings.Contains(ticket.Source(), "keytab") {
			t.Errorf("from %s", ticket.Source())
		}
	}
}
