package main

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/fakekdc/fakewinrm"
)

// echo answers with what came: the request line, the header but for Authorization, and
// the body.
func echo(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(w, "%s %s %s\n", r.Method, r.RequestURI, r.Host)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if name != "Authorization" {
			fmt.Fprintf(w, "%s: %s\n", name, strings.Join(r.Header[name], "|"))
		}
	}
	if r.TLS != nil {
		fmt.Fprintf(w, "server name %s, %d certificates\n", r.TLS.ServerName, len(r.TLS.PeerCertificates))
	}
	fmt.Fprintf(w, "\n%s", b)
}

// TestGetOnTheWire: what each flag of curl's makes of the request.
func TestGetOnTheWire(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	server := fakeweb.Serve(l.Realm, fakeweb.New(l.Realm, "", fakeweb.Options{Next: http.HandlerFunc(echo)}), fakeweb.ServerOptions{})
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL(), "http://"), ":")
	lines := l.write("lines", []byte("a=1\r\nb=2\n"))
	const form = "Content-Type: application/x-www-form-urlencoded"
	const js = "Content-Type: application/json"
	for name, tc := range map[string]struct {
		args  []string
		stdin string
		path  string // of the URL; "" is /
		line  string // request line
		has   []string
		not   []string
		body  string
	}{
		"plain":             {line: "GET /", has: []string{"Accept: */*"}, not: []string{"Accept-Encoding", "Content-Type"}},
		"-d twice":          {args: []string{"-d", "a=b", "-d", "c=d"}, line: "POST /", has: []string{form}, body: "a=b&c=d"},
		"-d of a file":      {args: []string{"-d", "@" + lines, "--data", "x"}, line: "POST /", body: "a=1b=2&x"},
		"-d of stdin":       {args: []string{"-d", "@-"}, stdin: "x\ny\x00\n", line: "POST /", body: "xy"},
		"-d of bytes":       {args: []string{"-d", "@" + l.write("bytes", []byte("\xff\xfe\n\x80"))}, line: "POST /", body: "\xff\xfe\x80"},
		"--data-binary":     {args: []string{"--data-binary", "@" + lines}, line: "POST /", has: []string{form, "Content-Length: 9"}, body: "a=1\r\nb=2\n"},
		"--data-binary, -d": {args: []string{"--data-binary", "@" + lines, "-d", "z"}, line: "POST /", body: "a=1\r\nb=2\n&z"},
		"--data-raw":        {args: []string{"--data-raw", "@x"}, line: "POST /", body: "@x"},
		"--json":            {args: []string{"--json", `{"a":`, "--json", "1}"}, line: "POST /", has: []string{js, "Accept: application/json"}, body: `{"a":1}`},
		"-X":                {args: []string{"-X", "PATCH", "-d", "x"}, line: "PATCH /", body: "x"},
		"-G":                {args: []string{"-G", "-d", "a=b", "-d", "c=d"}, line: "GET /?a=b&c=d", not: []string{"Content-Type"}},
		"-G with a query":   {args: []string{"-G", "-d", "a=b"}, path: "/p?x=y", line: "GET /p?x=y&a=b"},
		"-H twice":          {args: []string{"-H", "X-A: 1", "-H", "X-A: 2"}, line: "GET /", has: []string{"X-A: 1|2"}},
		"-H in place of":    {args: []string{"-H", "Accept: text/plain", "-H", "content-type: text/xml", "-d", "x"}, line: "POST /", has: []string{"Accept: text/plain\n", "Content-Type: text/xml\n"}, body: "x"},
		"-H takes back":     {args: []string{"-H", "Accept:", "-H", "User-Agent:"}, line: "GET /", not: []string{"Accept", "User-Agent"}},
		"-H of a file":      {args: []string{"-H", "@" + l.write("h", []byte("X-A: 1\r\n\nX-B: @2\nX-C;\nAccept:")), "-H", "X-A: 3"}, line: "GET /", has: []string{"X-A: 1|3", "X-B: @2\n", "X-C: \n"}, not: []string{"Accept"}},
		"-H empty":          {args: []string{"-H", "X-Empty;"}, line: "GET /", has: []string{"X-Empty: \n"}},
		"chunked":           {args: []string{"-H", "Transfer-Encoding: chunked", "-d", "abc"}, line: "POST /", not: []string{"Content-Length"}, body: "abc"},
		"the right length":  {args: []string{"-H", "Content-Length: 3", "-d", "abc"}, line: "POST /", has: []string{"Content-Length: 3"}, body: "abc"},
		"no length":         {args: []string{"-H", "Content-Length: 0", "-X", "POST"}, line: "POST /", has: []string{"Content-Length: 0"}},
		"dots":              {path: "/../y//a/./b/../c%2e?x=/../y", line: "GET /y//a/c%2e?x=/../y"},
		"-A":                {args: []string{"-A", "me/1"}, line: "GET /", has: []string{"User-Agent: me/1"}},
		"-A of nothing":     {args: []string{"-A", ""}, line: "GET /", not: []string{"User-Agent"}},
		"-u : --negotiate":  {args: []string{"-u", ":", "--negotiate"}, line: "GET /"},
		"--compressed":      {args: []string{"--compressed"}, line: "GET /", has: []string{"Accept-Encoding: gzip"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := tc.path
			if path == "" {
				path = "/"
			}
			code, stdout, stderr := l.run(tc.stdin, append(append([]string{"get"}, tc.args...), server.URL()+path)...)
			if code != exitOK || stderr != "" {
				t.Fatalf("exit status %d: %s", code, stderr)
			}
			head, body, _ := strings.Cut(stdout, "\n\n")
			line, fields, _ := strings.Cut(head+"\n", "\n")
			if want := tc.line + " localhost:" + port; line != want || body != tc.body {
				t.Errorf("%q with body %q, want %q with %q", line, body, want, tc.body)
			}
			for _, s := range tc.has {
				if !strings.Contains(fields, s) {
					t.Errorf("no %q in the header:\n%s", s, fields)
				}
			}
			for _, s := range tc.not {
				if strings.Contains(fields, s+":") {
					t.Errorf("%q in the header:\n%s", s, fields)
				}
			}
		})
	}
}

