package mutual

import (
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// A connection remembers over what a call went. The transport reports it, as a
// rule in the goroutine of the call.
type connection struct {
	got       atomic.Int32
	firstUsed atomic.Bool
}

// watch returns a copy of r that reports its connections to c, beside any trace
// that r has.
func (c *connection) watch(r *http.Request) *http.Request {
	return r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			if c.got.Add(1) == 1 {
				c.firstUsed.Store(info.Reused)
			}
		},
	}))
}

// reused reports whether the one request of the call went over a connection
// that earlier calls had used. A second request of the same call usually goes
// over the connection of the first, which says nothing about the server.
func (c *connection) reused() bool { return c.got.Load() == 1 && c.firstUsed.Load() }
