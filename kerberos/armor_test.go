package kerberos_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// TestNoArmor: where the host has no ticket to armour a login with, the user's error says
// once why, and what to do about the host, not about the user's own cache. Nothing of the
// user's is sent, and the password is not taken to be refused.
func TestNoArmor(t *testing.T) {
	t.Parallel()
	realm := start(t, fakekdc.WithFAST(), fakekdc.WithService("host/localhost"))
	stale := testmain.File(t, "keytab", realm.Keytab("host/localhost"))
	if err := realm.Rotate("host/localhost"); err != nil {
		t.Fatal(err)
	}
	foreign := testmain.File(t, "foreign", realm.Keytab(spn))
	for name, tc := range map[string]struct {
		armor func() (*kerberos.Source, error)
		fault []fakekdc.Fault
		says  []string
		kind  error
	}{
		"no cache": {
			armor: func() (*kerberos.Source, error) {
				return kerberos.FromCCache("FILE:"+t.TempDir()+"/none", environment(realm))
			},
			says: []string{"credential cache FILE:", "kinit -k -c"}, kind: middleware.ErrCredentials,
		},
		"a cache that is none": {
			armor: func() (*kerberos.Source, error) { return kerberos.FromCCache("FILE:"+stale, environment(realm)) },
			says:  []string{"file ends too early", "kinit -k -c"}, kind: middleware.ErrCredentials,
		},
		"a stale keytab": {
			armor: func() (*kerberos.Source, error) { return kerberos.FromKeytab(stale, environment(realm)) },
			says:  []string{"for host/localhost@", "KDC_ERR_PREAUTH_FAILED", "A keytab goes stale"}, kind: middleware.ErrCredentials,
		},
		"a KDC that refuses": {
			armor: func() (*kerberos.Source, error) { return kerberos.FromKeytab(foreign, environment(realm)) },
			fault: []fakekdc.Fault{fakekdc.ReplyError(fakekdc.CodeGeneric, nil)}, says: []string{"for HTTP/localhost@"}, kind: middleware.ErrKDC,
		},
	} {
		t.Run(name, func(t *testing.T) {
			armor, err := tc.armor()
			if err != nil {
				t.Fatal(err)
			}
			o := as(environment(realm), "alice")
			o.Logins, o.Armor = new(kerberos.Logins), armor
			s, err := kerberos.FromPassword(kerberos.NewSecret(password), o)
			if err != nil {
				t.Fatal(err)
			}
			realm.ResetExchanges()
			realm.FailNext(fakekdc.AS, tc.fault...)
			_, err = s.ServiceTicket(t.Context(), spn)
			if !errors.Is(err, tc.kind) {
				t.Fatal(err)
			}
			for _, said := range append(tc.says, "no ticket to armour", "for alice@") {
				if n := strings.Count(err.Error(), said); n != 1 {
					t.Errorf("%q is said %d times: %v", said, n, err)
				}
			}
			for _, kind := range []error{middleware.ErrCredentials, middleware.ErrKDC} {
				if n := strings.Count(err.Error(), kind.Error()); n > 1 || n == 1 && kind != tc.kind {
					t.Errorf("%q is said %d times: %v", kind, n, err)
				}
			}
			if strings.Contains(err.Error(), "KRB5CCNAME") {
				t.Errorf("it is about the user's cache: %v", err)
			}
			for _, e := range realm.Exchanges() {
				if strings.HasPrefix(e.Client, "alice@") {
					t.Errorf("of alice: %v", e)
				}
			}
			o.Armor = nil
			if s, err = kerberos.FromPassword(kerberos.NewSecret(password), o); err != nil {
				t.Fatal(err)
			}
			if _, err := s.ServiceTicket(t.Context(), spn); err != nil {
				t.Errorf("the password is taken to be refused: %v", err)
			}
		})
	}
}
