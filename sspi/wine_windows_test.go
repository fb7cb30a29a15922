package sspi

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/initiatortest"
	"github.com/kerbchain/kerbchain/middleware"
)

// homeVariable names a folder for krb5.conf and cc, the configuration and cache that
// Wine's package Kerberos was told of when the process started.
const homeVariable = "KERBCHAIN_SSPI_HOME"

// TestContractOfWine holds the initiator to what every one owes, on secur32.dll itself
// as Wine 8 has it, which asks MIT's library.
func TestContractOfWine(t *testing.T) {
	home := os.Getenv(homeVariable)
	if home == "" {
		t.Skip("there is no KDC for this: a test of internal/interop runs it under Wine")
	}
	who, err := (&dll32{}).UserName()
	if err != nil {
		t.Fatal(err)
	}
	limits := initiatortest.Limits{MarksIgnored: true, Unbound: true, Vague: true, Principal: who}
	initiatortest.RunWithin(t, limits, func(t *testing.T, r *fakekdc.Realm) initiatortest.Make {
		for _, line := range r.Environ("alice") {
			name, value, _ := strings.Cut(line, "=")
			to := map[string]string{"KRB5_CONFIG": "krb5.conf", "KRB5CCNAME": "cc"}[name]
			if to == "" {
				continue
			}
			b, err := os.ReadFile(strings.TrimPrefix(value, "FILE:"))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(home, to), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return func(t *testing.T, o initiatortest.Options) middleware.Initiator { return kitInitiator(t, o, open) }
	})
}
