package mutual

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"net/http"

	"github.com/kerbchain/kerbchain/internal/hostname"
	"github.com/kerbchain/kerbchain/internal/panics"
	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

// A proof is what a server proved on a connection: that it is the one of that
// service principal, at the origin that was asked for.
type proof struct{ origin, spn string }

// Why a connection is not trusted, as hints.
const (
	notHTTP1  = "only connections of HTTP/1.1 are trusted, since those of HTTP/2 are shared: keep to HTTP/1.1, or sign every request (preemptive)"
	notTold   = "the transport does not tell over which connection the answer came, so none is trusted: use *http.Transport, and give a wrapper around its connections the method NetConn"
	notOrigin = "the connection is a proxy's and not the server's, so it is not trusted: use https, or sign every request (preemptive)"
	notProved = "the server proved itself to nobody on this connection: sign the request (preemptive), or find out why the server does not authenticate it"
)

// locate finds the connection over which resp, the response to a request for origin,
// came. If none can be trusted it says why.
func locate(resp *http.Response, p passage, origin middleware.Target) (id stage.ConnID, why string) {
	if resp.ProtoMajor != 1 || resp.ProtoMinor != 1 {
		return id, notHTTP1
	}
	if p.id == (stage.ConnID{}) {
		return id, notTold
	}
	if origin.Secure {
		// Whatever proxy there is, TLS ends at the origin.
		if c, ok := p.conn.(*tls.Conn); !ok || resp.TLS == nil || !carries(c.ConnectionState(), resp.TLS, p.alone) {
			return id, notTold
		}
		return p.id, ""
	}
	if !hostname.Same(p.hop, origin.Host, origin.Port) {
		return id, notOrigin
	}
	if !p.alone {
		return id, notTold
	}
	return p.id, ""
}

// carries reports whether the TLS connection of that state is the one that a
// response names. Keying material tells (RFC 9266); TLS 1.2 may have none, and
// there it must be told by the order of events.
func carries(conn tls.ConnectionState, named *tls.ConnectionState, alone bool) bool {
	ours, err := material(&conn)
	if err != nil {
		return alone && len(conn.PeerCertificates) > 0 && len(named.PeerCertificates) > 0 &&
			conn.PeerCertificates[0].Equal(named.PeerCertificates[0])
	}
	theirs, err := material(named)
	return err == nil && bytes.Equal(ours, theirs)
}

// material returns the keying material of a connection. Of a state that package tls
// did not make, as some transports name, it cannot be asked.
func material(state *tls.ConnectionState) (b []byte, err error) {
	defer panics.Into(&err)
	return state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
}

// target returns the origin that the caller asked, and false if the transport names
// another.
func (c *call) target(resp *http.Response) (middleware.Target, bool) {
	if c.r.URL == nil {
		return middleware.Target{}, false
	}
	t := middleware.TargetOfURL(c.r.URL)
	if resp.Request == nil || resp.Request.URL == nil {
		return t, true
	}
	return t, middleware.TargetOfURL(resp.Request.URL).Origin() == t.Origin()
}

// learn notes what the verdict says about the connection of resp, and lets an earlier
// proof count for a response without one.
func (c *call) learn(resp *http.Response, v *verdict) {
	if c.trust == nil {
		return
	}
	p := c.conn.passage()
	if v.err != nil {
		// Somebody else answered. Better one connection too many forgotten than one
		// too few.
		c.trust.Delete(p.id)
		return
	}
	origin, ok := c.target(resp)
	if !ok {
		return
	}
	id, why := locate(resp, p, origin)
	switch {
	case v.verified && !v.proxy && why == "" && (v.stepped || !p.varied):
		c.trust.Put(id, proof{origin.Origin(), v.spn})
	case v.verified:
	case why == "" && c.vouch(id, origin.Origin(), v):
	case c.conn.reused():
		v.hint = cmp.Or(why, notProved)
	}
}

// vouch lets an earlier proof on the connection count for a response without one, and
// reports whether there is such a proof.
func (c *call) vouch(id stage.ConnID, origin string, v *verdict) bool {
	earlier, ok := c.trust.Get(id)
	if !ok || earlier.origin != origin || v.spn != "" && v.spn != earlier.spn {
		return false
	}
	*v = verdict{host: v.host, spn: earlier.spn, verified: true, trusted: true}
	return true
}
