package mutual

import (
	"cmp"
	"context"
	"errors"
	"strings"

	stages "github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

const unproved = "the server's token was taken, but does not complete mutual authentication: " +
	"check that the initiator asks for it and that the server supports it"

// check holds the server's token against sc. Without sc, or without a token,
// there is neither proof nor error.
func check(ctx context.Context, sc middleware.SecurityContext, lines []string) verdict {
	if sc == nil {
		return verdict{}
	}
	v := verdict{spn: spn(sc), verified: sc.Verified()}
	if v.verified {
		return v
	}
	c, ok := stages.FindToken(lines, stages.SchemeOf(sc))
	if !ok {
		return v
	}
	token, err := c.Token()
	if err != nil {
		// What exactly is wrong with the base64 helps nobody.
		v.reason = middleware.Malformed
		v.err = v.refusal(nil)
		return v
	}
	if _, err := sc.Step(ctx, token); err != nil {
		v.err = v.refusal(err)
		v.reason = v.err.Reason
		if v.reason == middleware.NoToken {
			// "Completed" without proof, as acceptors answer that have no mutual
			// authentication (gokrb5's among them). Whoever could forge that
			// could as well leave the header out.
			v.err, v.why = nil, err
		}
		return v
	}
	if v.verified = sc.Verified(); v.verified {
		v.stepped = true
	} else {
		v.reason, v.hint = middleware.Malformed, unproved
		v.err = v.refusal(nil)
	}
	return v
}

func hasToken(lines []string) bool {
	for _, s := range []middleware.Scheme{middleware.Negotiate, middleware.Kerberos} {
		if _, ok := stages.FindToken(lines, s); ok {
			return true
		}
	}
	return false
}

// refusal makes the error of a verdict; err is what the context had to say.
func (v verdict) refusal(err error) *middleware.Error {
	e := &middleware.Error{
		Stage: "mutual", Kind: middleware.ErrNotVerified,
		Host: v.host, SPN: v.spn, Reason: v.reason, Hint: v.hint, Err: err,
	}
	var inner *middleware.Error
	if !errors.As(err, &inner) {
		return e
	}
	e.Reason, e.Code, e.Hint = inner.Reason, inner.Code, inner.Hint
	e.Principal, e.KDC = inner.Principal, inner.KDC
	e.SPN = cmp.Or(inner.SPN, e.SPN)
	if e.Reason == middleware.ReasonNone && inner.Kind == middleware.ErrToken {
		e.Reason = middleware.Malformed
	}
	e.Err = nil
	if text := rest(inner); text != "" {
		e.Err = cause{text, err}
	}
	return e
}

// A cause is the error of a context without what the error around it says
// already.
type cause struct {
	text string
	err  error
}

func (c cause) Error() string { return c.text }
func (c cause) Unwrap() error { return c.err }

func rest(e *middleware.Error) string {
	var parts []string
	if e.Kind != nil && e.Kind != middleware.ErrNotVerified {
		parts = append(parts, e.Kind.Error())
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return strings.Join(parts, ": ")
}
