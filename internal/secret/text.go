package secret

import (
	"fmt"
	"io"
	"sync/atomic"
)

// A Text is a password or a key. It does not print itself, whatever the verb and
// however deep it sits. The zero Text holds none; an empty password is not
// the same as none.
type Text struct{ p *text }

type text struct{ to atomic.Pointer[string] } // see Bytes

// NewText wraps a password, in UTF-8, or a key.
func NewText(password string) Text {
	p := new(text)
	p.to.Store(&password)
	return Text{p}
}

// IsZero reports whether s holds nothing.
func (s Text) IsZero() bool { return s.p == nil }

// Reveal returns what s holds, "" for the zero Text.
func (s Text) Reveal() string {
	if s.p == nil {
		return ""
	}
	return *s.p.to.Load()
}

// Format writes "[secret]", or "[no secret]" for the zero Text.
func (s Text) Format(f fmt.State, _ rune) { io.WriteString(f, s.mask()) }

// MarshalText returns what Format writes.
func (s Text) MarshalText() ([]byte, error) { return []byte(s.mask()), nil }

func (s Text) mask() string {
	if s.p == nil {
		return "[no secret]"
	}
	return "[secret]"
}
