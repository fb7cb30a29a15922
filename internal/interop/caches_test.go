//go:build interop

package interop

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A place is a credential cache, or a collection of caches, where MIT's tools and
// we meet.
type place struct {
	lab        *lab
	env        environment // KRB5CCNAME names the place
	collection bool
	steps      int      // how often kinit makes a cache anew in steps for a test; 0 where it is replaced at once
	within     []string // the command that runs programs where they find it
	inside     []string // that runs them where a daemon is at the place that is built into libraries
	daemon     *os.Process
}

func (p *place) run(t *testing.T, stdin, name string, args ...string) result {
	t.Helper()
	line := append(append(slices.Clone(p.within), name), args...)
	return run(t, p.env, stdin, line[0], line[1:]...)
}

// must runs one of MIT's tools, which has to succeed.
func (p *place) must(t *testing.T, stdin, name string, args ...string) result {
	t.Helper()
	r := p.run(t, stdin, tool(t, name), args...)
	if r.code != 0 {
		t.Fatalf("failed: %v", r)
	}
	return r
}

// kinit logs alice or bob in.
func (p *place) kinit(t *testing.T, user string, flags ...string) {
	t.Helper()
	password := map[string]string{"alice": alicePassword, "bob": bobPassword}[user]
	p.must(t, password+"\n", "kinit", append(flags, user)...)
}

// klist returns what it says of the primary cache.
func (p *place) klist(t *testing.T) string {
	t.Helper()
	return p.must(t, "", "klist", "-e", "-f").stdout
}

// get runs "kerbchain get -v".
func (p *place) get(t *testing.T, args ...string) result {
	t.Helper()
	return p.run(t, "", kerbchain(t), append([]string{"get", "-v"}, args...)...)
}

// fetched returns how many tickets the KDC gave for others while f ran.
func (p *place) fetched(t *testing.T, f func()) int {
	t.Helper()
	before := p.lab.kdcLog(t, "TGS_REQ", "ISSUE")
	f()
	return p.lab.kdcLog(t, "TGS_REQ", "ISSUE") - before
}

// TestCaches shares credential caches of every type with MIT's tools.
func TestCaches(t *testing.T) {
	t.Parallel()
	r := startRealm(t, etypes[0])
	l := &lab{r, startWeb(t, r)}
	places := map[string]*place{
		"FILE":      {env: l.env.with("KRB5CCNAME", "FILE:"+filepath.Join(t.TempDir(), "ccache"))},
		"bare path": {env: l.env.with("KRB5CCNAME", filepath.Join(t.TempDir(), "ccache"))},
		"DIR":       {env: l.env.with("KRB5CCNAME", "DIR:"+t.TempDir()), collection: true},
		"KCM":       heimdalKCM(t, l),
		"KCM sssd":  sssdKCM(t, l),
	}
	maps.Copy(places, keyringPlaces(t, l))
	for name, p := range places {
		p.lab = l
		t.Run(name, func(t *testing.T) {
			t.Run("write back", p.testWriteBack)
			t.Run("read only", p.testReadOnly)
			t.Run("another user", p.testAnotherUser)
			if p.collection {
				t.Run("collection", p.testCollection)
			}
			if p.steps > 0 {
				t.Run("kinit meanwhile", p.testKinitMeanwhile)
			}
			if p.daemon != nil {
				t.Run("hung daemon", p.testHungDaemon)
			}
		})
	}
	t.Run("renewal", func(t *testing.T) { testRenewals(t, places) })
	t.Run("expired twin", func(t *testing.T) { testExpiredTwin(t, l) })
	t.Run("foreign FILE", func(t *testing.T) { testForeign(t, l) })
	t.Run("KEYRING of one process", func(t *testing.T) { testProcessKeyring(t, l) })
}

