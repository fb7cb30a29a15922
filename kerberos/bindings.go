package kerberos

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"weak"

	"github.com/kerbchain/kerbchain/internal/cbt"
	"github.com/kerbchain/kerbchain/internal/readmap"
	"github.com/kerbchain/kerbchain/middleware"
)

// bindings returns the application data of the channel bindings that the token
// is to have, nil for none. Whoever has no TLS connection to show yet will ask
// again for a token once there is one.
func (c *securityContext) bindings() ([]byte, error) {
	if c.in.o.Bindings == BindingsOff {
		return nil, nil
	}
	if c.target.TLS == nil {
		if c.in.o.Bindings != BindingsRequire {
			return nil, nil
		}
		if c.target.Proxy {
			return nil, errors.New("channel bindings are required, and there are none to this proxy: give proxies options of their own (InitiatorOptions.Proxy)")
		}
		if !c.target.Secure {
			return nil, errors.New("channel bindings are required, and plain HTTP has none: use https, or BindingsAuto")
		}
		return nil, fmt.Errorf("%w: the TLS connection is not known yet", middleware.ErrNoBindings)
	}
	data, err := c.in.endPoints.of(c.target.TLS)
	if err != nil && c.in.o.Bindings == BindingsAuto && errors.Is(err, cbt.ErrUndefined) {
		return nil, nil
	}
	return data, err
}

// endPoints remember what binds to certificates, as long as somebody else holds those.
// A connection shows the same one again and again.
type endPoints struct {
	data *readmap.Map[weak.Pointer[x509.Certificate], []byte]
}

// maxEndPoints bounds how many are remembered.
const maxEndPoints = 1024

// of returns the application data that binds to a connection.
func (e endPoints) of(state *tls.ConnectionState) ([]byte, error) {
	if len(state.PeerCertificates) == 0 {
		return cbt.ForConn(state)
	}
	cert := weak.Make(state.PeerCertificates[0])
	if data, ok := e.data.Get(cert); ok {
		return data, nil
	}
	data, err := cbt.ForConn(state)
	if err == nil {
		e.data.MakeRoom(maxEndPoints, func(c weak.Pointer[x509.Certificate], _ []byte) bool { return c.Value() == nil })
		e.data.Put(cert, data)
	}
	return data, err
}

// claims reports whether the token is to say that bindings are sent wherever
// there is something to bind to. That would be a lie on a TLS connection that
// we cannot bind to, and a server that believed it would refuse us.
func (c *securityContext) claims(bindings []byte) bool {
	return c.in.o.BindingsAware && c.in.o.Bindings != BindingsOff && (bindings != nil || !c.target.Secure)
}

// bindingsAware reports whether krb5.conf wants client_aware_channel_bindings.
func (s *Source) bindingsAware() bool { return s.conf.ClientAwareChannelBindings }

// tellsBindings reports whether a source is of this package and its
// configuration wants servers to be told about channel bindings.
func tellsBindings(source TicketSource) bool {
	s, ok := source.(interface{ bindingsAware() bool })
	return ok && s.bindingsAware()
}