// TestEmptyFlags: an empty value of a flag that names something is wrong usage, and what was
// wanted is said; but where curl takes one.
func TestEmptyFlags(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	taken := map[string]bool{}
	for _, name := range []string{"data", "data-binary", "data-raw", "data-urlencode", "json", "write-out", "user-agent", "proxy"} {
		taken[name] = true
	}
	arguments := map[string][]string{"get": {l.server.URL()}, "doctor": {l.server.URL()}, "explain": {"TlRMTVNTUAABAAAA"}, "klist": {l.server.URL()}, "kdc": {"--dir", l.dir, "--for", "1ns"}}
	for _, c := range commands() {
		fs, _ := c.flags()
		fs.VisitAll(func(f *pflag.Flag) {
			if f.Value.Type() == "bool" {
				return
			}
			args := append([]string{c.name, "--" + f.Name + "="}, arguments[c.name]...)
			if f.Name == "dir" {
				args = args[:2]
			}
			code, stdout, stderr := l.run("", args...)
			wants := strings.Contains(stderr, "want ") || strings.Contains(stderr, "must be ")
			if refused := code == exitUsage && stdout == "" && wants; refused == taken[f.Name] || code != exitOK && !strings.Contains(stderr, "-"+f.Name) && !strings.Contains(stderr, "-"+f.Shorthand+":") {
				t.Errorf("%q: exit status %d: %s%s", args, code, stdout, stderr)
			}
		})
	}
}

