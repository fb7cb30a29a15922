//go:build interop

package interop

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/kerberos"
)

// heimdalKCM starts Heimdal's KCM daemon, which ends with the test. It listens in
// /run whatever it is told.
func heimdalKCM(t *testing.T, l *lab) *place {
	t.Helper()
	dir := tempDir(t)
	conf := write(t, filepath.Join(dir, "kcm.conf"), "[libdefaults]\n\tdns_lookup_kdc = false\n")
	p := kcmPlace(t, l, dir, filepath.Join(dir, "run", ".heim_org.h5l.kcm-socket"), []string{"/run"},
		"", tool(t, "kcm"), "--config-file="+conf)
	p.steps = 200
	p.inside = []string{tool(t, "nsenter"), "--mount", "--target", strconv.Itoa(p.daemon.Pid)}
	if os.Geteuid() != 0 {
		p.inside = append(p.inside, "--user", "--preserve-credentials")
	}
	return p
}

// sssdKCM starts that of sssd. It has no options: its database is made from the
// configuration in /etc, and is in /var/lib.
func sssdKCM(t *testing.T, l *lab) *place {
	t.Helper()
	const daemon = "/usr/libexec/sssd/sssd_kcm"
	if _, err := os.Stat(daemon); err != nil {
		t.Fatalf("%s is missing: install the Debian package sssd-kcm (.ci/packages does)", daemon)
	}
	dir := tempDir(t)
	for _, name := range []string{"etc/sssd/conf.d", "var/lib/sss/db", "var/lib/sss/secrets", "var/lib/sss/pubconf", "var/log/sssd"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	storage := "secdb" // the default, which root alone may use
	if os.Geteuid() != 0 {
		storage = "memory"
	}
	socket := filepath.Join(dir, "kcm.socket")
	conf := write(t, filepath.Join(dir, "etc/sssd/sssd.conf"),
		"[sssd]\nservices =\n[kcm]\nsocket_path = "+socket+"\nccache_storage = "+storage+"\n")
	if err := os.Chmod(conf, 0o600); err != nil {
		t.Fatal(err)
	}
	p := kcmPlace(t, l, dir, socket, []string{"/etc/sssd", "/var/lib/sss", "/var/log/sssd"},
		tool(t, "sssd")+" --genconf-section=kcm", daemon, "--uid", strconv.Itoa(os.Geteuid()), "--gid", strconv.Itoa(os.Getegid()), "--logger=stderr")
	p.steps = 25 // it writes to the disk
	return p
}

// kcmPlace runs a KCM daemon in a mount namespace where folders of the test, below
// dir, are in the place of the system's: the system's own daemon is not disturbed,
// and none is needed. A shell command may go before it.
func kcmPlace(t *testing.T, l *lab, dir, socket string, mounts []string, before string, daemon ...string) *place {
	t.Helper()
	unshare := tool(t, "unshare")
	args := []string{"--mount", "--propagation", "private"}
	if uid := os.Geteuid(); uid != 0 {
		// Root in a user namespace can mount. The daemon is not to be root, and
		// to see clients as who they are.
		args = append(args, "--map-root-user")
		daemon = append([]string{unshare, "--map-user=" + strconv.Itoa(uid), "--map-group=" + strconv.Itoa(os.Getegid())}, daemon...)
	}
	script := ""
	for _, to := range mounts {
		from := filepath.Join(dir, to)
		if err := os.MkdirAll(from, 0o755); err != nil {
			t.Fatal(err)
		}
		script += "mount --bind " + from + " " + to + " && "
	}
	if before != "" {
		script += before + " && "
	}
	args = append(args, tool(t, "sh"), "-c", script+`exec "$@"`, "sh")
	process := serve(t, environment{"HOME": dir}, nil, nil, unshare, append(args, daemon...)...)
	listens := func() bool {
		c, err := net.Dial("unix", socket)
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	if !await(t, listens, nil) {
		t.Fatalf("no KCM daemon listens at %s", socket)
	}
	env := l.env.with("KRB5_CONFIG", l.config(t, filepath.Base(dir)+".conf", l.kdc, "kcm_socket = "+socket))
	return &place{env: env.with("KRB5CCNAME", "KCM:"), collection: true, daemon: process}
}

// testHungDaemon stops the daemon while a valid ticket is in memory: no request
// waits for it for longer than one look at the cache may take.
func (p *place) testHungDaemon(t *testing.T) {
	const bound = 2 * time.Second // two looks take a quarter of it; the machine is busy
	p.kinit(t, "alice")
	var ahead atomic.Int64
	s, err := kerberos.FromCCache("KCM:", kerberos.SourceOptions{
		Krb5Conf: []string{p.env["KRB5_CONFIG"]}, Getenv: func(string) string { return "" },
		Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
	})
	if err != nil {
		t.Fatal(err)
	}
	get := func(ctx context.Context) (time.Duration, error) {
		start := time.Now()
		ticket, err := s.ServiceTicket(ctx, "HTTP/localhost")
		if err == nil && ticket.Client() != "alice@"+p.lab.name {
			err = fmt.Errorf("a ticket of %s", ticket.Client())
		}
		if err == nil {
			_, err = s.Identity(ctx, "HTTP/localhost")
		}
		return time.Since(start), err
	}
	if _, err := get(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.daemon.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.daemon.Signal(syscall.SIGCONT) })
	for _, later := range []time.Duration{2 * time.Second, 40 * time.Second} { // a look is due
		ahead.Add(int64(later))
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if took, err := get(t.Context()); err != nil || took > bound {
					t.Errorf("with a look due, after %v: %v", took, err)
				}
			})
		}
		wg.Wait()
		start := time.Now()
		for range 100 {
			if _, err := get(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took > bound {
			t.Errorf("a hundred requests after the look took %v", took)
		}
	}
	// What needs the daemon waits for it as long as its caller does.
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	start := time.Now()
	if _, err := s.ServiceTicket(ctx, "HTTP/stranger.example"); err == nil || time.Since(start) > 3*bound {
		t.Errorf("a ticket that is not in memory, after %v: %v", time.Since(start), err)
	}
	if err := p.daemon.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if ticket, err := s.ServiceTicket(t.Context(), "HTTP/stranger.example"); err != nil || ticket.SPN() != "HTTP/stranger.example@"+p.lab.name {
		t.Errorf("when the daemon goes on: %v, %v", ticket, err)
	}
	if list := p.klist(t); !strings.Contains(list, "HTTP/stranger.example") {
		t.Errorf("not written back:\n%s", list)
	}
}
