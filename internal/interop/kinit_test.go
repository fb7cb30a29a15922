//go:build interop

package interop

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/kerberos"
)

// TestKinitLoop has kinit make a cache anew, over and over, while we look for a
// ticket in it, get one and write it there. Nobody who asks for a ticket may
// notice. testKinitMeanwhile does so with caches that no rename replaces.
func TestKinitLoop(t *testing.T) {
	t.Parallel()
	r := startRealm(t, etypes[0])
	for name, tc := range map[string]struct {
		ccache string
		rounds int
	}{
		"FILE": {"FILE:" + filepath.Join(t.TempDir(), "ccache"), 1000},
		"DIR":  {"DIR:" + t.TempDir(), 200},
	} {
		t.Run(name, func(t *testing.T) { r.testKinitLoop(t, tc.ccache, tc.rounds) })
	}
}

func (r *realm) testKinitLoop(t *testing.T, ccache string, rounds int) {
	env := r.env.with("KRB5CCNAME", ccache)
	kinit := func() {
		must(t, env, "", tool(t, "kinit"), "-k", "-t", r.path("alice.keytab"), "alice")
	}
	source := func() (*kerberos.Source, error) {
		return kerberos.FromCCache(ccache, kerberos.SourceOptions{Krb5Conf: []string{r.conf}, Getenv: func(string) string { return "" }})
	}
	kinit()
	lasting, err := source()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	var reads [2]atomic.Int64
	for i, source := range []func() (*kerberos.Source, error){
		func() (*kerberos.Source, error) { return lasting, nil }, // a service
		source, // a command, run again and again
	} {
		wg.Go(func() {
			pace := time.NewTicker(time.Millisecond) // leaves kinit some of the machine
			defer pace.Stop()
			for failures := 0; ctx.Err() == nil && failures < 10; <-pace.C {
				err := ask(t.Context(), source, "alice@"+r.name, "HTTP/localhost@"+r.name)
				if err != nil {
					failures++
					t.Errorf("after %d reads: %v", reads[i].Load(), err)
				}
				reads[i].Add(1)
			}
		})
	}
	for range rounds {
		kinit()
	}
	cancel()
	wg.Wait()
	for i := range reads {
		if n := reads[i].Load(); n < int64(rounds)/10 {
			t.Errorf("%d reads while kinit ran %d times: that proves little", n, rounds)
		}
	}
	t.Logf("%d reads by a service, %d by a command", reads[0].Load(), reads[1].Load())
	must(t, env, "", tool(t, "klist"))
	must(t, env, "", tool(t, "kvno"), "HTTP/stranger.example")
}

// ask gets a ticket from a source, and reports whether it is the right one.
func ask(ctx context.Context, source func() (*kerberos.Source, error), client, spn string) error {
	s, err := source()
	if err != nil {
		return err
	}
	ticket, err := s.ServiceTicket(ctx, "HTTP/localhost")
	if err != nil {
		return err
	}
	if ticket.Client() != client || ticket.SPN() != spn {
		return fmt.Errorf("got a ticket of %s for %s, want one of %s for %s", ticket.Client(), ticket.SPN(), client, spn)
	}
	return nil
}
