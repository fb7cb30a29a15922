package sspi

import (
	"errors"

	"github.com/kerbchain/kerbchain/internal/system"
	"github.com/kerbchain/kerbchain/middleware"
)

// A sealer is a context of an initiator with Options.Sealing.
type sealer struct {
	*securityContext
	system.Messages
}

var (
	_ middleware.Sealer     = (*sealer)(nil)
	_ middleware.Named      = (*securityContext)(nil)
	_ middleware.Bound      = (*securityContext)(nil)
	_ middleware.Identified = (*securityContext)(nil)
	_ middleware.Identifier = (*initiator)(nil)
)

// Wrap seals by EncryptMessage.
func (h *held) Wrap(dst, plain []byte) (out []byte, header int, err error) {
	err = h.with(func(context handle) (fault *StatusError) {
		out, header, fault = h.from.lib.seal(context, dst, plain)
		return fault
	})
	return out, header, err
}

// Unwrap opens by DecryptMessage.
func (h *held) Unwrap(header, data []byte) (plain []byte, sealed bool, reason middleware.Reason, err error) {
	err = h.with(func(context handle) (fault *StatusError) {
		plain, sealed, fault = h.from.lib.open(context, header, data)
		return fault
	})
	if fault, ok := errors.AsType[*StatusError](err); ok {
		reason = fault.openReason(header)
	}
	return plain, sealed, reason, err
}
