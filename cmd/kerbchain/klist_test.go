package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
)

func TestKlist(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	url := l.server.URL()
	if code, _, stderr := l.run("", "get", url); code != exitOK {
		t.Fatal(stderr) // writes the service ticket to the cache
	}
	two := fakekdc.Start(t, fakekdc.WithRealm("TWO.TEST"), fakekdc.WithUser("bob", "x"))
	dir := filepath.Join(t.TempDir(), "caches")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"tkt1": l.CCache("alice"), "tkt2": two.CCache("bob"), "primary": []byte("tkt2\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	alice := "alice@" + l.Name()
	keytab := l.write("alice.keytab", l.Keytab("alice"))
	torn := l.write("torn", l.CCache("alice")[:300])
	written := "HTTP/localhost@" + l.Name()
	if runtime.GOOS == "windows" { // no cache file is written to there
		written = ""
	}
	for name, tc := range map[string]struct {
		args []string
		env  map[string]string
		code int
		says []string
		not  string
	}{
		"cache":            {says: []string{"credential cache FILE:", "principal      " + alice, "krbtgt/" + l.Name(), written, "flags ", "session key    aes256", "key version 1", "until "}, not: "for  "},
		"URL":              {args: []string{url}, says: []string{"which is HTTP/localhost", "taken          FILE:", "as             " + alice, "because        there is no other"}},
		"service":          {args: []string{"--service", "WSMAN", url}, says: []string{"which is WSMAN/localhost"}},
		"collection":       {args: []string{"--ccache", "DIR:" + dir}, says: []string{"tkt2, the primary one", "bob@TWO.TEST", alice}},
		"realm of the URL": {args: []string{"--ccache", "DIR:" + dir, url}, says: []string{"tkt1\n", "as             " + alice, "its client is of the realm of the service"}},
		"principal":        {args: []string{"--ccache", "DIR:" + dir, "--principal", "bob@TWO.TEST", url}, says: []string{"as             bob@TWO.TEST", "who is asked for"}},
		"primary":          {args: []string{"--ccache", "DIR:" + dir, "http://elsewhere.example/"}, says: []string{"as             bob@TWO.TEST", "the primary one, and nothing else decides"}},
		"keytab":           {args: []string{"-k", keytab}, says: []string{"keytab " + keytab, alice + ": key version 1, aes256-cts-hmac-sha1-96 (18)"}, not: "credential cache"},
		"URL by keytab":    {args: []string{"-k", keytab, url}, says: []string{"taken          keytab " + keytab, "as             " + alice}},
		"client keytab":    {args: []string{url}, env: map[string]string{"KRB5CCNAME": "FILE:/nonexistent", "KRB5_CLIENT_KTNAME": keytab}, says: []string{"client keytab " + keytab, "holds nothing of use", "there is none"}},
		"torn":             {args: []string{"--ccache", torn}, says: []string{"principal "}},

		"damaged":      {args: []string{"--ccache", l.write("damaged", []byte("x"))}, code: exitCredentials, says: []string{"cannot be read", "kinit"}},
		"no cache":     {args: []string{"--ccache", "/nonexistent"}, code: exitCredentials, says: []string{"/nonexistent", "kinit"}},
		"no keytab":    {args: []string{"-k", "/nonexistent"}, code: exitCredentials, says: []string{"/nonexistent"}},
		"no such user": {args: []string{"--ccache", "DIR:" + dir, "--principal", "carol", url}, code: exitCredentials, says: []string{"carol@"}},
		"type":         {args: []string{"--ccache", "API:x"}, code: exitCredentials, says: []string{"API"}},
		"two":          {args: []string{url, url}, code: exitUsage, says: []string{"one URL at most"}},
		"bad URL":      {args: []string{"ftp://x"}, code: exitUsage, says: []string{"http://"}},
		"bad host":     {args: []string{"http://a%25b/"}, code: exitUsage, says: []string{"a%b"}},
		"both":         {args: []string{"-k", "x", "--ccache", "y"}, code: exitUsage, says: []string{"exclude"}},
		"bad config":   {env: map[string]string{"KRB5_CONFIG": l.write("bad.conf", []byte("[libdefaults\n"))}, code: exitConfiguration, says: []string{"bad.conf"}},
	} {
		t.Run(name, func(t *testing.T) {
			env := map[string]string{}
			for _, m := range []map[string]string{l.env, tc.env} {
				for k, v := range m {
					env[k] = v
				}
			}
			code, stdout, stderr := runWith(t.Context(), env, "", append([]string{"klist"}, tc.args...)...)
			if code != tc.code {
				t.Errorf("exit status %d, want %d", code, tc.code)
			}
			for _, want := range tc.says {
				if !strings.Contains(stdout+stderr, want) {
					t.Errorf("does not say %q:\n%s%s", want, stdout, stderr)
				}
			}
			if tc.not != "" && strings.Contains(stdout, tc.not) {
				t.Errorf("says %q:\n%s", tc.not, stdout)
			}
		})
	}
}
