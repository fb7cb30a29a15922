package stage_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"testing"

	"github.com/kerbchain/kerbchain/internal/stage"
)

// A connection that is refused takes no answer along: that of the request before, if it has
// no body, net/http returns when the connection is in its pool already.
func TestRefuseSparesTheAnswerBefore(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	send := func(trace *httptrace.ClientTrace) error {
		r, err := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), http.MethodPost, srv.URL, nil)
		if err != nil {
			return err
		}
		resp, err := tr.RoundTrip(r)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	const rounds = 100
	lost := 0
	for range rounds {
		put, got := make(chan struct{}), make(chan struct{})
		second := make(chan error)
		go func() {
			<-put
			refused := false
			second <- send(&httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
				if info.Reused && !refused {
					refused = true
					close(got)
					stage.Refuse(info.Conn)
				}
			}})
		}()
		if err := send(&httptrace.ClientTrace{PutIdleConn: func(error) {
			close(put)
			<-got
		}}); err != nil {
			lost++
		}
		if err := <-second; err != nil {
			t.Errorf("the one whose connection was refused: %v", err)
		}
	}
	// A busy machine may let the moment pass; without one, all are lost.
	if lost > rounds/2 {
		t.Errorf("%d of %d answers are lost", lost, rounds)
	}
}
