package stage

import (
	"context"
	"errors"

	"github.com/kerbchain/kerbchain/middleware"
)

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
