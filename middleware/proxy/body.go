package proxy

import (
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/kerbchain/kerbchain/middleware"
)

// A body is a request's body that the transport may close and have again, as
// long as it has read nothing of it: it closes the body of a request that got
// no connection.
type body struct {
	rc io.ReadCloser

	mu     sync.Mutex
	held   bool // a close before the first read is put off
	read   bool
	closed bool // by the transport
	gone   bool // rc is closed
}

// hold returns b to be had again, nil where there is none.
func hold(b io.ReadCloser) *body {
	if b == nil || b == http.NoBody {
		return nil
	}
	return &body{rc: b, held: true}
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	closed := b.closed
	b.read = b.read || !closed
	b.mu.Unlock()
	if closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.rc.Read(p)
}

func (b *body) Close() error {
	b.mu.Lock()
	b.closed = true
	put := b.gone || b.held && !b.read
	b.gone = b.gone || !put
	b.mu.Unlock()
	if put {
		return nil
	}
	return b.rc.Close()
}

// release ends the holding: from now on a close is a close, and one that was
// put off is made up for.
func (b *body) release() {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.held = false
	late := b.closed && !b.gone
	b.gone = b.gone || late
	b.mu.Unlock()
	if late {
		_ = b.rc.Close() // the transport would not have looked at it either
	}
}

// again returns the body for another try of r, after cause: the same one, or one
// of GetBody. The latter is needed where the transport had written the request to
// a connection that turned out to be dead, before it opened another one.
func (b *body) again(r *http.Request, cause error) (*body, error) {
	if b == nil {
		return nil, nil
	}
	b.mu.Lock()
	read := b.read
	if !read {
		b.closed = false
	}
	b.mu.Unlock()
	if !read {
		return b, nil
	}
	b.release()
	fail := &middleware.Error{
		Stage: name, Kind: middleware.ErrBodyNotReplayable, Host: middleware.TargetOf(r.URL).HostPort(),
		Hint: "set Request.GetBody, or let every CONNECT be signed (Options.Always)", Err: cause,
	}
	if r.GetBody == nil {
		return nil, fail
	}
	fresh, err := r.GetBody()
	if err != nil {
		fail.Err = errors.Join(err, cause)
		return nil, fail
	}
	return hold(fresh), nil
}
