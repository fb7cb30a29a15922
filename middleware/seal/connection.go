package seal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"reflect"
	"sync"

	"github.com/kerbchain/kerbchain/middleware"
)

// errMoved: the transport took another connection than the one that was
// authenticated.
var errMoved = errors.New("the session ended with it")

// A watch learns over which connection a request goes. With want, it keeps the
// request from any other.
type watch struct {
	trace  httptrace.ClientTrace
	want   net.Conn                // nil for any
	cancel context.CancelCauseFunc // with want

	mu    sync.Mutex
	over  bool
	last  net.Conn
	moved bool
	dead  bool          // the last one had been used before, and no byte of an answer came
	copy  *bytes.Reader // the body that is about to be written
}

// on returns a copy of r with a context of its own, that is watched.
func (w *watch) on(ctx context.Context, r *http.Request) *http.Request {
	w.trace.GotConn, w.trace.GotFirstResponseByte = w.gotConn, w.gotFirstByte
	return r.WithContext(httptrace.WithClientTrace(ctx, &w.trace))
}

// gotConn is called before anything is written to the connection.
func (w *watch) gotConn(info httptrace.GotConnInfo) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	w.last, w.dead = info.Conn, info.Reused
	if w.want != nil && !same(w.want, info.Conn) {
		w.moved = true
		w.cancel(errMoved)
		if w.copy != nil {
			w.copy.Reset(nil)
		}
	}
}

func (w *watch) gotFirstByte() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = false
}

// lost reports whether err came of a connection that had been closed at the other
// end while nobody used it.
func (w *watch) lost(err error) bool {
	if _, known := errors.AsType[*middleware.Error](err); known || err == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dead
}

// end ends the watch, and returns the last connection. A trace lives as long as the
// request that an answer names, and must not keep a connection alive.
func (w *watch) end() net.Conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := w.last
	w.over, w.last = true, nil
	return last
}

func (w *watch) gone() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.moved
}

// same reports whether a and b are one connection. Those of a type that == would panic with
// cannot be told apart, and are not taken for one.
func same(a, b net.Conn) bool { return reflect.ValueOf(a).Comparable() && a == b }

// body returns a reader of b that turns out to be empty if the connection is
// another one: ending the context of a request does not by itself keep the
// transport from writing. The transport asks for one copy after the other, and
// reads none before it has told of the connection. It is of a kind that net/http
// knows to be in memory, so that header and body are written at once.
func (w *watch) body(b []byte) io.ReadCloser {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.moved {
		b = nil
	}
	w.copy = bytes.NewReader(b)
	return io.NopCloser(w.copy)
}
