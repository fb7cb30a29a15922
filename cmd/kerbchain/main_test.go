package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
)

// asTheCommand is set for a second process, which is the command.
const asTheCommand = "KERBCHAIN_TEST_COMMAND"

func TestMain(m *testing.M) {
	switch os.Getenv(asTheCommand) {
	case "":
	case "measured": // what the kernel says of the process at its end goes to the third file
		code := run(context.Background(), os.Args[1:], world{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: kerberos.SecureGetenv})
		about, err := os.ReadFile("/proc/self/status")
		if err == nil {
			_, err = os.NewFile(3, "status").Write(about)
		}
		if err != nil {
			panic(err)
		}
		os.Exit(code)
	case "interrupted":
		signal.Notify(make(chan os.Signal, 1), os.Interrupt) // none ends the process from here on
		os.NewFile(3, "ready").Close()
		main()
	default:
		main()
	}
	testmain.RunTogether(m)
}

// asCommand returns the command as a process of its own.
func asCommand(ctx context.Context, t *testing.T, env map[string]string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, self, args...)
	// The race detector makes a process wait for a second before it ends.
	cmd.Env = append(os.Environ(), asTheCommand+"=1", "GORACE=atexit_sleep_ms=0")
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

func exitCode(err error) int {
	if e, ok := err.(*exec.ExitError); ok {
		return e.ExitCode()
	}
	return -1
}

const password = "correct horse battery staple"

// A lab is a realm, a web service, and the files that a user would have.
type lab struct {
	*fakekdc.Realm
	t       *testing.T
	dir     string
	service *fakeweb.Handler
	server  *fakeweb.Server
	env     map[string]string
}

func newLab(t *testing.T, o fakeweb.ServerOptions) *lab {
	t.Helper()
	l := &lab{t: t, dir: t.TempDir(), Realm: fakekdc.Start(t,
		fakekdc.WithUser("alice", password),
		fakekdc.WithService("HTTP/localhost"),
		fakekdc.WithService("WSMAN/localhost"),
		fakekdc.WithService("HTTP/inner.example"))}
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/missing":
			http.NotFound(w, r)
		case "/moved":
			http.Redirect(w, r, "/", http.StatusFound)
		case "/sum":
			b, err := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %d bytes %v", r.Method, len(b), err)
		case "/header":
			fmt.Fprintf(w, "%s %s %s", r.Header.Get("X-One"), r.Header.Get("X-Two"), r.Host)
		default:
			caller, _ := fakeweb.CallerOf(r.Context())
			fmt.Fprintf(w, "%s at %s bound %v", caller.Name, caller.Service, caller.Bound)
		}
	})
	l.service = fakeweb.New(l.Realm, "", fakeweb.Options{Next: next})
	l.server = fakeweb.Serve(l.Realm, l.service, o)
	l.env = map[string]string{
		"KRB5_CONFIG": l.write("krb5.conf", []byte(l.Config())),
		"KRB5CCNAME":  "FILE:" + l.write("cc", l.CCache("alice")),
	}
	return l
}

func (l *lab) write(name string, b []byte) string {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		l.t.Fatal(err)
	}
	return path
}

// run runs the command and returns its exit status and what it wrote.
func (l *lab) run(stdin string, args ...string) (code int, stdout, stderr string) {
	l.t.Helper()
	return runWith(l.t.Context(), l.env, stdin, args...)
}

func runWith(ctx context.Context, env map[string]string, stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(ctx, args, world{stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs, getenv: func(name string) string { return env[name] }})
	return code, out.String(), errs.String()
}

// restore puts back, at the end of a test, what is in a file now: tickets that
// were fetched are written to credential caches.
func restore(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Error(err)
		}
	})
}

