//go:build interop

package interop

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A standalone is "kerbchain kdc" in a process of its own, as those use it who
// write no Go, and what it tells programs.
type standalone struct {
	dir string
	env environment
}

// startStandalone waits as scripts do, for the ready file, and sources env.sh as
// they do. At the end of the test the process is interrupted, and must take that
// well.
func startStandalone(t *testing.T, args ...string) *standalone {
	t.Helper()
	s := &standalone{dir: filepath.Join(t.TempDir(), "realm")}
	ready := s.path("ready")
	cmd := exec.Command(kerbchain(t), append([]string{"kdc", "--dir", s.dir, "--ready-file", ready, "--verbose"}, args...)...)
	cmd.Env = environment{}.list()
	cmd.SysProcAttr = attributes(nil)
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cmd.Wait()
	}()
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		select {
		case <-ended:
		case <-time.After(patience):
			t.Error("kerbchain kdc did not end when told to")
			cmd.Process.Kill()
			<-ended
		}
		if code := cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("exit status %d", code)
		}
		if _, err := os.Stat(ready); !os.IsNotExist(err) {
			t.Errorf("the ready file after the end: %v", err)
		}
		if t.Failed() {
			t.Logf("output of kerbchain kdc: %s", clip(out.String()))
		}
	})
	if !await(t, func() bool { _, err := os.Stat(ready); return err == nil }, ended) {
		t.Fatal("kerbchain kdc is not ready")
	}
	shown := must(t, environment{}, "", tool(t, "sh"), "-c", `. "$0" && env`, s.path("env.sh"))
	s.env = environment{"HOME": s.dir}
	for line := range strings.Lines(shown.stdout) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if strings.HasPrefix(name, "KRB5") || strings.HasPrefix(name, "KERBCHAIN_") {
			s.env[name] = value
		}
	}
	return s
}

func (s *standalone) path(name string) string { return filepath.Join(s.dir, name) }

// curl fetches the page.
func (s *standalone) curl(t *testing.T, env environment, args ...string) string {
	t.Helper()
	args = append([]string{"-sS", "--max-time", "20", "--negotiate", "-u", ":"}, args...)
	return must(t, env, "", tool(t, "curl"), append(args, s.env["KERBCHAIN_URL"])...).stdout
}

// TestStandalone lets the tools of MIT and curl use the realm of the command.
func TestStandalone(t *testing.T) {
	s := startStandalone(t, "--realm", "EXAMPLE.TEST", "--user", "alice:secret", "--user", "bob",
		"--service", "HTTP/localhost", "--web", "--lifetime", "2h")
	if got := s.curl(t, s.env); got != "hello alice@EXAMPLE.TEST\n" {
		t.Errorf("with the cache that was written: %q", got)
	}
	t.Run("kinit with a password", func(t *testing.T) {
		env := s.env.with("KRB5CCNAME", "FILE:"+filepath.Join(t.TempDir(), "cc"))
		must(t, env, "secret\n", tool(t, "kinit"), "-f", "alice")
		must(t, env, "", tool(t, "kvno"), "HTTP/localhost")
		list := must(t, env, "", tool(t, "klist"), "-f").stdout
		for _, want := range []string{"alice@EXAMPLE.TEST", "krbtgt/EXAMPLE.TEST@EXAMPLE.TEST", "HTTP/localhost@EXAMPLE.TEST"} {
			if !strings.Contains(list, want) {
				t.Errorf("klist does not show %q:\n%s", want, list)
			}
		}
		if r := run(t, env, "wrong\n", tool(t, "kinit"), "alice"); r.code == 0 {
			t.Errorf("a wrong password: %v", r)
		}
	})
	t.Run("kinit with a keytab", func(t *testing.T) {
		env := s.env.with("KRB5CCNAME", "FILE:"+filepath.Join(t.TempDir(), "cc"))
		must(t, env, "", tool(t, "kinit"), "-k", "-t", s.path("bob.keytab"), "bob")
		if got := s.curl(t, env); got != "hello bob@EXAMPLE.TEST\n" {
			t.Errorf("%q", got)
		}
		// Of $KRB5_CLIENT_KTNAME.
		must(t, env, "", tool(t, "kinit"), "-k", "-i")
		if got := s.curl(t, env); got != "hello alice@EXAMPLE.TEST\n" {
			t.Errorf("%q", got)
		}
	})
	t.Run("keytab of the service", func(t *testing.T) {
		r := must(t, s.env, "", tool(t, "kvno"), "-k", s.path("service.keytab"), "HTTP/localhost")
		if !strings.Contains(r.stdout, "keytab entry valid") {
			t.Error(r)
		}
	})
}

func TestStandaloneTLS(t *testing.T) {
	s := startStandalone(t, "--web", "--tls", "--etypes", "aes256-cts-hmac-sha384-192")
	if got := s.curl(t, s.env, "--cacert", s.env["KERBCHAIN_CACERT"]); got != "hello alice@EXAMPLE.TEST\n" {
		t.Errorf("%q", got)
	}
	list := must(t, s.env, "", tool(t, "klist"), "-e").stdout
	if !strings.Contains(list, "aes256-cts-hmac-sha384-192") || strings.Contains(list, "sha1") {
		t.Errorf("klist:\n%s", list)
	}
}

// TestStandaloneJava runs the command line of docs/fakekdc.md for Java over https, with
// the store of certificates that is written for it.
func TestStandaloneJava(t *testing.T) {
	t.Parallel()
	program := jdk(t, "java")
	s := startStandalone(t, "--web", "--tls")
	get := func(store ...string) result {
		args := append(store, "-Djava.security.krb5.conf="+s.env["KRB5_CONFIG"], "-Djavax.security.auth.useSubjectCredsOnly=false",
			"-XX:TieredStopAtLevel=1", filepath.Join("testdata", "Get.java"), s.env["KERBCHAIN_URL"])
		return run(t, s.env, "", program, args...)
	}
	got := get("-Djavax.net.ssl.trustStore="+s.env["KERBCHAIN_TRUSTSTORE"], "-Djavax.net.ssl.trustStorePassword=changeit")
	if got.code != 0 || got.stdout != "200 hello alice@EXAMPLE.TEST\n" {
		t.Error(got)
	}
	if got := get(); got.code == 0 || !strings.Contains(got.stderr, "PKIX path building failed") {
		t.Errorf("without the store: %v", got)
	}
}
