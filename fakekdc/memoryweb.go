package fakekdc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"

	"github.com/kerbchain/kerbchain/fakekdc/internal/memnet"
)

// NewServerOn is [NewServer] on a listener of the caller's, such as one at a
// certain port. The server closes it, at once if there is an error.
func NewServerOn(lis net.Listener, h http.Handler, o ServerOptions) (*Server, error) {
	if o.Host == "" {
		o.Host = "localhost"
	}
	s := &Server{options: o, lis: lis, served: make(chan struct{}), live: make(map[net.Conn]bool)}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(o.TLS && o.HTTP2)
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.http = &http.Server{
		Handler:     h,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: s.connContext,
		ConnState:   s.connState,
		ErrorLog:    log.New(io.Discard, "", 0), // clients that break off are what is tested here
		Protocols:   protocols,
	}
	if o.HTTP11Required {
		requireHTTP1(s.http)
	}
	if o.TLS {
		var err error
		if s.cert, err = newCertificate(o.Host, o.Signature); err != nil {
			cancel()
			return nil, errors.Join(fmt.Errorf("certificate for %s: %w", o.Host, err), lis.Close())
		}
		s.http.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*s.cert}, MinVersion: tls.VersionTLS12}
	}
	go s.run()
	return s, nil
}

// A MemoryServer is a [Server] that listens nowhere: its Transport leads to it
// within the process. All else is as it is with a socket: connections that are
// kept and counted, TLS and its channel bindings, HTTP/2. It is safe for
// concurrent use.
type MemoryServer struct {
	*Server
	lis *memnet.Listener
}

// ServeMemory runs a handler without a socket until the realm is closed. Errors are
// as with [Realm.Serve].
func (r *Realm) ServeMemory(h http.Handler, o ServerOptions) *MemoryServer {
	s, err := NewMemoryServer(h, o)
	if r.fail(err) != nil {
		return nil
	}
	r.adopt(s.Server)
	return s
}

// NewMemoryServer runs a handler without a socket. The caller closes the server.
func NewMemoryServer(h http.Handler, o ServerOptions) (*MemoryServer, error) {
	port := "80"
	if o.TLS {
		port = "443"
	}
	host := o.Host
	if host == "" {
		host = "localhost"
	}
	lis := memnet.Listen(net.JoinHostPort(host, port))
	s, err := NewServerOn(lis, h, o)
	if err != nil {
		return nil, err
	}
	return &MemoryServer{s, lis}, nil
}

// URL returns the server's address without a port and a slash at the end, such as
// https://localhost.
func (s *MemoryServer) URL() string {
	if s.options.TLS {
		return "https://" + s.options.Host
	}
	return "http://" + s.options.Host
}

// Dial connects to the server, whatever the address is.
func (s *MemoryServer) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return s.lis.Dial(ctx)
}

// Transport returns a new transport that trusts the certificate and connects to
// this server whatever the URL's host is. It uses no proxy. The caller closes its
// idle connections.
func (s *MemoryServer) Transport() *http.Transport {
	t := s.Server.Transport()
	t.DialContext = s.Dial
	return t
}
