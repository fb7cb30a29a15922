// Package memnet is connections within the process that behave as those of TCP do:
// both ends have buffers, deadlines and an end that can be a reset.
package memnet

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

// Window is how many bytes a connection holds before a writer waits. Without
// any, as with net.Pipe, both sides of a TLS handshake write and nobody reads.
const Window = 1 << 16

// A flow is one direction of a connection.
type flow struct {
	mu      sync.Mutex
	changed sync.Cond
	buf     bytes.Buffer
	ended   bool // the writer is gone
	left    bool // the reader is gone
	abort   bool // the end is a reset

	reading, writing deadline
}

// A deadline wakes those who wait on a flow.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) over() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

// set replaces the deadline; the flow's lock is held.
func (f *flow) set(d *deadline, t time.Time) {
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

func (f *flow) wake() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changed.Broadcast()
}

func (f *flow) read(p []byte) (int, error) {
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

func (f *flow) write(p []byte) (n int, err error) {
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
		if room := min(Window-f.buf.Len(), len(p)); room > 0 {
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
func (f *flow) end(side *bool, d *deadline) (before bool) {
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

// A conn is one end of a connection within the process.
type conn struct {
	in, out       *flow
	local, remote Addr
}

// Pair returns the two ends of a connection, at their addresses. Both are closed by the
// caller.
func Pair(a, b Addr) (net.Conn, net.Conn) {
	var flows [2]*flow
	for i := range flows {
		flows[i] = new(flow)
		flows[i].changed.L = &flows[i].mu
	}
	return &conn{flows[0], flows[1], a, b}, &conn{flows[1], flows[0], b, a}
}

// error wraps an error as those of sockets are, save the end of the stream.
func (c *conn) error(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: c.local.Network(), Source: c.local, Addr: c.remote, Err: err}
}

// Read reads what the peer wrote.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	return n, c.error("read", err)
}

// Write writes to the peer, and waits when it does not read.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	return n, c.error("write", err)
}

// SetLinger makes Close a reset if the time is zero, as [net.TCPConn] has it; for any
// other, Close is what it is without.
func (c *conn) SetLinger(seconds int) error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.abort = seconds == 0
	return nil
}

// Close ends both directions. What was written before can still be read, unless it is
// a reset.
func (c *conn) Close() error {
	c.out.end(&c.out.ended, &c.out.writing)
	if c.in.end(&c.in.left, &c.in.reading) {
		return c.error("close", net.ErrClosed)
	}
	return nil
}

// LocalAddr returns the address of this end.
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the address of the peer.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines.
func (c *conn) SetDeadline(t time.Time) error {
	return c.error("set", firstError(c.in.deadline(&c.in.reading, &c.in.left, t), c.out.deadline(&c.out.writing, &c.out.ended, t)))
}

// SetReadDeadline bounds reads, those under way too.
func (c *conn) SetReadDeadline(t time.Time) error {
	return c.error("set", c.in.deadline(&c.in.reading, &c.in.left, t))
}

// SetWriteDeadline bounds writes, those under way too.
func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.error("set", c.out.deadline(&c.out.writing, &c.out.ended, t))
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func (f *flow) deadline(d *deadline, closed *bool, t time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if *closed {
		return net.ErrClosed
	}
	f.set(d, t)
	return nil
}

// An Addr is an address in memory, host:port.
type Addr string

// Network returns "memory".
func (Addr) Network() string { return "memory" }

// String returns host:port.
func (a Addr) String() string { return string(a) }

// A Listener hands over connections within the process.
type Listener struct {
	addr    Addr
	conns   chan net.Conn
	done    chan struct{}
	closing sync.Once
}

// Listen returns a listener at an address, which need not be free.
func Listen(addr string) *Listener {
	return &Listener{addr: Addr(addr), conns: make(chan net.Conn), done: make(chan struct{})}
}

// Accept waits for somebody to dial.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and Dial.
func (l *Listener) Close() error {
	l.closing.Do(func() { close(l.done) })
	return nil
}

// Addr returns the address.
func (l *Listener) Addr() net.Addr { return l.addr }

// Dial connects to whoever accepts next, and waits for it.
func (l *Listener) Dial(ctx context.Context) (net.Conn, error) {
	near, far := Pair("client.invalid:0", l.addr)
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