// TestFlagsTogether: flags that contradict each other, and values that no flag takes, are
// wrong usage in the command's words.
func TestFlagsTogether(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	for _, tc := range []struct {
		commands string
		args     []string
		says     string
	}{
		{"get doctor", []string{"--enterprise"}, "--enterprise needs --principal"},
		{"get doctor", []string{"--password-file", "x"}, "--password-file needs --principal"},
		{"get doctor", []string{"--principal", "a", "--password-file", "x", "--keytab", "y"}, "--password-file, --keytab and --ccache exclude one another"},
		{"get doctor", []string{"--principal", "a", "--password-file", "x", "--ccache", "y"}, "--password-file, --keytab and --ccache exclude one another"},
		{"get doctor", []string{"--mutual", "maybe"}, `--mutual "maybe": want one of required, optional, disabled`},
		{"get doctor", []string{"--resolve", "localhost:99999:127.0.0.1"}, "--resolve "},
		{"get doctor", []string{"--resolve", "localhost:http:127.0.0.1"}, "--resolve "},
		{"get doctor", []string{"--connect-to", "::localhost:99999"}, "--connect-to "},
		{"get doctor", []string{"--connect-to", ":x:localhost:80"}, "--connect-to "},
		{"get doctor", []string{"--proxy", "gopher://localhost"}, "--proxy: want "},
		{"get", []string{"--timeout", "1s", "-m", "2"}, "--timeout and --max-time exclude each other"},
		{"get", []string{"--negotiate=false"}, "--negotiate=false: there is no other way here"},
		{"get", []string{"-u", ""}, `-u: want ":"`},
		{"klist", []string{"-k", "x", "-a"}, "--all is for caches"},
	} {
		for name := range strings.FieldsSeq(tc.commands) {
			code, stdout, stderr := l.run("", append(append([]string{name}, tc.args...), l.server.URL())...)
			if code != exitUsage || stdout != "" || !strings.Contains(stderr, tc.says) || ofGo.MatchString(stderr) {
				t.Errorf("%s %q: exit status %d: %s%s", name, tc.args, code, stdout, stderr)
			}
		}
	}
	for _, args := range [][]string{{"--principal", "alice"}, {"--service", "NFS"}} {
		if code, _, stderr := l.run("", append([]string{"klist"}, args...)...); code != exitUsage || !strings.Contains(stderr, "are for a URL") {
			t.Errorf("klist %q: exit status %d: %s", args, code, stderr)
		}
	}
}

// TestGetTellsNoReferer: a redirect's target is not told of the URL that led there, unless
// the user says so.
func TestGetTellsNoReferer(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/", http.StatusFound)
			return
		}
		echo(w, r)
	})
	server := fakeweb.Serve(l.Realm, fakeweb.New(l.Realm, "", fakeweb.Options{Next: next}), fakeweb.ServerOptions{})
	for want, args := range map[bool][]string{false: {"-L"}, true: {"-L", "-H", "Referer: http://a.test/"}} {
		code, stdout, stderr := l.run("", append(append([]string{"get"}, args...), server.URL()+"/moved")...)
		if code != exitOK || strings.Contains(stdout, "Referer: ") != want || strings.Contains(stdout, "/moved") {
			t.Errorf("%v: exit status %d: %s%s", args, code, stdout, stderr)
		}
	}
}

