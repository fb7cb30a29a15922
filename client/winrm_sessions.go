package client

import (
	"net/http"
	"sync"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/ended"
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

// sessions are a client's sessions, by server.
type sessions struct {
	open func() *session
	max  int // to one server

	mu    sync.Mutex
	hosts map[string]*hostSessions
}

// hostSessions are the sessions to one server.
type hostSessions struct {
	slots chan struct{} // taken by requests under way
	users int           // requests under way, or waiting
	idle  []*session    // the one that was used last comes last
}

// roundTrip sends r over a session that idles, or a new one. The answer's body is
// in memory, so that the session is free when it returns.
func (p *sessions) roundTrip(r *http.Request) (*http.Response, error) {
	h := p.enter(r)
	defer p.leave(h)
	ctx := r.Context()
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		if r.Body != nil {
			_ = r.Body.Close() // the body is not used
		}
		return nil, ended.Because(ctx, "client: waiting for a session", nil)
	}
	s := p.take(h)
	resp, err := s.next(r)
	if err != nil {
		// It is not known what state the connection is in.
		closeIdle(s.base)
	}
	p.put(h, s)
	<-h.slots
	return resp, err
}

func (p *sessions) enter(r *http.Request) *hostSessions {
	key := middleware.TargetOfURL(r.URL).Origin()
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hosts[key]
	if h == nil {
		p.makeRoom()
		h = &hostSessions{slots: make(chan struct{}, p.max)}
		p.hosts[key] = h
	}
	h.users++
	return h
}

// makeRoom drops servers that nobody talks to if there are too many.
func (p *sessions) makeRoom() {
	for key, h := range p.hosts {
		if len(p.hosts) < maxHosts {
			return
		}
		if h.users == 0 {
			h.closeIdle()
			delete(p.hosts, key)
		}
	}
}

func (p *sessions) leave(h *hostSessions) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h.users--
}

func (p *sessions) take(h *hostSessions) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(h.idle); n > 0 {
		s := h.idle[n-1]
		h.idle = h.idle[:n-1]
		return s
	}
	return p.open()
}

func (p *sessions) put(h *hostSessions, s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h.idle = append(h.idle, s)
}

// closeIdle closes the sessions that no request uses.
func (p *sessions) closeIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, h := range p.hosts {
		h.closeIdle()
		if h.users == 0 {
			delete(p.hosts, key)
		}
	}
}

// closeIdle closes the idle sessions. The lock of sessions must be held.
func (h *hostSessions) closeIdle() {
	for _, s := range h.idle {
		closeIdle(s.base)
	}
	h.idle = nil
}
