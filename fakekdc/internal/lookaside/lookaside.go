// Package lookaside remembers what a KDC was asked lately, and what it said.
package lookaside

import (
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"
)

// A Cache remembers the answers to questions, for two minutes as MIT's KDC does, and of very
// many the last ones. The zero value is empty and ready. It is safe for concurrent use.
type Cache[A any] struct {
	mu    sync.Mutex
	known map[question]*Entry[A]
	order []*Entry[A] // those that were answered, oldest first
}

// A question is bytes and the host that sent them.
type question struct {
	sender netip.Addr
	sum    [sha256.Size]byte
}

// An Entry is the first time that a question came.
type Entry[A any] struct {
	question
	ended chan struct{} // closed when it was answered
	// Answer is what was said, once the entry has ended, and Known whether that is remembered.
	Answer A
	Known  bool
	at     time.Time // of the answer; by the real clock, as clients that wait for one go by it
}

// Ended reports whether the question was answered, if only with silence.
func (e *Entry[A]) Ended() bool {
	select {
	case <-e.ended:
		return true
	default:
		return false
	}
}

// Wait waits for that, until done is closed, and reports whether it came.
func (e *Entry[A]) Wait(done <-chan struct{}) bool {
	select {
	case <-e.ended:
		return true
	case <-done:
		return e.Ended()
	}
}

const (
	// Time is how long an answer is remembered.
	Time       = 2 * time.Minute
	maxEntries = 1024
)

// Begin returns what is known of the bytes that a host sent, and whether they are new. So they
// are where serves, which may be nil, says that the answer of the first does not serve again.
// Whoever begins with new ones calls End.
func (c *Cache[A]) Begin(sender netip.Addr, packet []byte, serves func(A) bool) (e *Entry[A], first bool) {
	q := question{sender, sha256.Sum256(packet)}
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.order) > 0 && (len(c.order) >= maxEntries || time.Since(c.order[0].at) > Time) {
		c.forget(c.order[0])
		c.order = c.order[1:]
	}
	if e = c.known[q]; e != nil && (!e.Known || serves == nil || serves(e.Answer)) {
		return e, false
	}
	if c.known == nil {
		c.known = make(map[question]*Entry[A])
	}
	e = &Entry[A]{question: q, ended: make(chan struct{})}
	c.known[q] = e
	return e, true
}

// End tells what was answered, and whether whoever asks again is given the same.
func (c *Cache[A]) End(e *Entry[A], answer A, again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(e.ended)
	if !again {
		c.forget(e)
		return
	}
	e.Answer, e.Known, e.at = answer, true, time.Now()
	c.order = append(c.order, e)
}

func (c *Cache[A]) forget(e *Entry[A]) {
	if c.known[e.question] == e { // and no later one
		delete(c.known, e.question)
	}
}
