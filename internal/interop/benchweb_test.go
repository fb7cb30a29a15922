//go:build interop

package interop

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	gokrb5client "github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/spnego"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

const (
	webCalls  = 400 // over one connection for each worker
	webRounds = 9   // of which the middle one counts
)

// TestBenchWeb measures calls of Apache with mod_auth_gssapi: our client, gokrb5's header,
// curl and requests-kerberos, each with the service ticket at hand, over connections
// that are kept, and one call after the other or, of ours, eight at once. The floor sends tokens that
// were made before, over the same transport as ours, and looks at no answer's token. The
// processor time is the client's alone.
func TestBenchWeb(t *testing.T) {
	skipUnlessAsked(t)
	r := startRealm(t, etypes[1])
	l := &lab{r, startWeb(t, r)}
	env := l.kinit(t)
	must(t, env, "", tool(t, "kvno"), "HTTP/localhost")
	clients := []struct {
		name    string
		workers int
		run     func(url string) webTimes
	}{
		{"floor", 1, func(url string) webTimes { return l.timeFloor(t, env, url, 1) }},
		{"kerbchain-learned", 1, func(url string) webTimes { return l.timeOurs(t, env, url, preemptive.Learned(), 1) }},
		{"kerbchain-preemptive", 1, func(url string) webTimes { return l.timeOurs(t, env, url, preemptive.Always(), 1) }},
		{"kerbchain-challenged", 1, func(url string) webTimes { return l.timeOurs(t, env, url, nil, 1) }},
		{"gokrb5", 1, func(url string) webTimes { return l.timeGokrb5(t, env, url, 1) }},
		{"curl", 1, func(url string) webTimes { return l.timeCurl(t, env, url) }},
		{"requests-kerberos", 1, func(url string) webTimes { return l.timeRequests(t, env, url) }},
		{"floor", workers, func(url string) webTimes { return l.timeFloor(t, env, url, workers) }},
		{"kerbchain-learned", workers, func(url string) webTimes { return l.timeOurs(t, env, url, preemptive.Learned(), workers) }},
		{"gokrb5", workers, func(url string) webTimes { return l.timeGokrb5(t, env, url, workers) }},
	}
	times := make([][]webTimes, len(clients))
	for range webRounds { // in turns, since a machine has its moods
		for i, c := range clients {
			before := strings.Count(readAll(t, l.log), "\n")
			runtime.GC() // what one leaves is not cleared away at the next one's cost
			w := c.run(l.url(t, "http", "/auth/hello"))
			await(t, func() bool { return strings.Count(readAll(t, l.log), "\n") >= before+webCalls }, t.Context().Done())
			w.legs = strings.Count(readAll(t, l.log), "\n") - before
			times[i] = append(times[i], w)
		}
	}
	for i, c := range clients {
		middle := func(of func(webTimes) int64) float64 {
			var all []int64
			for _, w := range times[i] {
				all = append(all, of(w))
			}
			slices.Sort(all)
			return float64(all[len(all)/2]) / webCalls
		}
		t.Logf("BenchmarkApache/%s/%d %d %.0f ns/op %.0f cpu-ns/op %.2f requests/op", c.name, c.workers, webCalls,
			middle(func(w webTimes) int64 { return w.wall.Nanoseconds() }), middle(func(w webTimes) int64 { return w.cpu.Nanoseconds() }),
			middle(func(w webTimes) int64 { return int64(w.legs) }))
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

func (l *lab) timeOurs(t *testing.T, env environment, url string, policy preemptive.Policy, workers int) webTimes {
	t.Helper()
	o := l.options(t)
	o.CCache, o.Preemptive = env["KRB5CCNAME"], policy
	c := newClient(t, o)
	return timeCalls(t, workers, func(i int) { wantFetched(t, c, fmt.Sprintf("%s?%d", url, i), authText) })
}

// timeFloor makes the tokens before the time begins.
func (l *lab) timeFloor(t *testing.T, env environment, url string, workers int) webTimes {
	t.Helper()
	o := l.options(t)
	o.CCache = env["KRB5CCNAME"]
	in, err := client.NewInitiator(o)
	if err != nil {
		t.Fatal(err)
	}
	headers := make([]string, webCalls+1)
	for i := range headers {
		headers[i] = headerFor(t, in, url)
	}
	c := &http.Client{Transport: o.Transport}
	return timeCalls(t, workers, func(i int) {
		fetchUnverified(t, c, fmt.Sprintf("%s?%d", url, i), func(r *http.Request) { r.Header.Set("Authorization", headers[i]) })
	})
}

func headerFor(t *testing.T, in middleware.Initiator, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	sc, err := in.Initiate(t.Context(), middleware.TargetOf(r))
	if err != nil {
		t.Fatal(err)
	}
	token, err := sc.Step(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return "Negotiate " + base64.StdEncoding.EncodeToString(token)
}

// timeGokrb5 makes each header with gokrb5, which takes an answer for what it says.
func (l *lab) timeGokrb5(t *testing.T, env environment, url string, workers int) webTimes {
	t.Helper()
	conf, err := config.Load(l.conf)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := credentials.LoadCCache(strings.TrimPrefix(env["KRB5CCNAME"], "FILE:"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := gokrb5client.NewFromCCache(cache, conf, gokrb5client.DisablePAFXFAST(true))
	if err != nil {
		t.Fatal(err)
	}
	defer signer.Destroy()
	c := &http.Client{Transport: l.options(t).Transport}
	return timeCalls(t, workers, func(i int) {
		fetchUnverified(t, c, fmt.Sprintf("%s?%d", url, i), func(r *http.Request) {
			if err := spnego.SetSPNEGOHeader(signer, r, "HTTP/localhost"); err != nil {
				t.Error(err)
			}
		})
	})
}

func fetchUnverified(t *testing.T, c *http.Client, url string, sign func(*http.Request)) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Error(err)
		return
	}
	sign(r)
	resp, err := c.Do(r)
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || string(b) != authText {
		t.Errorf("%s: %d, %q, %v", url, resp.StatusCode, b, err)
	}
}

// timeCalls makes a call that does not count, which connects and finds what it needs, and
// then webCalls that do.
func timeCalls(t *testing.T, workers int, call func(i int)) webTimes {
	t.Helper()
	call(webCalls)
	var next atomic.Int64
	var all sync.WaitGroup
	start, before := time.Now(), used(t, syscall.RUSAGE_SELF)
	for range workers {
		all.Go(func() {
			for i := next.Add(1) - 1; i < webCalls; i = next.Add(1) - 1 {
				call(int(i))
			}
		})
	}
	all.Wait()
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
