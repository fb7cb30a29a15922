//go:build interop

package interop

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/benchkdc"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// benchmarks turns on what measures instead of testing: make bench-interop.
var benchmarks = flag.Bool("peers", false, "measure against real peers")

func skipUnlessAsked(t *testing.T) {
	t.Helper()
	if !*benchmarks {
		t.Skip("measures, and tests nothing: make bench-interop")
	}
}

const (
	kdcRun  = 2 * time.Second // of one kind of load
	workers = 8
	oneCore = "0" // where KDCs run
)

// TestBenchKDC measures fakekdc against MIT's KDC, each in a process of its own
// on one core, under the same load. What counts is processor time: a core may be
// somebody else's for a while.
//
// MIT's KDC is measured as it comes, and without what fakekdc does not do either:
// it writes each login to its database, and puts a PAC into each ticket.
func TestBenchKDC(t *testing.T) {
	skipUnlessAsked(t)
	for _, e := range []etype{etypes[1], etypes[0], etypes[3], etypes[2]} {
		t.Run(e.name, func(t *testing.T) {
			r := startRealm(t, e)
			var mit, lean, fake, both map[kdcLoad]float64
			t.Run("MIT", func(t *testing.T) { mit = startMITOn(t, r, "", "").measure(t, e) })
			t.Run("MIT lean", func(t *testing.T) {
				lean = startMITOn(t, r, "disable_pac = true", "disable_last_success = true\n\t\tdisable_lockout = true").measure(t, e)
			})
			t.Run("fakekdc", func(t *testing.T) { fake = startFakeAlone(t, r, 1).measure(t, e) })
			t.Run("fakekdc on two cores", func(t *testing.T) { both = startFakeAlone(t, r, 2).measure(t, e) })
			if t.Failed() {
				return
			}
			for _, l := range kdcLoads {
				for server, rates := range map[string]map[kdcLoad]float64{"MIT": mit, "MIT-lean": lean, "fakekdc": fake, "fakekdc-on-two": both} {
					t.Logf("BenchmarkKDC/%s/%v/%s 1 %.0f exchanges/core-s", e.name, l, server, rates[l])
				}
			}
		})
	}
}

type kdcLoad struct {
	exchange benchkdc.Exchange
	network  string
}

func (l kdcLoad) String() string { return l.exchange.String() + "/" + l.network }

var kdcLoads = []kdcLoad{{benchkdc.AS, "udp"}, {benchkdc.TGS, "udp"}, {benchkdc.AS, "tcp"}, {benchkdc.TGS, "tcp"}}

// A server is a process that is measured.
type server struct {
	realm, addr string
	pid         int
}

// measure returns exchanges per second of processor time, by kind of load.
func (s server) measure(t *testing.T, e etype) map[kdcLoad]float64 {
	t.Helper()
	session, err := benchkdc.Login(t.Context(), benchkdc.Target{
		Addr: s.addr, Client: krb.NewPrincipal(s.realm, "alice"), Password: alicePassword,
		Service: krb.NewPrincipal(s.realm, "HTTP", "localhost"), Etype: e.number,
	})
	if err != nil {
		t.Fatal(err)
	}
	rates := make(map[kdcLoad]float64)
	for _, l := range kdcLoads {
		run := func(d time.Duration) benchkdc.Result {
			r, err := session.Run(t.Context(), benchkdc.Plan{Exchange: l.exchange, Network: l.network, Workers: workers, Duration: d})
			if err != nil {
				t.Fatalf("%v: %v", l, err)
			}
			return r
		}
		run(kdcRun / 10)
		before := cpu(t, s.pid)
		r := run(kdcRun)
		used := cpu(t, s.pid) - before
		rates[l] = float64(r.Exchanges) / used.Seconds()
		t.Logf("%v: %d exchanges in %v, %v of processor time: %.0f per second, %.0f per second of a core",
			l, r.Exchanges, r.Elapsed.Round(time.Millisecond), used, float64(r.Exchanges)/r.Elapsed.Seconds(), rates[l])
	}
	return rates
}

