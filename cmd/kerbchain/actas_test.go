package main

import (
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
)

// TestGetAsUser: with a service's keytab, get acts for the user where the KDC allows it.
func TestGetAsUser(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	for name, opts := range map[string][]fakekdc.PrincipalOption{
		"HTTP/gateway": {fakekdc.TrustedToAuth(), fakekdc.AllowedToDelegateTo("HTTP/localhost")}, "HTTP/idle": nil,
	} {
		if err := l.AddService(name, opts...); err != nil {
			t.Fatal(err)
		}
	}
	keytab := l.write("services.keytab", l.Keytab("HTTP/gateway", "HTTP/idle"))
	cache := "FILE:" + l.write("service.cc", l.CCache("HTTP/gateway"))
	for name, tc := range map[string]struct {
		args   []string
		code   int
		stdout string
		stderr string
	}{
		"keytab":      {[]string{"--keytab", keytab, "--principal", "HTTP/gateway", "--as-user", "alice"}, exitOK, "alice@" + l.Name(), ""},
		"nobody":      {[]string{"--keytab", keytab, "--principal", "HTTP/gateway", "--as-user", "mallory"}, exitCredentials, "", "mallory"},
		"not allowed": {[]string{"--keytab", keytab, "--principal", "HTTP/idle", "--as-user", "alice"}, exitCredentials, "", "msDS-AllowedToDelegateTo"},
		"no keytab":   {[]string{"--keytab", keytab + "x", "--as-user", "alice"}, exitCredentials, "", "services.keytabx"},
		"cache":       {[]string{"--ccache", cache, "--as-user", "alice"}, exitOK, "alice@" + l.Name(), ""},
		"both":        {[]string{"--keytab", keytab, "--ccache", cache, "--as-user", "alice"}, exitUsage, "", "exclude"},
	} {
		code, out, says := l.run("", append(append([]string{"get"}, tc.args...), l.server.URL())...)
		if code != tc.code || !strings.HasPrefix(out, tc.stdout) || !strings.Contains(says, tc.stderr) {
			t.Errorf("%s: exit %d, %q: %s", name, code, out, says)
		}
	}
}
