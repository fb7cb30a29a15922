package kerberos

import (
	"path/filepath"
	"strings"
	"testing"
)

// The warning about the name of the default cache is for those who are without one,
// and whose cache nobody named.
func TestWarningOfDefaultCache(t *testing.T) {
	t.Parallel()
	for _, named := range []bool{false, true} {
		name := "FILE:" + filepath.Join(t.TempDir(), "none")
		s, err := newSource(SourceOptions{Krb5ConfText: "[libdefaults]\n\tdefault_realm = LAB.TEST\n\tdefault_ccache_name = FILE:%{nobody}/cc\n", Getenv: func(key string) string {
			if key == "KRB5CCNAME" && named {
				return name
			}
			return ""
		}})
		if err != nil {
			t.Fatal(err)
		}
		s.conf.DefaultCCacheName = name
		creds, err := s.defaultCache()
		if err != nil {
			t.Fatal(err)
		}
		s.creds = creds
		_, err = s.ServiceTicket(t.Context(), "HTTP/a")
		if err == nil || strings.Contains(err.Error(), "look at krb5.conf:3: default_ccache_name") == named {
			t.Errorf("named %v: %v", named, err)
		}
	}
}
