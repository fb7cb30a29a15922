package fakeweb

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"sync"

	"github.com/kerbchain/kerbchain/fakekdc"
)

// A Proxy is a forward proxy behind Kerberos authentication: the [Handler] that
// asks for it, the [Server] that it runs in, and the tunnels that it opened. It
// verifies as strictly as any service, each CONNECT and each request over plain
// HTTP by itself, and misbehaves by the handler's [Quirks]: EarlyChallenge
// closes the connection after 407, Reject refuses everyone, Proof forges or
// leaves out the proof that goes with the 200, Challenge offers NTLM or Basic,
// and Before with a [ForwardProxy] asks for nothing. It is safe for concurrent
// use.
type Proxy struct {
	*Handler
	Server *Server

	mu      sync.Mutex
	opened  int
	tunnels map[net.Conn]bool // from the client, open now
}

// ServeProxy runs a forward proxy with the keys of the named service, until the
// realm is closed; see [New] for the name and [Serve] for when it fails. Options.Proxy
// is set, and Next is [ForwardProxy] where it is nil: it connects to loopback alone.
// With TLS it is a proxy by https.
func ServeProxy(r *fakekdc.Realm, service string, o Options, so ServerOptions) *Proxy {
	p := &Proxy{tunnels: make(map[net.Conn]bool)}
	o.Proxy = true
	if o.Next == nil {
		o.Next = ForwardProxy()
	}
	p.Handler = New(r, service, o)
	if p.Server = Serve(r, p, so); p.Server == nil {
		return nil
	}
	return p
}

// ServeHTTP is the handler's, and counts tunnels.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		w = &tunnelWriter{w, p}
	}
	p.Handler.ServeHTTP(w, r)
}

// URL returns the proxy's URL, for http.ProxyURL.
func (p *Proxy) URL() *url.URL {
	u, err := url.Parse(p.Server.URL())
	if err != nil {
		return &url.URL{Scheme: "http", Host: p.Server.Addr()} // a host that is none
	}
	return u
}

// Connects returns the CONNECTs among [Handler.Requests], those refused too.
func (p *Proxy) Connects() []Record {
	var out []Record
	for _, r := range p.Requests() {
		if r.Method == http.MethodConnect {
			out = append(out, r)
		}
	}
	return out
}

// Tunnels returns how many tunnels were opened so far.
func (p *Proxy) Tunnels() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opened
}

// DropTunnels closes all tunnels, and goes on listening.
func (p *Proxy) DropTunnels() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.tunnels {
		c.Close()
	}
}

// Transport returns a new transport that goes through the proxy to whatever URL,
// and trusts the certificates of the proxy and of these servers. It uses HTTP/2
// if one of them does. It does not authenticate. The caller closes its idle
// connections.
func (p *Proxy) Transport(origins ...*Server) *http.Transport {
	pool := x509.NewCertPool()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	for _, s := range append(origins, p.Server) {
		if cert := s.Certificate(); cert != nil {
			pool.AddCert(cert)
		}
		protocols.SetHTTP2(protocols.HTTP2() || s.options.HTTP2)
	}
	return &http.Transport{
		Proxy:           http.ProxyURL(p.URL()),
		DialContext:     p.Server.Dial,
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		Protocols:       protocols,
	}
}

// A tunnelWriter notes the connection that becomes a tunnel.
type tunnelWriter struct {
	http.ResponseWriter
	p *Proxy
}

// Hijack hands the connection over.
func (w *tunnelWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	t := &tunnelConn{Conn: c, p: w.p}
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	w.p.opened++
	w.p.tunnels[c] = true
	return t, rw, nil
}

// Unwrap is for http.ResponseController.
func (w *tunnelWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// A tunnelConn is forgotten when it is closed.
type tunnelConn struct {
	net.Conn
	p *Proxy
}

// Close closes the connection.
func (c *tunnelConn) Close() error {
	c.p.mu.Lock()
	delete(c.p.tunnels, c.Conn)
	c.p.mu.Unlock()
	return c.Conn.Close()
}
