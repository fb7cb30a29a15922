//go:build interop

package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestSetuid has another user run the command, once as it is and once with rights
// of root (mode 4755). With them it does not listen to the user's environment, as
// programs on MIT's library do not.
func TestSetuid(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("run this as root: it makes a setuid program")
	}
	dir := tempDir(t)
	planted := write(t, filepath.Join(dir, "planted.conf"), "[libdefaults]\n\tdefault_realm = PLANTED.TEST\n\tdns_lookup_kdc = false\n\tdefault_ccache_name = FILE:"+filepath.Join(dir, "planted")+"\n")
	b, err := os.ReadFile(kerbchain(t))
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "kerbchain")
	for mode, want := range map[os.FileMode]bool{0o755: true, 0o755 | os.ModeSetuid: false, 0o755 | os.ModeSetgid: false} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			_ = os.Remove(program)
			if err := os.WriteFile(program, b, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(program, mode); err != nil {
				t.Fatal(err)
			}
			// Nobody listens at that port, but before that credentials are looked for.
			cmd := exec.CommandContext(t.Context(), program, "get", "--preemptive", "always", "http://localhost:1/")
			cmd.Env = []string{"KRB5_CONFIG=" + planted, "KRB5CCNAME=FILE:" + filepath.Join(dir, "planted-cache"), "HOME=" + dir}
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345, NoSetGroups: true}}
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "credential") {
				t.Errorf("%v: %s", err, out)
			}
			if heard := strings.Contains(string(out), "planted"); heard != want {
				t.Errorf("listened to the environment: %v, want %v\n%s", heard, want, out)
			}
		})
	}
}
