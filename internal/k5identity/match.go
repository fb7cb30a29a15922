package k5identity

import (
	"strings"
	"unicode/utf8"
)

// match reports whether s matches a pattern of fnmatch(3) without flags: * and
// ?, sets in brackets with ranges and ! or ^, and backslashes. A bracket that is
// not closed stands for itself. It takes time in proportion to the product of
// both lengths at worst.
func match(pattern, s string) bool {
	// Where the last star was, and how much of s it takes.
	star, rest := -1, ""
	p := pattern
	for {
		switch {
		case strings.HasPrefix(p, "*"):
			p = p[1:]
			star, rest = len(pattern)-len(p), s
			continue
		case p == "" && s == "":
			return true
		case p != "" && s != "":
			if n, ok := one(p, s); ok {
				_, size := utf8.DecodeRuneInString(s)
				p, s = p[n:], s[size:]
				continue
			}
		}
		if star < 0 || rest == "" {
			return false
		}
		_, size := utf8.DecodeRuneInString(rest)
		rest = rest[size:]
		p, s = pattern[star:], rest
	}
}

// one matches the first character of s, and returns the length of the part of
// the pattern that did.
func one(p, s string) (n int, ok bool) {
	c, _ := utf8.DecodeRuneInString(s)
	switch p[0] {
	case '?':
		return 1, true
	case '[':
		if n, ok, closed := set(p, c); closed {
			return n, ok
		}
	case '\\':
		if len(p) > 1 {
			want, size := utf8.DecodeRuneInString(p[1:])
			return 1 + size, want == c
		}
	}
	want, size := utf8.DecodeRuneInString(p)
	return size, want == c
}

func set(p string, c rune) (n int, ok, closed bool) {
	i := 1
	negated := i < len(p) && (p[i] == '!' || p[i] == '^')
	if negated {
		i++
	}
	next := func() rune {
		if p[i] == '\\' && i+1 < len(p) {
			i++
		}
		r, size := utf8.DecodeRuneInString(p[i:])
		i += size
		return r
	}
	for first := true; i < len(p); first = false {
		if p[i] == ']' && !first {
			return i + 1, ok != negated, true
		}
		low := next()
		high := low
		if i+1 < len(p) && p[i] == '-' && p[i+1] != ']' {
			i++
			high = next()
		}
		ok = ok || low <= c && c <= high
	}
	return 0, false, false
}
