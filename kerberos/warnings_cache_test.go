package kerberos

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/internal/krb5conf"
)

// The warning about the name of the default cache is for those who are without one,
// and whose cache nobody named.
func TestWarningOfDefaultCache(t *testing.T) {
	for _, named := range []bool{false, true} {
		name := "FILE:" + filepath.Join(t.TempDir(), "none")
		s, err := newSource(Options{Krb5ConfText: "[libdefaults]\n\tdefault_realm = LAB.TEST\n\tdefault_ccache_name = FILE:%{nobody}/cc\n", Getenv: func(key string) string {
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

func TestWhere(t *testing.T) {
	for want, w := range map[string]krb5conf.Warning{
		"a:3": {File: "a", Line: 3, Text: "b: c"}, "a": {File: "a", Text: "b"}, "": {Text: "b: c"},
	} {
		if got := where(w); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
