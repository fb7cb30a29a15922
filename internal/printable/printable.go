// Package printable makes text from others fit for terminals and logs.
package printable

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text escapes what a terminal might obey and a log be split by: control
// characters, line ends, characters that turn the direction of writing, and bytes
// that are no text. Everything else stays as it is, so that Text of what Text
// returned is the same.
func Text(s string) string {
	clean := 0
	for clean < len(s) {
		r, n := utf8.DecodeRuneInString(s[clean:])
		if odd(r, n) {
			break
		}
		clean += n
	}
	if clean == len(s) {
		return s
	}
	var b strings.Builder
	b.WriteString(s[:clean])
	for s = s[clean:]; s != ""; {
		r, n := utf8.DecodeRuneInString(s)
		if odd(r, n) {
			q := strconv.QuoteToASCII(s[:n])
			b.WriteString(q[1 : len(q)-1])
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// odd takes a character and how many bytes it has: one that is none has one.
func odd(r rune, n int) bool { return r == utf8.RuneError && n == 1 || !unicode.IsPrint(r) }
