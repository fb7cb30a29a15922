package fakekdc

import (
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"
)

// A lookaside knows what a KDC was asked lately. A client that has no answer after a second
// sends the same bytes again, over UDP or TCP, so on a machine that stands still for a while
// it does so although the first ones arrived. As with MIT's KDC, that is no second exchange:
// who sends them gets the reply of the first. Faults and records know of one.
//
// Replies alone are remembered: what comes again after silence, or after bytes that are
// none, is another try. So is what comes through a KDC proxy, where no client asks again
// before it has an answer.
type lookaside struct {
	mu    sync.Mutex
	known map[question]*reception
	order []*reception // those that were answered, oldest first
}

// A question is bytes and the host that sent them.
type question struct {
	sender netip.Addr
	sum    [sha256.Size]byte
}

// A reception is the first time that a question came.
type reception struct {
	question
	answered chan struct{} // closed when it was, if only with silence
	out      outcome
	at       time.Time // of the answer; by the real clock, as clients that wait for one go by it
}

// The time is MIT's.
const (
	lookasideTime = 2 * time.Minute
	maxLookaside  = 1024
)

// begin returns what is known of a question over that network, and whether that is new.
func (l *lookaside) begin(q question, network string) (r *reception, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.order) > 0 && (len(l.order) >= maxLookaside || time.Since(l.order[0].at) > lookasideTime) {
		l.forget(l.order[0])
		l.order = l.order[1:]
	}
	if r = l.known[q]; r != nil && (network == "udp" || !r.out.tooBig) {
		return r, false
	}
	if l.known == nil {
		l.known = make(map[question]*reception)
	}
	r = &reception{question: q, answered: make(chan struct{})}
	l.known[q] = r
	return r, true
}

func (l *lookaside) end(r *reception, out outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer close(r.answered)
	if !out.repeatable() {
		l.forget(r)
		return
	}
	r.out, r.at = out, time.Now()
	l.order = append(l.order, r)
}

func (l *lookaside) forget(r *reception) {
	if l.known[r.question] == r { // and no later one
		delete(l.known, r.question)
	}
}

// repeatable reports whether a client that asks again would be given the same.
func (o outcome) repeatable() bool { return o.reply != nil && o.how == sendWhole && !o.junk }

// answerOnce is answer, once for the same bytes. While a reply is being made, a datagram is
// dropped, since the reply answers it too, and a connection waits.
func (k *KDC) answerOnce(network string, sender netip.Addr, packet []byte) outcome {
	if k.forgetful {
		return k.answer(k, network, sender, packet)
	}
	q := question{sender, sha256.Sum256(packet)}
	for {
		r, first := k.seen.begin(q, network)
		if first {
			var out outcome
			defer func() { k.seen.end(r, out) }()
			out = k.answer(k, network, sender, packet)
			return out
		}
		select {
		case <-r.answered:
		default:
			if network == "udp" {
				return outcome{how: sendNothing}
			}
			select {
			case <-r.answered:
			case <-k.done:
				return outcome{how: sendNothing}
			}
		}
		switch {
		case k.down():
			return outcome{how: sendNothing}
		case r.out.reply != nil:
			return r.out
		}
	}
}