// TestGetOutput: where what goes.
func TestGetOutput(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	url := l.server.URL()
	t.Chdir(t.TempDir())
	for name, tc := range map[string]struct {
		args   []string
		code   int
		stdout string // "*" for anything
		stderr string // "" for nothing
		files  map[string]string
	}{
		"-I":                     {args: []string{"-I", url + "/missing"}, code: exitStatus, stdout: "HTTP/1.1 404", stderr: "404"},
		"-f":                     {args: []string{"-f", url + "/missing"}, code: exitStatus, stderr: "404"},
		"-s":                     {args: []string{"-sf", url + "/missing"}, code: exitStatus},
		"-s, wrong usage":        {args: []string{"-s", "-o", filepath.Join("none", "x"), url}, code: exitOutput},
		"-s -S":                  {args: []string{"-sSf", url + "/missing"}, code: exitStatus, stderr: "404"},
		"-o -":                   {args: []string{"-o", "-", url + "/sum"}, stdout: "GET 0 bytes"},
		"-o":                     {args: []string{"-o", "a", url + "/sum"}, files: map[string]string{"a": "GET 0 bytes <nil>"}},
		"-O":                     {args: []string{"-O", url + "/x/sum"}, files: map[string]string{"sum": "*"}},
		"-O without a name":      {args: []string{"-O", url + "/"}, code: exitOutput, stderr: "name of a file"},
		"-O of a folder":         {args: []string{"-O", url + "/a/.."}, code: exitOutput, stderr: "name of a file"},
		"-O with a slash":        {args: []string{"-O", url + "/a%2f..%2f..%2fb"}, files: map[string]string{"a%2f..%2f..%2fb": "*"}},
		"-O with a blank":        {args: []string{"-O", url + "/a%20b?c/d"}, files: map[string]string{"a%20b": "*"}},
		"-o -i":                  {args: []string{"-i", "-o", "a", url + "/sum"}, files: map[string]string{"a": "HTTP/1.1 200*"}},
		"-o -I":                  {args: []string{"-I", "-o", "a", url + "/sum"}, files: map[string]string{"a": "HTTP/1.1 200*"}},
		"-i -L":                  {args: []string{"-i", "-L", "-o", "a", url + "/moved"}, files: map[string]string{"a": "HTTP/1.1 302*HTTP/1.1 200*"}},
		"-I -X GET":              {args: []string{"-I", "-X", "GET", "-o", "a", "-w", "%{size_download}", url + "/sum"}, stdout: "0", files: map[string]string{"a": "HTTP/1.1 200*"}},
		"-o of an empty body":    {args: []string{"-f", "-o", "a", url + "/missing"}, code: exitStatus, stderr: "404"},
		"-o and -O":              {args: []string{"-o", "x", "-O", url}, code: exitUsage, stderr: "exclude"},
		"-o without a response":  {args: []string{"-o", "b", "--ccache", "/nonexistent", url}, code: exitCredentials, stderr: "/nonexistent"},
		"-w":                     {args: []string{"-o", "a", "-w", `%{http_code} %{size_download} %{method} %{verified} %{num_redirects} %{http_version} %{remote_ip} %{exitcode} %{scheme}%% %{nonsense}\n`, url + "/sum"}, stdout: "200 17 GET true 0 1.1 127.0.0.1 0 http% %{nonsense}\n", files: map[string]string{"a": "*"}},
		"-w of headers":          {args: []string{"-f", "-w", `%{content_type}|%header{content-type}|%{url}|%{principal}`, url + "/missing"}, code: exitStatus, stdout: "text/plain; charset=utf-8|text/plain; charset=utf-8|" + url + "/missing|alice@" + l.Name(), stderr: "404"},
		"-w of the token":        {args: []string{"-f", "-w", `%header{www-authenticate}`, url + "/missing"}, code: exitStatus, stdout: "Negotiate [token of ", stderr: "404"},
		"-w @":                   {args: []string{"-o", "a", "-w", "@" + l.write("format", []byte("%{http_code}\n")), url}, stdout: "200", files: map[string]string{"a": "*"}},
		"-w @ of nothing":        {args: []string{"-w", "@none", url}, code: exitUsage, stderr: "none"},
		"-w of connections":      {args: []string{"-o", "a", "-w", "%{num_connects} %{local_ip} %{filename_effective} %{time_appconnect} %{num_headers}", url}, stdout: "1 127.0.0.1 a 0.000000 4", files: map[string]string{"a": "*"}},
		"-w of all headers":      {args: []string{"-o", "a", "-w", "%{header_json}", url}, stdout: `{"content-length":["`, files: map[string]string{"a": "*"}},
		"-w where what goes":     {args: []string{"-o", "a", "-w", `a%{stderr}b%{stdout}c\\n\x%{`, url}, stdout: `ac\\n\x%{`, stderr: "b", files: map[string]string{"a": "*"}},
		"-w, no error":           {args: []string{"-o", "a", "-w", "a%{onerror}b", url}, stdout: "a", files: map[string]string{"a": "*"}},
		"-w, an error":           {args: []string{"-sf", "-w", "a%{onerror}b", url + "/missing"}, code: exitStatus, stdout: "ab"},
		"-w of a redirect":       {args: []string{"-o", "a", "-w", `%{redirect_url}`, url + "/moved"}, stdout: url + "/", files: map[string]string{"a": "*"}},
		"-w after redirects":     {args: []string{"-L", "-o", "a", "-w", `%{url_effective} %{num_redirects}`, url + "/moved"}, stdout: url + "/ 1", files: map[string]string{"a": "*"}},
		"-w without a response":  {args: []string{"-s", "-w", `%{http_code} %{exitcode} %{errormsg}`, "--ccache", "/nonexistent", url}, code: exitCredentials, stdout: "000 3 "},
		"-m":                     {args: []string{"-m", "-1", url}, code: exitUsage, stderr: "negative"},
		"-u with a password":     {args: []string{"-u", "alice:hunter2", url}, code: exitUsage, stderr: "--password-file"},
		"-I -d":                  {args: []string{"-I", "-d", "x", url}, code: exitUsage, stderr: "exclude"},
		"-G of blanks":           {args: []string{"-G", "-d", "a b", url}, code: exitUsage, stderr: "%20"},
		"-H of two lines":        {args: []string{"-H", "X-A: 1\r\nX-B: 2", url}, code: exitUsage, stderr: "X-A"},
		"-H of two lines, empty": {args: []string{"-H", "X-A\r\nX-B;", url}, code: exitUsage, stderr: "Name: value"},
		"-H of a blank":          {args: []string{"-H", "X A: 1", url}, code: exitUsage, stderr: "Name: value"},
		"-H of no name":          {args: []string{"-H", ": 1", url}, code: exitUsage, stderr: "Name: value"},
		"-H of a wrong length":   {args: []string{"-H", "Content-Length: 4", "-d", "abc", url}, code: exitUsage, stderr: "Content-Length"},
		"-H of trailers":         {args: []string{"-H", "Trailer: X", "-d", "abc", url}, code: exitUsage, stderr: "Trailer"},
		"-A of two lines":        {args: []string{"-A", "a\nb", url}, code: exitUsage, stderr: "line break"},
		"-m of no number":        {args: []string{"-m", "nan", url}, code: exitUsage, stderr: "negative, or too much"},
		"-m of for ever":         {args: []string{"-m", "1e300", url}, code: exitUsage, stderr: "negative, or too much"},
		"-m of no time":          {args: []string{"-m", "1e-300", url}, code: exitNetwork, stderr: "no response within 1ns"},
		"--allowed-hosts empty":  {args: []string{"--allowed-hosts", "", url}, code: exitUsage, stderr: "--allowed-hosts is empty"},
		"--cacert empty":         {args: []string{"--cacert", "", url}, code: exitUsage, stderr: "--cacert is empty"},
		"--ccache empty":         {args: []string{"--ccache=", url}, code: exitUsage, stderr: "--ccache is empty"},
		"-o empty":               {args: []string{"-o", "", url}, code: exitUsage, stderr: "--output is empty"},
		"a port too high":        {args: []string{"http://localhost:65536/"}, code: exitUsage, stderr: "65535"},
		"port 0":                 {args: []string{"http://localhost:0/"}, code: exitUsage, stderr: "65535"},
		"-X of two words":        {args: []string{"-X", "A B", url}, code: exitUsage, stderr: "such as PUT"},
		"no host":                {args: []string{"http://:80/"}, code: exitUsage, stderr: "names a host"},
		"a blank in the path":    {args: []string{url + "/a b"}, code: exitUsage, stderr: "%20"},
		"a blank in the query":   {args: []string{url + "/?a b"}, code: exitUsage, stderr: "%20"},
		"a bad escape":           {args: []string{url + "/100%"}, code: exitUsage, stderr: "%25"},
		"a URL with a password":  {args: []string{"http://alice:hunter2/@x:y"}, code: exitUsage, stderr: "cannot be parsed"},
		"--key alone":            {args: []string{"--key", "x", url}, code: exitUsage, stderr: "--cert"},
		"--resolve of a name":    {args: []string{"--resolve", "a:1:b", url}, code: exitUsage, stderr: "HOST:PORT:ADDRESS"},
		"--connect-to, cut":      {args: []string{"--connect-to", "a:1:b", url}, code: exitUsage, stderr: "HOST:PORT:HOST:PORT"},
		"--canonicalize of what": {args: []string{"--canonicalize", "x", url}, code: exitUsage, stderr: "fallback"},
	} {
		t.Run(name, func(t *testing.T) {
			old, _ := filepath.Glob("*")
			for _, f := range old {
				os.Remove(f)
			}
			restore(t, filepath.Join(l.dir, "cc"))
			code, stdout, stderr := l.run("", append([]string{"get"}, tc.args...)...)
			if code != tc.code || !strings.HasPrefix(stdout, tc.stdout) || tc.stdout == "" && stdout != "" {
				t.Errorf("exit status %d: %q, want %d and %q: %s", code, stdout, tc.code, tc.stdout, stderr)
			}
			if !strings.Contains(stderr, tc.stderr) || tc.stderr == "" && stderr != "" || strings.Contains(stdout+stderr, "hunter2") {
				t.Errorf("standard error %q", stderr)
			}
			got := map[string]string{}
			names, _ := filepath.Glob("*")
			for _, f := range names {
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				got[f] = string(b)
				if want, ok := tc.files[f]; ok && like(want, got[f]) {
					got[f] = want
				}
			}
			if tc.files == nil {
				tc.files = map[string]string{}
			}
			if d := cmp.Diff(tc.files, got); d != "" {
				t.Errorf("files (-want +got)\n%s", d)
			}
		})
	}
	if _, stdout, _ := l.run("", "get", "-f", "-w", "%{header_json}", url+"/missing"); !strings.Contains(stdout, `"www-authenticate":["Negotiate [token of `) {
		t.Errorf("%s", stdout)
	}
	// What a file held stays, where there is no response; and is gone, where there is.
	old := l.write("old", bytes.Repeat([]byte("old"), 100))
	if code, _, _ := l.run("", "get", "-o", old, "--ccache", "/nonexistent", url); code != exitCredentials {
		t.Errorf("exit status %d", code)
	}
	if b, _ := os.ReadFile(old); len(b) != 300 {
		t.Errorf("%d bytes are left of 300", len(b))
	}
	if code, _, stderr := l.run("", "get", "-o", old, url+"/sum"); code != exitOK {
		t.Error(stderr)
	}
	if b, _ := os.ReadFile(old); string(b) != "GET 0 bytes <nil>" {
		t.Errorf("%q", b)
	}
	// Nothing is sent where the output cannot be opened.
	l.service.ResetRequests()
	l.run("", "get", "-o", filepath.Join(l.dir, "none", "x"), "-d", "x", url)
	if n := len(l.service.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// like reports whether a text is as one with * for what is between its parts.
func like(want, text string) bool {
	for i, part := range strings.Split(want, "*") {
		at := strings.Index(text, part)
		if at < 0 || i == 0 && at > 0 {
			return false
		}
		text = text[at+len(part):]
	}
	return text == "" || strings.HasSuffix(want, "*")
}

// clientCertificate writes a certificate and its key to a file.
func clientCertificate(t *testing.T, l *lab) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "alice"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	b, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return l.write("client.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		l.write("client.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b}))
}

