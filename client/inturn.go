package client

import (
	"net/http"

	"github.com/kerbchain/kerbchain/internal/ended"
	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/internal/turns"
)

// inTurn sends one call at a time to a host, with all its requests, so that no other call
// comes between two of them on the host's one connection.
type inTurn struct {
	next  http.RoundTripper
	hosts turns.Turns // by host:port
}

// RoundTrip waits for its turn, which it has until the response's body is closed.
func (t *inTurn) RoundTrip(r *http.Request) (*http.Response, error) {
	return stage.ForCallers(t.roundTrip)(r)
}

func (t *inTurn) roundTrip(r *http.Request) (*http.Response, error) {
	host := stage.Host(r)
	release, err := t.hosts.Take(r.Context(), host)
	if err != nil {
		stage.CloseRequest(r)
		return nil, ended.Because(r.Context(), "client: waiting for the one connection to "+host, nil)
	}
	resp, err := t.next.RoundTrip(r)
	if err != nil || resp == nil {
		release()
		return resp, err
	}
	stage.OnClose(resp, false, release)
	return resp, nil
}

// CloseIdleConnections closes those of the transport.
func (t *inTurn) CloseIdleConnections() { closeIdle(t.next) }
