package gssapi

import (
	"errors"
	"sync"

	"github.com/kerbchain/kerbchain/middleware"
)

// A sealer is a context of an initiator that has Options.Sealing.
type sealer struct {
	*securityContext

	mu      sync.Mutex
	refused error // why a message did not open; the library has counted it
}

var (
	_ middleware.Sealer     = (*sealer)(nil)
	_ middleware.Identified = (*securityContext)(nil)
	_ middleware.Identifier = (*initiator)(nil)
)

// Seal carries out [middleware.Sealer] by gss_wrap_iov. With RC4 the data end with a
// byte of padding, as the library makes it.
func (s *sealer) Seal(dst, plain []byte) (out []byte, header int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.call(func(h *held) (fault *StatusError) {
		out, header, fault = h.lib.wrap(h.context, dst, plain)
		return fault
	})
	if err != nil {
		return nil, 0, err
	}
	return out, header, nil
}

// Open carries out [middleware.Sealer] by gss_unwrap_iov. After an error the context
// is of no more use for messages.
func (s *sealer) Open(header, data []byte) (plain []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var sealed bool
	err = s.call(func(h *held) (fault *StatusError) {
		plain, sealed, fault = h.lib.unwrap(h.context, header, data)
		return fault
	})
	var fault *StatusError
	switch {
	case errors.As(err, &fault):
		err = s.fail(middleware.ErrNotVerified, fault.openReason(header), fault)
	case err == nil && !sealed:
		err = s.fail(middleware.ErrNotVerified, middleware.ReasonUnsealed, errors.New("the message is signed and not sealed"))
	}
	if err != nil {
		clear(data)
		s.refused = err
		return nil, err
	}
	return plain, nil
}

// call makes a call with an established context.
func (s *sealer) call(f func(*held) *StatusError) error {
	if !s.verified.Load() {
		return s.fail(middleware.ErrToken, middleware.ReasonNoToken, errors.New("messages can be sealed once the server has proved itself, not before"))
	}
	if s.refused != nil {
		return s.refused
	}
	err := s.held.with(f)
	if err != nil {
		return s.fail(middleware.ErrToken, middleware.ReasonNone, err)
	}
	return nil
}

// openReason returns the reason why a message does not open.
func (s *StatusError) openReason(header []byte) middleware.Reason {
	switch {
	case s.Major&duplicateToken != 0:
		return middleware.ReasonReplayed
	case s.Major&(oldToken|unseqToken|gapToken) != 0:
		return middleware.ReasonOutOfOrder
	// This is a token of RFC 4121 section 4.2.6.2 whose flags say that an initiator sent
	// it.
	case len(header) > 2 && header[0] == 5 && header[1] == 4 && header[2]&1 == 0:
		return middleware.ReasonReflected
	case s.Major&routineErrors == badMIC:
		return middleware.ReasonTampered
	}
	return middleware.ReasonMalformed
}
