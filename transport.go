package kerbchain

import (
	"net"
	"net/http"
	"time"
)

// NewTransport returns a transport with the settings of [http.DefaultTransport] and
// connections of its own: a clone of it, or a new one with the same settings if the
// program put another type there. A server may authenticate a connection rather than
// a request (RFC 4559 section 6), so the connections of a chain that signs must not
// be in the pool of the rest of the program.
func NewTransport() *http.Transport {
	if t, ok := http.DefaultTransport.(*http.Transport); ok && t != nil {
		return t.Clone()
	}
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          100,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}