// TestGetConnections: where connections go, what they show, and under which name.
func TestGetConnections(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	l.AddService("HTTP/app.test")
	server := fakeweb.Serve(l.Realm, fakeweb.New(l.Realm, "", fakeweb.Options{Next: http.HandlerFunc(echo)}), fakeweb.ServerOptions{})
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL(), "http://"), ":")
	for name, args := range map[string][]string{
		"--resolve":           {"--resolve", "other.test:" + port + ":127.0.0.1", "--connect-to", "app.test:80:other.test:" + port},
		"--resolve, brackets": {"--resolve", "other.test:" + port + ":[127.0.0.1]", "--connect-to", "app.test:80:other.test:" + port},
		"--resolve, second":   {"--resolve", "APP.test:" + port + ":127.0.0.1", "--connect-to", "app.test:80::" + port},
		"--resolve, any":      {"--resolve", "*:" + port + ":127.0.0.1", "--connect-to", "::127.0.0.1:" + port},
		"--connect-to":        {"--connect-to", "app.test:80:127.0.0.1:" + port},
		"--connect-to, all":   {"--connect-to", "::localhost:" + port},
		"-x":                  {"-x", "localhost:" + port, "-H", "X: y"},
		"-x, none":            {"-x", "", "--connect-to", "::localhost:" + port},
		"--canonicalize":      {"--canonicalize", "never", "--connect-to", "::localhost:" + port},
		"--realm":             {"--realm", l.Name(), "--connect-to", "::localhost:" + port},
		"--allowed-hosts":     {"--allowed-hosts", "*.test,x", "--connect-to", "::localhost:" + port},
		"--trust-connection":  {"--trust-connection", "--connect-to", "::localhost:" + port},
	} {
		t.Run(name, func(t *testing.T) {
			env := maps.Clone(l.env)
			env["KRB5_CONFIG"] = l.write("app.conf", []byte(l.Config()+"[domain_realm]\n app.test = "+l.Name()+"\n"))
			code, stdout, stderr := runWith(t.Context(), env, "", append(append([]string{"get"}, args...), "http://app.test/p")...)
			if code != exitOK || !strings.Contains(stdout, "/p app.test\n") {
				t.Errorf("exit status %d: %s%s", code, stdout, stderr)
			}
		})
	}
	for name, tc := range map[string]struct {
		args []string
		code int
		says string
	}{
		"--allowed-hosts": {[]string{"--allowed-hosts", "elsewhere.test"}, exitStatus, "401"},
		"--port-in-spn":   {[]string{"--port-in-spn"}, exitKDC, "HTTP/localhost:" + port},
		"--realm":         {[]string{"--realm", "NOWHERE.TEST"}, exitKDC, "NOWHERE.TEST"},
		"--max-time":      {[]string{"-m", "0.000001"}, exitNetwork, "no response within"},
	} {
		if code, _, stderr := l.run("", append(append([]string{"get"}, tc.args...), server.URL())...); code != tc.code && name != "--max-time" || !strings.Contains(stderr, tc.says) {
			t.Errorf("%s: exit status %d: %s", name, code, stderr)
		}
	}
}

