package kerberos

import (
	"crypto/sha256"
	"sync"
	"time"
)

// A Discarder is a [TicketSource] that can drop a ticket that the server cannot use.
// A [Source] is one.
type Discarder interface {
	// Discard drops t, so that the next ticket for its service is fetched from the KDC
	// anew: the server cannot use this one, because its key has changed, say. It
	// reports false where that would not help.
	Discard(t Ticket) bool
}

// Discard drops the service ticket that the context was made with. It reports false
// for a source that cannot drop any.
func (c *securityContext) Discard() bool {
	s, ok := c.in.source.(Discarder)
	return ok && s.Discard(c.ticket)
}

// freshFor is how long a fetched ticket cannot be stale: a server that refuses everything
// must not cause an exchange with the KDC for every request.
const freshFor = time.Minute

// Discard drops a ticket, and does not take it from the credential cache again. It
// reports false for a ticket that was fetched within the last minute.
func (s *Source) Discard(t Ticket) bool {
	now := s.o.Now()
	if t.t == nil || !t.fetched.IsZero() && now.Sub(t.fetched) < freshFor {
		return false
	}
	s.stale.add(t.t.Raw)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tickets.Delete(func(_ string, h *held) bool { return h.t == t.t })
	return true
}

// A ticketSet remembers the hashes of a few hundred tickets.
type ticketSet struct {
	mu     sync.RWMutex
	hashes map[[sha256.Size]byte]struct{}
}

const maxStale = 256

func (s *ticketSet) add(raw []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hashes == nil || len(s.hashes) >= maxStale {
		s.hashes = make(map[[sha256.Size]byte]struct{})
	}
	s.hashes[sha256.Sum256(raw)] = struct{}{}
}

func (s *ticketSet) has(raw []byte) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.hashes) == 0 {
		return false
	}
	_, ok := s.hashes[sha256.Sum256(raw)]
	return ok
}
