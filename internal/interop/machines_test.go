//go:build interop && linux

package interop

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestBigEndian: what reads and writes bytes does so in the order of the format and not of the
// machine, and on another instruction set, whose primitives are other code. An emulator has no
// keyrings, and starts no second process of its kind, as tests of locks and full disks do.
func TestBigEndian(t *testing.T) {
	t.Parallel()
	const emulator = "qemu-s390x-static"
	if _, err := exec.LookPath(emulator); err != nil {
		t.Fatalf("%v: install the Debian package qemu-user-static (.ci/packages does)", err)
	}
	test := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-timeout=20m", "-exec="+emulator,
		"-skip=^Test(NothingIsLost|ReplacedMeanwhile|ReplaceOnAFullDisk|HalfAWriteIsTakenBack|LockedCache|ReplacedWhileLocked)$")
	for _, room := range []string{"der", "krb", "gss", "spnego", "negotiation", "winrm", "challenge", "cbt", "ccache", "ccache/keyring", "keytab", "krb5conf", "k5identity", "spake"} {
		test.Args = append(test.Args, "./internal/"+room)
	}
	test.Args = append(test.Args, "./fakekdc/internal/pac", "./middleware/seal", "./sspi")
	test.Dir = "../.."
	test.Env = append(os.Environ(), "GOARCH=s390x", "CGO_ENABLED=0")
	out, err := test.CombinedOutput()
	if want := len(test.Args) - len(strings.Fields("go test -count -timeout -exec -skip")); err != nil || strings.Count("\n"+string(out), "\nok ") != want {
		t.Errorf("want %d packages that are ok: %v\n%s", want, err, out)
	}
}
