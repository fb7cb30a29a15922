package kerberos

import (
	"fmt"
	"io"
)

// A Secret is a password or a key. It does not print itself, whatever the verb and
// however deep it sits. The zero Secret holds none; an empty password is not
// the same as none.
type Secret struct{ p *string }

// NewSecret wraps a password, in UTF-8, or a key.
func NewSecret(password string) Secret { return Secret{&password} }

// IsZero reports whether s holds nothing.
func (s Secret) IsZero() bool { return s.p == nil }

// Reveal returns what s holds, "" for the zero Secret.
func (s Secret) Reveal() string {
	if s.p == nil {
		return ""
	}
	return *s.p
}

// Format writes "[secret]", or "[no secret]" for the zero Secret.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.mask()) }

// MarshalText returns what Format writes.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.mask()), nil }

func (s Secret) mask() string {
	if s.p == nil {
		return "[no secret]"
	}
	return "[secret]"
}