// TestGetCompressed: a compressed body is printed uncompressed where that was asked for,
// and as it is where it was not.
func TestGetCompressed(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		io.WriteString(z, "hello")
		z.Close()
	})
	server := fakeweb.Serve(l.Realm, fakeweb.New(l.Realm, "", fakeweb.Options{Next: handler}), fakeweb.ServerOptions{})
	if code, stdout, stderr := l.run("", "get", "--compressed", server.URL()); code != exitOK || stdout != "hello" {
		t.Errorf("exit status %d: %q %s", code, stdout, stderr)
	}
	if code, stdout, _ := l.run("", "get", server.URL()); code != exitOK || !strings.HasPrefix(stdout, "\x1f\x8b") {
		t.Errorf("exit status %d: %q", code, stdout)
	}
}

// TestGetCertificate: the client's certificate is shown.
func TestGetCertificate(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	cert, key := clientCertificate(t, l)
	both := l.write("both.pem", append(slices.Clone(mustRead(t, cert)), mustRead(t, key)...))
	server := httptest.NewUnstartedServer(http.HandlerFunc(echo))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	defer server.Close()
	for name, tc := range map[string]struct {
		args []string
		code int
		says string
	}{
		"none":        {nil, exitOK, "0 certificates"},
		"two files":   {[]string{"--cert", cert, "--key", key}, exitOK, "1 certificates"},
		"one file":    {[]string{"--cert", both}, exitOK, "1 certificates"},
		"no key":      {[]string{"--cert", cert}, exitUsage, "--cert"},
		"no such key": {[]string{"--cert", cert, "--key", "/nonexistent"}, exitUsage, "/nonexistent"},
	} {
		code, stdout, stderr := l.run("", append(append([]string{"get", "-k", "--mutual", "optional"}, tc.args...), server.URL)...)
		if code != tc.code || !strings.Contains(stdout+stderr, tc.says) {
			t.Errorf("%s: exit status %d: %s%s", name, code, stdout, stderr)
		}
	}
}

