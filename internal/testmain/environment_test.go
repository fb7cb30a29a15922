package testmain_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/internal/testmain"
)

func TestMain(m *testing.M) { testmain.Run(m) }

// TestEnvironment: tests see nothing of the realms, the caches and the proxies of who runs them.
func TestEnvironment(t *testing.T) {
	const is = "KERBCHAIN_TEST_ENVIRONMENT"
	if os.Getenv(is) == "" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		again := exec.Command(self, "-test.run=^TestEnvironment$", "-test.v")
		again.Env = append(os.Environ(), is+"=1", "KRB5CCNAME=FILE:/nonexistent", "KRB5_CONFIG=/nonexistent", "KRB5_TRACE=/nonexistent",
			"HTTP_PROXY=http://127.0.0.1:9", "https_proxy=http://127.0.0.1:9", "all_proxy=socks5://127.0.0.1:9", "REQUEST_METHOD=GET")
		if out, err := again.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestEnvironment") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	for _, v := range os.Environ() {
		if name := strings.ToUpper(v); strings.HasPrefix(name, "KRB5") || strings.Contains(name, "_PROXY=") || strings.HasPrefix(name, "REQUEST_METHOD=") {
			t.Errorf("tests see %s", v)
		}
	}
}
