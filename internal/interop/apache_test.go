//go:build interop

package interop

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A web is an Apache with mod_auth_gssapi, its replay cache on. The same tree
// stands at three ports:
//
//	/open/hello         for everybody
//	/auth/hello         for those who authenticate
//	/auth/forbidden     for nobody: 403
//	/auth/missing       not there: 404
//	/open/moved         redirects to /auth/hello
//	/auth/cgi/moved     the same, after authentication
//	/auth/cgi/sum       answers with length and SHA-256 of the body
//	/auth/cgi/deleg     uses the caller's delegated credentials with klist and kvno
//	/auth/cgi/flaky?x   503 the first time that x is asked for, then 200
//
// A fourth port is a forward proxy, for http and by CONNECT to the other three,
// for those who authenticate to HTTP/localhost.
type web struct {
	origins map[string]string // URL without path, by kind: http, https, h2
	proxy   string            // URL without path
	ca      string            // path of the certificate
	log     string            // path of the access log
	hops    string            // path of the proxy's: method, status, X-Trial
}

// Contents of files.
const (
	openText = "hello, whoever you are\n"
	authText = "hello, you there\n"
)

const sumScript = `#!/bin/sh
body=$(mktemp -p "$STATE") && cat >"$body"
printf 'Content-Type: text/plain\r\n\r\n'
echo "$(wc -c <"$body") $(sha256sum <"$body" | cut -d ' ' -f 1)"
rm "$body"
`

const movedScript = `#!/bin/sh
printf 'Status: 302 Found\r\nLocation: /auth/hello\r\n\r\n'
`

// mkdir succeeds for one caller alone.
const flakyScript = `#!/bin/sh
if mkdir "$STATE/seen-$QUERY_STRING" 2>/dev/null; then
	printf 'Status: 503 Service Unavailable\r\n'
fi
printf 'Content-Type: text/plain\r\n\r\n'
echo "user $REMOTE_USER"
`

// KRB5CCNAME is set by mod_auth_gssapi where the caller delegated.
const delegScript = `#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
if [ -z "$KRB5CCNAME" ]; then
	echo "no credentials"
	exit
fi
export KRB5CCNAME
klist -f 2>&1
kvno HTTP/localhost 2>&1
`

