package client

import (
	"context"
	"io"
	"net/http"
	"sync"

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
	if err != nil || resp == nil || resp.Body == nil || resp.Body == http.NoBody {
		release()
		return resp, err
	}
	b := &turnBody{ReadCloser: resp.Body, release: release}
	if w, ok := resp.Body.(io.Writer); ok { // of a connection that was switched to another protocol
		resp.Body = struct {
			*turnBody
			io.Writer
		}{b, w}
	} else {
		resp.Body = b
	}
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
		return nil, context.Cause(ctx)
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

// turnBody ends a turn when it is closed.
type turnBody struct {
	io.ReadCloser
	release func()
}

func (b *turnBody) Close() error {
	defer b.release()
	return b.ReadCloser.Close()
}
