package kerberos_test

import (
	"errors"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// Where the environment names what is no cache or no keytab, the error says so, and does
// not send the user to kinit, which would put a cache in the place of another file.
func TestAdviceOfTheEnvironment(t *testing.T) {
	realm := start(t)
	dir := t.TempDir()
	none := filepath.Join(dir, "none")
	keytab, cache := testmain.File(t, "kt", realm.Keytab("alice")), testmain.File(t, "cc", realm.CCache("alice"))
	for name, tc := range map[string]struct {
		env       []string
		says, not string
		unix      bool
	}{
		"a keytab as cache":  {env: []string{"KRB5CCNAME=" + keytab}, says: "it is a keytab, which kinit would replace: name it as Keytab", not: "run kinit"},
		"neither of them":    {env: []string{"KRB5CCNAME=" + testmain.File(t, "x", []byte("root:x:0:0::/root:/bin/sh"))}, says: "run kinit, which writes the file anew; if it is no credential cache, name another in KRB5CCNAME"},
		"a folder as cache":  {env: []string{"KRB5CCNAME=" + dir}, says: "name a file in KRB5CCNAME, or a collection as DIR:/path", not: "run kinit"},
		"no daemon":          {env: []string{"KRB5CCNAME=KCM:"}, says: "no KCM daemon listens at ", not: "run kinit", unix: true},
		"no daemon, a cache": {env: []string{"KRB5CCNAME=KCM:1000"}, says: "; start sssd-kcm.socket, or", not: "run kinit", unix: true},
		"neither is there":   {env: []string{"KRB5CCNAME=" + none, "KRB5_CLIENT_KTNAME=" + none}, says: "client keytab " + none + ": file does not exist; and credential cache FILE:" + none},
		"no keytab is named": {env: []string{"KRB5CCNAME=" + none}, says: "run kinit", not: "client keytab"},
		"a cache as keytab":  {env: []string{"KRB5CCNAME=" + none, "KRB5_CLIENT_KTNAME=" + cache}, says: "not a keytab file; it is a credential cache: name it as CCache", not: "ktutil"},
		"none of a user":     {env: []string{"KRB5CCNAME=DIR:" + dir, "KRB5_CLIENT_KTNAME=" + none}, says: "client keytab " + none + ": file does not exist; and credential cache DIR:"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.unix && runtime.GOOS == "windows" {
				t.Skip("there are no such caches")
			}
			o := environment(realm, tc.env...)
			if strings.Contains(tc.env[0], "KCM") {
				o.Krb5ConfText = strings.Replace(realm.Config(), "[libdefaults]", "[libdefaults]\n\tkcm_socket = "+none, 1)
			}
			s, err := kerberos.FromEnvironment(o)
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.ServiceTicket(t.Context(), spn)
			if !errors.Is(err, middleware.ErrCredentials) {
				t.Fatal(err)
			}
			if strings.Count(err.Error(), tc.says) != 1 || tc.not != "" && strings.Contains(err.Error(), tc.not) {
				t.Errorf("%v; want %q, and not %q", err, tc.says, tc.not)
			}
			for _, wrong := range stagetest.Prose(err.Error()) {
				t.Errorf("%s: %v", wrong, err)
			}
		})
	}
}

// A URL with an address is the commonest reason for a service that no KDC knows.
func TestAdviceForAddresses(t *testing.T) {
	realm := start(t)
	for spn, address := range map[string]bool{"HTTP/192.0.2.1": true, "HTTP/2001:db8::1": true, "HTTP/nowhere": false} {
		s, err := kerberos.FromPassword(kerberos.NewSecret(password), as(environment(realm), "alice"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.ServiceTicket(t.Context(), spn)
		if err == nil || strings.Contains(err.Error(), "write the server's name in the URL") != address || strings.Contains(err.Error(), "kadmin addprinc") == address {
			t.Errorf("%s: %v", spn, err)
		}
	}
}