// startWeb starts an Apache for HTTP/localhost that ends with the test.
func startWeb(t *testing.T, r *realm) *web {
	t.Helper()
	dir := tempDir(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, d := range []string{"run", "state", "deleg", "cgi", "www", "www/open", "www/auth"} {
		if err := os.Mkdir(in(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, in("www/open/hello"), openText)
	write(t, in("www/auth/hello"), authText)
	write(t, in("www/auth/forbidden"), "for nobody\n")
	for name, text := range map[string]string{"cgi/sum": sumScript, "cgi/moved": movedScript, "cgi/flaky": flakyScript, "cgi/deleg": delegScript} {
		if err := os.Chmod(write(t, in(name), text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, in("service.keytab"), readAll(t, r.path("service.keytab")))
	certificate(t, in("cert.pem"), in("key.pem"))
	addrs := freePorts(t, 4)
	w := &web{
		origins: map[string]string{
			"http":  "http://localhost:" + port(addrs[0]),
			"https": "https://localhost:" + port(addrs[1]),
			"h2":    "https://localhost:" + port(addrs[2]),
		},
		proxy: "http://localhost:" + port(addrs[3]), ca: in("cert.pem"), log: in("access.log"), hops: in("proxy.log"),
	}
	write(t, in("httpd.conf"), apacheConfig(t, dir, addrs))
	showOnFailure(t, in("error.log"), in("access.log"), in("proxy.log"))
	as := unprivileged(t)
	give(t, dir, as)
	env := environment{
		"KRB5_CONFIG": r.conf, "KRB5_KTNAME": in("service.keytab"),
		"KRB5RCACHENAME": "file2:" + in("run/replay"), "HOME": dir, "TMPDIR": in("run"),
	}
	serve(t, env, as, addrs, tool(t, "apache2"), "-d", dir, "-f", in("httpd.conf"), "-DFOREGROUND")
	return w
}

func apacheConfig(t *testing.T, dir string, addrs []string) string {
	t.Helper()
	var b strings.Builder
	for _, m := range []string{"mpm_event", "authn_core", "authz_core", "authz_user", "auth_gssapi", "alias", "env", "cgid", "ssl", "http2", "proxy", "proxy_http", "proxy_connect"} {
		fmt.Fprintf(&b, "LoadModule %s_module %s\n", m, module(t, m))
	}
	for _, a := range addrs {
		fmt.Fprintf(&b, "Listen %s\n", a)
	}
	fmt.Fprintf(&b, `
ServerName localhost
DefaultRuntimeDir %[1]s/run
PidFile %[1]s/run/pid
ScriptSock %[1]s/run/cgid
ErrorLog %[1]s/error.log
LogLevel info
CustomLog %[1]s/access.log "%%m %%U%%q %%>s %%u %%H"
StartServers 1
ServerLimit 1
ThreadLimit 128
ThreadsPerChild 128
MaxRequestWorkers 128
MinSpareThreads 1
MaxSpareThreads 128
KeepAlive On
MaxKeepAliveRequests 0
LimitRequestBody 0
SSLSessionCache none
SetEnv STATE %[1]s/state
PassEnv PATH KRB5_CONFIG

DocumentRoot %[1]s/www
ScriptAlias /auth/cgi/ %[1]s/cgi/
<Location /open>
	Require all granted
</Location>
<Location /auth>
	AuthType GSSAPI
	AuthName interop
	GssapiCredStore keytab:%[1]s/service.keytab
	GssapiBasicAuth Off
	GssapiDelegCcacheDir %[1]s/deleg
	GssapiDelegCcacheUnique On
	Require valid-user
</Location>
<Location /auth/forbidden>
	AuthzSendForbiddenOnFailure On
	Require user nobody
</Location>
Redirect 302 /open/moved /auth/hello
`, dir)
	for _, v := range []struct{ addr, protocols string }{{addrs[1], "http/1.1"}, {addrs[2], "h2"}} {
		fmt.Fprintf(&b, `
<VirtualHost %[2]s>
	Protocols %[3]s
	SSLEngine On
	SSLCertificateFile %[1]s/cert.pem
	SSLCertificateKeyFile %[1]s/key.pem
</VirtualHost>
`, dir, v.addr, v.protocols)
	}
	fmt.Fprintf(&b, `
<VirtualHost %[2]s>
	CustomLog %[1]s/proxy.log "%%m %%>s %%{X-Trial}i"
	ProxyRequests On
	AllowCONNECT %[3]s
	<Proxy "*">
		AuthType GSSAPI
		AuthName proxy
		GssapiCredStore keytab:%[1]s/service.keytab
		Require valid-user
	</Proxy>
</VirtualHost>
`, dir, addrs[3], strings.Join([]string{port(addrs[0]), port(addrs[1]), port(addrs[2])}, " "))
	return b.String()
}

// unprivileged is whom Apache runs as: ourselves, unless we are root.
func unprivileged(t *testing.T) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("www-data")
	if err != nil {
		t.Fatalf("%v: the Debian package apache2 needs it (.ci/packages installs it)", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err1 != nil || err2 != nil {
		t.Fatalf("user www-data has no numbers: %v, %v", err1, err2)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// give makes a user the owner of a folder and all in it.
func give(t *testing.T, dir string, to *syscall.Credential) {
	t.Helper()
	if to == nil {
		return
	}
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(to.Uid), int(to.Gid))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// url returns where a path is found over a kind of connection: http, https, h2.
func (w *web) url(t *testing.T, kind, path string) string {
	t.Helper()
	origin := w.origins[kind]
	if origin == "" {
		t.Fatalf("no origin for %q", kind)
	}
	return origin + path
}

// requests returns the statuses of all requests for a path with its query, once
// there are as many as wanted: Apache logs a request when it has been answered.
func (w *web) requests(t *testing.T, path string, want int) []string {
	t.Helper()
	var got []string
	await(t, func() bool {
		got = nil
		for line := range strings.Lines(readAll(t, w.log)) {
			if f := strings.Fields(line); len(f) > 2 && f[1] == path {
				got = append(got, f[2])
			}
		}
		return len(got) >= want
	}, t.Context().Done())
	return got
}
