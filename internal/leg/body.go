package leg

import (
	"context"
	"io"
	"net/http"
)

// release sees to it that the context of sent ends once the response is done
// with. Until then ending it would tear the body.
func release(resp *http.Response, sent *http.Request, cancel context.CancelCauseFunc) {
	if resp.Body == nil || resp.Body == http.NoBody && (sent.Body == nil || sent.Body == http.NoBody) {
		cancel(nil)
		return
	}
	b := body{resp.Body, cancel}
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

// A body ends a context when it is closed.
type body struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (b body) Close() error {
	defer b.cancel(nil)
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
