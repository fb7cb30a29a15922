package mutual

import (
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"

	"github.com/kerbchain/kerbchain/internal/stage"
)

// A connection remembers over which connections a call went. The transport reports
// it, as a rule in the goroutine of the call, and with HTTP/1.1 in the order in which
// it happens: where it goes first, which connection it takes, and the first byte of
// the answer.
type connection struct {
	stage.Traced
	out       http.Request           // what is sent, if it has no body, in the same piece of memory
	spent     *stage.Marks[struct{}] // of the wiring: connections that are to carry nothing more
	mu        sync.Mutex
	keep      bool // remember the connection itself
	over      bool // the call is
	taken     bool // a connection was, or any may be: none is refused any more
	pooled    bool // the transport has the last connection in its pool again
	got       int  // connections so far
	firstUsed bool
	asked     int // connections since the last answer; only with keep
	last      passage
}

// A passage is what is known of how the last answer came; all but conn only with keep.
type passage struct {
	conn   net.Conn     // nil: not known
	id     stage.ConnID // zero: cannot be told
	hop    string       // host:port of the first hop, as the transport named it last
	alone  bool         // no other connection was asked the same
	varied bool         // the call went over several connections, or one that cannot be told
}

// watch returns a copy of r that reports its connections to c, beside any trace
// that r has.
func (c *connection) watch(r *http.Request) *http.Request {
	ctx := r.Context()
	if c.keep {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GetConn: c.getConn, GotFirstResponseByte: c.gotFirstByte})
	}
	c.On(ctx, httptrace.ClientTrace{GotConn: c.gotConn, PutIdleConn: c.putIdleConn})
	if stage.HasBody(r) || r.GetBody != nil {
		return r.WithContext(c) // a body is not kept by the contexts that keep c
	}
	c.out = *r.WithContext(c)
	return &c.out
}

func (c *connection) getConn(hostPort string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last.hop = hostPort
}

func (c *connection) gotConn(info httptrace.GotConnInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	// The transport takes another one. What follows in the call may belong to the connection.
	c.taken = c.taken || !c.isSpent(info.Conn) || !stage.Refuse(info.Conn)
	c.pooled = false
	if c.got++; c.got == 1 {
		c.firstUsed = info.Reused
	}
	p := &c.last
	p.conn = info.Conn
	if !c.keep {
		return
	}
	id, ok := stage.ConnIDOf(info.Conn)
	p.varied = p.varied || !ok || c.got > 1 && id != p.id
	p.id, p.alone = id, false
	c.asked++
}

// isSpent reports whether conn is one on which an earlier answer was refused.
func (c *connection) isSpent(conn net.Conn) bool {
	if !c.spent.Any() {
		return false
	}
	id, ok := stage.ConnIDOf(conn)
	if ok {
		_, ok = c.spent.Get(id)
	}
	return ok
}

// putIdleConn is called before the transport returns an answer without a body, or tells
// of the end of another one.
func (c *connection) putIdleConn(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pooled = err == nil
}

func (c *connection) gotFirstByte() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last.alone = c.asked == 1
	c.asked = 0
}

// end forgets the connection, which must not live on in the traces that a
// response's request drags along.
func (c *connection) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over, c.last.conn = true, nil
}

func (c *connection) passage() passage {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// refuse closes an answer that is refused, and its connection: of a server that
// authenticated the connection nothing on it would be proved any more. One that another
// request may have got by now is closed when it is given to the next.
func (c *connection) refuse(resp *http.Response) {
	var conn net.Conn
	if c != nil {
		c.mu.Lock()
		conn = c.last.conn
		if id, ok := stage.ConnIDOf(conn); ok && c.pooled && resp.ProtoMajor == 1 {
			c.spent.Put(id, struct{}{})
			conn = nil
		}
		c.mu.Unlock()
	}
	stage.Abandon(resp, conn)
}

// reused reports whether the one request of the call went over a connection
// that earlier calls had used. A second request of the same call usually goes
// over the connection of the first, which says nothing about the server.
func (c *connection) reused() bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got == 1 && c.firstUsed
}
