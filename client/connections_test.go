package client_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/middleware"
)

// silent is a context that does not tell whose it is.
type silent struct{ target middleware.Target }

func (s silent) Step(context.Context, []byte) ([]byte, error) { return []byte("token"), nil }
func (s silent) Verified() bool                               { return false }
func (s silent) Target() middleware.Target                    { return s.target }

// telling is one that does.
type telling struct {
	silent
	principal string
}

func (t telling) Principal() string { return t.principal }

// teller tells who would sign now.
type teller struct{ now atomic.Pointer[string] }

func (*teller) Initiate(context.Context, middleware.Target) (middleware.SecurityContext, error) {
	return nil, fmt.Errorf("not asked")
}
func (t *teller) Identity(context.Context, middleware.Target) (string, error) {
	return *t.now.Load(), nil
}

// Each user has connections of its own, and what went over a connection with
// credentials of somebody unknown is nobody else's.
func TestConnections(t *testing.T) {
	var conns atomic.Int64
	var open atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.RemoteAddr) }))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			conns.Add(1)
			open.Add(1)
		case http.StateClosed:
			open.Add(-1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	request := func(sc middleware.SecurityContext) *http.Request {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if sc != nil {
			r = middleware.WithSecurity(r, sc)
			r.Header.Set("Authorization", "Negotiate dG9rZW4=")
		}
		return r
	}
	send := func(t *testing.T, rt http.RoundTripper, r *http.Request) string {
		t.Helper()
		status, addr, err := do(t, &http.Client{Transport: rt}, r)
		if err != nil || status != 200 {
			t.Fatalf("%d, %v", status, err)
		}
		return addr
	}
	who := func(names ...string) (*teller, func(string)) {
		in := new(teller)
		set := func(s string) { in.now.Store(&s) }
		set("alice")
		return in, set
	}
	alice, bob := telling{principal: "alice"}, telling{principal: "bob"}
	t.Run("one user, one connection", func(t *testing.T) {
		in, _ := who()
		rt := client.Connections(in, nil)
		first := send(t, rt, request(nil)) // whose 401 it might be
		for _, sc := range []middleware.SecurityContext{alice, nil, alice, nil} {
			if got := send(t, rt, request(sc)); got != first {
				t.Errorf("%v: a connection of its own", sc)
			}
		}
	})
	t.Run("another user", func(t *testing.T) {
		in, set := who()
		rt := client.Connections(in, nil)
		hers := send(t, rt, request(alice))
		set("bob")
		his := send(t, rt, request(nil))
		if his == hers || send(t, rt, request(bob)) != his {
			t.Error("bob got alice's connection, or none of his own")
		}
		set("")
		if got := send(t, rt, request(nil)); got == his || got == hers {
			t.Error("nobody got somebody's connection")
		}
	})
	t.Run("somebody who is not known", func(t *testing.T) {
		in, set := who()
		set("")
		rt := client.Connections(in, nil)
		unknown := send(t, rt, request(silent{}))
		if send(t, rt, request(alice)) == unknown {
			t.Error("alice got a connection that somebody else was authenticated on")
		}
	})
	t.Run("an older request's context", func(t *testing.T) {
		in, set := who()
		rt := client.Connections(in, nil)
		hers := send(t, rt, request(alice))
		set("bob")
		r := request(alice)
		r.Header.Del("Authorization") // it only carries what signed another
		if send(t, rt, r) == hers {
			t.Error("an unsigned request of bob's got alice's connection")
		}
	})
	t.Run("an initiator that does not tell", func(t *testing.T) {
		in := middleware.InitiatorFunc(func(context.Context, middleware.Target) (middleware.SecurityContext, error) { return nil, nil })
		rt := client.Connections(in, nil)
		hers := send(t, rt, request(alice))
		if send(t, rt, request(nil)) == hers || send(t, rt, request(alice)) != hers {
			t.Error("an unsigned request got alice's connection, or alice another one")
		}
	})
	t.Run("many users", func(t *testing.T) {
		in, set := who()
		rt := client.Connections(in, nil)
		for i := range 200 {
			name := fmt.Sprint("user", i)
			set(name)
			send(t, rt, request(telling{principal: name}))
		}
		// Those of users who are gone are closed, which the server sees in time.
		for deadline := time.Now().Add(10 * time.Second); open.Load() > 20; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d connections are open", open.Load())
			}
		}
		rt.(interface{ CloseIdleConnections() }).CloseIdleConnections()
	})
	if conns.Load() < 200 {
		t.Errorf("%d connections only", conns.Load())
	}
}
