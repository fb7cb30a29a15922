package mutual

import (
	"context"

	stages "github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

// check gives the server's token to sc. Without sc, or without a token, there is
// neither proof nor error.
func check(ctx context.Context, sc middleware.SecurityContext, lines []string) verdict {
	if sc == nil {
		return verdict{}
	}
	v := verdict{spn: stages.SPN(sc), verified: sc.Verified()}
	if v.verified {
		return v
	}
	proved, why, err := stages.Prove(ctx, sc, lines)
	switch {
	case err != nil:
		v.err = v.refusal(err)
		v.reason = v.err.Reason
	case why != nil:
		v.reason, v.why = middleware.ReasonNoToken, why
	default:
		v.verified, v.stepped = proved, proved
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

// refusal makes the error of a verdict but for the host; err is what the context had to
// say.
func (v verdict) refusal(err error) *middleware.Error {
	return stages.Blame(middleware.Error{
		Stage: "mutual", Kind: middleware.ErrNotVerified, SPN: v.spn, Reason: v.reason, Hint: v.hint,
	}, err)
}
