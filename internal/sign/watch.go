package sign

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"

	"github.com/kerbchain/kerbchain/internal/stage"
)

// A Watch follows one request to its connection and back: which connection took
// it, and whether an answer began. The transport tells by the hooks of
// [httptrace.ClientTrace]; of one that does not call them a Watch knows nothing.
// The zero value is ready.
type Watch struct {
	// Fresh asks for a connection that no other request has used: each that was
	// is closed when the transport has taken it, before anything is written, so
	// that the transport takes another. It is for HTTP/1.x alone, and for
	// requests without a body or with GetBody.
	Fresh bool

	mu     sync.Mutex
	over   bool
	conn   net.Conn // the last one
	reused bool     // it had served other requests
	begun  bool     // a byte of an answer came, over any connection
	pooled bool     // the transport has conn in its pool again
}

// On returns a copy of r that is followed by w, beside any trace that r has.
func (w *Watch) On(r *http.Request) *http.Request {
	return r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		GotConn:              w.gotConn,
		GotFirstResponseByte: w.gotFirstByte,
		PutIdleConn:          w.putIdleConn,
	}))
}

// End ends the following, if there is one. A trace lives as long as the request
// that a response names, and must not keep a connection alive.
func (w *Watch) End() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over, w.conn = true, nil
}

func (w *Watch) gotConn(info httptrace.GotConnInfo) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	w.conn, w.reused, w.pooled = info.Conn, info.Reused, false
	if w.Fresh && w.reused {
		stage.Refuse(w.conn)
	}
}

func (w *Watch) gotFirstByte() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begun = true
}

// putIdleConn is called before the transport returns an answer without a body.
func (w *Watch) putIdleConn(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pooled = err == nil
}

// Drop closes the answer and the connection that it came on, unless that is
// shared by other requests, as in HTTP/2. One that another request may have got by now,
// since the transport has it in its pool, stays open too, and Drop reports true: what
// follows is to ask for a fresh one.
func (w *Watch) Drop(resp *http.Response) (pooled bool) {
	w.mu.Lock()
	conn, pooled := w.conn, w.pooled
	w.mu.Unlock()
	if pooled {
		conn = nil
	}
	stage.Abandon(resp, conn)
	return pooled
}

// Lost reports whether err, of the transport, means that a connection which had
// served other requests ended without a byte of an answer to this one.
func (w *Watch) Lost(err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reused && !w.begun && !stage.Shared(w.conn) && endedConnection(err)
}

// endedConnection reports whether err says that a peer closed a connection, or
// reset it.
func endedConnection(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return !op.Timeout()
	}
	// The last is an error of net/http without a name.
	return errors.Is(err, io.EOF) || strings.Contains(err.Error(), "http: server closed idle connection")
}
