package gssapi

import (
	"errors"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/system"
	"github.com/kerbchain/kerbchain/middleware"
)

// A sealer is a context of an initiator that has Options.Sealing.
type sealer struct {
	*securityContext
	system.Messages
}

var (
	_ middleware.Sealer     = (*sealer)(nil)
	_ middleware.Identified = (*securityContext)(nil)
	_ middleware.Identifier = (*initiator)(nil)
)

// Wrap seals by gss_wrap_iov. With RC4 the data end with a byte of padding, as the
// library makes it.
func (h *held) Wrap(dst, plain []byte) (out []byte, header int, err error) {
	err = h.with(func() (fault *StatusError) {
		out, header, fault = h.lib.wrap(h.context, dst, plain)
		return fault
	})
	return out, header, err
}

// Unwrap opens by gss_unwrap_iov.
func (h *held) Unwrap(header, data []byte) (plain []byte, sealed bool, reason middleware.Reason, err error) {
	err = h.with(func() (fault *StatusError) {
		plain, sealed, fault = h.lib.unwrap(h.context, header, data)
		return fault
	})
	if fault, ok := errors.AsType[*StatusError](err); ok {
		reason = fault.openReason()
	}
	return plain, sealed, reason, err
}

// openReason returns the reason why a message does not open.
func (s *StatusError) openReason() middleware.Reason {
	switch {
	case s.Major&duplicateToken != 0:
		return middleware.ReasonReplayed
	case s.Major&(oldToken|unseqToken|gapToken) != 0:
		return middleware.ReasonOutOfOrder
	case s.Major&routineErrors == badMIC, s.code() == krb.CodeBadIntegrity:
		return middleware.ReasonTampered
	}
	return middleware.ReasonMalformed
}
