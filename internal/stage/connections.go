package stage

import (
	"crypto/tls"
	"math"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
	"weak"
)

// Refuse closes a connection that the hook GotConn of net/http/httptrace was given,
// so that nothing of its request is written: to end the request's context is not
// enough, since net/http has begun to write by then, and now and then succeeds. It
// reports false for a connection of HTTP/2, which is left alone: it is shared, and
// no server authenticates it.
//
// An answer without a body net/http returns a moment after it put the connection into its
// pool, and loses it if the connection ends between. So that moment is waited for.
func Refuse(c net.Conn) bool {
	if Shared(c) {
		return false
	}
	time.Sleep(beforeRefusal)
	HangUp(c)
	return true
}

// beforeRefusal is how long a connection that is refused is left to the answer before.
const beforeRefusal = time.Millisecond

// A TLSConn is a connection that tells its TLS state: a [*tls.Conn], or what wraps one.
type TLSConn interface {
	net.Conn
	ConnectionState() tls.ConnectionState
}

// Shared reports whether c carries several requests at once, as in HTTP/2.
func Shared(c net.Conn) bool {
	t, ok := c.(TLSConn)
	return ok && t.ConnectionState().NegotiatedProtocol == "h2"
}

// Abandon closes resp and the connection conn that it came on, so that no other request
// gets that. One that is shared, as in HTTP/2, stays open; nil is not known, or not to be
// closed since the transport has it in its pool by now, as where resp has no body:
// another request may have got it.
func Abandon(resp *http.Response, conn net.Conn) {
	if resp.ProtoMajor == 1 && !Shared(conn) {
		HangUp(conn)
		// From Go 1.27 on net/http reads a body to its end that is closed unread, to keep
		// the connection, unless it is said to be long. A short one it has in its buffer
		// already, and would offer a connection that has ended.
		resp.ContentLength = math.MaxInt64
	}
	CloseResponse(resp)
}

// HangUp closes c, which may be nil, at once: [tls.Conn] would take leave of a peer that
// may not be listening.
func HangUp(c net.Conn) {
	if c == nil {
		return
	}
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	_ = c.Close() // it fails only if c is closed already
}

// A ConnID stands for one connection: for itself, never for its address. Two are equal if
// and only if they are of the same one, be it closed and gone. The zero ConnID is that of
// no connection.
type ConnID struct {
	tls  weak.Pointer[tls.Conn]
	tcp  weak.Pointer[net.TCPConn]
	unix weak.Pointer[net.UnixConn]
}

// maxDepth bounds how many wrappers are taken off a connection.
const maxDepth = 8

// A wrapper is a connection that tells what it wraps, as [tls.Conn] does.
type wrapper interface{ NetConn() net.Conn }

// ConnIDOf returns the ID of c: a TLS connection, else what is below the wrappers that
// tell by a method NetConn() [net.Conn], as [tls.Conn] has it, what they wrap. It
// reports false for other kinds: a wrapper that hides its connection might put
// another one in its place.
func ConnIDOf(c net.Conn) (ConnID, bool) {
	for range maxDepth {
		switch v := c.(type) {
		case *tls.Conn:
			return ConnID{tls: weak.Make(v)}, v != nil
		case *net.TCPConn:
			return ConnID{tcp: weak.Make(v)}, v != nil
		case *net.UnixConn:
			return ConnID{unix: weak.Make(v)}, v != nil
		case wrapper:
			c = v.NetConn()
		default:
			return ConnID{}, false
		}
	}
	return ConnID{}, false
}

// alive reports whether somebody still holds the connection.
func (id ConnID) alive() bool {
	return id.tls.Value() != nil || id.tcp.Value() != nil || id.unix.Value() != nil
}

const (
	maxMarks   = 1024
	firstSweep = 16 // how many marks there are when dead connections are first looked for
)

// Marks holds a mark for each of some connections, and keeps none of them alive. The zero
// value is empty and ready. It is safe for concurrent use. Marks of connections that are
// gone are removed as new ones come; of 1024 that are not, any one makes room.
type Marks[M any] struct {
	any   atomic.Bool // there has been a mark
	mu    sync.Mutex
	marks map[ConnID]M
	sweep int // at how many marks to look for dead ones
}

// Any reports whether a connection has been marked ever. It costs next to nothing.
func (t *Marks[M]) Any() bool { return t.any.Load() }

// Put marks a connection, in place of the mark that it had.
func (t *Marks[M]) Put(id ConnID, mark M) {
	t.any.Store(true)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.marks == nil {
		t.marks = make(map[ConnID]M)
		t.sweep = firstSweep
	}
	if _, ok := t.marks[id]; !ok && len(t.marks) >= t.sweep {
		t.makeRoom()
	}
	t.marks[id] = mark
}

func (t *Marks[M]) makeRoom() {
	for id := range t.marks {
		if !id.alive() {
			delete(t.marks, id)
		}
	}
	for id := range t.marks {
		if len(t.marks) < maxMarks {
			break
		}
		delete(t.marks, id)
	}
	t.sweep = min(max(2*len(t.marks), firstSweep), maxMarks)
}

// Get returns the mark of a connection, and whether it has one.
func (t *Marks[M]) Get(id ConnID) (mark M, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	mark, ok = t.marks[id]
	return mark, ok
}

// Delete takes the mark off a connection.
func (t *Marks[M]) Delete(id ConnID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.marks, id)
}
