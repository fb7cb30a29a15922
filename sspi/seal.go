package sspi

import (
	"errors"
	"sync"

	"github.com/kerbchain/kerbchain/middleware"
)

// A sealer is a context of an initiator with Options.Sealing.
type sealer struct {
	*securityContext

	mu     sync.Mutex
	ruined error // a message did not open: Windows has counted it
}

var (
	_ middleware.Sealer     = (*sealer)(nil)
	_ middleware.Named      = (*securityContext)(nil)
	_ middleware.Bound      = (*securityContext)(nil)
	_ middleware.Identified = (*securityContext)(nil)
	_ middleware.Identifier = (*initiator)(nil)
)

// Seal carries out [middleware.Sealer] by EncryptMessage.
func (s *sealer) Seal(dst, plain []byte) (out []byte, header int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.call(func(context handle) (fault *StatusError) {
		out, header, fault = s.in.lib.seal(context, dst, plain)
		return fault
	})
	if err != nil {
		return nil, 0, err
	}
	return out, header, nil
}

// Open carries out [middleware.Sealer] by DecryptMessage. After an error the context
// is of no more use for messages.
func (s *sealer) Open(header, data []byte) (plain []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var sealed bool
	err = s.call(func(context handle) (fault *StatusError) {
		plain, sealed, fault = s.in.lib.open(context, header, data)
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
		s.ruined = err
		return nil, err
	}
	return plain, nil
}

// call makes a call with an established context.
func (s *sealer) call(f func(handle) *StatusError) error {
	if !s.verified.Load() {
		return s.fail(middleware.ErrToken, middleware.ReasonNoToken, errors.New("messages can be sealed once the server has proved itself, not before"))
	}
	if s.ruined != nil {
		return s.ruined
	}
	if err := s.held.with(f); err != nil {
		return s.fail(middleware.ErrToken, middleware.ReasonNone, err)
	}
	return nil
}
