//go:build interop

package interop

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

const (
	webCalls  = 400 // one after the other over one connection
	webRounds = 5   // of which the middle one counts
)

// TestBenchWeb measures calls of Apache with mod_auth_gssapi: our client, curl and
// requests-kerberos, each one call after the other over one connection that is
// kept, with the service ticket at hand. The processor time is the client's alone.
func TestBenchWeb(t *testing.T) {
	skipUnlessAsked(t)
	r := startRealm(t, etypes[1])
	l := &lab{r, startWeb(t, r)}
	env := l.kinit(t)
	must(t, env, "", tool(t, "kvno"), "HTTP/localhost")
	clients := []struct {
		name string
		run  func(url string) webTimes
	}{
		{"curl", func(url string) webTimes { return l.timeCurl(t, env, url) }},
		{"requests-kerberos", func(url string) webTimes { return l.timeRequests(t, env, url) }},
		{"kerbchain, challenged", func(url string) webTimes { return l.timeOurs(t, env, url, nil) }},
		{"kerbchain, learned", func(url string) webTimes { return l.timeOurs(t, env, url, preemptive.Learned()) }},
		{"kerbchain, preemptive", func(url string) webTimes { return l.timeOurs(t, env, url, preemptive.Always()) }},
	}
	times := make([][]webTimes, len(clients))
	for range webRounds { // in turns, since a machine has its moods
		for i, c := range clients {
			before := strings.Count(readAll(t, l.log), "\n")
			w := c.run(l.url(t, "http", "/auth/hello"))
			await(t, func() bool { return strings.Count(readAll(t, l.log), "\n") >= before+webCalls }, t.Context().Done())
			w.legs = strings.Count(readAll(t, l.log), "\n") - before
			times[i] = append(times[i], w)
		}
	}
	var curl webTimes
	for i, c := range clients {
		slices.SortFunc(times[i], func(a, b webTimes) int { return cmp.Compare(a.wall, b.wall) })
		w := times[i][webRounds/2]
		if i == 0 {
			curl = w
		}
		t.Logf("%-22s %5.0f calls per second, %.1f requests and %4.0f µs of processor time each: %.2f times the calls of curl, %.2f times per second of a core",
			c.name, webCalls/w.wall.Seconds(), float64(w.legs)/webCalls, float64(w.cpu.Microseconds())/webCalls,
			curl.wall.Seconds()/w.wall.Seconds(), curl.cpu.Seconds()/w.cpu.Seconds())
	}
}

// webTimes are what webCalls calls took.
type webTimes struct {
	wall, cpu time.Duration
	legs      int // requests that Apache answered
}

func (l *lab) timeCurl(t *testing.T, env environment, url string) webTimes {
	t.Helper()
	start, before := time.Now(), used(t, syscall.RUSAGE_CHILDREN)
	r := must(t, env, "", tool(t, "curl"), "-sS", "--negotiate", "-u", ":", "-o", "/dev/null", "-w", "%{http_code} %{num_connects}\n",
		fmt.Sprintf("%s?[1-%d]", url, webCalls))
	w := webTimes{wall: time.Since(start), cpu: used(t, syscall.RUSAGE_CHILDREN) - before}
	if want := "200 1\n" + strings.Repeat("200 0\n", webCalls-1); r.stdout != want {
		t.Fatalf("want one connection and %d times 200: %v", webCalls, r)
	}
	return w
}

func (l *lab) timeRequests(t *testing.T, env environment, url string) webTimes {
	t.Helper()
	program := python(t, "requests_kerberos", "python3-requests-kerberos")
	r := must(t, env, "", program, filepath.Join("testdata", "bench_requests.py"), url, fmt.Sprint(webCalls))
	var wall, cpu float64
	if _, err := fmt.Sscan(r.stdout, &wall, &cpu); err != nil {
		t.Fatalf("%v: %v", err, r)
	}
	return webTimes{wall: time.Duration(wall * float64(time.Second)), cpu: time.Duration(cpu * float64(time.Second))}
}

func (l *lab) timeOurs(t *testing.T, env environment, url string, policy preemptive.Policy) webTimes {
	t.Helper()
	o := l.options(t)
	o.CCache, o.Preemptive = env["KRB5CCNAME"], policy
	c := newClient(t, o)
	start, before := time.Now(), used(t, syscall.RUSAGE_SELF)
	for i := range webCalls {
		wantFetched(t, c, fmt.Sprintf("%s?%d", url, i), authText)
	}
	return webTimes{wall: time.Since(start), cpu: used(t, syscall.RUSAGE_SELF) - before}
}

// used returns the processor time of this process, or of those that it waited for.
func used(t *testing.T, who int) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
