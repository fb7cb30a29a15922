package benchkdc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Limits of a Plan.
const (
	MaxWorkers  = 64
	MaxDuration = time.Minute
)

const (
	verifyEach = 64 // replies of a worker between two that are opened
	maxReply   = 1 << 16
	timeout    = 10 * time.Second // for a connection or a reply; SYNs that a KDC drops come again after seconds
)

// A Plan is one kind of load.
type Plan struct {
	Exchange Exchange
	// Network is "udp", or "tcp" with a connection for each exchange, as clients
	// have it.
	Network string
	// Workers ask at the same time, each one after the other; 1 to MaxWorkers.
	Workers int
	// Duration is how long they do; above 0, MaxDuration at most.
	Duration time.Duration
}

func (p Plan) check() error {
	switch {
	case p.Exchange != AS && p.Exchange != TGS:
		return fmt.Errorf("%v: want AS or TGS", p.Exchange)
	case p.Network != "udp" && p.Network != "tcp":
		return fmt.Errorf("network %q: want udp or tcp", p.Network)
	case p.Workers < 1 || p.Workers > MaxWorkers:
		return fmt.Errorf("%d workers: want 1 to %d", p.Workers, MaxWorkers)
	case p.Duration <= 0 || p.Duration > MaxDuration:
		return fmt.Errorf("for %v: want more than nothing and %v at most", p.Duration, MaxDuration)
	}
	return nil
}

// A Result is what came of a Plan.
type Result struct {
	Exchanges int // that were answered with a ticket
	Elapsed   time.Duration
}

// Run carries out a plan. Whatever is not answered with a ticket is an error, and
// ends it. The end of ctx ends it too, with the error of ctx.
func (s *Session) Run(ctx context.Context, p Plan) (Result, error) {
	if err := p.check(); err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	counts := make([]int, p.Workers)
	var wg sync.WaitGroup
	start := time.Now()
	for i := range counts {
		wg.Go(func() {
			var err error
			if counts[i], err = s.work(ctx, p, start.Add(p.Duration)); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	r := Result{Elapsed: time.Since(start)}
	for _, n := range counts {
		r.Exchanges += n
	}
	return r, context.Cause(ctx)
}

// work makes exchanges until the time is over.
func (s *Session) work(ctx context.Context, p Plan, until time.Time) (n int, err error) {
	d := &net.Dialer{Timeout: timeout}
	var conn net.Conn
	defer func() {
		if conn != nil {
			err = errors.Join(err, conn.Close())
		}
	}()
	buf := make([]byte, maxReply)
	for now := time.Now(); now.Before(until) && ctx.Err() == nil; now = time.Now() {
		msg, nonce, err := s.request(p.Exchange, now)
		if err != nil {
			return n, err
		}
		if conn == nil {
			if conn, err = d.DialContext(ctx, p.Network, s.addr); err != nil {
				return n, err
			}
		}
		if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
			return n, err
		}
		reply, err := ask(conn, msg, buf)
		if err != nil {
			return n, fmt.Errorf("%v exchange over %s: %w", p.Exchange, p.Network, err)
		}
		if err := glance(p.Exchange, reply); err != nil {
			return n, err
		}
		if n%verifyEach == 0 {
			if err := s.verify(p.Exchange, reply, nonce); err != nil {
				return n, err
			}
		}
		n++
		if tcp, ok := conn.(*net.TCPConn); ok {
			conn = nil
			// Leaves no port in TIME_WAIT, of which there are not enough.
			if err := errors.Join(tcp.SetLinger(0), tcp.Close()); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// ask sends a message and reads the reply into buf.
func ask(conn net.Conn, msg, buf []byte) ([]byte, error) {
	if _, ok := conn.(*net.TCPConn); !ok {
		if _, err := conn.Write(msg); err != nil {
			return nil, err
		}
		n, err := conn.Read(buf)
		return buf[:n], err
	}
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(msg)), uint32(len(msg)))
	if _, err := conn.Write(append(frame, msg...)); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(conn, buf[:4]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(buf)
	if n > maxReply {
		return nil, fmt.Errorf("a reply of %d bytes, want %d at most", n, maxReply)
	}
	_, err := io.ReadFull(conn, buf[:n])
	return buf[:n], err
}
