package kerberos

import (
	"crypto/tls"
	"crypto/x509"

	"github.com/kerbchain/kerbchain/internal/cbt"
	"github.com/kerbchain/kerbchain/internal/readmap"
)

// bindings returns the hash of the channel bindings that the token is to have, nil for
// none.
func (c *securityContext) bindings() (*[16]byte, error) {
	if wanted, err := c.in.o.Bindings.Wanted(c.target); !wanted {
		return nil, err
	}
	hash, err := c.in.endPoints.of(c.target.TLS)
	if err != nil && c.in.o.Bindings.Spare(err) {
		return nil, nil
	}
	return hash, err
}

// endPoints caches the hashes of channel bindings by certificate: all requests over a
// connection, and all connections to a server, share one.
type endPoints struct {
	hashes readmap.Map[*x509.Certificate, *[16]byte]
}

// maxEndPoints bounds how many certificates are remembered.
const maxEndPoints = 256

// of returns the hash of the channel bindings to a connection.
func (e *endPoints) of(state *tls.ConnectionState) (*[16]byte, error) {
	var cert *x509.Certificate
	if len(state.PeerCertificates) > 0 {
		cert = state.PeerCertificates[0]
		if hash, ok := e.hashes.Get(cert); ok {
			return hash, nil
		}
	}
	data, err := cbt.ForConn(state)
	if err != nil {
		return nil, err
	}
	hash := cbt.Hash(data)
	e.hashes.MakeRoom(maxEndPoints, func(*x509.Certificate, *[16]byte) bool { return false })
	e.hashes.Put(cert, &hash)
	return &hash, nil
}

// claims reports whether the token says that this client binds wherever it can
// (client_aware_channel_bindings). It must not say so on a TLS connection that cannot be
// bound to, since the server would then refuse the token.
func (c *securityContext) claims(bindings *[16]byte) bool {
	return c.in.o.ClientAwareBindings && c.in.o.Bindings != BindingsOff && (bindings != nil || !c.target.Secure)
}

// A Configured is a [TicketSource] whose configuration has settings for initiators. A
// [Source] is one.
type Configured interface {
	// ClientAwareBindings reports whether tokens are to say that bindings are sent
	// (client_aware_channel_bindings in krb5.conf); see [InitiatorOptions].
	ClientAwareBindings() bool
}

// ClientAwareBindings reports whether krb5.conf sets client_aware_channel_bindings.
func (s *Source) ClientAwareBindings() bool { return s.conf.ClientAwareChannelBindings }

func clientAware(source TicketSource) bool {
	s, ok := source.(Configured)
	return ok && s.ClientAwareBindings()
}
