package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"software.sslmate.com/src/go-pkcs12"
)

// A standalone is "kerbchain kdc" while it runs.
type standalone struct {
	dir    string
	env    map[string]string // as a shell would have it
	stdout string
	stderr bytes.Buffer // to be read when it has ended
	code   int
	ended  chan struct{}
	cancel context.CancelFunc
}

// startKDC runs the command until it is ready.
func startKDC(t *testing.T, args ...string) *standalone {
	t.Helper()
	return startKDCIn(t, filepath.Join(t.TempDir(), "realm"), args...)
}

func startKDCIn(t *testing.T, dir string, args ...string) *standalone {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	k := &standalone{dir: dir, env: map[string]string{}, ended: make(chan struct{}), cancel: cancel}
	out, in := io.Pipe()
	go func() {
		defer close(k.ended)
		defer in.Close()
		k.code = run(ctx, append([]string{"kdc", "--dir", k.dir}, args...), world{stdin: strings.NewReader(""), stdout: in, stderr: &k.stderr, getenv: func(string) string { return "" }})
	}()
	t.Cleanup(k.interrupt)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		k.stdout += lines.Text() + "\n"
		if lines.Text() == "# ready" {
			return k
		}
		assignment, ok := strings.CutPrefix(lines.Text(), "export ")
		name, value, found := strings.Cut(assignment, "=")
		if !ok || !found {
			t.Errorf("a shell cannot take %q", lines.Text())
		}
		k.env[name] = strings.Trim(value, "'")
	}
	<-k.ended
	t.Fatalf("not ready: exit status %d: %s", k.code, k.stderr.String())
	return nil
}

// interrupt does what Ctrl-C does, and waits.
func (k *standalone) interrupt() {
	k.cancel()
	<-k.ended
}

func TestKDC(t *testing.T) { // alone, for its ports that nobody listens on
	for name, tc := range map[string]struct {
		args []string
		get  []string // of kerbchain get
		says string
	}{
		"cache":        {get: nil, says: "hello alice@EXAMPLE.TEST\n"},
		"https":        {args: []string{"--tls"}, get: []string{"--cacert", "$KERBCHAIN_CACERT", "--cbt", "require"}, says: "hello alice@EXAMPLE.TEST\n"},
		"keytab":       {args: []string{"--user", "bob:x", "--user", "carol"}, get: []string{"--keytab", "$DIR/carol.keytab"}, says: "hello carol@EXAMPLE.TEST\n"},
		"password":     {args: []string{"--realm", "A.EXAMPLE", "--user", "alice:pass:word"}, get: []string{"--principal", "alice@A.EXAMPLE:pass:word"}, says: "hello alice@A.EXAMPLE\n"},
		"other cache":  {args: []string{"--user", "bob:x", "--user", "carol/admin:y"}, get: []string{"--ccache", "$DIR/carol+admin.ccache"}, says: "hello carol/admin@EXAMPLE.TEST\n"},
		"another host": {args: []string{"--service", "WSMAN/app.example", "--service", "HTTP/localhost"}, says: "hello alice@EXAMPLE.TEST\n"},
		"etypes":       {args: []string{"--etypes", "AES256-CTS-HMAC-SHA384-192,17"}, get: []string{"-v"}, says: "hello alice@EXAMPLE.TEST\n"},
		"IPv6":         {args: []string{"--listen", "[::1]:0"}, says: "hello alice@EXAMPLE.TEST\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "IPv6" && !loopback6() {
				t.Skip("this machine has no IPv6 loopback")
			}
			k := startKDC(t, append([]string{"--web"}, tc.args...)...)
			args := []string{"get"}
			for _, a := range tc.get {
				args = append(args, strings.NewReplacer("$DIR", k.dir, "$KERBCHAIN_CACERT", k.env["KERBCHAIN_CACERT"]).Replace(a))
			}
			code, stdout, stderr := runWith(t.Context(), k.env, "", append(args, k.env["KERBCHAIN_URL"])...)
			if code != exitOK || stdout != tc.says {
				t.Errorf("exit status %d: %q, want %q: %s", code, stdout, tc.says, stderr)
			}
			if b, err := os.ReadFile(filepath.Join(k.dir, "env.sh")); err != nil || string(b)+"# ready\n" != k.stdout {
				t.Errorf("env.sh is %q, error %v, want what was printed: %q", b, err, k.stdout)
			}
			k.interrupt()
			if k.code != exitOK || !strings.Contains(k.stderr.String(), "TEST ONLY") {
				t.Errorf("exit status %d: %s", k.code, k.stderr.String())
			}
			if strings.Contains(k.stdout+k.stderr.String(), "pass:word") {
				t.Error("a password was printed")
			}
			if code, _, _ := runWith(t.Context(), k.env, "", "get", k.env["KERBCHAIN_URL"]); code != exitNetwork {
				t.Errorf("after the end: exit status %d", code)
			}
		})
	}
}

