package main

import (
	"runtime"
	"strings"
	"testing"

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
		"keytab, and no cache": {getFlags{credentials: "own", keytab: "x", ccache: "x"}, "", ""}, // another check's
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
