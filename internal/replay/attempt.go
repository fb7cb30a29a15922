package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kerbchain/kerbchain/internal/ended"
)

var (
	errPassed = errors.New("request body was taken back for another try of the request")
	errClosed = errors.New("request body was closed")
)

// handover is how long the body of an attempt is left to its transport before another
// attempt takes it. After a response was read to its end, net/http waits for half of
// this before it gives up the connection and the body.
const handover = 100 * time.Millisecond

// An attempt is the body of one request: what a source opened, watched over.
type attempt struct {
	body   io.ReadCloser
	n      atomic.Int64  // bytes read
	most   *atomic.Int64 // that any attempt has read
	gate   *gate         // nil where attempts may be read at once
	end    func()        // called at the end of the body; may be nil
	over   atomic.Bool   // its end was read, or an error
	closed atomic.Bool

	once sync.Once
	done chan struct{} // closed when nothing of the body is read any more
}

func (a *attempt) Read(p []byte) (int, error) {
	if a.gate != nil {
		if !a.gate.enter(a) {
			return 0, errPassed
		}
		defer a.gate.leave()
	}
	if a.closed.Load() {
		return 0, errClosed
	}
	n, err := a.body.Read(p)
	if n < 0 || n > len(p) {
		return 0, fmt.Errorf("request body: reader returned a count of %d for %d bytes", n, len(p))
	}
	sum, most := a.n.Add(int64(n)), a.most.Load()
	for sum > most && !a.most.CompareAndSwap(most, sum) {
		most = a.most.Load()
	}
	if err == nil {
		return n, nil
	}
	a.over.Store(true)
	a.finish()
	if err != io.EOF {
		return n, err
	}
	if sum < most {
		return n, fmt.Errorf("request body ended after %d bytes, of which an earlier try of the request has read %d: %w", sum, most, io.ErrUnexpectedEOF)
	}
	if a.end != nil {
		a.end()
		a.end = nil
	}
	return n, io.EOF
}

func (a *attempt) finish() { a.once.Do(func() { close(a.done) }) }

// cut reports whether some of the body was read and some not. A length of 0 or
// less is not known.
func (a *attempt) cut(length int64) bool {
	n := a.n.Load()
	return n > 0 && !a.over.Load() && (length <= 0 || n < length)
}

// Close may run beside Read.
func (a *attempt) Close() error {
	if !a.closed.CompareAndSwap(false, true) {
		return nil
	}
	a.finish()
	return a.body.Close()
}

// A gate lets the attempts of one body read it one after another: those that came
// before the last are turned away.
type gate struct {
	sem  chan struct{}
	last *attempt // of whom holds sem
}

func newGate() *gate { return &gate{sem: make(chan struct{}, 1)} }

// take takes the body away from the attempt that has it, if any, and then holds the
// gate for a new attempt. First that attempt is left some time to come to its end, so that
// its connection can be used again. A Read that is under way is waited for; one
// that blocks is ended by closing the body, as net/http has it.
func (g *gate) take(ctx context.Context, a, from *attempt) error {
	if from == nil {
		return g.hold(ctx, a)
	}
	select {
	case <-from.done:
	case <-time.After(handover):
	case <-ctx.Done():
	}
	soon, cancel := context.WithTimeout(ctx, handover)
	defer cancel()
	if g.hold(soon, a) == nil {
		return nil
	}
	_ = from.Close() // it may be cut
	return g.hold(ctx, a)
}

// hold turns away all attempts but a, once no Read is under way.
func (g *gate) hold(ctx context.Context, a *attempt) error {
	select {
	case g.sem <- struct{}{}:
		g.last = a
		return nil
	case <-ctx.Done():
		return ended.Because(ctx, "", nil)
	}
}

func (g *gate) enter(a *attempt) bool {
	g.sem <- struct{}{}
	if g.last != a {
		<-g.sem
		return false
	}
	return true
}

func (g *gate) leave() { <-g.sem }
