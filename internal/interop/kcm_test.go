//go:build interop

package interop

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// kcmPlace starts Heimdal's KCM daemon, which ends with the test. It listens in
// /run whatever it is told, so it runs in a mount namespace where a folder of the
// test is in that place: the system's own daemon is not disturbed, and none is
// needed.
func kcmPlace(t *testing.T, l *lab) *place {
	t.Helper()
	dir := tempDir(t)
	run := filepath.Join(dir, "run")
	if err := os.Mkdir(run, 0o755); err != nil {
		t.Fatal(err)
	}
	conf := write(t, filepath.Join(dir, "kcm.conf"), "[libdefaults]\n\tdns_lookup_kdc = false\n")
	unshare := tool(t, "unshare")
	args := []string{"--mount", "--propagation", "private"}
	daemon := []string{tool(t, "kcm"), "--config-file=" + conf}
	if uid := os.Geteuid(); uid != 0 {
		// Root in a user namespace can mount. The daemon is not to be root, and
		// to see clients as who they are.
		args = append(args, "--map-root-user")
		daemon = append([]string{unshare, "--map-user=" + strconv.Itoa(uid), "--map-group=" + strconv.Itoa(os.Getegid())}, daemon...)
	}
	args = append(args, tool(t, "sh"), "-c", `mount --bind "$1" /run && shift && exec "$@"`, "sh", run)
	serve(t, environment{"HOME": dir}, nil, nil, unshare, append(args, daemon...)...)
	socket := filepath.Join(run, ".heim_org.h5l.kcm-socket")
	listens := func() bool {
		c, err := net.Dial("unix", socket)
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	if !await(t, listens, nil) {
		t.Fatalf("kcm does not listen at %s", socket)
	}
	env := l.env.with("KRB5_CONFIG", l.config(t, "kcm.conf", l.kdc, "kcm_socket = "+socket))
	return &place{env: env.with("KRB5CCNAME", "KCM:"), collection: true, steps: true}
}
