package testmain_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/internal/testmain"
)

// TestFile: two files of one name are two, and none is left when the tests of a process are over.
func TestFile(t *testing.T) {
	const is = "KERBCHAIN_TEST_FILE"
	if os.Getenv(is) == "" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		again := exec.Command(self, "-test.run=^TestFile$", "-test.v")
		again.Env = append(os.Environ(), is+"=1")
		out, err := again.CombinedOutput()
		_, path, ok := strings.Cut(string(out), "the first is ")
		if path, _, _ = strings.Cut(path, "\n"); err != nil || !ok {
			t.Fatalf("%v\n%s", err, out)
		}
		if _, err := os.Stat(filepath.Dir(strings.TrimSpace(path))); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the folder of %q is left: %v", path, err)
		}
		return
	}
	first, second := testmain.File(t, "cc", []byte("one")), testmain.File(t, "cc", []byte("two"))
	for path, want := range map[string]string{first: "one", second: "two"} {
		b, err := os.ReadFile(path)
		if err != nil || string(b) != want || !strings.HasSuffix(path, "-cc") {
			t.Errorf("%s: %q, %v", path, b, err)
		}
	}
	t.Log("the first is", first)
}
