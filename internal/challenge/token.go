package challenge

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// MaxToken is the longest token that Token decodes, in bytes: 64 KiB, the most
// that Windows allows a Kerberos token to grow to (MaxTokenSize).
const MaxToken = 64 << 10

// Reasons for which Token refuses what a server sent. Errors wrap them.
var (
	ErrTokenTooLong  = errors.New("negotiate token is too long")
	ErrTokenEncoding = errors.New("negotiate token is not base64")
)

// Token returns the bytes of the token that follows Negotiate (RFC 4559
// section 4.1): nil and no error when the challenge carries none, parameters or
// not. The encoding is standard base64. Missing padding is tolerated, since it
// leaves no doubt about the bytes; white space and the URL alphabet are not.
//
// Errors wrap ErrTokenTooLong, when there are more than MaxToken bytes, or
// ErrTokenEncoding. A challenge whose text after the scheme broke the grammar
// is an encoding error too: a broken token must not pass for none at all.
func (c Challenge) Token() ([]byte, error) {
	if c.Token68 == "" {
		if c.Malformed {
			return nil, fmt.Errorf("%w: what follows %s is no token68", ErrTokenEncoding, c.Scheme)
		}
		return nil, nil
	}
	text := strings.TrimRight(c.Token68, "=")
	if n := len(text); base64.RawStdEncoding.DecodedLen(n) > MaxToken {
		return nil, fmt.Errorf("%w: %d characters hold more than %d bytes", ErrTokenTooLong, len(c.Token68), MaxToken)
	}
	if pad := len(c.Token68) - len(text); text == "" || pad != 0 && (pad > 2 || len(c.Token68)%4 != 0) {
		return nil, fmt.Errorf("%w: %d padding characters at the end of %d", ErrTokenEncoding, pad, len(c.Token68))
	}
	// The decoder skips line breaks, which RFC 4559 section 4.1 forbids.
	if i := max(strings.IndexByte(text, '\r'), strings.IndexByte(text, '\n')); i >= 0 {
		return nil, fmt.Errorf("%w: line break at character %d of %d", ErrTokenEncoding, i, len(c.Token68))
	}
	token, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %d characters: %w", ErrTokenEncoding, len(c.Token68), err)
	}
	return token, nil
}
