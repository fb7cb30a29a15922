package kdcclient

import (
	"context"
	"fmt"
	"slices"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/secret"
)

// A Guard keeps keys that a KDC refused from being sent again, which would lock
// accounts. It is for the logins of one client and safe for concurrent use.
type Guard interface {
	// Begin waits until nobody else's key is at a KDC for the client; end lets the
	// next one begin. It is called before the first timestamp of a login. The
	// error is the cause of ctx's end.
	Begin(ctx context.Context) (end func(), err error)
	// Refused returns why a key is not to be sent, nil if it may be.
	Refused(key KeyEntry) *Error
	// Refuse notes what a KDC said of a key.
	Refuse(key KeyEntry, why *Error)
	// RefusedOTP returns why a one-time password is not to be sent, nil if it may be.
	RefusedOTP(value secret.Text) *Error
	// RefuseOTP notes that a one-time password was sent in vain, and so is spent.
	RefuseOTP(value secret.Text, why *Error)
}

// Refusal reports whether a KDC turned away the client or its key, so that the
// same key must not be sent again at once: the pre-authentication failed, the
// account is locked or has expired, or its password has. What FAST does not vouch for is
// no refusal.
func (e *Error) Refusal() bool { return !e.Unarmored && e.saysRefusal() }

// saysRefusal is Refusal of who may not be the KDC.
func (e *Error) saysRefusal() bool {
	return slices.Contains([]int32{krb.CodePreauthFailed, krb.CodeClientRevoked, krb.CodeClientExpired, krb.CodeKeyExpired}, e.Code)
}

// admit says whether a timestamp may be sealed under a key and sent.
func (a *asCall) admit(ctx context.Context, key KeyEntry) *Error {
	if a.r.Guard == nil {
		return nil
	}
	if fail := a.takeTurn(ctx); fail != nil {
		return fail
	}
	if why := a.r.Guard.Refused(key); why != nil {
		return kept(why)
	}
	a.sent = append(a.sent, key)
	return nil
}

// kept returns a refusal of before as the reason why nothing is sent now.
func kept(why *Error) *Error {
	again := *why
	again.Kept = true
	return &again
}

// takeTurn waits for other logins of the client.
func (a *asCall) takeTurn(ctx context.Context) *Error {
	if a.end != nil {
		return nil
	}
	end, err := a.r.Guard.Begin(ctx)
	if err != nil {
		return a.fail(KindUnreachable, fmt.Errorf("wait for another login of the same principal: %w", err), "")
	}
	a.end = end
	return nil
}

// refuse tells the guard of the keys and one-time passwords that a KDC turned away, or whoever
// answered in its place: what was sent may have been counted.
func (a *asCall) refuse(why *Error) {
	if a.r.Guard != nil && why.Kind != KindUnreachable {
		for _, value := range a.otp.sent {
			a.r.Guard.RefuseOTP(value, why)
		}
	}
	if !why.saysRefusal() {
		return
	}
	for _, key := range a.sent {
		a.r.Guard.Refuse(key, why)
	}
}
