package fakeweb

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/internal/memnet"
)

// ServerOptions describe a [Server]. The zero value is plain HTTP/1.1 as
// localhost.
type ServerOptions struct {
	// Host is the name in the server's URL and certificate; localhost when
	// empty. Other names resolve in [Server.Transport] alone.
	Host string
	// TLS serves https with a certificate of its own.
	TLS bool
	// HTTP2 offers HTTP/2 over TLS.
	HTTP2 bool
	// HTTP11Required ends every stream of HTTP/2 with HTTP_1_1_REQUIRED, as
	// http.sys (IIS) does for what wants Windows authentication. It means
	// nothing without TLS and HTTP2.
	HTTP11Required bool
	// Signature is what the certificate is signed with, and thereby the kind of
	// its key and the hash of channel bindings: ECDSAWithSHA256 when zero;
	// RSA (also PSS) and ECDSA with SHA-256, 384 and 512, and PureEd25519.
	Signature x509.SignatureAlgorithm
	// InMemory makes the server listen nowhere: its Transport and Dial lead to it
	// within the process. All else is as it is with a socket: connections that are
	// kept and counted, TLS and its channel bindings, HTTP/2.
	InMemory bool
	// Listener is the one to serve on, such as one at a certain port; nil for a free
	// port of 127.0.0.1. The server closes it, at once if there is an error.
	Listener net.Listener
}

// A Server runs a handler and counts connections. It is safe for concurrent use.
type Server struct {
	options ServerOptions
	http    *http.Server
	lis     net.Listener
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	cert    *tls.Certificate
	cancel  context.CancelFunc
	served  chan struct{}
	opened  atomic.Int64

	mu      sync.Mutex
	live    map[net.Conn]bool
	taken   []net.Conn    // that handlers took over (Hijack), the last of them
	serving int           // handlers that have not returned
	idle    chan struct{} // closed when nothing is live or serving; nil before Close
}

// maxTaken bounds the memory of a server that runs for long. Who takes over a connection
// closes it; this is for those that are still open when the server is closed.
const maxTaken = 1 << 10

// Serve runs a handler, such as a [Handler], until the realm is closed; if it
// is closed already, the server is too. Failure ends the realm's test; in a realm made
// by [fakekdc.New] the result is nil then, and [NewServer] tells why.
func Serve(r *fakekdc.Realm, h http.Handler, o ServerOptions) *Server {
	s, err := NewServer(h, o)
	if r.Fail(err) != nil {
		return nil
	}
	r.OnClose(s.Close)
	return s
}

// NewServer runs a handler. The caller closes the server.
func NewServer(h http.Handler, o ServerOptions) (*Server, error) {
	if o.Host == "" {
		o.Host = "localhost"
	}
	if u, err := url.Parse("http://" + inURL(o.Host)); err != nil || u.Host != inURL(o.Host) || u.Port() != "" {
		err := fmt.Errorf("web server: host %q: want a name, or an address without brackets, and no port", o.Host)
		if o.Listener != nil {
			err = errors.Join(err, o.Listener.Close())
		}
		return nil, err
	}
	s := &Server{options: o, served: make(chan struct{}), live: make(map[net.Conn]bool)}
	if err := s.listen(); err != nil {
		return nil, err
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(o.TLS && o.HTTP2)
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.http = &http.Server{
		Handler:     s.counted(h),
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
			return nil, errors.Join(fmt.Errorf("certificate for %s: %w", o.Host, err), s.lis.Close())
		}
		s.http.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*s.cert}, MinVersion: tls.VersionTLS12}
	}
	go s.run()
	return s, nil
}

// listen finds out where, and how to get there.
func (s *Server) listen() error {
	if s.options.InMemory {
		if s.options.Listener != nil {
			return errors.Join(errors.New("web server: InMemory and a Listener: want one of them"), s.options.Listener.Close())
		}
		port := "80"
		if s.options.TLS {
			port = "443"
		}
		lis := memnet.Listen(net.JoinHostPort(s.options.Host, port))
		s.lis = lis
		s.dial = func(ctx context.Context, _, _ string) (net.Conn, error) { return lis.Dial(ctx) }
		return nil
	}
	s.lis = s.options.Listener
	if s.lis == nil {
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("web server: %w", err)
		}
		s.lis = lis
	}
	s.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, s.Addr())
	}
	return nil
}

