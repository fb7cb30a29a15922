package winrm

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// Protection seals and opens tokens in two parts, as *gss.Channel does.
type Protection interface {
	// Seal appends a sealed token of which the first header bytes are the
	// signature.
	Seal(dst, plain []byte) (out []byte, header int, err error)
	// Open decrypts data, where they are if it can. Padding stays.
	Open(header, data []byte) ([]byte, error)
}

// Seal appends the body that carries plain, a message of the given type, sealed.
// Its Content-Type is that of the protocol. plain must not overlap dst; where dst
// has the room, nothing else is allocated.
func Seal(dst []byte, p Protocol, s Protection, mediaType string, plain []byte) ([]byte, error) {
	const signature = 128 // more than any has
	dst = slices.Grow(dst, framing+len(mediaType)+signature+len(plain)+len(closing))
	dst, err := appendHead(dst, p, mediaType, len(plain))
	if err != nil {
		return nil, err
	}
	mark := len(dst)
	dst, n, err := s.Seal(append(dst, 0, 0, 0, 0), plain)
	if err != nil {
		return nil, err
	}
	if len(dst)-mark-4-n != len(plain) {
		return nil, fmt.Errorf("%w: %d bytes sealed to %d", ErrLength, len(plain), len(dst)-mark-4-n)
	}
	binary.LittleEndian.PutUint32(dst[mark:], uint32(n))
	return append(dst, closing...), nil
}

// A Message is what a body carried.
type Message struct {
	Protocol Protocol
	// Type is the media type, such as SOAP. It is not authenticated.
	Type string
	// Plain is the message itself.
	Plain []byte
}

// Open opens the messages of a body, where they are, and returns them as one. Of
// tokens of RC4 it takes off the padding (RFC 4757 section 7.3), which libgssapi
// has and Windows has not.
//
// Errors are those of Parse and of s, and [ErrLength]. No plaintext is left in
// the body then. A body of several messages of which one is refused is refused as
// a whole, though the security context may have counted those before it: what it
// protects is then at an end.
func Open(contentType string, body []byte, s Protection) (*Message, error) {
	var room struct { // for one message, which most bodies are
		parts  [1]Part
		opened [1][]byte
	}
	p, parts, err := parse(room.parts[:0], contentType, body)
	if err != nil {
		return nil, err
	}
	m := &Message{Protocol: p, Type: parts[0].Type}
	opened := room.opened[:0]
	for i, part := range parts {
		var plain []byte
		if !strings.EqualFold(part.Type, m.Type) {
			err = fmt.Errorf("%w: message of type %.80q after one of %.80q", ErrMalformed, part.Type, m.Type)
		} else if plain, err = s.Open(part.Signature, part.Data); err == nil {
			opened = append(opened, plain)
			plain, err = part.trim(plain)
		}
		if err != nil {
			for _, b := range opened {
				clear(b)
			}
			return nil, fmt.Errorf("message %d of %d: %w", i+1, len(parts), err)
		}
		opened[i] = plain
	}
	if m.Plain = opened[0]; len(opened) > 1 {
		m.Plain = slices.Concat(opened...)
	}
	return m, nil
}

// trim takes off padding and compares the length, which may count it. Tokens of
// RC4, which alone have any, begin with the frame of RFC 2743. No text ends with
// the bytes that padding is made of.
func (p *Part) trim(plain []byte) ([]byte, error) {
	const frame, maxPadding = 0x60, 8
	pad := 0
	if n := len(plain); p.Signature[0] == frame && n > 0 {
		pad = int(plain[n-1])
		if pad > maxPadding || pad > n || slices.ContainsFunc(plain[n-pad:], func(b byte) bool { return int(b) != pad }) {
			pad = 0
		}
	}
	if len(plain) != p.Length && len(plain)-pad != p.Length {
		return nil, fmt.Errorf("%w: %d bytes, want %d", ErrLength, len(plain), p.Length)
	}
	return plain[: len(plain)-pad : len(plain)-pad], nil
}
