package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The demonstration, with a password, TLS and channel bindings, goes as told
// under every mode of FIPS 140-3.
func TestFIPSDemo(t *testing.T) {
	t.Parallel()
	if os.Getenv("KERBCHAIN_FIPS_CHILD") != "" {
		os.Exit(run(t.Context(), []string{"demo"}, world{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}))
	}
	for mode, etype := range map[string]string{"off": "aes256-cts-hmac-sha1-96", "on": "aes256-cts-hmac-sha1-96", "only": "aes256-cts-hmac-sha384-192"} {
		t.Run(mode, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFIPSDemo$")
			cmd.Env = append(os.Environ(), "GODEBUG=fips140="+mode, "KERBCHAIN_FIPS_CHILD=1")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range []string{etype, "bound to the TLS connection", "All three went as told"} {
				if !strings.Contains(string(out), want) {
					t.Errorf("the demonstration does not say %q:\n%s", want, out)
				}
			}
		})
	}
}
