//go:build interop

package client_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/gssapi"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
)

// libraries are those of Debian's packages libgssapi-krb5-2 and libgssapi3-heimdal.
var libraries = map[string]string{"MIT": "libgssapi_krb5.so.2", "Heimdal": "libgssapi.so.3"}

// byLibrary is set to the file of a GSS-API library in processes whose requests it signs.
const byLibrary = "KERBCHAIN_TEST_LIBRARY"

// TestByLibrary meets every behaviour of the fake service, and every forgery, with what
// each library signs: what there is to see is what the oracle says of package kerberos.
// Libraries go by the environment of a process, so that each realm has one.
func TestByLibrary(t *testing.T) {
	tests := []string{"TestMatrix", "TestSwappedAnswers", "TestDamagedAnswers"}
	for _, etype := range etypesOfForgeries {
		tests = append(tests, "TestForgeries/"+krb.EtypeName(etype))
	}
	for name, file := range libraries {
		for _, test := range tests {
			t.Run(name+" "+test, func(t *testing.T) {
				t.Parallel()
				// Heimdal's library does not keep two authenticators of one microsecond apart, and
				// the realm's services refuse the second one as a replay.
				cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.parallel=1", "-test.run=^"+strings.ReplaceAll(test, "/", "$/^")+"$")
				cmd.Env = append(os.Environ(), byLibrary+"="+file)
				if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+test) {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	}
}

// signing returns options with which the library under test signs in place of package
// kerberos, with a cache of the realm.
func signing(t *testing.T, realm *fakekdc.Realm, cache string, o client.Options) client.Options {
	file := os.Getenv(byLibrary)
	if file == "" {
		return o
	}
	conf := filepath.Join(t.TempDir(), "krb5.conf")
	if err := os.WriteFile(conf, []byte(realm.Config()), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"KRB5_CONFIG": conf, "KRB5CCNAME": "FILE:" + cache} {
		if err := os.Setenv(name, value); err != nil {
			t.Fatal(err)
		}
	}
	in, err := gssapi.New(gssapi.Options{Library: file, NoMutual: o.Mutual == mutual.Disabled, HostOverride: o.HostOverride})
	if err != nil {
		t.Fatal(err)
	}
	return client.Options{Initiator: in, Mutual: o.Mutual, Preemptive: o.Preemptive, Transport: o.Transport}
}

// Libraries believe some answers that package kerberos refuses. Whoever made them knows
// the session key, as he does who answers what they should be. Others they refuse for
// another reason: what is no microsecond is to them a time like any other.
var (
	byBoth = map[string]middleware.Reason{
		"microseconds negative":    middleware.ReasonWrongTime,
		"microseconds too many":    middleware.ReasonWrongTime,
		"something after the part": middleware.ReasonNone,
		"subkey of a wrong length": middleware.ReasonNone,
		"subkey of no length":      middleware.ReasonNone,
	}
	byMIT = map[string]middleware.Reason{
		"client's subkey":           middleware.ReasonNone, // it came sealed with the session key
		"MIC with the client's key": middleware.ReasonNone,
		"labelled RC4":              middleware.ReasonMalformed,
		"labelled another AES":      middleware.ReasonMalformed,
		"labelled no encryption":    middleware.ReasonMalformed,
		"labelled as unknown":       middleware.ReasonMalformed,
		"subkey of an unknown kind": middleware.ReasonMalformed,
	}
	// Heimdal's does not look at the label.
	byHeimdal = map[string]middleware.Reason{
		"labelled RC4":              middleware.ReasonNone,
		"labelled another AES":      middleware.ReasonNone,
		"labelled no encryption":    middleware.ReasonNone,
		"labelled as unknown":       middleware.ReasonNone,
		"subkey of an unknown kind": middleware.ReasonNone,
	}
)

// asSigned returns a forgery with what the library under test makes of it.
func asSigned(f forgery, name string, etype int32) forgery {
	file := os.Getenv(byLibrary)
	of := []map[string]middleware.Reason{byBoth}
	switch file {
	case "":
		return f
	case libraries["MIT"]:
		of = append(of, byMIT)
	case libraries["Heimdal"]:
		of = append(of, byHeimdal)
		if etype == krb.RC4HMAC && name == "genuine, with a mechListMIC" {
			f.reason = middleware.ReasonWrongKey // it is made with the client's subkey, as Windows does
		}
	}
	for _, m := range of {
		if reason, ok := m[name]; ok {
			f.reason = reason
		}
	}
	return f
}
