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
	if Shared(c) {
		return false
	}
	if c != nil {
		HangUp(c)
	}
	return true
}

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

// HangUp closes c at once: [tls.Conn] would take leave of a peer that may not be
// listening.
func HangUp(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	_ = c.Close() // it fails only if c is closed already
}