func loopback6() bool {
	l, err := net.Listen("tcp", "[::1]:0")
	if err == nil {
		l.Close()
	}
	return err == nil
}

// TestKDCFiles: what is written, for whom to read, and what is left.
func TestKDCFiles(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	if err := os.WriteFile(ready, []byte(readyLine+"\nof an earlier run"), 0o644); err != nil {
		t.Fatal(err)
	}
	k := startKDC(t, "--web", "--tls", "--ready-file", ready, "--verbose", "--lifetime", "1h")
	if b, err := os.ReadFile(ready); err != nil || string(b) != "# TEST ONLY: kerbchain kdc is ready\n"+k.env["KERBCHAIN_KDC"]+"\n" {
		t.Errorf("ready file: %q, error %v", b, err)
	}
	want := map[string]os.FileMode{".": 0o700}
	for _, name := range []string{"krb5.conf", "service.keytab", "alice.keytab", "alice.ccache", "env.sh", "ca.pem", "ca.p12"} {
		want[name] = 0o600
	}
	modes := func() map[string]os.FileMode {
		got := map[string]os.FileMode{}
		err := filepath.Walk(k.dir, func(path string, info os.FileInfo, err error) error {
			if err == nil {
				rel, _ := filepath.Rel(k.dir, path)
				got[rel] = info.Mode().Perm()
				if runtime.GOOS == "windows" {
					got[rel] = want[rel] // modes tell only whether a file may be written there
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if d := cmp.Diff(want, modes()); d != "" {
		t.Errorf("modes (-want +got)\n%s", d)
	}
	if code, _, stderr := runWith(t.Context(), k.env, "", "get", "-k", k.env["KERBCHAIN_URL"]); code != exitOK {
		t.Fatalf("exit status %d: %s", code, stderr)
	}
	k.interrupt()
	if _, err := os.Stat(ready); !os.IsNotExist(err) {
		t.Errorf("the ready file after the end: %v", err)
	}
	if d := cmp.Diff(want, modes()); d != "" {
		t.Errorf("modes after the end (-want +got)\n%s", d)
	}
	for _, says := range []string{"TGS/udp alice@EXAMPLE.TEST for HTTP/localhost@EXAMPLE.TEST", "GET /: 401", "200 alice@EXAMPLE.TEST"} {
		if !strings.Contains(k.stderr.String(), says) {
			t.Errorf("standard error does not say %q: %s", says, k.stderr.String())
		}
	}
}

// TestKDCKeepsOthers: what no earlier run wrote is neither replaced nor removed, and
// what one wrote is.
func TestKDCKeepsOthers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		file, text string // in the folder; "" is a folder in it
		args       []string
	}{
		"krb5.conf":       {"krb5.conf", "[libdefaults]\n", nil},
		"keytab":          {"alice.keytab", "\x05\x02", nil},
		"script":          {"env.sh", "export PATH=/\n", nil},
		"certificate":     {"ca.pem", "-----BEGIN CERTIFICATE-----\n", []string{"--web", "--tls"}},
		"store":           {"ca.p12", "0", []string{"--web", "--tls"}},
		"ready file":      {"x", "important", []string{"--ready-file", "$DIR/x"}},
		"empty file":      {"x", " ", []string{"--ready-file", "$DIR/x"}},
		"an empty folder": {"x", "", []string{"--ready-file", "$DIR/x"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, tc.file)
			err := os.Mkdir(path, 0o700)
			if tc.text != "" {
				err = errors.Join(os.Remove(path), os.WriteFile(path, []byte(strings.TrimSpace(tc.text)), 0o600))
			}
			if err != nil {
				t.Fatal(err)
			}
			args := []string{"kdc", "--dir", dir}
			for _, a := range tc.args {
				args = append(args, strings.ReplaceAll(a, "$DIR/", dir+string(filepath.Separator)))
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // for a realm that starts after all
			defer cancel()
			code, stdout, stderr := runWith(ctx, nil, "", args...)
			if code != exitFailed || strings.Count(stderr, path) != 1 || !strings.Contains(stderr, "name another") || stdout != "" {
				t.Errorf("exit status %d: %s%s", code, stdout, stderr)
			}
			list, err := os.ReadDir(dir)
			if err != nil || len(list) != 1 || list[0].Name() != tc.file {
				t.Errorf("in the folder: %v, %v", list, err)
			}
			if b, err := os.ReadFile(path); tc.text != "" && (err != nil || string(b) != strings.TrimSpace(tc.text)) {
				t.Errorf("%q now, %v", b, err)
			}
		})
	}
	first := startKDC(t, "--web", "--tls")
	first.interrupt()
	second := startKDCIn(t, first.dir, "--web", "--tls")
	second.interrupt()
	if second.code != exitOK {
		t.Errorf("in the folder of an earlier run: exit status %d: %s", second.code, second.stderr.String())
	}
}

// TestKDCTrustStore: both files hold the certificate of the page, and nothing else.
func TestKDCTrustStore(t *testing.T) {
	t.Parallel()
	k := startKDC(t, "--web", "--tls")
	read := func(variable string) []byte {
		b, err := os.ReadFile(k.env[variable])
		if err != nil {
			t.Fatalf("%s: %v", variable, err)
		}
		return b
	}
	block, rest := pem.Decode(read("KERBCHAIN_CACERT"))
	if block == nil || len(rest) > 0 {
		t.Fatalf("%s is not one block", k.env["KERBCHAIN_CACERT"])
	}
	store := read("KERBCHAIN_TRUSTSTORE")
	certs, err := pkcs12.DecodeTrustStore(store, "changeit")
	if err != nil || len(certs) != 1 || !bytes.Equal(certs[0].Raw, block.Bytes) {
		t.Errorf("%d certificates in the store, %v; want the one of ca.pem", len(certs), err)
	}
	conn, err := tls.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(k.env["KERBCHAIN_URL"], "https://"), "/"),
		&tls.Config{RootCAs: func() *x509.CertPool { p := x509.NewCertPool(); p.AddCert(certs[0]); return p }()})
	if err != nil {
		t.Fatalf("who trusts the store does not trust the page: %v", err)
	}
	conn.Close()

	keytool, err := exec.LookPath("keytool")
	if err != nil {
		t.Log("no keytool here; the interop tests have Java trust the store")
		return
	}
	list := exec.Command(keytool, "-list", "-v", "-keystore", k.env["KERBCHAIN_TRUSTSTORE"], "-storepass", "changeit")
	list.Env = append(os.Environ(), "LC_ALL=C.UTF-8") // in which Java reads the names of files
	out, err := list.CombinedOutput()
	sum := strings.ReplaceAll(fmt.Sprintf("% X", sha256.Sum256(block.Bytes)), " ", ":")
	if err != nil || !bytes.Contains(out, []byte("trustedCertEntry")) || !bytes.Contains(out, []byte(sum)) {
		t.Errorf("keytool: %v\n%s\nwant one trusted certificate with the SHA-256 %s", err, out, sum)
	}
}

// TestKDCReadyFileOfOthers: a ready file that somebody replaced stays.
func TestKDCReadyFileOfOthers(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	k := startKDC(t, "--ready-file", ready)
	if err := os.WriteFile(ready, []byte("another's"), 0o600); err != nil {
		t.Fatal(err)
	}
	k.interrupt()
	if b, err := os.ReadFile(ready); err != nil || string(b) != "another's" || k.code != exitFailed || !strings.Contains(k.stderr.String(), ready) {
		t.Errorf("%q, %v; exit status %d: %s", b, err, k.code, k.stderr.String())
	}
}

// TestKDCAdvertise: a name stands in krb5.conf where the address was.
func TestKDCAdvertise(t *testing.T) {
	k := startKDC(t, "--advertise", "kdc.example", "--allow-remote")
	b, err := os.ReadFile(k.env["KRB5_CONFIG"])
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(k.env["KERBCHAIN_KDC"])
	if err != nil {
		t.Fatal(err)
	}
	if text := string(b); !strings.Contains(text, "kdc = kdc.example:"+port+"\n") || strings.Contains(text, "127.0.0.1") {
		t.Errorf("krb5.conf: %s", text)
	}
}

func TestKDCErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args []string
		code int
		says string
	}{
		"help":                   {[]string{"--help"}, exitOK, "TEST ONLY"},
		"no folder":              {[]string{"--dir", ""}, exitUsage, "want --dir"},
		"argument":               {[]string{"now"}, exitUsage, `got "now"`},
		"bad flag":               {[]string{"--nonsense"}, exitUsage, "nonsense"},
		"remote KDC":             {[]string{"--listen", "192.0.2.1:88"}, exitUsage, "--allow-remote"},
		"any address":            {[]string{"--listen", "0.0.0.0:0"}, exitUsage, "--allow-remote"},
		"any address, allowed":   {[]string{"--listen", "0.0.0.0:0", "--allow-remote"}, exitUsage, "--advertise"},
		"remote page":            {[]string{"--web", "--web-listen", "192.0.2.1:80"}, exitUsage, "--web-listen 192.0.2.1:80: other machines"},
		"no such address":        {[]string{"--listen", "192.0.2.1:0", "--allow-remote"}, exitFailed, "192.0.2.1"},
		"no address":             {[]string{"--listen", "localhost:88"}, exitUsage, "want an address"},
		"KDC's port is taken":    {[]string{"--listen", taken.Addr().String()}, exitFailed, taken.Addr().String()},
		"page's port is taken":   {[]string{"--web", "--web-listen", taken.Addr().String()}, exitFailed, taken.Addr().String()},
		"TLS without a page":     {[]string{"--tls"}, exitUsage, "need --web"},
		"unknown type":           {[]string{"--etypes", "des"}, exitUsage, "aes256-cts-hmac-sha1-96 (18)"},
		"type twice":             {[]string{"--etypes", "18,18"}, exitFailed, "twice"},
		"no lifetime":            {[]string{"--lifetime", "0s"}, exitFailed, "lifetime"},
		"realm":                  {[]string{"--realm", "A/B"}, exitFailed, "realm name"},
		"user twice":             {[]string{"--user", "a:b", "--user", "a:secret"}, exitFailed, "there already"},
		"nameless user":          {[]string{"--user", ":hunter2"}, exitFailed, "kerbchain kdc"},
		"user twice, by flag":    {[]string{"--user", "a", "--user", "a"}, exitFailed, `--user "a": principal a@EXAMPLE.TEST is there already; name each once`},
		"user of no name":        {[]string{"--user", "a", "--user", ""}, exitFailed, `--user "": principal name is empty`},
		"user of no password":    {[]string{"--user", "a:"}, exitUsage, `--user "a": the password is empty: want name:password`},
		"user of another realm":  {[]string{"--user", "a@B"}, exitFailed, `--user "a@B": `},
		"service as a user":      {[]string{"--service", "alice"}, exitFailed, `--service "alice": principal alice@EXAMPLE.TEST is there already; name each once`},
		"service of no host":     {[]string{"--service", "HTTP/"}, exitUsage, "--service \"HTTP/\": want a host after the slash"},
		"host that is none":      {[]string{"--service", "HTTP/a b"}, exitUsage, "want a host after the slash"},
		"page of no host":        {[]string{"--web", "--service", "HTTP/a%b"}, exitUsage, "--web: the page is of the first --service"},
		"short lifetime":         {[]string{"--lifetime", "999ms"}, exitFailed, "--lifetime 999ms: want a second or more"},
		"long lifetime":          {[]string{"--lifetime", "2000000h"}, exitFailed, "--lifetime 2000000h0m0s: want tickets to end before 2106"},
		"advertised port":        {[]string{"--advertise", "kdc.example:88"}, exitUsage, "--advertise: "},
		"advertised lines":       {[]string{"--advertise", "kdc\nkdc"}, exitUsage, "--advertise: "},
		"folder is a file":       {[]string{"--dir", file}, exitFailed, "file"},
		"ready file in the void": {[]string{"--ready-file", filepath.Join(file, "x")}, exitFailed, "file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "realm")
			code, stdout, stderr := runWith(t.Context(), nil, "", append([]string{"kdc", "--dir", dir}, tc.args...)...)
			if tc.code == exitOK { // of help, which is what was asked for
				stdout, stderr = stderr, stdout
			}
			if code != tc.code || !strings.Contains(stderr, tc.says) || stdout != "" {
				t.Errorf("exit status %d, want %d: %s%s", code, tc.code, stdout, stderr)
			}
			if words := ofGo.FindAllString(ofOthersToo.ReplaceAllString(stderr, ""), -1); tc.code != exitOK && words != nil {
				t.Errorf("%q are words of Go: %s", words, stderr)
			}
			if strings.Contains(stderr, "hunter2") || strings.Contains(stderr, "a:secret") {
				t.Errorf("a password was printed: %s", stderr)
			}
		})
	}
}

// TestKDCHosts: what is written can be read, whatever the services are called.
func TestKDCHosts(t *testing.T) {
	t.Parallel()
	k := startKDC(t, "--service", "HTTP/localhost:8080", "--service", "a=b", "--service", `HTTP/x\@y`, "--service", "HTTP/a'%b")
	if code, stdout, stderr := runWith(t.Context(), k.env, "", "klist"); code != exitOK || !strings.Contains(stdout, "alice@EXAMPLE.TEST") {
		t.Errorf("exit status %d: %s%s", code, stdout, stderr)
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"": "''", "/tmp/a.b": "/tmp/a.b", "FILE:/x+y": "FILE:/x+y", "/a b": "'/a b'", "it's": `'it'\''s'`, "$(x)": "'$(x)'", "ä": "'ä'", "a\nb": "'a\nb'",
	} {
		if got := quote(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