// testWriteBack lets tickets that one side fetched serve the other: the KDC is
// asked for each once.
func (p *place) testWriteBack(t *testing.T) {
	p.kinit(t, "alice")
	url := p.lab.url(t, "http", "/auth/hello")
	if n := p.fetched(t, func() {
		wantGet(t, p.get(t, url), exitOK, p.lab.verdict(), " as alice@"+p.lab.name)
	}); n != 1 {
		t.Errorf("%d tickets fetched, want 1", n)
	}
	list := p.klist(t)
	for _, want := range []string{"Default principal: alice@" + p.lab.name, "HTTP/localhost@" + p.lab.name, p.lab.etype.name + ", " + p.lab.etype.name} {
		if !strings.Contains(list, want) {
			t.Errorf("klist does not show %q:\n%s", want, list)
		}
	}
	if n := strings.Count(list, "HTTP/localhost"); n != 1 {
		t.Errorf("HTTP/localhost is there %d times:\n%s", n, list)
	}
	if n := p.fetched(t, func() {
		wantGet(t, p.get(t, url), exitOK, p.lab.verdict(), "at hand")
		p.must(t, "", "kvno", "HTTP/localhost")
	}); n != 0 {
		t.Errorf("%d tickets fetched by a second process and MIT, want none", n)
	}
	p.must(t, "", "kvno", "HTTP/stranger.example")
	if n := p.fetched(t, func() {
		// Apache has no key for it.
		wantGet(t, p.get(t, "--host-override", "stranger.example", url), exitStatus, "HTTP/stranger.example@"+p.lab.name, "at hand")
	}); n != 0 {
		t.Errorf("%d tickets fetched after MIT has one, want none", n)
	}
}

// testReadOnly leaves a cache as it is.
func (p *place) testReadOnly(t *testing.T) {
	p.kinit(t, "alice")
	before := p.klist(t)
	r := p.get(t, "--read-only-cache", p.lab.url(t, "http", "/auth/hello"))
	wantGet(t, r, exitOK, p.lab.verdict())
	if after := p.klist(t); after != before {
		t.Errorf("the cache changed from\n%s\nto\n%s", before, after)
	}
}

// testRenewals has ticket-granting tickets the first half of whose life is over.
// They are renewed on use, as MIT's kinit -R does it.
func testRenewals(t *testing.T, places map[string]*place) {
	const life = 10 * time.Second
	tgt := func(t *testing.T, list string) string {
		t.Helper()
		for line := range strings.Lines(list) {
			if strings.Contains(line, "krbtgt/") {
				return line
			}
		}
		t.Fatalf("klist shows no ticket-granting ticket:\n%s", list)
		return ""
	}
	before := make(map[string]string)
	for name, p := range places {
		p.kinit(t, "alice", "-l", fmt.Sprint(life), "-r", "1h")
		before[name] = tgt(t, p.klist(t))
	}
	half := time.Now().Add(life / 2)
	if !await(t, func() bool { return time.Now().After(half) }, nil) {
		t.Fatal("time stands still")
	}
	for name, p := range places {
		t.Run(name, func(t *testing.T) {
			wantGet(t, p.get(t, p.lab.url(t, "http", "/auth/hello")), exitOK, p.lab.verdict())
			list := p.klist(t)
			if after := tgt(t, list); after == before[name] {
				t.Errorf("the ticket-granting ticket was not renewed: %s", after)
			}
			if !strings.Contains(list, "HTTP/localhost") || !strings.Contains(list, "renew until") {
				t.Errorf("after the renewal:\n%s", list)
			}
			p.must(t, "", "kvno", "HTTP/stranger.example")
		})
	}
}

// testCollection fills a collection and switches its primary cache.
func (p *place) testCollection(t *testing.T) {
	p.kinit(t, "alice")
	p.kinit(t, "bob")
	url := p.lab.url(t, "http", "/auth/hello")
	for _, who := range []string{"alice", "bob", "alice"} {
		p.must(t, "", "kswitch", "-p", who)
		wantGet(t, p.get(t, url), exitOK, p.lab.verdict(), " as "+who+"@"+p.lab.name)
	}
	for _, who := range []string{"alice", "bob"} {
		wantGet(t, p.get(t, "--principal", who, url), exitOK, p.lab.verdict(), " as "+who+"@"+p.lab.name)
	}
	r := p.get(t, "--principal", "carol", url)
	wantGet(t, r, exitCredentials, "carol@"+p.lab.name, "kinit")
	list := p.must(t, "", "klist", "-A").stdout
	if n := strings.Count(list, "HTTP/localhost"); n != 2 {
		t.Errorf("%d tickets for HTTP/localhost, want one in each cache:\n%s", n, list)
	}
	p.must(t, "", "kdestroy", "-A")
	wantGet(t, p.get(t, url), exitCredentials, "kinit")
}

