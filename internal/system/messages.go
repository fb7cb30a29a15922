package system

import (
	"cmp"
	"errors"
	"sync"

	"github.com/kerbchain/kerbchain/middleware"
)

// Messages carry out [middleware.Sealer] for a context.
type Messages struct {
	c       *Context
	library Sealing
	mu      sync.Mutex
	refused error // why a message did not open; the library has counted it
}

// Sealing is a library that seals the messages of one context.
type Sealing interface {
	// Wrap appends a sealed message to dst. header is the length of its header.
	Wrap(dst, plain []byte) (out []byte, header int, err error)
	// Unwrap opens a message in place. reason says what is wrong with a message that
	// does not open; it is none where the library was not asked.
	Unwrap(header, data []byte) (plain []byte, sealed bool, reason middleware.Reason, err error)
}

// NewMessages returns what seals the messages of a context.
func NewMessages(c *Context, library Sealing) Messages { return Messages{c: c, library: library} }

// Seal carries out [middleware.Sealer].
func (m *Messages) Seal(dst, plain []byte) (out []byte, header int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.may(); err != nil {
		return nil, 0, err
	}
	if out, header, err = m.library.Wrap(dst, plain); err != nil {
		return nil, 0, m.c.Fail(middleware.ErrToken, middleware.ReasonNone, err)
	}
	return out, header, nil
}

// Open carries out [middleware.Sealer]. After an error the context is of no more use for
// messages.
func (m *Messages) Open(header, data []byte) (plain []byte, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	err = m.may()
	if err == nil {
		var sealed bool
		var reason middleware.Reason
		plain, sealed, reason, err = m.library.Unwrap(header, data)
		switch {
		case reason != middleware.ReasonNone:
			err = m.c.Fail(middleware.ErrNotVerified, cmp.Or(shown(header), reason), err)
		case err != nil:
			err = m.c.Fail(middleware.ErrToken, middleware.ReasonNone, err)
		case !sealed:
			err = m.c.Fail(middleware.ErrNotVerified, middleware.ReasonUnsealed, errors.New("the message is signed and not sealed"))
		}
	}
	if err != nil {
		clear(data)
		m.refused = err
		return nil, err
	}
	return plain, nil
}

// shown returns what the header of a message that does not open says is wrong with it: that
// an initiator sent it (RFC 4121 section 4.2.2), or that it is not sealed (likewise, and
// RFC 4757 section 7.3). Libraries report it as whatever they look at first, if at all.
func shown(header []byte) middleware.Reason {
	const byAcceptor, sealed = 1, 2
	if h := unframed(header); len(h) >= 6 && h[0] == 2 && h[1] == 1 && h[4] == 0xff && h[5] == 0xff {
		return middleware.ReasonUnsealed
	}
	switch {
	case len(header) < 3 || header[0] != 5 || header[1] != 4:
		return middleware.ReasonNone
	case header[2]&byAcceptor == 0:
		return middleware.ReasonReflected
	case header[2]&sealed == 0:
		return middleware.ReasonUnsealed
	}
	return middleware.ReasonNone
}

// unframed returns what follows the frame of RFC 2743 section 3.1, which tokens of RC4 have:
// a tag, a length, and the mechanism.
func unframed(header []byte) []byte {
	const frame, oid, long = 0x60, 6, 0x80
	if len(header) < 2 || header[0] != frame {
		return nil
	}
	rest := header[2:]
	if n := header[1]; n >= long {
		rest = rest[min(int(n-long), len(rest)):]
	}
	if len(rest) < 2 || rest[0] != oid || len(rest)-2 < int(rest[1]) {
		return nil
	}
	return rest[2+int(rest[1]):]
}

// may returns why the context cannot seal messages now.
func (m *Messages) may() error {
	if !m.c.Verified() {
		return m.c.Fail(middleware.ErrToken, middleware.ReasonNoToken, errors.New("messages can be sealed once the server has proved itself, not before"))
	}
	return m.refused
}
