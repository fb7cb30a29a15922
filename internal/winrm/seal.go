package winrm

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kerbchain/kerbchain/middleware"
)

// SOAP is the type of the messages that WinRM clients send.
const SOAP = "application/soap+xml;charset=UTF-8"

// maxSignature bounds the first part of a token, in bytes. The longest known is
// 76.
const maxSignature = 1024

// Seal appends the body that carries plain, a message of the given type, sealed, byte for
// byte as Windows writes it. Its Content-Type is that of the protocol. plain must not
// overlap dst; where dst has the room, and s pads nothing, nothing else is allocated.
//
// Of a token of RC4 the data may be longer than plain, by padding (RFC 4757 section 7.3).
// The length counts it then, as other clients of libgssapi have it.
func Seal(dst []byte, p Protocol, s middleware.Sealer, mediaType string, plain []byte) ([]byte, error) {
	const signature = 128 // more than any has
	start := len(dst)
	dst = slices.Grow(dst, framing+len(mediaType)+signature+len(plain)+len(closing))
	dst, err := appendHead(dst, p, mediaType, len(plain))
	if err != nil {
		return nil, err
	}
	mark := len(dst) + 4
	dst, n, err := s.Seal(append(dst, 0, 0, 0, 0), plain)
	if err != nil {
		return nil, err
	}
	data := len(dst) - mark - n
	pad := data - len(plain)
	if n < 1 || n > maxSignature || pad < 0 || pad > maxPadding || pad > 0 && dst[mark] != frame {
		return nil, fmt.Errorf("%w: %d bytes sealed to %d, with a signature of %d", ErrLength, len(plain), data, n)
	}
	if pad > 0 {
		token := slices.Clone(dst[mark:])
		if dst, err = appendHead(dst[:start], p, mediaType, data); err != nil {
			return nil, err
		}
		mark = len(dst) + 4
		dst = append(append(dst, 0, 0, 0, 0), token...)
	}
	binary.LittleEndian.PutUint32(dst[mark-4:], uint32(n))
	return append(dst, closing...), nil
}

// Tokens of RC4, which alone may be padded, begin with the frame of RFC 2743. Their padding
// is one byte (RFC 4757 section 7.3), of blocks of 8 (RFC 1964 section 1.2.2.3).
const (
	frame      = 0x60
	maxPadding = 8
)

const (
	delimiter = "--" + boundary + "\r\n"
	closing   = "--" + boundary + "--\r\n"
	framing   = 256 // no less than what is around a token, the type left out
)

// appendHead writes what comes before the length of the signature.
func appendHead(dst []byte, p Protocol, mediaType string, length int) ([]byte, error) {
	if p != SPNEGO && p != Kerberos {
		return nil, fmt.Errorf("%w: %.80q, want %s or %s", ErrProtocol, p, SPNEGO, Kerberos)
	}
	if mediaType != SOAP && !frameable(mediaType) {
		return nil, fmt.Errorf("message of type %.80q, want a media type such as %s", mediaType, SOAP)
	}
	dst = append(dst, delimiter+"\tContent-Type: "...)
	dst = append(dst, p...)
	dst = append(dst, "\r\n\tOriginalContent: type="...)
	dst = append(dst, mediaType...)
	dst = append(dst, ";Length="...)
	dst = strconv.AppendInt(dst, int64(length), 10)
	return append(dst, "\r\n"+delimiter+"\tContent-Type: application/octet-stream\r\n"...), nil
}

// frameable reports whether a media type can stand before the length.
func frameable(mediaType string) bool {
	return mediaType != "" && printable(mediaType) && !strings.Contains(strings.ToLower(mediaType), "length=")
}

// printable reports whether s may stand in a header.
func printable[S []byte | string](s S) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
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
// Errors wrap [ErrNotEncrypted], [ErrProtocol], [ErrMalformed] or [ErrLength], or are
// those of s. No plaintext is left in the body then. A body of several messages of which
// one is refused is refused as a whole, though the security context may have counted
// those before it: what it protects is then at an end.
func Open(contentType string, body []byte, s middleware.Sealer) (*Message, error) {
	var room [1]Part // for one message, which most bodies are
	p, parts, err := parse(room[:0], contentType, body)
	if err != nil {
		return nil, err
	}
	m := &Message{Protocol: p, Type: parts[0].Type}
	for i := range parts {
		if err := parts[i].open(s, m.Type); err != nil {
			for _, part := range parts[:i+1] {
				clear(part.Data)
			}
			return nil, fmt.Errorf("message %d of %d: %w", i+1, len(parts), err)
		}
	}
	m.Plain = parts[0].Data
	for _, part := range parts[1:] {
		m.Plain = append(m.Plain, part.Data...)
	}
	return m, nil
}

// open puts the message, which is to be of that type, in the place of its data. It takes
// off padding and compares the length, which may count it. No text ends with the bytes
// that padding is made of.
func (p *Part) open(s middleware.Sealer, mediaType string) error {
	if !strings.EqualFold(p.Type, mediaType) {
		return fmt.Errorf("%w: message of type %.80q after one of %.80q", ErrMalformed, p.Type, mediaType)
	}
	plain, err := s.Open(p.Signature, p.Data)
	if err != nil {
		return err
	}
	p.Data = plain
	pad := 0
	if n := len(plain); p.Signature[0] == frame && n > 0 {
		pad = int(plain[n-1])
		if pad > maxPadding || pad > n || slices.ContainsFunc(plain[n-pad:], func(b byte) bool { return int(b) != pad }) {
			pad = 0
		}
	}
	if len(plain) != p.Length && len(plain)-pad != p.Length {
		return fmt.Errorf("%w: %d bytes, want %d", ErrLength, len(plain), p.Length)
	}
	p.Data = plain[: len(plain)-pad : len(plain)-pad]
	return nil
}
