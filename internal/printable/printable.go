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
	if utf8.ValidString(s) && !strings.ContainsFunc(s, odd) {
		return s
	}
	var b strings.Builder
	for s != "" {
		r, n := utf8.DecodeRuneInString(s)
		if odd(r) || r == utf8.RuneError && n == 1 {
			q := strconv.QuoteToASCII(s[:n])
			b.WriteString(q[1 : len(q)-1])
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// maxLine is how much of a text a line has: more than an error needs that has what several
// KDCs answered.
const maxLine = 16 << 10

// Line is [Text] of no more than 16 KiB: others may make net/http quote a megabyte of theirs
// in an error. What is left out is said to be.
func Line(s string) string {
	if len(s) <= maxLine {
		return Text(s)
	}
	cut := maxLine
	for cut > maxLine-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return Text(s[:cut]) + "... (" + strconv.Itoa(len(s)-cut) + " bytes more)"
}

func odd(r rune) bool { return !unicode.IsPrint(r) }
