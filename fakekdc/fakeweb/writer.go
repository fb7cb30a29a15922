package fakeweb

import (
	"bufio"
	"net"
	"net/http"
)

// A writer tells of the status before the header goes out.
type writer struct {
	http.ResponseWriter
	before func(status int)
	taken  int // the status of a response that a handler writes over the connection itself
	sent   bool
}

// WriteHeader sends the header, or an informational one.
func (w *writer) WriteHeader(status int) {
	if !w.sent && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.sent = true
		w.before(status)
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write sends the header first if need be.
func (w *writer) Write(b []byte) (int, error) {
	w.finish()
	return w.ResponseWriter.Write(b)
}

// Flush sends what is buffered, the header included.
func (w *writer) Flush() {
	w.finish()
	// A server that cannot flush sends it all at the end.
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack hands the connection over to a handler that writes a successful
// response of its own, with what is in Header by then.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil && !w.sent {
		w.sent = true
		w.before(w.taken)
	}
	return c, rw, err
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// finish sends the header of a handler that did not.
func (w *writer) finish() {
	if !w.sent {
		w.WriteHeader(http.StatusOK)
	}
}