func TestGet(t *testing.T) {
	t.Parallel()
	plain := newLab(t, fakeweb.ServerOptions{})
	tls := newLab(t, fakeweb.ServerOptions{TLS: true})
	cert := tls.write("cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tls.server.Certificate().Raw}))
	keytab := plain.write("alice.keytab", plain.Keytab("alice"))
	secret := plain.write("password", []byte(password+"\n"))
	body := plain.write("body", bytes.Repeat([]byte("x"), 3<<20))
	output := filepath.Join(plain.dir, "output")
	alice := "alice@" + plain.Name()
	at := "HTTP/localhost@" + plain.Name()
	written := " written to FILE:"
	if runtime.GOOS == "windows" { // no cache file is written to there
		written = " not written to FILE:"
	}
	for name, tc := range map[string]struct {
		lab    *lab
		path   string
		args   []string
		stdin  string
		quirks fakeweb.Quirks
		code   int
		stdout string   // whole; "*" for anything
		stderr []string // parts of it; nil: empty
	}{
		"cache of the environment": {stdout: alice + " at " + at + " bound false"},
		"cache by name":            {args: []string{"--ccache", "FILE:" + filepath.Join(plain.dir, "cc")}, stdout: alice + " at " + at + " bound false"},
		"keytab":                   {args: []string{"--keytab", keytab}, stdout: alice + " at " + at + " bound false"},
		"password":                 {args: []string{"--principal", alice, "--password-file", secret}, stdout: alice + " at " + at + " bound false"},
		"password on stdin":        {args: []string{"--principal", "alice", "--password-file", "-"}, stdin: password + "\r\n", stdout: alice + " at " + at + " bound false"},
		"service":                  {args: []string{"--service", "WSMAN"}, stdout: alice + " at WSMAN/localhost@" + plain.Name() + " bound false"},
		"host override":            {args: []string{"--host-override", "inner.example"}, stdout: alice + " at HTTP/inner.example@" + plain.Name() + " bound false"},
		"preemptive":               {args: []string{"--preemptive", "always"}, stdout: alice + " at " + at + " bound false"},
		"https, trusted":           {lab: tls, args: []string{"--cacert", cert}, stdout: "alice@" + tls.Name() + " at HTTP/localhost@" + tls.Name() + " bound true"},
		"https, unchecked":         {lab: tls, args: []string{"-k", "--cbt", "require"}, stdout: "alice@" + tls.Name() + " at HTTP/localhost@" + tls.Name() + " bound true"},
		"https, preemptive":        {lab: tls, args: []string{"-k", "--cbt", "require", "--preemptive", "always"}, stdout: "alice@" + tls.Name() + " at HTTP/localhost@" + tls.Name() + " bound true"},
		"https, not bound":         {lab: tls, args: []string{"-k", "--cbt", "off"}, stdout: "alice@" + tls.Name() + " at HTTP/localhost@" + tls.Name() + " bound false"},
		"https, unknown authority": {lab: tls, code: exitNetwork, stderr: []string{"certificate"}},
		"data":                     {path: "/sum", args: []string{"-d", "hello"}, stdout: "POST 5 bytes <nil>"},
		"data of a file":           {path: "/sum", args: []string{"-d", "@" + body}, stdout: "POST 3145728 bytes <nil>"},
		"data of stdin":            {path: "/sum", args: []string{"-d", "@-", "-X", "PUT"}, stdin: "12345678", stdout: "PUT 8 bytes <nil>"},
		"data, none":               {path: "/sum", args: []string{"-d", ""}, stdout: "POST 0 bytes <nil>"},
		"headers":                  {path: "/header", args: []string{"-H", "X-One: 1", "-H", "x-two:2", "-H", "Host: other.example"}, stdout: "1 2 other.example"},
		"redirect":                 {path: "/moved", stdout: "<a href=\"/\">Found</a>.\n\n"},
		"redirect followed":        {path: "/moved", args: []string{"-L"}, stdout: alice + " at " + at + " bound false"},
		"output":                   {args: []string{"-o", output}},
		"missing":                  {path: "/missing", code: exitStatus, stdout: "404 page not found\n", stderr: []string{"404 Not Found"}},
		"verbose, cache untouched": {args: []string{"-v", "--read-only-cache"}, stdout: alice + " at " + at + " bound false", stderr: []string{"TGS exchange", "200 OK"}},
		"verbose": {args: []string{"-v"}, stdout: alice + " at " + at + " bound false", stderr: []string{
			"ticket for " + at + written, "401 from localhost", "offers Negotiate", "TGS exchange", "ticket for " + at, "asks for mutual authentication", "verified", "200 OK",
		}},
		"not verified":           {quirks: fakeweb.Quirks{Proof: fakeweb.ProofNone}, code: exitNotVerified, stderr: []string{"no token", "HTTP/localhost"}},
		"not verified, optional": {quirks: fakeweb.Quirks{Proof: fakeweb.ProofNone}, args: []string{"--mutual", "optional"}, stdout: "*"},
		"forged":                 {quirks: fakeweb.Quirks{Proof: fakeweb.ProofForged}, code: exitNotVerified, stderr: []string{"wrong key"}},
		"forged, disabled":       {quirks: fakeweb.Quirks{Proof: fakeweb.ProofForged}, args: []string{"--mutual", "disabled"}, stdout: "*"},
		"refused":                {quirks: fakeweb.Quirks{Reject: true}, code: exitStatus, stdout: "*", stderr: []string{"401"}},
		"unverified error":       {path: "/missing", quirks: fakeweb.Quirks{Proof: fakeweb.ProofNone}, code: exitStatus, stderr: []string{"404"}},
		"unverified error, kept": {path: "/missing", quirks: fakeweb.Quirks{Proof: fakeweb.ProofNone}, args: []string{"--no-sanitize"}, code: exitStatus, stdout: "404 page not found\n", stderr: []string{"404"}},
		"hangup":                 {quirks: fakeweb.Quirks{Hangup: true}, code: exitNetwork, stderr: []string{"connection was closed"}},
		"no cache":               {args: []string{"--ccache", "/nonexistent"}, code: exitCredentials, stderr: []string{"/nonexistent", "kinit"}},
		"wrong password":         {args: []string{"--principal", alice, "--password-file", "-"}, stdin: "hunter2", code: exitCredentials, stderr: []string{alice, "PREAUTH_FAILED"}},
		"unknown service":        {args: []string{"--service", "NFS"}, code: exitKDC, stderr: []string{"NFS/localhost", "S_PRINCIPAL_UNKNOWN"}},
		"delegation":             {args: []string{"-v", "--delegate", "always"}, stdout: alice + " at " + at + " bound false", stderr: []string{"delegates the user's credentials"}},
		"delegation by policy":   {args: []string{"--delegate", "policy"}, stdout: alice + " at " + at + " bound false"},
		"two credentials":        {args: []string{"--keytab", keytab, "--ccache", "x"}, code: exitUsage, stderr: []string{"exclude"}},
		"help":                   {args: []string{"--help"}, stdout: "*", stderr: nil},
		"bad mode":               {args: []string{"--mutual", "maybe"}, code: exitUsage, stderr: []string{"maybe", "required"}},
		"bad policy":             {args: []string{"--preemptive", "maybe"}, code: exitUsage, stderr: []string{"maybe", "learned"}},
		"bad binding":            {args: []string{"--cbt", "maybe"}, code: exitUsage, stderr: []string{"maybe", "require"}},
		"bad flag":               {args: []string{"--nonsense"}, code: exitUsage, stderr: []string{"nonsense"}},
		"bad header":             {args: []string{"-H", "nonsense"}, code: exitUsage, stderr: []string{"Name: value"}},
		"bad proxy":              {args: []string{"--proxy", "nonsense"}, code: exitUsage, stderr: []string{"proxy"}},
		"bad timeout":            {args: []string{"--timeout", "-1s"}, code: exitUsage, stderr: []string{"negative"}},
		"no such data":           {args: []string{"-d", "@/nonexistent"}, code: exitUsage, stderr: []string{"/nonexistent"}},
		"no such certificate":    {args: []string{"--cacert", "/nonexistent"}, code: exitUsage, stderr: []string{"/nonexistent"}},
		"no certificate":         {args: []string{"--cacert", secret}, code: exitUsage, stderr: []string{"PEM"}},
		"password, no principal": {args: []string{"--password-file", secret}, code: exitUsage, stderr: []string{"--principal"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := tc.lab
			if l == nil {
				l = plain
			}
			restore(t, filepath.Join(l.dir, "cc"))
			l.service.SetQuirks(tc.quirks)
			defer l.service.SetQuirks(fakeweb.Quirks{})
			code, stdout, stderr := l.run(tc.stdin, append(append([]string{"get"}, tc.args...), l.server.URL()+tc.path)...)
			if code != tc.code {
				t.Errorf("exit status %d, want %d: %s", code, tc.code, stderr)
			}
			if tc.stdout != "*" && stdout != tc.stdout {
				t.Errorf("standard output %q, want %q", stdout, tc.stdout)
			}
			if len(tc.stderr) == 0 && stderr != "" {
				t.Errorf("standard error %q, want none", stderr)
			}
			for _, want := range tc.stderr {
				if !strings.Contains(stderr, want) {
					t.Errorf("standard error does not say %q: %s", want, stderr)
				}
			}
			if strings.Contains(stdout+stderr, password) || strings.Contains(stdout+stderr, "hunter2") {
				t.Error("a password was printed")
			}
		})
	}
	if b, err := os.ReadFile(output); err != nil || string(b) != alice+" at "+at+" bound false" {
		t.Errorf("output file %q, error %v", b, err)
	}
}

func TestGetHeader(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	code, stdout, stderr := l.run("", "get", "-i", "-v", l.server.URL()+"/?token=secret-in-query")
	if code != 0 {
		t.Fatalf("exit status %d: %s", code, stderr)
	}
	head, body, ok := strings.Cut(stdout, "\r\n\r\n")
	if !ok || !strings.HasPrefix(head, "HTTP/1.1 200 OK\r\n") || !strings.HasPrefix(body, "alice@") {
		t.Errorf("standard output %q", stdout)
	}
	if !strings.Contains(head, "Negotiate [token of ") {
		t.Errorf("the header of the server's token is missing: %q", head)
	}
	// oYG... and YIIC... is how the tokens of RFC 4178 look in base64.
	for _, secret := range []string{"Negotiate oY", "YIIC", "secret-in-query"} {
		if strings.Contains(stdout+stderr, secret) {
			t.Errorf("%q was printed", secret)
		}
	}
}

func TestGetWithoutPeers(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	at := l.server.URL()
	// Before other tests run beside: each process has what this one listens on while it is
	// being started, and what somebody begins to listen on may have the same port.
	t.Run("server gone", func(t *testing.T) {
		gone := fakeweb.Serve(l.Realm, l.service, fakeweb.ServerOptions{})
		gone.Close()
		code, _, stderr := l.run("", "get", gone.URL())
		if code != exitNetwork || !strings.Contains(stderr, "refused") {
			t.Errorf("exit status %d: %s", code, stderr)
		}
	})
	t.Parallel()
	t.Run("a name that DNS does not know", func(t *testing.T) {
		for try, err := range map[string]*net.DNSError{
			"look for mistakes in the name": {Err: "no such host", Name: "nowhere.test", IsNotFound: true},
			"see whether the name servers":  {Err: "i/o timeout", Name: "nowhere.test", IsTimeout: true},
		} {
			var errs bytes.Buffer
			code := failed(t.Context(), world{stderr: &errs}, &url.Error{Op: "Get", URL: "http://nowhere.test/?secret", Err: &net.OpError{Op: "dial", Net: "tcp", Err: err}})
			if code != exitNetwork || !strings.Contains(errs.String(), "no response from nowhere.test\n  why: dial tcp: lookup nowhere.test: ") || !strings.Contains(errs.String(), "\n  try: "+try) {
				t.Errorf("exit status %d: %s", code, errs.String())
			}
		}
	})
	t.Run("KDC down", func(t *testing.T) {
		l.Realm.Pause()
		defer l.Realm.Resume()
		code, _, stderr := l.run("", "get", "--timeout", "2s", at)
		if code != exitKDC || !strings.Contains(stderr, "2s") {
			t.Errorf("exit status %d: %s", code, stderr)
		}
	})
	t.Run("no KDC at all", func(t *testing.T) {
		env := map[string]string{"KRB5CCNAME": l.env["KRB5CCNAME"], "KRB5_CONFIG": l.write("other.conf", []byte("[libdefaults]\ndns_lookup_kdc = false\n"))}
		code, _, stderr := runWith(t.Context(), env, "", "get", at)
		if code != exitKDC || !strings.Contains(stderr, l.Name()) {
			t.Errorf("exit status %d: %s", code, stderr)
		}
	})
}

func TestUsage(t *testing.T) {
	for name, tc := range map[string]struct {
		args   []string
		code   int
		stdout string
		stderr string
	}{
		"nothing":             {nil, exitUsage, "", "Usage:"},
		"help":                {[]string{"help"}, exitOK, "Usage:", ""},
		"unknown":             {[]string{"got"}, exitUsage, "", `unknown command "got"`},
		"no URL":              {[]string{"get"}, exitUsage, "", "one URL"},
		"two URLs":            {[]string{"get", "http://a", "http://b"}, exitUsage, "", "one URL"},
		"no scheme":           {[]string{"get", "localhost"}, exitUsage, "", "http://"},
		"other scheme":        {[]string{"get", "ftp://h/"}, exitUsage, "", "http://"},
		"not a URL":           {[]string{"get", "http://[::1"}, exitUsage, "", "URL"},
		"demo with arguments": {[]string{"demo", "x"}, exitUsage, "", "no arguments"},
		"demo, bad flag":      {[]string{"demo", "--x"}, exitUsage, "", "unknown flag"},
		"demo help":           {[]string{"demo", "--help"}, exitOK, "Usage: kerbchain demo", ""},
	} {
		t.Run(name, func(t *testing.T) {
			env := map[string]string{"KRB5_CONFIG": filepath.Join(t.TempDir(), "none")}
			code, stdout, stderr := runWith(t.Context(), env, "", tc.args...)
			if code != tc.code || !strings.Contains(stdout, tc.stdout) || !strings.Contains(stderr, tc.stderr) {
				t.Errorf("exit status %d, want %d\nstdout: %s\nstderr: %s", code, tc.code, stdout, stderr)
			}
		})
	}
}

// TestHelp: help is what was asked for, and goes to standard output; wrong usage
// points to the help of the command at hand.
func TestHelp(t *testing.T) {
	for _, c := range commands() {
		for _, args := range [][]string{{c.name, "--help"}, {c.name, "-h"}, {"help", c.name}} {
			code, stdout, stderr := runWith(t.Context(), nil, "", args...)
			if code != exitOK || !strings.HasPrefix(stdout, "Usage: kerbchain "+c.name) || stderr != "" {
				t.Errorf("%v: exit status %d: %q, %q", args, code, stdout, stderr)
			}
		}
		code, stdout, stderr := runWith(t.Context(), nil, "", c.name, "--nonsense")
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, "kerbchain "+c.name+" --help") {
			t.Errorf("%s --nonsense: exit status %d: %q, %q", c.name, code, stdout, stderr)
		}
	}
}

