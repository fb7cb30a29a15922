package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
)

// TestCredentialsFlags: flags that contradict --credentials are wrong usage, on each
// system, and what the system can be told is none.
func TestCredentialsFlags(t *testing.T) {
	system := func(f getFlags) getFlags { f.credentials = "system"; return f }
	for name, tc := range map[string]struct {
		f       getFlags
		windows string // of the error there, "" for none
		other   string // elsewhere
	}{
		"none":                 {getFlags{keytab: "x", enterprise: true, passwordFile: "x", readOnly: true, asUser: "x"}, "", ""},
		"own":                  {getFlags{credentials: "own", keytab: "x", canonicalize: "fallback"}, "", ""},
		"no such word":         {getFlags{credentials: "sspi"}, "own, system", "own, system"},
		"library for own":      {getFlags{credentials: "own", library: "x"}, "--credentials system", "--credentials system"},
		"library alone":        {getFlags{library: "x"}, "--credentials system", "--credentials system"},
		"system":               {system(getFlags{canonicalize: "config", principal: "alice"}), "", ""},
		"a library":            {system(getFlags{library: "x"}), "Windows signs, and has no use for --gssapi-library", ""},
		"a keytab":             {system(getFlags{keytab: "x"}), "no use for --keytab", ""},
		"a cache":              {system(getFlags{ccache: "x"}), "no use for --ccache", ""},
		"by DNS":               {system(getFlags{canonicalize: "fallback"}), "no use for --canonicalize fallback", ""},
		"never by DNS":         {system(getFlags{canonicalize: "never"}), "", ""},
		"a password":           {system(getFlags{passwordFile: "x"}), "", "the GSS-API library signs, and has no use for --password-file"},
		"an alias":             {system(getFlags{enterprise: true}), "no use for --enterprise", "no use for --enterprise"},
		"the cache as it is":   {system(getFlags{readOnly: true}), "no use for --read-only-cache", "no use for --read-only-cache"},
		"for another":          {system(getFlags{asUser: "x"}), "no use for --as-user", "no use for --as-user"},
		"keytab and cache":     {getFlags{keytab: "x", ccache: "x"}, "--keytab and --ccache exclude", "--keytab and --ccache exclude"},
		"armour":               {getFlags{armorCCache: "x", keytab: "x"}, "", ""},
		"armour of a keytab":   {getFlags{armorKeytab: "x", ccache: "x"}, "", ""},
		"armour twice":         {getFlags{armorKeytab: "x", armorCCache: "x"}, "exclude each other", "exclude each other"},
		"armoured by a cache":  {system(getFlags{armorCCache: "x"}), "no use for --armor-ccache", "no use for --armor-ccache"},
		"armoured by a keytab": {system(getFlags{armorKeytab: "x"}), "no use for --armor-keytab", "no use for --armor-keytab"},
	} {
		for goos, want := range map[string]string{"windows": tc.windows, "linux": tc.other, "darwin": tc.other} {
			err := tc.f.checkCredentials(goos)
			if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s on %s: got %v, want %q", name, goos, err, want)
			}
		}
	}
}

// TestGetOwnCredentials: own is what there is without the flag, and wrong words are
// wrong usage.
func TestGetOwnCredentials(t *testing.T) {
	t.Parallel()
	l := newLab(t, fakeweb.ServerOptions{})
	for name, tc := range map[string]struct {
		args []string
		code int
		want string
	}{
		"nothing":   {nil, exitOK, "alice@" + l.Name()},
		"own":       {[]string{"--credentials", "own"}, exitOK, "alice@" + l.Name()},
		"own cache": {[]string{"--credentials=own", "--ccache", "FILE:/nonexistent"}, exitCredentials, "/nonexistent"},
		"unknown":   {[]string{"--credentials", "windows"}, exitUsage, `--credentials "windows"`},
		"as user":   {[]string{"--credentials", "system", "--as-user", "bob"}, exitUsage, "no use for --as-user"},
		"library":   {[]string{"--gssapi-library", "libgssapi.so.3"}, exitUsage, "--credentials system"},
	} {
		code, stdout, stderr := l.run("", append(append([]string{"get"}, tc.args...), l.server.URL())...)
		if code != tc.code || !strings.Contains(stdout+stderr, tc.want) || strings.Contains(stdout+stderr, "panic") {
			t.Errorf("%s on %s: exit status %d: %s%s", name, runtime.GOOS, code, stdout, stderr)
		}
	}
}

