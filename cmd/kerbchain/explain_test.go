package main

import (
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

// tokensOnTheWire returns the header fields that carried the tokens of one call, the
// client's and the server's.
func tokensOnTheWire(t *testing.T, l *lab, args ...string) (ours, theirs string) {
	t.Helper()
	var mu sync.Mutex
	front := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a := r.Header.Get("Authorization"); a != "" {
			mu.Lock()
			ours = a
			mu.Unlock()
		}
		l.service.ServeHTTP(w, r)
		if a := w.Header().Get("WWW-Authenticate"); strings.Contains(a, " ") {
			mu.Lock()
			theirs = a
			mu.Unlock()
		}
	})
	server := fakeweb.Serve(l.Realm, front, fakeweb.ServerOptions{TLS: true})
	l.run("", append(append([]string{"get", "-k"}, args...), server.URL())...)
	mu.Lock()
	defer mu.Unlock()
	if ours == "" {
		t.Fatal("no token went over the wire")
	}
	return ours, theirs
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func TestExplain(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	service := l.write("service.keytab", l.Keytab("HTTP/localhost"))
	other := l.write("other.keytab", l.Keytab("WSMAN/localhost"))
	ours, theirs := tokensOnTheWire(t, l, "--delegate", "always")
	l.service.SetQuirks(fakeweb.Quirks{Reject: true})
	_, rejected := tokensOnTheWire(t, l)
	l.service.SetQuirks(fakeweb.Quirks{})
	l.Rotate("HTTP/localhost")
	rotated := l.write("rotated.keytab", l.Keytab("HTTP/localhost"))
	l.Purge("HTTP/localhost")
	purged := l.write("purged.keytab", l.Keytab("HTTP/localhost"))

	krbError, err := (&krb.KRBError{Code: 37, STime: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Server: krb.NewPrincipal("A.EXAMPLE", "HTTP", "h"), Text: "late\x1b[31m"}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	ntlm := []byte("NTLMSSP\x00\x01\x00\x00\x00\x00\x00\x00\x00")
	_, token, _ := strings.Cut(ours, " ")
	wrapped := token[:76] + "\n" + token[76:] + "\n"
	for name, tc := range map[string]struct {
		args  []string
		stdin string
		code  int
		says  []string // parts of standard output, or of standard error if the code is not 0 and nothing was said
	}{
		"base64":           {args: []string{token}, says: []string{"NegTokenInit", "mechanisms     Kerberos", "AP-REQ (Kerberos)", "options        mutual-required", "realm          " + l.Name(), "service        HTTP/localhost@" + l.Name(), "key version 1, sealed with aes256-cts-hmac-sha1-96 (18)", "--keytab"}},
		"scheme and token": {args: []string{ours}, says: []string{"Negotiate: ", "HTTP/localhost"}},
		"two arguments":    {args: strings.Fields(ours), says: []string{"HTTP/localhost"}},
		"a header line":    {args: []string{"authorization: " + ours}, says: []string{"authorization: Negotiate: ", "HTTP/localhost"}},
		"broken lines":     {args: []string{"-"}, stdin: wrapped, says: []string{"HTTP/localhost"}},
		"no padding":       {args: []string{strings.TrimRight(token, "=")}, says: []string{"HTTP/localhost"}},
		"a dump": {args: []string{"-"}, stdin: "> GET / HTTP/1.1\r\n> Host: localhost\r\n> Authorization: " + ours + "\r\n>\r\n< HTTP/1.1 200 OK\r\n< WWW-Authenticate: " + theirs + "\r\n",
			says: []string{"Authorization: Negotiate: ", "WWW-Authenticate: Negotiate: ", "NegTokenResp", "state          accept-completed", "mechanism      Kerberos", "AP-REP", "sealed with    aes256"}},
		"keytab": {args: []string{"--keytab", service, ours}, says: []string{
			"opened with key version 1 of HTTP/localhost@" + l.Name(), "client         alice@" + l.Name(), "session key    aes256", "forwardable", "until ",
			"flags          delegation, mutual authentication, replay detection, sequence", "bindings       MD5 ", "delegated      credentials of ", "subkey "}},
		"keytab with a newer key":   {args: []string{"--keytab", "FILE:" + rotated, token}, says: []string{"opened with key version 1"}},
		"keytab without the key":    {args: []string{"--keytab", purged, token}, code: exitFailed, says: []string{"service        HTTP/localhost", "the keytab has no key version 1 of aes256", "but key version 2"}},
		"keytab of another service": {args: []string{"--keytab", other, token}, code: exitFailed, says: []string{"the keytab has no key version 1"}},
		"refused":                   {args: []string{rejected}, says: []string{"state          reject", "KRB_ERR_GENERIC (60)", "text           as ordered"}},
		"refused, no reason":        {args: []string{b64(spnego.Resp{State: spnego.Reject}.Append(nil))}, says: []string{"state          reject", "nothing is proved"}},
		"challenge":                 {args: []string{`WWW-Authenticate: Negotiate, Basic realm="x"`}, says: []string{"Negotiate: no token", "Basic: user name and password in base64, which are not shown"}},
		"password":                  {args: []string{"Authorization: Basic YWxpY2U6aHVudGVyMg=="}, says: []string{"not shown"}},
		"KRB-ERROR":                 {args: []string{b64(spnego.Frame(spnego.TokKRBError, krbError))}, says: []string{"KRB_AP_ERR_SKEW (37)", "service        HTTP/h@A.EXAMPLE", "2026-01-02 03:04:05Z"}},
		"bare KRB-ERROR":            {args: []string{b64(krbError)}, says: []string{"KRB_AP_ERR_SKEW (37)"}},
		"NTLM":                      {args: []string{b64(ntlm)}, says: []string{"NTLM message NEGOTIATE", "not Kerberos"}},
		"NTLM within SPNEGO":        {args: []string{b64(spnego.EncodeInit([]spnego.OID{spnego.NTLM, spnego.KRB5}, ntlm))}, says: []string{"mechanisms     NTLM, Kerberos", "not the first choice", "NTLM message NEGOTIATE"}},
		"other mechanism":           {args: []string{b64([]byte("\x60\x05\x06\x01\x2a\x00\x00"))}, says: []string{"mechanism 1.2"}},

		"nothing":        {code: exitUsage, says: []string{"want a token", "kerbchain explain --help"}},
		"empty stdin":    {args: []string{"-"}, code: exitFailed, says: []string{"there is no token"}},
		"not base64":     {args: []string{"YII!"}, code: exitFailed, says: []string{"base64"}},
		"words":          {args: []string{"what", "is", "this?"}, code: exitFailed, says: []string{"there is no token"}},
		"cut off":        {args: []string{token[:200]}, code: exitFailed, says: []string{"cut off"}},
		"bytes":          {args: []string{b64([]byte("hello"))}, code: exitFailed, says: []string{"neither SPNEGO nor"}},
		"no keytab":      {args: []string{"--keytab", "/nonexistent", token}, code: exitUsage, says: []string{"/nonexistent"}},
		"not a keytab":   {args: []string{"--keytab", l.write("x", []byte("x")), token}, code: exitUsage, says: []string{"not a keytab"}},
		"too long stdin": {args: []string{"-"}, stdin: strings.Repeat("x", maxDump+1), code: exitFailed, says: []string{"more than"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := l.run(tc.stdin, append([]string{"explain"}, tc.args...)...)
			if code != tc.code {
				t.Errorf("exit status %d, want %d", code, tc.code)
			}
			for _, want := range tc.says {
				if !strings.Contains(stdout+stderr, want) {
					t.Errorf("does not say %q:\n%s%s", want, stdout, stderr)
				}
			}
			for _, secret := range []string{"hunter2", "YWxpY2U6", "\x1b"} {
				if strings.Contains(stdout+stderr, secret) {
					t.Errorf("prints %q", secret)
				}
			}
		})
	}
	full := &failingWriter{}
	if code := run(t.Context(), []string{"explain", token}, world{stdin: strings.NewReader(""), stdout: full, stderr: full}); code != exitOutput {
		t.Errorf("output that cannot be written: exit status %d", code)
	}
}

type failingWriter struct{}

func (*failingWriter) Write([]byte) (int, error) { return 0, os.ErrClosed }

// FuzzExplain: whatever is pasted, an answer, on lines that a terminal does not obey.
func FuzzExplain(f *testing.F) {
	realm := fakekdc.Start(f, fakekdc.WithUser("alice", "x"), fakekdc.WithService("HTTP/h"))
	path := filepath.Join(f.TempDir(), "keytab")
	if err := os.WriteFile(path, realm.Keytab("HTTP/h"), 0o600); err != nil {
		f.Fatal(err)
	}
	keys, err := readKeys(f.Context(), path)
	if err != nil {
		f.Fatal(err)
	}
	krbError, err := (&krb.KRBError{Code: 41, Server: krb.NewPrincipal("A", "HTTP", "h")}).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	for _, b := range [][]byte{
		spnego.EncodeInit([]spnego.OID{spnego.KRB5, spnego.NTLM}, spnego.Frame(spnego.TokAPReq, []byte{0x6e, 0})),
		spnego.Frame(spnego.TokKRBError, krbError), []byte("NTLMSSP\x00\x02\x00\x00\x00"), []byte("\xa1\x07\x30\x05\xa0\x03\x0a\x01\x00"),
	} {
		f.Add("Negotiate " + b64(b))
		f.Add(b64(b))
	}
	f.Add("WWW-Authenticate: Negotiate, Basic realm=\"a\x1b\"\n< x: y")
	f.Fuzz(func(t *testing.T, text string) {
		tokens, err := findTokens(text)
		if err == nil && len(tokens) == 0 {
			t.Error("neither a token nor an error")
		}
		for _, token := range tokens {
			e := explainer{keys: keys}
			e.token(token)
			if s := e.out.String(); s == "" || strings.ContainsAny(s, "\x1b\r\x00") {
				t.Errorf("%q", s)
			}
			e = explainer{}
			e.checksum(token.bytes)
		}
	})
}
