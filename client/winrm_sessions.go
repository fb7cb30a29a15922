package client

import (
	"net/http"
	"sync"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/ended"
	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/internal/turns"
	"github.com/kerbchain/kerbchain/middleware"
)

// A session is one connection and the security context that belongs to it, for
// one request at a time.
type session struct {
	next kerbchain.Next
	base http.RoundTripper
}

// maxHosts bounds the servers with idle sessions.
const maxHosts = 256

// sessions are a client's sessions, by the server's origin.
type sessions struct {
	open  func() *session
	turns turns.Turns // of requests, as many at once as a server may have sessions

	mu   sync.Mutex
	idle map[string][]*session // the one that was used last comes last
}

// roundTrip sends r over a session that idles, or a new one. The answer's body is
// in memory, so that the session is free when it returns.
func (p *sessions) roundTrip(r *http.Request) (*http.Response, error) {
	ctx, origin := r.Context(), middleware.TargetOfURL(r.URL).Origin()
	done, err := p.turns.Take(ctx, origin)
	if err != nil {
		stage.CloseRequest(r)
		return nil, ended.Because(ctx, "client: waiting for a session", nil)
	}
	defer done()
	s := p.take(origin)
	resp, err := s.next(r)
	if err != nil {
		// It is not known what state the connection is in.
		closeIdle(s.base)
	}
	p.put(origin, s)
	return resp, err
}

func (p *sessions) take(origin string) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	idle := p.idle[origin]
	if len(idle) == 0 {
		return p.open()
	}
	last := len(idle) - 1
	p.idle[origin] = idle[:last]
	return idle[last]
}

// put makes a session idle. If too many servers have such, those of others end.
func (p *sessions) put(origin string, s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle[origin] = append(p.idle[origin], s)
	for other := range p.idle {
		if len(p.idle) <= maxHosts {
			return
		}
		if other != origin {
			p.drop(other)
		}
	}
}

// drop ends the idle sessions to one server. The lock must be held.
func (p *sessions) drop(origin string) {
	for _, s := range p.idle[origin] {
		closeIdle(s.base)
	}
	delete(p.idle, origin)
}

// closeIdle ends the sessions that no request uses.
func (p *sessions) closeIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for origin := range p.idle {
		p.drop(origin)
	}
}
