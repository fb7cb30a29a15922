package kerberos

import (
	"errors"

	"github.com/kerbchain/kerbchain/internal/gss"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
)

var _ middleware.Sealer = (*securityContext)(nil)

// Seal carries out [middleware.Sealer] with the messages of RFC 4121 section
// 4.2.6.2 and, for RC4, RFC 4757 section 7.3.
func (c *securityContext) Seal(dst, plain []byte) (out []byte, header int, err error) {
	c.sealing.Lock()
	defer c.sealing.Unlock()
	ch, err := c.channel()
	if err != nil {
		return nil, 0, err
	}
	if out, header, err = ch.Seal(dst, plain); err != nil {
		return nil, 0, c.fail(middleware.ErrToken, middleware.ReasonNone, err)
	}
	return out, header, nil
}

// Open carries out [middleware.Sealer].
func (c *securityContext) Open(header, data []byte) ([]byte, error) {
	c.sealing.Lock()
	defer c.sealing.Unlock()
	ch, err := c.channel()
	if err != nil {
		return nil, err
	}
	plain, err := ch.Open(header, data)
	if err != nil {
		return nil, c.fail(middleware.ErrNotVerified, openReason(err), err)
	}
	return plain, nil
}

// channel returns what protects messages. Without mutual authentication nothing says who
// the server is, and whoever got the ticket could hold the key.
func (c *securityContext) channel() (*gss.Channel, error) {
	if !c.verified.Load() {
		return nil, c.fail(middleware.ErrToken, middleware.ReasonNoToken, errors.New("messages can be sealed once the server has proved itself, not before"))
	}
	ch, err := c.gss.Channel()
	if err != nil {
		return nil, c.fail(middleware.ErrToken, middleware.ReasonNone, err)
	}
	return ch, nil
}

// openReason returns the reason why a message does not open.
func openReason(err error) middleware.Reason {
	switch {
	case errors.Is(err, gss.ErrReplay):
		return middleware.ReasonReplayed
	case errors.Is(err, gss.ErrSequence):
		return middleware.ReasonOutOfOrder
	case errors.Is(err, gss.ErrDirection):
		return middleware.ReasonReflected
	case errors.Is(err, gss.ErrNotSealed):
		return middleware.ReasonUnsealed
	case errors.Is(err, gss.ErrSubkey):
		return middleware.ReasonWrongKey
	case errors.Is(err, krb.ErrIntegrity):
		return middleware.ReasonTampered
	}
	return middleware.ReasonMalformed
}
