package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

var (
	errPassed = errors.New("request body was taken back for another try of the request")
	errClosed = errors.New("request body was closed")
)

// A leg is the body of one request: what a source opened, watched over.
type leg struct {
	body   io.ReadCloser
	n      atomic.Int64  // bytes read
	most   *atomic.Int64 // that any leg has read
	gate   *gate         // nil where legs may be read at once
	number uint64        // turn at the gate
	end    func()        // called at the end of the body; may be nil
	over   atomic.Bool   // its end was read, or an error
	closed atomic.Bool
}

func (l *leg) Read(p []byte) (int, error) {
	if l.gate != nil {
		if !l.gate.enter(l.number) {
			return 0, errPassed
		}
		defer l.gate.leave()
	}
	if l.closed.Load() {
		return 0, errClosed
	}
	n, err := l.body.Read(p)
	if n < 0 || n > len(p) {
		return 0, fmt.Errorf("request body: reader returned a count of %d for %d bytes", n, len(p))
	}
	sum, most := l.n.Add(int64(n)), l.most.Load()
	for sum > most && !l.most.CompareAndSwap(most, sum) {
		most = l.most.Load()
	}
	if err == nil {
		return n, nil
	}
	l.over.Store(true)
	if err != io.EOF {
		return n, err
	}
	if sum < most {
		return n, fmt.Errorf("request body ended after %d bytes, of which an earlier try of the request has read %d: %w", sum, most, io.ErrUnexpectedEOF)
	}
	if l.end != nil {
		l.end()
		l.end = nil
	}
	return n, io.EOF
}

// cut reports whether some of the body was read and some not. A length of 0 or
// less is not known.
func (l *leg) cut(length int64) bool {
	n := l.n.Load()
	return n > 0 && !l.over.Load() && (length <= 0 || n < length)
}

// Close may run beside Read.
func (l *leg) Close() error {
	if !l.closed.CompareAndSwap(false, true) {
		return nil
	}
	return l.body.Close()
}

// A gate lets the legs of one body read it one after another: those that came
// before the last are turned away.
type gate struct {
	sem  chan struct{}
	last uint64 // of whom holds sem
}

func newGate() *gate { return &gate{sem: make(chan struct{}, 1)} }

// turn waits for a Read that is under way, and then holds the gate for a new
// leg.
func (g *gate) turn(ctx context.Context) (uint64, error) {
	select {
	case g.sem <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	g.last++
	return g.last, nil
}

func (g *gate) enter(number uint64) bool {
	g.sem <- struct{}{}
	if g.last != number {
		<-g.sem
		return false
	}
	return true
}

func (g *gate) leave() { <-g.sem }
