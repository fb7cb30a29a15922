package stage

import (
	"io"
	"net/http"
)

// HasBody reports whether r has a body that is not known to be empty.
func HasBody(r *http.Request) bool { return r.Body != nil && r.Body != http.NoBody }

// CloseRequest closes the body of a request that is not sent.
func CloseRequest(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close() // why the request is not sent is what matters
	}
}

// CloseResponse closes the body of a response that nobody gets; resp may be nil.
func CloseResponse(resp *http.Response) {
	if resp != nil && resp.Body != nil {
		_ = resp.Body.Close() // what takes its place is decided already
	}
}

// OnClose has f called when the body of resp is closed, by whoever gets resp; at
// once if that body is empty, unless busy says that the transport may still be at
// work for it, as with the body of the request. A body that can be written to, as
// that of a 101 response, still can.
func OnClose(resp *http.Response, busy bool, f func()) {
	if resp.Body == nil || resp.Body == http.NoBody && !busy {
		f()
		return
	}
	b := body{resp.Body, f}
	w, ok := resp.Body.(io.Writer)
	if !ok {
		resp.Body = b
		return
	}
	// The body of a 101 response is the connection itself, and net/http lets
	// its write side be closed alone.
	if c, ok := resp.Body.(closeWriter); ok {
		resp.Body = halfDuplex{duplex{b, w}, c}
		return
	}
	resp.Body = duplex{b, w}
}

type closeWriter interface{ CloseWrite() error }

// A body calls f when it is closed.
type body struct {
	io.ReadCloser
	f func()
}

func (b body) Close() error {
	defer b.f()
	return b.ReadCloser.Close()
}

type duplex struct {
	body
	io.Writer
}

type halfDuplex struct {
	duplex
	closeWriter
}
