//go:build interop

package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(whoChild); url != "" {
		if err := who(url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if task := os.Getenv(gssapiChild); task != "" {
		if err := callByGSSAPI(task); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if dir, err := binDir(); err == nil {
		(&wine{dir: filepath.Join(dir, "wine")}).end()
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// binDir is where the command under test is built.
var binDir = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "interop-bin-") })

// built builds the command as a user would, once.
var built = sync.OnceValues(func() (string, error) {
	dir, err := binDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "kerbchain")
	out, err := exec.Command("go", "build", "-o", path, "github.com/kerbchain/kerbchain/cmd/kerbchain").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// kerbchain returns the path of the command under test.
func kerbchain(t *testing.T) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// packages names the Debian package of every program that the tests run.
var packages = map[string]string{
	"krb5kdc":      "krb5-kdc",
	"kdb5_util":    "krb5-kdc",
	"kadmin.local": "krb5-admin-server",
	"kinit":        "krb5-user",
	"klist":        "krb5-user",
	"kvno":         "krb5-user",
	"apache2":      "apache2",
	"squid":        "squid",
	"curl":         "curl",
	"samba":        "samba-ad-dc",
	"samba-tool":   "samba-common-bin",
	"kcm":          "heimdal-kcm",
	"keyctl":       "keyutils",
	"kswitch":      "krb5-user",
	"kdestroy":     "krb5-user",
	"unshare":      "util-linux",
	"nsenter":      "util-linux",
	"gssproxy":     "gssproxy",
}

// tool returns the path of a program, which may be one that only root's search
// path leads to.
func tool(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/local/sbin", "/usr/sbin", "/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	t.Fatalf("%s is missing: install the Debian package %s (.ci/packages does)", name, packages[name])
	return ""
}

const apacheModules = "/usr/lib/apache2/modules"

// module returns the path of an Apache module.
func module(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(apacheModules, "mod_"+name+".so")
	if _, err := os.Stat(path); err != nil {
		from := "apache2"
		if name == "auth_gssapi" {
			from = "libapache2-mod-auth-gssapi"
		}
		t.Fatalf("%s is missing: install the Debian package %s (.ci/packages does)", path, from)
	}
	return path
}