// TestInterrupted: a signal ends the command as shells expect, whatever it waits for.
func TestInterrupted(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	for s, want := range map[os.Signal]int{os.Interrupt: 130, syscall.SIGTERM: 143} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(interruption{s})
		if code, _, stderr := runWith(ctx, l.env, "", "get", l.server.URL()); code != want || stderr != "kerbchain: "+s.String()+"\n" {
			t.Errorf("%v: exit status %d: %s", s, code, stderr)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	slow := fakeweb.Serve(l.Realm, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}), fakeweb.ServerOptions{})
	var errs bytes.Buffer
	out := writerFunc(func(b []byte) (int, error) {
		cancel(interruption{os.Interrupt})
		return len(b), nil
	})
	code := run(ctx, []string{"get", "--mutual", "optional", slow.URL()},
		world{stdin: strings.NewReader(""), stdout: out, stderr: &errs, getenv: func(name string) string { return l.env[name] }})
	if code != 130 || !strings.Contains(errs.String(), "interrupt after 4 bytes") {
		t.Errorf("within the body: exit status %d: %s", code, errs.String())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// TestFaults: a fault of the command's own and an output that cannot be written have
// statuses of their own, and so has a krb5.conf that cannot be read.
func TestFaults(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	getenv := func(name string) string { return l.env[name] }
	var errs bytes.Buffer
	if code := run(t.Context(), []string{"help"}, world{stderr: &errs, getenv: getenv}); code != exitPanic || !strings.Contains(errs.String(), "a fault in kerbchain itself") {
		t.Errorf("fault: exit status %d: %s", code, errs.String())
	}
	for name, args := range map[string][]string{
		"standard output":           {},
		"header":                    {"-i"},
		"a file that cannot be had": {"-o", filepath.Join(l.dir, "none", "x")},
	} {
		errs.Reset()
		code := run(t.Context(), append(append([]string{"get"}, args...), l.server.URL()), world{stdin: strings.NewReader(""), stdout: &failingWriter{}, stderr: &errs, getenv: getenv})
		if code != exitOutput || !strings.Contains(errs.String(), "cannot be written") {
			t.Errorf("%s: exit status %d: %s", name, code, errs.String())
		}
	}
	env := maps.Clone(l.env)
	env["KRB5_CONFIG"] = l.write("broken.conf", []byte("[libdefaults\n"))
	if code, _, stderr := runWith(t.Context(), env, "", "get", l.server.URL()); code != exitConfiguration || !strings.Contains(stderr, "broken.conf") {
		t.Errorf("broken krb5.conf: exit status %d: %s", code, stderr)
	}
}

// TestGetSaysNothingOfNetHTTP: what a server says unasked is not for the user's terminal.
func TestGetSaysNothingOfNetHTTP(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	// The next request goes elsewhere: on this connection, what was not asked for might be
	// taken for its answer.
	next := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(50 * time.Millisecond) // meanwhile net/http sees what the first server said
		fmt.Fprint(w, "ok")
	}))
	defer next.Close()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	go func() {
		c, err := lis.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		r := bufio.NewReader(c)
		if _, err := http.ReadRequest(r); err == nil {
			fmt.Fprintf(c, "HTTP/1.1 302 Found\r\nLocation: %s/next\r\nContent-Length: 0\r\n\r\nand more that nobody asked for", next.URL)
		}
		io.Copy(io.Discard, r)
	}()
	cmd := asCommand(t.Context(), t, l.env, "get", "-L", "--mutual", "optional", "http://"+lis.Addr().String())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if out, err := cmd.Output(); err != nil || string(out) != "ok" || stderr.Len() > 0 {
		t.Errorf("%v, %q, %s", err, out, stderr.String())
	}
}

