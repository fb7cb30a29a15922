package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/middleware"
)

// An ending is a transport that tells when its idle connections are closed.
type ending struct {
	kerbchain.Next
	ended *int
}

func (e ending) CloseIdleConnections() { *e.ended++ }

// Sessions to more servers than are remembered end, those of others first, and all that
// idle end on demand. Of several to one server the one that was used last is used again.
func TestSessionsAreBounded(t *testing.T) {
	opened, ended := 0, 0
	p := &sessions{idle: make(map[string][]*session), open: func() *session {
		opened++
		next := kerbchain.Next(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
		})
		return &session{next, ending{next, &ended}}
	}}
	send := func(host string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+host+":5985/wsman", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.roundTrip(r); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		for i := range maxHosts {
			send(fmt.Sprintf("host%d.example", i))
		}
	}
	if opened != maxHosts || ended != 0 || len(p.idle) != maxHosts {
		t.Fatalf("%d sessions to %d servers, of which %d ended", opened, len(p.idle), ended)
	}
	for range 2 {
		send("more.example")
	}
	if opened != maxHosts+1 || ended != 1 || len(p.idle) != maxHosts {
		t.Errorf("with one server more: %d sessions to %d servers, of which %d ended", opened, len(p.idle), ended)
	}
	for i := range 3000 { // in an order of chance
		host := fmt.Sprintf("other%d.example", i)
		if send(host); len(p.idle["http://"+host+":5985"]) != 1 || len(p.idle) != maxHosts {
			t.Fatalf("the session to server %d ended, and %d servers have some", i, len(p.idle))
		}
	}
	send("more.example")
	opened, ended = 0, 0
	const origin = "http://more.example:5985"
	first, second := p.take(origin), p.take(origin)
	p.put(origin, first)
	p.put(origin, second)
	if got := p.take(origin); got != second {
		t.Error("the session that was used last is not the next")
	}
	p.closeIdle()
	if ended != maxHosts || len(p.idle) != 0 {
		t.Errorf("%d sessions ended, and %d servers have some", ended, len(p.idle))
	}
}

// A session whose request failed has no connection any more, and who did not get one in
// time leaves nothing open.
func TestSessionsThatFail(t *testing.T) {
	torn, ended := errors.New("torn"), 0
	p := &sessions{idle: make(map[string][]*session), open: func() *session {
		next := kerbchain.Next(func(r *http.Request) (*http.Response, error) { return nil, torn })
		return &session{next, ending{next, &ended}}
	}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	closes := 0
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, siteA, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Body = counting{io.NopCloser(strings.NewReader("message")), &closes}
	if _, err := p.roundTrip(r); !errors.Is(err, torn) || ended != 1 || p.turns.Len() != 0 {
		t.Errorf("error %v, %d connections closed, %d turns taken", err, ended, p.turns.Len())
	}
	done, err := p.turns.Take(t.Context(), middleware.TargetOfURL(r.URL).Origin())
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	cancel()
	if _, err := p.roundTrip(r); !errors.Is(err, context.Canceled) || closes != 1 {
		t.Errorf("error %v, body closed %d times", err, closes)
	}
}