// TestArmor: a login that the flags armour works where the KDC takes no other, one without
// is told of the flags, and the doctor leaves the armour's cache as it is.
func TestArmor(t *testing.T) {
	t.Parallel()
	realm := fakekdc.Start(t, fakekdc.WithFASTRequired(), fakekdc.WithUser("alice", password), fakekdc.WithService("HTTP/localhost"), fakekdc.WithService("host/localhost"))
	l := &lab{t: t, dir: t.TempDir(), Realm: realm}
	l.service = fakeweb.New(realm, "", fakeweb.Options{})
	l.server = fakeweb.Serve(realm, l.service, fakeweb.ServerOptions{})
	l.env = map[string]string{"KRB5_CONFIG": l.write("krb5.conf", []byte(realm.Config())), "KRB5CCNAME": "FILE:/nonexistent"}
	keytab := l.write("host.keytab", realm.Keytab("host/localhost"))
	cache := l.write("host.cache", realm.CCache("host/localhost"))
	other := fakekdc.Start(t, fakekdc.WithUser("alice", password), fakekdc.WithService("HTTP/localhost"), fakekdc.WithService("host/localhost"))
	elsewhere := map[string]string{"KRB5_CONFIG": l.write("other.conf", []byte(other.Config())), "KRB5CCNAME": "FILE:/nonexistent"}
	users := 0
	for name, tc := range map[string]struct {
		args []string
		env  map[string]string
		code int
		says string
	}{
		"by a cache":           {args: []string{"--armor-ccache", cache}},
		"by a cache with type": {args: []string{"--armor-ccache", "FILE:" + cache}},
		"by a keytab":          {args: []string{"--armor-keytab", keytab}},
		"none":                 {code: exitKDC, says: "--armor-ccache or --armor-keytab"},
		"no such cache":        {args: []string{"--armor-ccache", cache + "x"}, code: exitCredentials, says: cache + "x"},
		"no such keytab":       {args: []string{"--armor-keytab", keytab + "x"}, code: exitCredentials, says: keytab + "x"},
		"no FAST":              {args: []string{"--armor-keytab", l.write("other.keytab", other.Keytab("host/localhost"))}, env: elsewhere, code: exitKDC, says: "leave --armor-ccache and --armor-keytab out"},
		"an empty cache":       {args: []string{"--armor-ccache", ""}, code: exitUsage, says: "--armor-ccache is empty"},
		"an empty keytab":      {args: []string{"--armor-keytab="}, code: exitUsage, says: "--armor-keytab is empty"},
	} {
		for _, command := range []string{"get", "doctor"} {
			t.Run(command+" "+name, func(t *testing.T) {
				restore(t, cache)
				// A user of its own: a late datagram of another one's login tells nothing of this.
				users++
				user := fmt.Sprintf("alice%d", users)
				for _, in := range []*fakekdc.Realm{realm, other} {
					if err := in.AddUser(user, password); err != nil {
						t.Fatal(err)
					}
				}
				env := tc.env
				if env == nil {
					env = l.env
				}
				held, err := os.ReadFile(cache)
				if err != nil {
					t.Fatal(err)
				}
				code, stdout, stderr := runWith(t.Context(), env, password, append(append([]string{command, "--principal", user, "--password-file", "-"}, tc.args...), l.server.URL())...)
				want := tc.code
				if command == "doctor" && want != exitOK && want != exitUsage {
					want = exitFailed
				}
				if code != want || !strings.Contains(stdout+stderr, tc.says) || strings.Contains(stdout+stderr, password) {
					t.Errorf("exit status %d, want %d, and %q: %s%s", code, want, tc.says, stdout, stderr)
				}
				loggedIn := slices.ContainsFunc(realm.Exchanges(), func(x fakekdc.Exchange) bool {
					return x.Kind == fakekdc.AS && x.Code == 0 && strings.HasPrefix(x.Client, user+"@")
				})
				if loggedIn != (tc.code == exitOK) {
					t.Error("logins that work are those that are armoured")
				}
				if after, err := os.ReadFile(cache); err != nil || command == "doctor" && string(after) != string(held) {
					t.Errorf("the armour's cache has changed: %v", err)
				}
			})
		}
	}
}

// TestPasswordFile: what editors put around a password is no part of it, and what cannot be
// one is not tried, since accounts are locked after a few wrong ones.
func TestPasswordFile(t *testing.T) {
	t.Parallel()
	l := newLab(t, fakeweb.ServerOptions{})
	utf16 := "\xff\xfe"
	for _, c := range password {
		utf16 += string([]byte{byte(c), 0})
	}
	for what, tc := range map[string]struct {
		text string
		code int
		says string
	}{
		"a line":           {text: password + "\n"},
		"no end of a line": {text: password},
		"of Windows":       {text: "\ufeff" + password + "\r\n"},
		"nothing":          {code: exitUsage, says: "--password-file: the first line is empty"},
		"an empty line":    {text: "\n" + password + "\n", code: exitUsage, says: "--password-file: the first line is empty"},
		"a mark alone":     {text: "\ufeff\r\n", code: exitUsage, says: "--password-file: the first line is empty"},
		"UTF-16":           {text: utf16 + "\n\x00", code: exitUsage, says: "--password-file: the first line is in UTF-16"},
	} {
		for _, command := range []string{"get", "doctor"} {
			code, stdout, stderr := l.run(tc.text, command, "--principal", "alice", "--password-file", "-", l.server.URL())
			if code != tc.code || !strings.Contains(stderr, tc.says) || strings.Contains(stdout+stderr, password) {
				t.Errorf("%s, %s: status %d: %s", command, what, code, stderr)
			}
		}
	}
	if n := l.Count(fakekdc.AS, fakekdc.CodePreauthFailed); n != 0 {
		t.Errorf("%d wrong passwords were sent", n)
	}
}