func (s *Server) run() {
	defer close(s.served)
	var err error
	if s.options.TLS {
		err = s.http.ServeTLS(s.lis, "", "")
	} else {
		err = s.http.Serve(s.lis)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		s.lis.Close() // clients see that nobody listens
	}
}

func (s *Server) connContext(ctx context.Context, nc net.Conn) context.Context {
	c := &conn{number: int(s.opened.Add(1)), net: nc}
	if s.cert != nil {
		c.cert = s.cert.Leaf
	}
	return context.WithValue(ctx, connKey{}, c)
}

func (s *Server) connState(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		s.live[c] = true
	case http.StateHijacked:
		if len(s.taken) == maxTaken {
			s.taken = slices.Delete(s.taken, 0, maxTaken/4)
		}
		s.taken = append(s.taken, c)
		delete(s.live, c)
	case http.StateClosed:
		delete(s.live, c)
		s.ended()
	}
}

// counted has Close wait for handlers: the connection of one is gone before it where it was
// taken over, or is that of streams of HTTP/2.
func (s *Server) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.serving++
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.serving--
			s.ended()
		}()
		h.ServeHTTP(w, r)
	})
}

// ended tells Close of the last that ends.
func (s *Server) ended() {
	if s.idle != nil && len(s.live) == 0 && s.serving == 0 {
		close(s.idle)
		s.idle = nil
	}
}

// URL returns the server's address without a slash at the end, such as
// http://localhost:12345. It has no port where the server listens nowhere.
func (s *Server) URL() string {
	scheme, host := "http", inURL(s.options.Host)
	if s.options.TLS {
		scheme = "https"
	}
	if !s.options.InMemory {
		_, port, _ := net.SplitHostPort(s.Addr()) // of a listener, so it splits
		host = net.JoinHostPort(s.options.Host, port)
	}
	return scheme + "://" + host
}

// inURL returns a host as it stands in a URL.
func inURL(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// Addr returns where the server listens, host:port.
func (s *Server) Addr() string { return s.lis.Addr().String() }

// Dial connects to the server, whatever the address is.
func (s *Server) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return s.dial(ctx, network, address)
}

// Connections returns how many connections were accepted so far.
func (s *Server) Connections() int { return int(s.opened.Load()) }

// Certificate returns the server's certificate, nil for plain HTTP.
func (s *Server) Certificate() *x509.Certificate {
	if s.cert == nil {
		return nil
	}
	return s.cert.Leaf
}

// CertPool returns a pool that trusts the server's certificate.
func (s *Server) CertPool() *x509.CertPool {
	pool := x509.NewCertPool()
	if s.cert != nil {
		pool.AddCert(s.cert.Leaf)
	}
	return pool
}

// Transport returns a new transport that trusts the certificate and connects
// to this server whatever the URL's host is. It uses no proxy. The caller
// closes its idle connections.
func (s *Server) Transport() *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(s.options.HTTP2)
	return &http.Transport{
		DialContext: s.Dial,
		TLSClientConfig: &tls.Config{
			RootCAs:    s.CertPool(),
			MinVersion: tls.VersionTLS12,
			// A handshake takes half of what it does with the curves that clients offer by themselves,
			// and there is nothing to keep secret.
			CurvePreferences: []tls.CurveID{tls.CurveP256},
		},
		Protocols: protocols,
	}
}

// DropConnections closes all connections but those that a handler took over (Hijack), and
// goes on listening.
func (s *Server) DropConnections() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.live {
		c.Close()
	}
}

// closeTimeout is how long Close waits: net/http itself lingers for half a
// second over a connection whose request it did not read to the end.
const closeTimeout = 2 * time.Second

// Close stops listening, closes all connections, those too that a handler took over, and
// waits for their goroutines, though not for long if a handler does not return. Further calls
// do nothing.
func (s *Server) Close() {
	s.cancel()
	s.http.Close()
	<-s.served
	s.mu.Lock()
	for _, c := range s.taken {
		c.Close()
	}
	s.taken = nil
	if len(s.live) == 0 && s.serving == 0 || s.idle != nil {
		s.mu.Unlock()
		return
	}
	idle := make(chan struct{})
	s.idle = idle
	s.mu.Unlock()
	t := time.NewTimer(closeTimeout)
	defer t.Stop()
	select {
	case <-idle:
	case <-t.C:
	}
}
