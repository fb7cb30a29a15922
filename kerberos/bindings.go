package kerberos

import (
	"errors"
	"fmt"

	"github.com/kerbchain/kerbchain/internal/cbt"
	"github.com/kerbchain/kerbchain/middleware"
)

// bindings returns the application data of the channel bindings that the token
// is to have, nil for none. Whoever has no TLS connection to show yet will ask
// again for a token once there is one.
func (c *securityContext) bindings() ([]byte, error) {
	if c.o.Bindings == BindingsOff {
		return nil, nil
	}
	if c.target.TLS == nil {
		if c.o.Bindings != BindingsRequire {
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
	data, err := cbt.ForConn(c.target.TLS)
	if err != nil && c.o.Bindings == BindingsAuto && errors.Is(err, cbt.ErrUndefined) {
		return nil, nil
	}
	return data, err
}

// claims reports whether the token is to say that bindings are sent wherever
// there is something to bind to. That would be a lie on a TLS connection that
// we cannot bind to, and a server that believed it would refuse us.
func (c *securityContext) claims(bindings []byte) bool {
	return c.o.BindingsAware && c.o.Bindings != BindingsOff && (bindings != nil || !c.target.Secure)
}

// bindingsAware reports whether krb5.conf wants client_aware_channel_bindings.
func (s *Source) bindingsAware() bool { return s.conf.ClientAwareChannelBindings }

// tellsBindings reports whether a source is of this package and its
// configuration wants servers to be told about channel bindings.
func tellsBindings(source TicketSource) bool {
	s, ok := source.(interface{ bindingsAware() bool })
	return ok && s.bindingsAware()
}