// testKinitMeanwhile runs kinit over and over. While it is at it the cache is
// gone, or empty, or has no tickets yet; nobody who asks for one may see that.
func (p *place) testKinitMeanwhile(t *testing.T) {
	p.kinit(t, "alice")
	line := append(slices.Clone(p.within), tool(t, "sh"), "-ec",
		`i=0; while [ $i -lt "$1" ]; do "$2" -k -t "$3" alice; i=$((i+1)); done`,
		"sh", strconv.Itoa(p.steps), tool(t, "kinit"), p.lab.path("alice.keytab"))
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	loop := exec.CommandContext(ctx, line[0], line[1:]...)
	loop.Env = p.env.list()
	ended := make(chan error, 1)
	go func() {
		out, err := loop.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("kinit: %w\n%s", err, out)
		}
		ended <- err
	}()
	url := p.lab.url(t, "http", "/auth/hello")
	for calls, failures := 0, 0; ; calls++ {
		select {
		case err := <-ended:
			if err != nil || calls < 10 {
				t.Errorf("%d calls while kinit ran: %v", calls, err)
			}
			return
		default:
		}
		r := p.get(t, url)
		wantGet(t, r, exitOK, p.lab.verdict(), " as alice@"+p.lab.name)
		if r.code != exitOK {
			if failures++; failures == 5 {
				cancel()
				<-ended
				return
			}
		}
	}
}

// testForeign uses a cache that is not ours to write, and leaves it alone: one
// that belongs to someone else, which root can read, or one that may not be
// written.
func testForeign(t *testing.T, l *lab) {
	env := l.kinit(t)
	path := strings.TrimPrefix(env["KRB5CCNAME"], "FILE:")
	if os.Geteuid() == 0 {
		give(t, path, unprivileged(t))
	} else if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	before := readAll(t, path)
	wantGet(t, l.get(t, env, l.url(t, "http", "/auth/hello")), exitOK, l.verdict())
	if after := readAll(t, path); after != before {
		t.Errorf("%s changed from %d bytes to %d", path, len(before), len(after))
	}
}

// testExpiredTwin has a collection whose primary cache holds a ticket of alice that has
// run out, beside one that has not. MIT takes the first, as it finds it; we the other.
func testExpiredTwin(t *testing.T, l *lab) {
	dir := t.TempDir()
	p := &place{lab: l, env: l.env.with("KRB5CCNAME", "DIR:"+dir)}
	p.kinit(t, "alice", "-c", "DIR::"+filepath.Join(dir, "tktA"), "-l", "1s")
	p.kinit(t, "alice", "-c", "DIR::"+filepath.Join(dir, "tktB"))
	p.must(t, "", "kswitch", "-c", "DIR::"+filepath.Join(dir, "tktA"))
	over := time.Now().Add(2 * time.Second)
	if !await(t, func() bool { return time.Now().After(over) }, nil) {
		t.Fatal("time stands still")
	}
	url := l.url(t, "http", "/auth/hello")
	if r := p.run(t, "", tool(t, "curl"), "-s", "-o", os.DevNull, "-w", "%{http_code}", "--negotiate", "-u", ":", url); r.stdout != "401" {
		t.Errorf("MIT's library does not go by the first cache of a client any more: %v", r)
	}
	for _, args := range [][]string{{url}, {"--principal", "alice", url}} {
		wantGet(t, p.get(t, args...), exitOK, l.verdict(), " as alice@"+l.name, "tktB")
	}
}
