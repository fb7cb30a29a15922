package fakeweb

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/client/clienttest"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/kerberos"
)

// A town is one realm with a web service and a client that logs in.
type town struct {
	realm     *fakekdc.Realm
	service   *Handler
	url       string
	transport *http.Transport
	client    *http.Client
}

// newTown makes a realm whose user logs in with a password; with sockets, or
// without any.
func newTown(sockets bool, opts ...fakekdc.Option) (*town, error) {
	if !sockets {
		opts = append(opts, fakekdc.WithoutSockets())
	}
	opts = append(opts, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	r, err := fakekdc.New(opts...)
	if err != nil {
		return nil, err
	}
	w := &town{realm: r, service: New(r, "HTTP/localhost", Options{})}
	if sockets {
		s := Serve(r, w.service, ServerOptions{})
		w.url, w.transport = s.URL(), s.Transport()
	} else {
		s := Serve(r, w.service, ServerOptions{InMemory: true})
		w.url, w.transport = s.URL(), s.Transport()
	}
	w.client, err = clientOf(r, "", client.Options{Principal: "alice", Password: kerberos.NewSecret("secret"), Transport: w.transport})
	return w, err
}

// use logs in and fetches a page, and counts what that took.
func (w *town) use() error {
	resp, err := w.client.Get(w.url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if got, want := string(b), "hello alice@"+w.realm.Name()+"\n"; got != want {
		return fmt.Errorf("%s: %q, want %q", resp.Status, got, want)
	}
	// A client that is kept waiting by 199 others may ask twice.
	kinds := map[string]bool{}
	for _, e := range w.realm.Exchanges() {
		kinds[fmt.Sprint(e.Kind, e.Code)] = true
	}
	if got, want := fmt.Sprint(kinds), "map[AS 0:true AS 25:true TGS 0:true]"; got != want {
		return fmt.Errorf("exchanges %s, want %s", got, want)
	}
	if got := fmt.Sprint(w.service.Statuses()); got != "[401 200]" {
		return fmt.Errorf("statuses %s", got)
	}
	return nil
}

func clientOf(r *fakekdc.Realm, user string, o client.Options) (*http.Client, error) {
	return client.New(clienttest.Options(nil, r, user, o))
}

func (w *town) close() {
	w.client.CloseIdleConnections()
	w.realm.Close()
}

// each runs f for every index, some at the same time: with all of them, a slow machine
// would take longer to answer than clients wait for a KDC.
func each(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	var wg sync.WaitGroup
	slots := make(chan struct{}, 16)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := f(i); err != nil {
				t.Errorf("realm %d: %v", i, err)
			}
		})
	}
	wg.Wait()
}

// TestParallelRealms has 200 realms live at the same time, each with a full login
// and a request. No two share a name or a port, none sees what another does, and
// nothing is left of them.
func TestParallelRealms(t *testing.T) {
	const realms = 200
	for name, sockets := range map[string]bool{"sockets": true, "memory": false} {
		t.Run(name, func(t *testing.T) {
			before, ignore := runtime.NumGoroutine(), goleak.IgnoreCurrent()
			towns := make([]*town, realms)
			each(t, realms, func(i int) (err error) {
				// With AES, more than half of the time would go into making keys of passwords.
				towns[i], err = newTown(sockets, fakekdc.WithEtypes(fakekdc.RC4HMAC))
				return err
			})
			if t.Failed() {
				return
			}
			taken, requests, exchanges := map[string]bool{}, 0, 0
			for _, w := range towns {
				taken[w.realm.Name()], taken[w.realm.Addr()] = true, true
				if sockets {
					taken[w.url] = true
				}
			}
			each(t, realms, func(i int) error { return towns[i].use() })
			for _, w := range towns {
				exchanges += w.realm.Count(fakekdc.Any)
				requests += len(w.service.Requests())
			}
			each(t, realms, func(i int) error { towns[i].close(); return nil })
			want := 2 * realms
			if sockets {
				want = 3 * realms
			}
			if len(taken) != want || exchanges < 3*realms || requests != 2*realms {
				t.Errorf("%d realms: %d names and addresses, want %d; %d exchanges, want %d or more; %d requests, want %d",
					realms, len(taken), want, exchanges, 3*realms, requests, 2*realms)
			}
			if err := goleak.Find(ignore); err != nil {
				t.Error(err)
			}
			t.Logf("%d realms, %d exchanges, %d requests; %d goroutines before, %d after", realms, exchanges, requests, before, runtime.NumGoroutine())
		})
	}
}

// BenchmarkFirstPage is the time from nothing to an authenticated page: a realm, a
// web service, and a client that has logged in.
func BenchmarkFirstPage(b *testing.B) {
	for name, sockets := range map[string]bool{"sockets": true, "memory": false} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				w, err := newTown(sockets)
				if err != nil {
					b.Fatal(err)
				}
				if w.client, err = clientOf(w.realm, "alice", client.Options{Transport: w.transport}); err != nil {
					b.Fatal(err)
				}
				resp, err := w.client.Get(w.url)
				if err != nil {
					b.Fatal(err)
				}
				resp.Body.Close()
				w.close()
			}
		})
	}
}
