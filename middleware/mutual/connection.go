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
	mu        sync.Mutex
	keep      bool // remember the connection itself
	over      bool // the call is
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
	c.On(ctx, nil, c.gotConn)
	return r.WithContext(c)
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
// authenticated the connection nothing on it would be proved any more.
func (c *connection) refuse(resp *http.Response) {
	var conn net.Conn
	if c != nil {
		conn = c.passage().conn
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