// cpu returns the processor time that a process has used (proc(5)).
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	const tick = 10 * time.Millisecond // USER_HZ is 100 wherever Go runs
	text := readAll(t, fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	var sum time.Duration
	for _, i := range []int{11, 12} { // utime and stime, the 14th and 15th of all
		n, err := strconv.Atoi(fields[i])
		if err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		sum += time.Duration(n) * tick
	}
	return sum
}

// pid reads a file that a server writes.
func pid(t *testing.T, path string) int {
	t.Helper()
	n := 0
	await(t, func() bool {
		b, err := os.ReadFile(path)
		if err == nil {
			n, err = strconv.Atoi(strings.TrimSpace(string(b)))
		}
		return err == nil
	}, t.Context().Done())
	if n == 0 {
		t.Fatalf("no number in %s", path)
	}
	return n
}

// startMITOn starts a KDC of a realm on one core, besides that which it has. The
// texts are for the realm and for its database in kdc.conf.
func startMITOn(t *testing.T, r *realm, forRealm, forDatabase string) server {
	t.Helper()
	dir, addr := t.TempDir(), freePorts(t, 1)[0]
	conf := strings.ReplaceAll(readAll(t, r.path("kdc.conf")), r.kdc, addr)
	conf = strings.Replace(conf, "\t\tmaster_key_type", "\t\tdatabase_module = db\n\t\t"+forRealm+"\n\t\tmaster_key_type", 1)
	conf = strings.Replace(conf, r.path("krb5kdc.log"), filepath.Join(dir, "log"), 1)
	conf += fmt.Sprintf("[dbmodules]\n\tdb = {\n\t\tdb_library = db2\n\t\tdatabase_name = %s\n\t\t%s\n\t}\n", r.path("principal"), forDatabase)
	env := r.env.with("KRB5_KDC_PROFILE", write(t, filepath.Join(dir, "kdc.conf"), conf))
	file := filepath.Join(dir, "pid")
	serve(t, env, nil, []string{addr}, tool(t, "taskset"), "-c", oneCore, tool(t, "krb5kdc"), "-n", "-r", r.name, "-P", file)
	return server{r.name, addr, pid(t, file)}
}

// What TestFakeKDCProcess is told.
const (
	envAddr  = "INTEROP_FAKEKDC_ADDR"
	envPID   = "INTEROP_FAKEKDC_PID"
	envEtype = "INTEROP_FAKEKDC_ETYPE"
	envRealm = "INTEROP_FAKEKDC_REALM"
)

// startFakeAlone starts fakekdc in a process of its own, which is this program
// again, on so many cores.
func startFakeAlone(t *testing.T, r *realm, cores int) server {
	t.Helper()
	dir, addr := t.TempDir(), freePorts(t, 1)[0]
	file := filepath.Join(dir, "pid")
	env := environment{
		"HOME": dir, "GOMAXPROCS": strconv.Itoa(cores), envAddr: addr, envPID: file, envRealm: r.name,
		envEtype: strconv.Itoa(int(r.etype.number)),
	}
	args := []string{"-c", fmt.Sprintf("0-%d", cores-1), os.Args[0], "-test.run=^TestFakeKDCProcess$", "-test.count=1"}
	if dir := os.Getenv("INTEROP_PROFILES"); dir != "" {
		args = append(args, "-test.cpuprofile="+filepath.Join(dir, fmt.Sprintf("%s-%d.pprof", r.etype.name, cores)))
	}
	serve(t, env, nil, []string{addr}, tool(t, "taskset"), args...)
	return server{r.name, addr, pid(t, file)}
}

// TestFakeKDCProcess is the KDC that startFakeAlone starts.
func TestFakeKDCProcess(t *testing.T) {
	addr := os.Getenv(envAddr)
	if addr == "" {
		t.Skip("is run by TestBenchKDC, in a process of its own")
	}
	etype, err := strconv.Atoi(os.Getenv(envEtype))
	if err != nil {
		t.Fatal(err)
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	fakekdc.Start(t, fakekdc.WithRealm(os.Getenv(envRealm)), fakekdc.WithAddress(addr), fakekdc.WithEtypes(int32(etype)),
		fakekdc.WithUser("alice", alicePassword), fakekdc.WithService("HTTP/localhost"))
	write(t, os.Getenv(envPID), strconv.Itoa(os.Getpid()))
	<-end
}
