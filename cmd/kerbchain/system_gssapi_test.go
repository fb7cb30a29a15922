//go:build linux && (cgo || gssapi)

package main

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/fakekdc/fakewinrm"
	"github.com/kerbchain/kerbchain/gssapi"
)

// gssapiLibraries are those of Debian's packages libgssapi-krb5-2 and libgssapi3-heimdal.
// MIT's alone can be told of a cache or a keytab.
var gssapiLibraries = map[string]string{"MIT": "libgssapi_krb5.so.2", "Heimdal": "libgssapi.so.3"}

// process runs the command in a process of its own, whose environment the library reads,
// and says which GSS-API libraries it loaded, as the dynamic linker tells.
func (l *lab) process(env map[string]string, args ...string) (code int, out, libraries string) {
	l.t.Helper()
	dir := l.t.TempDir()
	env = maps.Clone(env)
	maps.Copy(env, map[string]string{"HOME": dir, "LD_DEBUG": "files", "LD_DEBUG_OUTPUT": filepath.Join(dir, "ld")})
	cmd := asCommand(l.t.Context(), l.t, env, args...)
	text, _ := cmd.CombinedOutput()
	log, err := os.ReadFile(filepath.Join(dir, fmt.Sprint("ld.", cmd.Process.Pid)))
	if err != nil {
		l.t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, "gssapi") && strings.Contains(line, "dynamically loaded by") {
			libraries += line
		}
	}
	return cmd.ProcessState.ExitCode(), string(text), libraries
}

// TestGetSystemCredentials: the library signs, and is loaded where it was asked for
// alone.
func TestGetSystemCredentials(t *testing.T) {
	t.Parallel()
	l := newLab(t, fakeweb.ServerOptions{TLS: true})
	endpoint := fakewinrm.New(l.Realm, "HTTP/localhost", fakewinrm.Options{Answer: func(_ fakekdc.Caller, soap []byte) (int, []byte) {
		return http.StatusOK, append([]byte("got "), soap...)
	}})
	winrm := fakeweb.Serve(l.Realm, endpoint, fakeweb.ServerOptions{}).URL() + "/wsman"
	alice := "alice@" + l.Name()
	keytab := l.write("alice.keytab", l.Keytab("alice"))
	nobody := map[string]string{"KRB5_CONFIG": l.env["KRB5_CONFIG"], "KRB5CCNAME": "FILE:" + filepath.Join(l.dir, "none")}
	get := []string{"get", "-k"}
	if code, out, libraries := l.process(l.env, append(get, l.server.URL())...); code != exitOK || !strings.Contains(out, alice) || libraries != "" {
		t.Errorf("without the flag: exit status %d: %s: loaded %q", code, out, libraries)
	}
	for name, file := range gssapiLibraries {
		if _, err := gssapi.New(gssapi.Options{Library: file}); err != nil {
			t.Logf("%s is not tried here: %v", name, err)
			continue
		}
		for what, tc := range map[string]struct {
			env  map[string]string
			args []string
			code int
			want string
			mit  bool // only MIT's does that
		}{
			"kinit":             {l.env, nil, exitOK, "bound true", false},
			"timeline":          {l.env, []string{"-v"}, exitOK, "signed by the system as " + alice, false},
			"not bound":         {l.env, []string{"--cbt", "off"}, exitOK, "bound false", false},
			"service":           {l.env, []string{"--service", "WSMAN", "--realm", l.Name()}, exitOK, " at WSMAN/localhost", false},
			"override":          {l.env, []string{"--host-override", "inner.example"}, exitOK, " at HTTP/inner.example", false},
			"not allowed":       {l.env, []string{"--allowed-hosts", "*.example"}, exitStatus, "--allowed-hosts", false},
			"unknown service":   {l.env, []string{"--service", "NFS"}, exitKDC, "--host-override or --canonicalize fallback", false},
			"port":              {l.env, []string{"--port-in-spn"}, exitKDC, "HTTP/localhost:", false},
			"no proof wanted":   {l.env, []string{"--mutual", "disabled", "-v"}, exitOK, "@" + l.Name() + ", bound to the TLS connection", false},
			"no ticket":         {nobody, nil, exitCredentials, "run kinit", false},
			"a cache":           {nobody, []string{"--ccache", l.env["KRB5CCNAME"]}, exitOK, alice, true},
			"a keytab":          {nobody, []string{"--keytab", keytab, "--principal", "alice"}, exitOK, alice, true},
			"another user":      {l.env, []string{"--principal", "bob"}, exitCredentials, "bob", false},
			"not marked for it": {l.env, []string{"--delegate", "policy"}, exitOK, alice, false},
			"delegated":         {l.env, []string{"--delegate", "always", "-v"}, exitOK, "delegates the user's credentials", false},
			"another realm":     {l.env, []string{"--realm", "NOWHERE.TEST"}, exitKDC, "NOWHERE.TEST", true},
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				if tc.mit && name != "MIT" {
					t.Skip("its library cannot be told of caches and keytabs, nor to leave the client's realm aside")
				}
				restore(t, filepath.Join(l.dir, "cc"))
				args := append([]string{"--credentials", "system", "--gssapi-library", file}, tc.args...)
				code, out, libraries := l.process(tc.env, append(append(get, args...), l.server.URL())...)
				if code != tc.code || !strings.Contains(out, tc.want) || !strings.Contains(libraries, file) {
					t.Errorf("exit status %d: %s: loaded %q", code, out, libraries)
				}
			})
		}
		t.Run(name+" WinRM", func(t *testing.T) {
			code, out, _ := l.process(l.env, "get", "--credentials", "system", "--gssapi-library", file, "--winrm", "-d", "<Identify/>", winrm)
			if code != exitOK || out != "got <Identify/>" {
				t.Errorf("exit status %d: %s", code, out)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(l.dir, "none")); err == nil {
		t.Error("a login by a keytab wrote the user's cache")
	}
	code, out, _ := l.process(l.env, "get", "--credentials", "system", "--gssapi-library", "/nonexistent", l.server.URL())
	if code != exitConfiguration || !strings.Contains(out, "/nonexistent") || !strings.Contains(out, "set --gssapi-library") {
		t.Errorf("no library: exit status %d: %s", code, out)
	}
}
