package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/kerbchain/kerbchain/doctor"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
)

func TestDoctor(t *testing.T) {
	t.Parallel()
	l := newLab(t, fakeweb.ServerOptions{TLS: true})
	ca := l.write("ca.pem", pemOf(l.server.Certificate()))
	url := l.server.URL() + "/?secret=1"
	alice := l.write("alice.keytab", l.Keytab("alice"))
	missing := filepath.Join(l.dir, "missing")
	flags, own := regexp.MustCompile(`(kerbchain get )?--([a-z][a-z-]+)`), pflag.NewFlagSet("doctor", pflag.ContinueOnError)
	defineDoctor(own)
	for name, tc := range map[string]struct {
		args   []string
		stdin  string
		env    map[string]string
		quirks fakeweb.Quirks
		code   int
		says   []string
	}{
		"all is well": {args: []string{url}, says: []string{
			"ok    credentials    FILE:", "ok    kdc ", "ok    ticket         HTTP/localhost@" + l.Name() + " for alice@", "ok    bindings       tls-server-end-point",
			"ok    answer         200 OK: the server proved that it is HTTP/localhost@" + l.Name()}},
		"a keytab":               {args: []string{"--keytab", alice, url}, says: []string{"ok    keytab         " + alice, "ok    answer "}},
		"a password":             {args: []string{"--principal", "alice", "--password-file", "-", url}, stdin: password, says: []string{"ok    credentials    password, as alice@", "ok    answer "}},
		"a wrong password":       {args: []string{"--principal", "alice", "--password-file", "-", url}, stdin: "hunter2", code: exitFailed, says: []string{"FAIL  login ", "try 1: the password or key is wrong"}},
		"nobody ran kinit":       {args: []string{"--ccache", "FILE:/nonexistent", url}, code: exitFailed, says: []string{"FAIL  credentials ", "try 1: run kinit"}},
		"another service":        {args: []string{"--service", "NFS", url}, code: exitFailed, says: []string{"FAIL  ticket ", "setspn -Q NFS/localhost"}},
		"a realm":                {args: []string{"--realm", "OTHER.TEST", url}, code: exitFailed, says: []string{"FAIL  realm          OTHER.TEST, as the options say"}},
		"the command's words":    {args: []string{"--allowed-hosts", "*.corp.example", url}, code: exitFailed, says: []string{"FAIL  allowed        --allowed-hosts leaves out localhost:", "try 1: add localhost to --allowed-hosts"}},
		"no bindings":            {args: []string{"--cbt", "off", url}, says: []string{"skip  bindings       switched off"}},
		"no proof":               {args: []string{url}, quirks: fakeweb.Quirks{Proof: fakeweb.ProofNone}, code: exitFailed, says: []string{"FAIL  answer ", "--mutual optional"}},
		"no proof is wanted":     {args: []string{"--mutual", "optional", url}, quirks: fakeweb.Quirks{Proof: fakeweb.ProofNone}, says: []string{"warn  answer         200 OK: the server did not prove"}},
		"an error page":          {args: []string{l.server.URL() + "/missing"}, quirks: fakeweb.Quirks{Proof: fakeweb.ProofNone}, code: exitFailed, says: []string{"kerbchain get --no-sanitize prints it"}},
		"an unknown certificate": {args: []string{"--cacert", l.write("other.pem", pemOf(fakeweb.Serve(l.Realm, l.service, fakeweb.ServerOptions{TLS: true}).Certificate())), url}, code: exitFailed, says: []string{"FAIL  server ", "try 1: trust the authority"}},
		"for a user":             {args: []string{"--as-user", "bob", url}, code: exitFailed, says: []string{"tickets come from a *kerberos.Impersonator", "FAIL  ticket "}},
		"krb5.conf is damaged":   {args: []string{url}, env: map[string]string{"KRB5_CONFIG": l.write("broken.conf", []byte("[libdefaults\n"))}, code: exitFailed, says: []string{"FAIL  configuration ", "try 1: mend the file"}},

		"no keytab to armour with": {args: []string{"--armor-keytab", missing, url}, code: exitFailed, says: []string{"ok    configuration  ", "FAIL  credentials    --armor-keytab: keytab " + missing, "ok    kdc ", "ok    server ", "skip  answer ", "try 1: name a keytab file that exists"}},
		"no cache to armour with":  {args: []string{"--armor-ccache", missing, "--keytab", alice, url}, code: exitFailed, says: []string{"FAIL  armor          ", missing, "ok    kdc ", "skip  ticket ", "try 1: get a ticket for the host there"}},
		"no type of cache":         {args: []string{"--armor-ccache", "NONE:x", url}, code: exitFailed, says: []string{"FAIL  credentials    --armor-ccache: ", "ok    kdc "}},
		"no password file":         {args: []string{"--principal", "alice", "--password-file", missing, url}, code: exitFailed, says: []string{"FAIL  credentials    --password-file: ", missing, "ok    kdc ", "ok    server ", "try 1: name a file that exists in --password-file"}},
		"an empty password file":   {args: []string{"--principal", "alice", "--password-file", l.write("empty", nil), url}, code: exitFailed, says: []string{"FAIL  credentials    --password-file: the first line is empty", "ok    kdc ", "try 1: mend the file"}},
		"no keytab for a user":     {args: []string{"--as-user", "bob", "--keytab", missing, url}, code: exitFailed, says: []string{"FAIL  credentials    keytab " + missing, "ok    kdc "}},
		"no such certificates":     {args: []string{"--cacert", missing, url}, code: exitFailed, says: []string{"FAIL  server         --cacert: ", missing, "ok    credentials ", "ok    kdc ", "ok    ticket ", "try 1: name a file that exists in --cacert"}},
		"no certificates in it":    {args: []string{"--cacert", alice, url}, code: exitFailed, says: []string{"FAIL  server         --cacert: ", "no certificate in PEM form", "ok    ticket "}},
		"no client certificate":    {args: []string{"--cert", missing, url}, code: exitFailed, says: []string{"FAIL  server         --cert: ", "ok    ticket "}},
		"no key of it":             {args: []string{"--cert", ca, "--key", missing, url}, code: exitFailed, says: []string{"FAIL  server         --key: ", "ok    ticket "}},
		"a bad list":               {args: []string{"--allowed-hosts", "[", url}, code: exitFailed, says: []string{"FAIL  configuration  --allowed-hosts", "skip  server         --allowed-hosts cannot be read", "try 1: "}},

		"no URL":       {code: exitUsage, says: []string{"want one URL", "kerbchain doctor --help"}},
		"two URLs":     {args: []string{url, url}, code: exitUsage, says: []string{"want one URL"}},
		"another URL":  {args: []string{"ftp://x/"}, code: exitUsage, says: []string{"http://"}},
		"a bad host":   {args: []string{"http://a%25b/"}, code: exitUsage, says: []string{"a%b"}},
		"both":         {args: []string{"--keytab", "x", "--ccache", "y", url}, code: exitUsage, says: []string{"exclude"}},
		"a bad word":   {args: []string{"--cbt", "maybe", url}, code: exitUsage, says: []string{"auto, require, off"}},
		"who":          {args: []string{"--credentials", "nobody", url}, code: exitUsage, says: []string{"own, system"}},
		"a long time":  {args: []string{"--timeout", "-1s", url}, code: exitUsage, says: []string{"negative"}},
		"no data flag": {args: []string{"-d", "x", url}, code: exitUsage, says: []string{"unknown shorthand"}},
	} {
		t.Run(name, func(t *testing.T) {
			before, err := os.ReadFile(filepath.Join(l.dir, "cc"))
			if err != nil {
				t.Fatal(err)
			}
			env := maps.Clone(l.env)
			maps.Copy(env, tc.env)
			l.service.SetQuirks(tc.quirks)
			code, stdout, stderr := runWith(t.Context(), env, tc.stdin, append([]string{"doctor", "--cacert", ca}, tc.args...)...)
			if code != tc.code {
				t.Errorf("exit status %d, want %d", code, tc.code)
			}
			for _, want := range tc.says {
				if !strings.Contains(stdout+stderr, want) {
					t.Errorf("does not say %q", want)
				}
			}
			for _, secret := range []string{"secret=1", "hunter2", password} {
				if strings.Contains(stdout+stderr, secret) {
					t.Errorf("says %q", secret)
				}
			}
			for _, m := range flags.FindAllStringSubmatch(stdout, -1) {
				if own.Lookup(m[2]) == nil && m[1] != "kerbchain get " {
					t.Errorf("it has no flag --%s", m[2])
				}
			}
			if (code == exitFailed) != strings.Contains(stdout, "\ntry 1: ") && name != "no proof is wanted" {
				t.Error("what is to be tried goes with what failed")
			}
			if after, err := os.ReadFile(filepath.Join(l.dir, "cc")); err != nil || string(after) != string(before) {
				t.Errorf("the cache has changed: %v", err)
			}
			if t.Failed() {
				t.Logf("\n%s%s", stdout, stderr)
			}
		})
	}
	if n := l.Count(fakekdc.AS, fakekdc.CodePreauthFailed); n != 1 {
		t.Errorf("the wrong password was sent %d times", n)
	}
}

