package kerbchain

import (
	"net"
	"net/http"
	"time"
)

// NewTransport returns a transport with the settings of [http.DefaultTransport]
// and connections of its own: a clone of it or, where the program put something
// else there, one that is set up as net/http sets up its own. A server may
// authenticate a connection rather than a request (RFC 4559 section 6), and so one
// that a chain signs on must not be in the pool that the rest of the program uses.
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
