package fakekdc

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// memoryWindow is how many bytes a connection holds before a writer waits. Without
// any, as with net.Pipe, both sides of a TLS handshake write and nobody reads.
const memoryWindow = 1 << 16

// A memoryFlow is one direction of a connection.
type memoryFlow struct {
	mu      sync.Mutex
	changed sync.Cond
	buf     bytes.Buffer
	ended   bool // the writer is gone
	left    bool // the reader is gone
	abort   bool // the end is a reset

	reading, writing memoryDeadline
}

// A memoryDeadline wakes those who wait on a flow.
type memoryDeadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *memoryDeadline) over() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

// set replaces the deadline; the flow's lock is held.
func (f *memoryFlow) set(d *memoryDeadline, t time.Time) {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.at = t
	if !t.IsZero() && !d.over() {
		d.timer = time.AfterFunc(time.Until(t), f.wake)
	}
	f.changed.Broadcast()
}

func (f *memoryFlow) wake() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changed.Broadcast()
}

func (f *memoryFlow) read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.left:
			return 0, net.ErrClosed
		case f.reading.over():
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case f.buf.Len() > 0:
			n, err := f.buf.Read(p)
			f.changed.Broadcast()
			return n, err
		case f.ended && f.abort:
			return 0, syscall.ECONNRESET
		case f.ended:
			return 0, io.EOF
		}
		f.changed.Wait()
	}
}

func (f *memoryFlow) write(p []byte) (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.ended:
			return n, net.ErrClosed
		case f.writing.over():
			return n, os.ErrDeadlineExceeded
		case f.left:
			return n, syscall.EPIPE
		case len(p) == 0:
			return n, nil
		}
		if room := min(memoryWindow-f.buf.Len(), len(p)); room > 0 {
			f.buf.Write(p[:room])
			p = p[room:]
			n += room
			f.changed.Broadcast()
			continue
		}
		f.changed.Wait()
	}
}

// end tells a flow that one of its sides is gone. It reports whether it was told
// before.
func (f *memoryFlow) end(side *bool, d *memoryDeadline) (before bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before = *side
	*side = true
	if f.ended && f.abort {
		f.buf.Reset()
	}
	f.set(d, time.Time{})
	return before
}

// A memoryConn is one end of a connection within the process.
type memoryConn struct {
	in, out       *memoryFlow
	local, remote memoryAddr
}

func memoryPair(a, b memoryAddr) (net.Conn, net.Conn) {
	var flows [2]*memoryFlow
	for i := range flows {
		flows[i] = new(memoryFlow)
		flows[i].changed.L = &flows[i].mu
	}
	return &memoryConn{flows[0], flows[1], a, b}, &memoryConn{flows[1], flows[0], b, a}
}

// error wraps an error as those of sockets are, save the end of the stream.
func (c *memoryConn) error(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: c.local.Network(), Source: c.local, Addr: c.remote, Err: err}
}

// Read reads what the peer wrote.
func (c *memoryConn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	return n, c.error("read", err)
}

// Write writes to the peer, and waits when it does not read.
func (c *memoryConn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	return n, c.error("write", err)
}

// SetLinger makes Close a reset if the time is zero, as [net.TCPConn] has it; for any
// other, Close is what it is without.
func (c *memoryConn) SetLinger(seconds int) error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.abort = seconds == 0
	return nil
}

// Close ends both directions. What was written before can still be read, unless it is
// a reset.
func (c *memoryConn) Close() error {
	c.out.end(&c.out.ended, &c.out.writing)
	if c.in.end(&c.in.left, &c.in.reading) {
		return c.error("close", net.ErrClosed)
	}
	return nil
}

// LocalAddr returns the address of this end.
func (c *memoryConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the address of the peer.
func (c *memoryConn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines.
func (c *memoryConn) SetDeadline(t time.Time) error {
	return c.error("set", firstError(c.in.deadline(&c.in.reading, &c.in.left, t), c.out.deadline(&c.out.writing, &c.out.ended, t)))
}

// SetReadDeadline bounds reads, those under way too.
func (c *memoryConn) SetReadDeadline(t time.Time) error {
	return c.error("set", c.in.deadline(&c.in.reading, &c.in.left, t))
}

// SetWriteDeadline bounds writes, those under way too.
func (c *memoryConn) SetWriteDeadline(t time.Time) error {
	return c.error("set", c.out.deadline(&c.out.writing, &c.out.ended, t))
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func (f *memoryFlow) deadline(d *memoryDeadline, closed *bool, t time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if *closed {
		return net.ErrClosed
	}
	f.set(d, t)
	return nil
}

// A memoryListener hands over connections within the process.
type memoryListener struct {
	addr    memoryAddr
	conns   chan net.Conn
	done    chan struct{}
	closing sync.Once
}

func newMemoryListener(addr string) *memoryListener {
	return &memoryListener{addr: memoryAddr(addr), conns: make(chan net.Conn), done: make(chan struct{})}
}

// Accept waits for somebody to dial.
func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and dial.
func (l *memoryListener) Close() error {
	l.closing.Do(func() { close(l.done) })
	return nil
}

// Addr returns the address.
func (l *memoryListener) Addr() net.Addr { return l.addr }

func (l *memoryListener) dial(ctx context.Context) (net.Conn, error) {
	near, far := memoryPair("client.invalid:0", l.addr)
	err := error(syscall.ECONNREFUSED)
	select {
	case <-l.done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	case l.conns <- far:
		return near, nil
	}
	return nil, &net.OpError{Op: "dial", Net: l.addr.Network(), Addr: l.addr, Err: err}
}
