package client

import (
	"context"
	"net/http"
	"sync"

	"github.com/kerbchain/kerbchain/internal/ended"
	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

// inTurn makes one call to a host at a time, all requests of it, so that no
// other comes between two legs on the host's one connection.
type inTurn struct {
	next http.RoundTripper

	mu    sync.Mutex
	hosts map[string]*turn // host:port
}

// A turn is whose it is. It is there as long as somebody has or wants it.
type turn struct {
	taken   chan struct{}
	waiting int
}

// RoundTrip waits for its turn, which it has until the response's body is closed.
func (t *inTurn) RoundTrip(r *http.Request) (*http.Response, error) {
	return stage.ForCallers(t.roundTrip)(r)
}

func (t *inTurn) roundTrip(r *http.Request) (*http.Response, error) {
	host := ""
	if r.URL != nil {
		host = middleware.TargetOf(r.URL).HostPort()
	}
	release, err := t.take(r.Context(), host)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // it was never sent
		}
		return nil, err
	}
	resp, err := t.next.RoundTrip(r)
	if err != nil || resp == nil {
		release()
		return resp, err
	}
	stage.OnClose(resp, false, release)
	return resp, nil
}

func (t *inTurn) take(ctx context.Context, host string) (release func(), err error) {
	t.mu.Lock()
	h := t.hosts[host]
	if h == nil {
		h = &turn{taken: make(chan struct{}, 1)}
		t.hosts[host] = h
	}
	h.waiting++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if h.waiting--; h.waiting == 0 {
			delete(t.hosts, host)
		}
	}
	select {
	case h.taken <- struct{}{}:
	case <-ctx.Done():
		leave()
		return nil, ended.Because(ctx, "client: waiting for the one connection to "+host, nil)
	}
	return sync.OnceFunc(func() {
		<-h.taken
		leave()
	}), nil
}

// CloseIdleConnections closes those of the transport.
func (t *inTurn) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
