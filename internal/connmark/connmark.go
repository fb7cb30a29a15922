// Package connmark remembers things about single connections, without keeping
// them alive: the connection itself is what is remembered, never its address,
// so that nothing is left of a mark when another connection takes its place.
package connmark

import (
	"crypto/tls"
	"net"
	"sync"
	"weak"
)

// An ID stands for one connection. IDs are equal if and only if they are of the
// same one, be it closed and gone. The zero ID is that of no connection.
type ID struct {
	tls  weak.Pointer[tls.Conn]
	tcp  weak.Pointer[net.TCPConn]
	unix weak.Pointer[net.UnixConn]
}

// maxDepth bounds how many wrappers are taken off a connection.
const maxDepth = 8

// A wrapper is a connection that tells what it wraps, as [tls.Conn] does.
type wrapper interface{ NetConn() net.Conn }

// Of returns the ID of c: a TLS connection, else what is below the wrappers that
// tell by a method NetConn() [net.Conn], as [tls.Conn] has it, what they wrap. It
// reports false for other kinds: a wrapper that hides its connection might put
// another one in its place.
func Of(c net.Conn) (ID, bool) {
	for range maxDepth {
		switch v := c.(type) {
		case *tls.Conn:
			return ID{tls: weak.Make(v)}, v != nil
		case *net.TCPConn:
			return ID{tcp: weak.Make(v)}, v != nil
		case *net.UnixConn:
			return ID{unix: weak.Make(v)}, v != nil
		case wrapper:
			c = v.NetConn()
		default:
			return ID{}, false
		}
	}
	return ID{}, false
}

// alive reports whether somebody still holds the connection.
func (id ID) alive() bool {
	return id.tls.Value() != nil || id.tcp.Value() != nil || id.unix.Value() != nil
}

// Max is how many connections a [Table] remembers at most.
const Max = 1024

// firstSweep is at how many connections a table first looks for dead ones.
const firstSweep = 16

// A Table holds a mark for each of some connections. The zero value is empty and
// ready. It is safe for concurrent use. Marks of connections that are gone are
// removed as new ones come; of [Max] that are not, any one makes room.
type Table[M any] struct {
	mu    sync.Mutex
	marks map[ID]M
	sweep int // at how many marks to look for dead ones
}

// Put marks a connection, in place of the mark that it had.
func (t *Table[M]) Put(id ID, mark M) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.marks == nil {
		t.marks = make(map[ID]M)
		t.sweep = firstSweep
	}
	if _, ok := t.marks[id]; !ok && len(t.marks) >= t.sweep {
		t.makeRoom()
	}
	t.marks[id] = mark
}

func (t *Table[M]) makeRoom() {
	for id := range t.marks {
		if !id.alive() {
			delete(t.marks, id)
		}
	}
	for id := range t.marks {
		if len(t.marks) < Max {
			break
		}
		delete(t.marks, id)
	}
	t.sweep = min(max(2*len(t.marks), firstSweep), Max)
}

// Get returns the mark of a connection, and whether it has one.
func (t *Table[M]) Get(id ID) (mark M, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	mark, ok = t.marks[id]
	return mark, ok
}

// Delete takes the mark off a connection.
func (t *Table[M]) Delete(id ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.marks, id)
}
