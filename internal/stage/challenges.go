package stage

import (
	"cmp"
	"slices"

	"github.com/kerbchain/kerbchain/internal/challenge"
	"github.com/kerbchain/kerbchain/middleware"
)

// SchemeOf returns the scheme that tokens of sc are sent by.
func SchemeOf(sc middleware.SecurityContext) middleware.Scheme {
	return cmp.Or(sc.Target().Scheme, middleware.Negotiate)
}

// Choose picks the challenge to answer: of the scheme of sc, the context that is at
// work, else of Negotiate, else of Kerberos; and of several the first, or where a
// context could take it the first that bears a token, or should. sc is nil where
// none is at work.
func Choose(lines []string, sc middleware.SecurityContext) (challenge.Challenge, middleware.Scheme, bool) {
	schemes := []middleware.Scheme{middleware.Negotiate, middleware.Kerberos}
	if sc != nil && SchemeOf(sc) == middleware.Kerberos {
		slices.Reverse(schemes)
	}
	for _, s := range schemes {
		if sc != nil {
			if ch, ok := FindToken(lines, s); ok {
				return ch, s, true
			}
		}
		if ch, ok := challenge.Find(lines, string(s)); ok {
			return ch, s, true
		}
	}
	return challenge.Challenge{}, "", false
}

// FindToken returns the first challenge of that scheme that bears, or should bear,
// a token.
func FindToken(lines []string, scheme middleware.Scheme) (challenge.Challenge, bool) {
	for ch := range challenge.All(lines) {
		if ch.Is(string(scheme)) && (ch.Token68 != "" || ch.Malformed) {
			return ch, true
		}
	}
	return challenge.Challenge{}, false
}