func mustRead(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestGetWinRM: a message goes sealed over plain http, and so does a fault.
func TestGetWinRM(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	endpoint := fakewinrm.New(l.Realm, "HTTP/localhost", fakewinrm.Options{Answer: func(_ fakekdc.Caller, soap []byte) (int, []byte) {
		if string(soap) == "<Fault/>" {
			return http.StatusInternalServerError, []byte("<fault>")
		}
		return http.StatusOK, append([]byte("got "), soap...)
	}})
	server := fakeweb.Serve(l.Realm, endpoint, fakeweb.ServerOptions{})
	if code, stdout, stderr := l.run("", "get", "--winrm", "-d", "<Identify/>", server.URL()+"/wsman"); code != exitOK || stdout != "got <Identify/>" {
		t.Errorf("exit status %d: %q %s", code, stdout, stderr)
	}
	// A web server, which has no sessions, is not told to look at names and keys.
	code, _, stderr := l.run("", "get", "--winrm", "-d", "<Identify/>", l.server.URL()+"/wsman")
	if code != exitStatus || !strings.Contains(stderr, "it authenticates each request and keeps no session, as WinRM does") || !strings.Contains(stderr, "try: see whether WinRM listens at this URL") || strings.Contains(stderr, "SPN") {
		t.Errorf("exit status %d: %s", code, stderr)
	}
	if code, stdout, stderr := l.run("", "get", "--winrm", "-d", "<Fault/>", server.URL()+"/wsman"); code != exitStatus || stdout != "<fault>" {
		t.Errorf("exit status %d: %q %s", code, stdout, stderr)
	}
}
