// Package challenge reads the WWW-Authenticate and Proxy-Authenticate header
// fields (RFC 9110 sections 11.2, 11.3 and 11.6.1; RFC 4559 section 4).
//
// Every legal form is understood: several field lines, any case, several
// challenges in one line, quoted strings holding commas and scheme names,
// token68 with padding, empty list elements, blanks around "=". What is not
// legal is skipped up to the next comma outside quotes, so that a broken
// challenge hides none of those after it, and text inside quotes is never
// taken for a scheme.
package challenge

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
)

// Limits on what one call reads out of the lines. Challenges and parameters
// past them are left out. No server comes near them; they bound the memory
// that a hostile header can claim.
const (
	MaxChallenges = 64 // per call, over all lines
	MaxParams     = 64 // per challenge
)

// A Challenge is one element of the header: a scheme followed by a token68, or
// by parameters, or by nothing.
type Challenge struct {
	// Scheme is the name as the server spelled it. Schemes are compared
	// without regard to case: use Is.
	Scheme string
	// Token68 is the text after the scheme, padding included, not decoded.
	Token68 string
	// Params are the parameters in the order sent, duplicates included.
	Params []Param
	// Malformed tells that something inside this challenge broke the grammar
	// and was left out.
	Malformed bool
}

// A Param is one auth-param. Value is unquoted, its escapes resolved.
type Param struct {
	Name, Value string
}

// Is reports whether c is of the given scheme, in any case.
func (c Challenge) Is(scheme string) bool {
	return strings.EqualFold(c.Scheme, scheme)
}

// Format writes the scheme and the sizes of the rest, for every verb: a token
// belongs in no log.
func (c Challenge) Format(f fmt.State, _ rune) {
	s := c.Scheme
	if c.Token68 != "" {
		s += fmt.Sprintf(" [token of %d characters]", len(c.Token68))
	}
	if len(c.Params) > 0 {
		s += fmt.Sprintf(" [%d parameters]", len(c.Params))
	}
	if c.Malformed {
		s += " [malformed]"
	}
	io.WriteString(f, s)
}

// names are the schemes of the IANA registry and some that are used beside it.
var names = []string{
	"AWS4-HMAC-SHA256", "Basic", "Bearer", "Concealed", "CredSSP", "Digest", "DPoP", "GNAP", "HOBA", "Kerberos", "Mutual",
	"Negotiate", "NTLM", "OAuth", "PrivateToken", "SCRAM-SHA-1", "SCRAM-SHA-256", "vapid",
}

// Name returns the usual spelling of a known scheme, and "other" for what is none: a name
// that a server made up may be anything, a token whose scheme was lost included, and
// belongs in no log.
func Name(scheme string) string {
	i := slices.IndexFunc(names, func(name string) bool { return strings.EqualFold(name, scheme) })
	if i < 0 {
		return "other"
	}
	return names[i]
}

// Parse returns the challenges in lines, the values of all WWW-Authenticate
// (or all Proxy-Authenticate) field lines of one response, in order. It is nil
// when there are none.
func Parse(lines []string) []Challenge { return slices.Collect(All(lines)) }

// Find returns the first challenge of that scheme, in any case.
func Find(lines []string, scheme string) (Challenge, bool) {
	for c := range All(lines) {
		if c.Is(scheme) {
			return c, true
		}
	}
	return Challenge{}, false
}

// Schemes returns the scheme of every challenge, in order and as spelled.
func Schemes(lines []string) []string {
	var names []string
	for c := range All(lines) {
		names = append(names, c.Scheme)
	}
	return names
}

// All goes through the challenges in lines as Parse does, and stops reading
// when the loop does.
func All(lines []string) iter.Seq[Challenge] {
	return func(yield func(Challenge) bool) {
		p := parser{}
		for _, l := range lines {
			for p.rest = l; p.element(); {
				if c, ok := p.take(); ok && !yield(c) {
					return
				}
			}
		}
		if p.open {
			yield(p.cur)
		}
	}
}

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
	if i := strings.IndexAny(text, "\r\n"); i >= 0 {
		return nil, fmt.Errorf("%w: line break at character %d of %d", ErrTokenEncoding, i, len(c.Token68))
	}
	token, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %d characters: %w", ErrTokenEncoding, len(c.Token68), err)
	}
	return token, nil
}