// TestGetOfAnotherProtocol: what follows a 101 is not waited for.
func TestGetOfAnotherProtocol(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	done := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello")
		<-done
	}))
	defer server.Close()
	defer close(done)
	if code, stdout, stderr := l.run("", "get", "--mutual", "optional", "-w", "%{http_code}", server.URL); code != exitOK || stdout != "101" {
		t.Errorf("exit status %d: %q, %s", code, stdout, stderr)
	}
}

func TestDemo(t *testing.T) {
	code, stdout, stderr := runWith(t.Context(), nil, "", "demo")
	if code != exitOK || stderr != "" {
		t.Fatalf("exit status %d: %s", code, stderr)
	}
	for _, want := range []string{
		"401 from localhost", "AS exchange", "TGS exchange", "ticket for HTTP/localhost@DEMO.EXAMPLE as alice@DEMO.EXAMPLE",
		"bound to the TLS connection", "200 from localhost", "verified: the server holds the key", "wrong key", "All three went as told",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the demonstration does not say %q", want)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if code, _, stderr := runWith(ended, nil, "", "demo"); code != exitFailed || !strings.Contains(stderr, "not as told") {
		t.Errorf("with an ended context: exit status %d: %s", code, stderr)
	}
}

// A signal that ends the demonstration is told as one.
func TestDemoInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(interruption{os.Interrupt})
	if code, _, stderr := runWith(ctx, nil, "", "demo"); code != exitInterrupted || stderr != "kerbchain: "+os.Interrupt.String()+"\n" {
		t.Errorf("status %d, %q", code, stderr)
	}
}
