package stage

import (
	"cmp"
	"context"
	"errors"
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

// ErrUnproved is wrapped by the error of [Prove] where the context takes the token and
// is not verified by it, as one does that did not ask for proof.
var ErrUnproved = errors.New("the peer's token was taken, but does not complete mutual authentication")

// Prove holds the first token of its scheme in lines, the header fields of an
// answer, against sc, the context that signed the request (RFC 4559 section 5). It
// reports whether that proved who the peer is. A token that does not is an error: one
// of the context, or of type [*middleware.Error] with a Reason.
//
// One that says "completed" and proves nothing, as acceptors send that have no
// mutual authentication (gokrb5's among them), counts as none: whoever could forge it
// could as well leave the field out. What the context said of it is why there is no
// proof; without a token that is nil.
func Prove(ctx context.Context, sc middleware.SecurityContext, lines []string) (proved bool, why, err error) {
	ch, ok := FindToken(lines, SchemeOf(sc))
	if !ok {
		return false, nil, nil
	}
	token, err := ch.Token()
	if err != nil {
		// The position of the error in the base64 would help nobody.
		return false, nil, &middleware.Error{Kind: middleware.ErrNotVerified, Reason: middleware.ReasonMalformed}
	}
	if _, err = sc.Step(ctx, token); err != nil {
		if said, ok := errors.AsType[*middleware.Error](err); ok && said.Reason == middleware.ReasonNoToken {
			return false, err, nil
		}
		return false, nil, err
	}
	if !sc.Verified() {
		return false, nil, &middleware.Error{Kind: middleware.ErrNotVerified, Reason: middleware.ReasonMalformed, Err: ErrUnproved,
			Hint: "check that the initiator asks for it and that the server supports it"}
	}
	return true, nil, nil
}
