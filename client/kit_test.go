package client_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/internal/testmain"
)

func TestMain(m *testing.M) { testmain.Run(m) }

const (
	password = "correct horse battery staple"
	spn      = "HTTP/localhost"
)

// start starts a realm with alice and HTTP/localhost. One encryption type will
// do here, and costs one string-to-key instead of four.
func start(tb testing.TB, opts ...fakekdc.Option) *fakekdc.Realm {
	tb.Helper()
	return fakekdc.Start(tb, append([]fakekdc.Option{
		fakekdc.WithEtypes(fakekdc.AES256SHA1),
		fakekdc.WithUser("alice", password),
		fakekdc.WithService(spn),
	}, opts...)...)
}

// bare returns options for the realm that name no credentials, and see nothing
// of the process's environment.
func bare(realm *fakekdc.Realm) client.Options {
	o := client.Options{
		Krb5ConfText: realm.Config(),
		Now:          realm.Now,
		Getenv:       func(string) string { return "" },
	}
	if realm.InMemory() {
		o.Dial = realm.Dial
	}
	return o
}

// kinit returns options with a cache of alice's: the ticket-granting ticket, and
// tickets for the services.
func kinit(tb testing.TB, realm *fakekdc.Realm, services ...string) client.Options {
	tb.Helper()
	o := bare(realm)
	o.CCache = testmain.File(tb, "krb5cc", realm.CCache("alice", services...))
	return o
}

// newClient makes a client that is closed with the test.
func newClient(tb testing.TB, o client.Options) *http.Client {
	tb.Helper()
	c, err := client.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.CloseIdleConnections)
	return c
}

// get fetches a URL and returns status and body.
func get(tb testing.TB, c *http.Client, url string) (status int, body string, err error) {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, url, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return do(tb, c, r)
}

// do sends a request and returns status and body.
func do(tb testing.TB, c *http.Client, r *http.Request) (status int, body string, err error) {
	tb.Helper()
	resp, err := c.Do(r)
	if err != nil {
		reads(tb, err)
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Errorf("body of %d: %v", resp.StatusCode, err)
	}
	return resp.StatusCode, string(b), nil
}

// reads checks that an error is one text, whoever had a part in it.
func reads(tb testing.TB, err error) {
	tb.Helper()
	if err == nil {
		return
	}
	for _, fault := range stagetest.Prose(err.Error()) {
		tb.Errorf("%s: %v", fault, err)
	}
}

// A meter counts the connections of transports.
type meter struct {
	mu      sync.Mutex
	opened  int
	open    int
	changed chan struct{}
}

// on makes the transport's connections count.
func (m *meter) on(tr *http.Transport) *http.Transport {
	dial := tr.DialContext
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		m.add(1)
		return &counted{Conn: c, m: m}, nil
	}
	return tr
}

func (m *meter) add(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open += n
	m.opened += max(n, 0)
	if m.changed != nil {
		close(m.changed)
		m.changed = nil
	}
}

// total returns how many connections were opened so far.
func (m *meter) total() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.opened
}

// drained fails the test if connections stay open although idle ones are
// closed: someone forgot a body.
func (m *meter) drained(tb testing.TB, closeIdle func()) {
	tb.Helper()
	late := time.NewTimer(20 * time.Second)
	defer late.Stop()
	for {
		closeIdle()
		m.mu.Lock()
		open := m.open
		if m.changed == nil {
			m.changed = make(chan struct{})
		}
		changed := m.changed
		m.mu.Unlock()
		if open == 0 {
			return
		}
		// HTTP/2 forgets a stream a moment after its body was read, and only
		// then is the connection idle.
		again := time.NewTimer(time.Millisecond)
		select {
		case <-changed:
		case <-again.C:
		case <-late.C:
			tb.Errorf("%d connections stay open", open)
			return
		}
		again.Stop()
	}
}

type counted struct {
	net.Conn
	m    *meter
	once sync.Once
}

func (c *counted) Close() error {
	c.once.Do(func() { c.m.add(-1) })
	return c.Conn.Close()
}

// namesOf returns those of the stages, outermost first.
func namesOf(s client.Stack) []string {
	all := []string{}
	for _, st := range s {
		all = append(all, st.Name)
	}
	return all
}
