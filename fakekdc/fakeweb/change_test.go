package fakeweb

import (
	"sync"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/internal/plainclient"
)

// TestChangesMeanwhile: keys are changed, users come and go and connections are dropped while
// services are used, and in the end all is closed. Who was authenticated is whom the ticket
// names, who was not is refused for a reason, and nothing is left running.
func TestChangesMeanwhile(t *testing.T) {
	for _, bound := range []bool{false, true} {
		r, h, s := world(t, Options{ConnectionBound: bound}, ServerOptions{})
		var callers, changes sync.WaitGroup
		done := make(chan struct{})
		for _, change := range []func() error{
			func() error { return r.Rotate("HTTP/localhost") },
			func() error { return r.Purge("HTTP/localhost") },
			func() error { return r.SetPassword("alice", "another") },
			func() error { return r.Modify("alice", fakekdc.Refuse(0)) },
			func() error { h.ForgetConnections(); h.ResetRequests(); _ = r.Exchanges(); return nil },
			func() error { h.SetQuirks(Quirks{ChallengeBody: 10}); _ = h.Statuses(); return nil },
		} {
			changes.Go(func() {
				for {
					select {
					case <-done:
						return
					case <-time.After(time.Millisecond):
					}
					if err := change(); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for range 4 {
			tickets := make(chan *plainclient.Client, 4)
			for range cap(tickets) {
				tickets <- newClient(t, r, s)
			}
			callers.Go(func() {
				for range cap(tickets) {
					c := <-tickets
					for range 2 {
						switch got := c.Call(s.URL()); got.Statuses[len(got.Statuses)-1] {
						case 200:
							if got.Body != hello(r) {
								t.Errorf("%+v", got)
							}
						case 401: // its key is gone
						default:
							t.Errorf("%+v", got)
						}
					}
				}
			})
		}
		callers.Wait()
		// And the end comes while all that goes on.
		callers.Go(s.Close)
		callers.Go(r.Close)
		callers.Wait()
		close(done)
		changes.Wait()
	}
}
