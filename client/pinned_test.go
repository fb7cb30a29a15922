package client

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A pinned transport has one request under way to a host, whoever else waits.
func TestPinned(t *testing.T) {
	var under atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if n := under.Add(1); n > 1 {
			t.Errorf("%d requests at once", n)
		}
		time.Sleep(2 * time.Millisecond)
		under.Add(-1)
	}))
	t.Cleanup(server.Close)
	rt := pinned(server.Client().Transport.(*http.Transport))
	t.Cleanup(rt.CloseIdleConnections)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
			if err != nil {
				t.Error(err)
				return
			}
			resp, err := rt.RoundTrip(r)
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		})
	}
	wg.Wait()
}
