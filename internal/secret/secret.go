// Package secret keeps keys and passwords from being printed by accident.
package secret

import (
	"fmt"
	"io"
	"sync/atomic"
)

// Bytes are bytes that do not print themselves, whatever the verb and however deep they
// lie. The zero Bytes are none. Two are equal (==) if one is a copy of the other.
//
// Format alone would not do: fmt does not call it for unexported fields, and follows a
// pointer there when the verb does not fit. Dumpers that go by package reflect, such as
// go-spew, follow any number of pointers, save those of package atomic, which are unsafe.
type Bytes struct {
	whole *pointer
	a, z  int
}

type pointer struct{ to atomic.Pointer[[]byte] }

// New hides b, which is not copied.
func New(b []byte) Bytes {
	p := new(pointer)
	p.to.Store(&b)
	return Bytes{p, 0, len(b)}
}

// Part returns those from a to z, in the same memory and without an allocation.
func (b Bytes) Part(a, z int) Bytes { return Bytes{b.whole, b.a + a, b.a + z} }

// IsZero reports whether there are none. No bytes at all that were hidden are some.
func (b Bytes) IsZero() bool { return b.whole == nil }

// Reveal returns what was hidden, in the memory that New was given; nil for the zero
// Bytes.
func (b Bytes) Reveal() []byte {
	if b.whole == nil {
		return nil
	}
	return (*b.whole.to.Load())[b.a:b.z:b.z]
}

// Format writes "[secret]", or "[no secret]" for the zero Bytes.
func (b Bytes) Format(f fmt.State, _ rune) { io.WriteString(f, b.mask()) }

// MarshalText returns what Format writes.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.mask()), nil }

func (b Bytes) mask() string {
	if b.IsZero() {
		return "[no secret]"
	}
	return "[secret]"
}
