package kerberos_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// On Windows no file is the default cache, since everybody could make one of that
// name; the error says what to name. Who has a keytab needs none.
func TestNoDefaultCacheOnWindows(t *testing.T) {
	realm := fakekdc.Start(t, oneType, fakekdc.WithUser("alice", "x"), fakekdc.WithService("HTTP/localhost"))
	keytab := testmain.File(t, "keytab", realm.Keytab("alice"))
	cache := testmain.File(t, "cache", realm.CCache("alice"))
	for name, tc := range map[string]struct {
		variable, setting string
		want              string // the ticket's source, "" for none
	}{
		"nothing named":      {},
		"KRB5CCNAME":         {variable: "KRB5CCNAME=" + cache, want: "FILE:" + cache},
		"krb5.ini":           {setting: "default_ccache_name = FILE:" + cache, want: "FILE:" + cache},
		"KRB5_CLIENT_KTNAME": {variable: "KRB5_CLIENT_KTNAME=" + keytab, want: "FILE:" + keytab},
	} {
		t.Run(name, func(t *testing.T) {
			o := environment(realm, tc.variable)
			o.Krb5ConfText = realm.Config(tc.setting)
			s, err := kerberos.FromEnvironment(kerberos.On("windows", o))
			if err != nil {
				t.Fatal(err)
			}
			ticket, err := s.ServiceTicket(t.Context(), "HTTP/localhost")
			if tc.want != "" {
				if err != nil || ticket.Source() != tc.want {
					t.Errorf("from %q, %v", ticket.Source(), err)
				}
				return
			}
			e, ok := errors.AsType[*middleware.Error](err)
			if !ok || !errors.Is(err, middleware.ErrCredentials) || e.Temporary() {
				t.Fatalf("%v", err)
			}
			for _, says := range []string{"no credential cache is named", "KRB5CCNAME", "CCache", "keytab"} {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%q does not say %s", err, says)
				}
			}
			if strings.Contains(err.Error(), "kinit") {
				t.Errorf("%q", err)
			}
		})
	}
}

// Windows separates the files of KRB5_CONFIG with semicolons, and has no
// /etc/krb5.conf, which would be in the root folder of whichever drive is current.
func TestKrb5ConfOnWindows(t *testing.T) {
	realm := fakekdc.Start(t, oneType, fakekdc.WithUser("alice", "x"), fakekdc.WithService("HTTP/localhost"))
	dir := t.TempDir()
	other, conf := filepath.Join(dir, "other.ini"), filepath.Join(dir, "krb5.ini")
	for path, text := range map[string]string{other: "[libdefaults]\n forwardable = true\n", conf: realm.Config()} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := environment(realm, "KRB5_CONFIG="+other+";"+conf, "KRB5CCNAME="+testmain.File(t, "cache", realm.CCache("alice")))
	o.Krb5ConfText = ""
	s, err := kerberos.FromEnvironment(kerberos.On("windows", o))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ServiceTicket(t.Context(), "HTTP/localhost"); err != nil {
		t.Error(err)
	}
}
