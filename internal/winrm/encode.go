package winrm

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// SOAP is the type of the messages that WinRM clients send.
const SOAP = "application/soap+xml;charset=UTF-8"

// MaxSignature bounds the first part of a token, in bytes. The longest known is
// 76.
const MaxSignature = 1024

// A Part is one encrypted message.
type Part struct {
	// Type is the media type of the message, such as SOAP.
	Type string
	// Length is that of the message in bytes. Peers with padding count it or do
	// not.
	Length int
	// Signature is the first part of the token, 1 to MaxSignature bytes; Data is
	// the rest.
	Signature, Data []byte
}

// Append appends the body that carries parts, byte for byte as Windows writes
// it, closing delimiter included.
func Append(dst []byte, p Protocol, parts ...Part) ([]byte, error) {
	n := 0
	for _, part := range parts {
		if len(part.Signature) == 0 || len(part.Signature) > MaxSignature {
			return nil, fmt.Errorf("signature of %d bytes, want 1 to %d", len(part.Signature), MaxSignature)
		}
		n += len(part.Type) + len(part.Signature) + len(part.Data)
	}
	dst = slices.Grow(dst, n+framing*len(parts)+len(closing))
	for _, part := range parts {
		var err error
		if dst, err = appendHead(dst, p, part.Type, part.Length); err != nil {
			return nil, err
		}
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(part.Signature)))
		dst = append(append(dst, part.Signature...), part.Data...)
	}
	return append(dst, closing...), nil
}

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
	if length < 0 || mediaType != SOAP && !frameable(mediaType) {
		return nil, fmt.Errorf("message of type %.80q and %d bytes, want a media type such as %s", mediaType, length, SOAP)
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