// The report as JSON says the same.
func TestDoctorJSON(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	for spn, ok := range map[string]bool{"HTTP": true, "NFS": false} {
		code, stdout, stderr := l.run("", "doctor", "--json", "--service", spn, l.server.URL()+"/page?secret=1")
		var r doctor.Report
		if err := json.Unmarshal([]byte(stdout), &r); err != nil || stderr != "" || strings.Contains(stdout, "null") {
			t.Fatalf("%v: %s%s", err, stdout, stderr)
		}
		facts := map[string]map[string]any{}
		for _, c := range r.Checks {
			facts[c.Name] = c.Facts
		}
		if (code == exitOK) != ok || r.OK != ok || (len(r.Try) == 0) != ok || r.URL != l.server.URL()+"/page" || r.Service != spn+"/localhost" {
			t.Errorf("%s: exit status %d, %s", spn, code, stdout)
		}
		if want := any(float64(1)); ok && (facts["ticket"]["kvno"] != want || facts["answer"]["verified"] != true) || !ok && facts["ticket"]["error"] != "KDC_ERR_S_PRINCIPAL_UNKNOWN" {
			t.Errorf("%s: %v", spn, facts)
		}
	}
}

// Who interrupts gets the status of an interruption.
func TestDoctorInterrupted(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(interruption{os.Interrupt})
	code, stdout, stderr := runWith(ctx, l.env, "", "doctor", l.server.URL())
	if code != exitInterrupted || stdout != "" || !strings.Contains(stderr, "interrupt") {
		t.Errorf("exit status %d, %q, %q", code, stdout, stderr)
	}
	if _, err := os.Stat("/dev/full"); err == nil {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer full.Close()
		var said strings.Builder
		w := world{stdin: strings.NewReader(""), stdout: full, stderr: &said, getenv: func(name string) string { return l.env[name] }}
		if code := run(t.Context(), []string{"doctor", l.server.URL()}, w); code != exitOutput {
			t.Errorf("exit status %d, %s", code, said.String())
		}
	}
}

func pemOf(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
