// Package winrm is how WinRM carries encrypted messages over HTTP ([MS-WSMV]
// section 2.2.9.1): bodies of type multipart/encrypted, which look like MIME and
// are none, around tokens of the security context that the connection was
// authenticated with. The types with HTTP-SPNEGO-session-encrypted and
// HTTP-Kerberos-session-encrypted are known; CredSSP is not.
//
// Nothing of the framing is authenticated, only what is inside the tokens.
package winrm

import (
	"cmp"
	"errors"
	"fmt"
	"mime"
	"strings"
)

var (
	// ErrNotEncrypted: a body is not of a type that holds encrypted messages.
	ErrNotEncrypted = errors.New("body is not of the type multipart/encrypted")
	// ErrProtocol: a body is encrypted by another protocol.
	ErrProtocol = errors.New("body is encrypted by another protocol")
	// ErrMalformed: a body is not framed as its type demands.
	ErrMalformed = errors.New("malformed encrypted body")
	// ErrLength: a message is not as long as its framing says.
	ErrLength = errors.New("message is not as long as announced")
)

// A Protocol is the type of the session that encrypts, by its media type.
type Protocol string

// The protocols of sessions that Kerberos encrypts. Which of them it is depends
// on the scheme of the Authorization header, see [ProtocolOf].
const (
	SPNEGO   Protocol = "application/HTTP-SPNEGO-session-encrypted"
	Kerberos Protocol = "application/HTTP-Kerberos-session-encrypted"
)

// ProtocolOf returns the protocol that goes with an authentication scheme of
// HTTP: Kerberos for "Kerberos", in any case, and SPNEGO for others.
func ProtocolOf(scheme string) Protocol {
	if strings.EqualFold(scheme, "Kerberos") {
		return Kerberos
	}
	return SPNEGO
}

const boundary = "Encrypted Boundary"

// The types of bodies, as Windows writes them.
const (
	beforeProtocol = `multipart/encrypted;protocol="`
	afterProtocol  = `";boundary="` + boundary + `"`
	typeSPNEGO     = beforeProtocol + string(SPNEGO) + afterProtocol
	typeKerberos   = beforeProtocol + string(Kerberos) + afterProtocol
)

// ContentType returns the Content-Type of a body with one message.
func (p Protocol) ContentType() string {
	switch p {
	case SPNEGO:
		return typeSPNEGO
	case Kerberos:
		return typeKerberos
	}
	return beforeProtocol + string(p) + afterProtocol
}

// parseType takes a Content-Type apart. Without a boundary, as some servers have
// it, it is the usual one.
func parseType(contentType string) (p Protocol, bound string, err error) {
	const maxBoundary = 70 // RFC 2046 section 5.1.1
	switch contentType {
	case typeSPNEGO:
		return SPNEGO, boundary, nil
	case typeKerberos:
		return Kerberos, boundary, nil
	}
	typ, _, _ := strings.Cut(contentType, ";")
	switch strings.ToLower(strings.TrimSpace(typ)) {
	case "multipart/encrypted", "multipart/x-multi-encrypted":
	default:
		return "", "", fmt.Errorf("%w but %.80q", ErrNotEncrypted, contentType)
	}
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return "", "", fmt.Errorf("%w: content type: %w", ErrMalformed, err)
	}
	for _, known := range []Protocol{SPNEGO, Kerberos} {
		if strings.EqualFold(params["protocol"], string(known)) {
			p = known
		}
	}
	if p == "" {
		return "", "", fmt.Errorf("%w: %.80q, want %s or %s", ErrProtocol, params["protocol"], SPNEGO, Kerberos)
	}
	bound = cmp.Or(params["boundary"], boundary)
	if len(bound) > maxBoundary {
		return "", "", fmt.Errorf("%w: boundary of %d bytes, want at most %d", ErrMalformed, len(bound), maxBoundary)
	}
	return p, bound, nil
}
