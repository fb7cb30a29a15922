package stage

import (
	"crypto/tls"
	"net"
)

// Refuse closes a connection that the hook GotConn of net/http/httptrace was given,
// so that nothing of its request is written: to end the request's context is not
// enough, since net/http has begun to write by then, and now and then succeeds. It
// reports false for a connection of HTTP/2, which is left alone: it is shared, and
// no server authenticates it.
func Refuse(c net.Conn) bool {
	if t, ok := c.(interface{ ConnectionState() tls.ConnectionState }); ok && t.ConnectionState().NegotiatedProtocol == "h2" {
		return false
	}
	if c != nil {
		_ = c.Close() // which fails where it is closed already
	}
	return true
}
