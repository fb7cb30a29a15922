package stage

import (
	"cmp"
	"errors"
	"net/http"
	"strings"

	"github.com/kerbchain/kerbchain/middleware"
)

// Host returns host and port of the URL of r, for events and errors; "" where it has none.
func Host(r *http.Request) string {
	if r.URL == nil {
		return ""
	}
	return middleware.TargetOfURL(r.URL).HostPort()
}

// SPN returns the service principal that sc was made for, "" where it does not tell.
func SPN(sc middleware.SecurityContext) string {
	if s, ok := sc.(middleware.Named); ok {
		return s.SPN()
	}
	return ""
}

// Blame makes e, which says what failed and for whom, the error of what an initiator
// or a context said, nil for nothing. What that knows of principal, KDC, code, reason
// and hint takes the place of what e has; nothing is said twice.
func Blame(e middleware.Error, err error) *middleware.Error {
	e.Err = err
	said, ok := errors.AsType[*middleware.Error](err)
	if !ok {
		return &e
	}
	e.SPN, e.Principal, e.KDC = cmp.Or(said.SPN, e.SPN), said.Principal, said.KDC
	e.Code, e.Reason, e.Hint = said.Code, said.Reason, said.Hint
	// Whoever proved nothing is not to be asked again.
	e.IsTemporary = said.IsTemporary && e.Kind != middleware.ErrNotVerified
	if e.Kind == middleware.ErrNotVerified && e.Reason == middleware.ReasonNone && said.Kind == middleware.ErrToken {
		e.Reason = middleware.ReasonMalformed
	}
	var parts []string
	if said.Kind != nil && said.Kind != e.Kind {
		parts = append(parts, said.Kind.Error())
	}
	if said.Err != nil {
		parts = append(parts, said.Err.Error())
	}
	e.Err = nil
	if len(parts) > 0 {
		e.Err = cause{strings.Join(parts, ": "), err}
	}
	return &e
}

// A cause is an error without what the error around it says already.
type cause struct {
	text string
	err  error
}

func (c cause) Error() string { return c.text }
func (c cause) Unwrap() error { return c.err }
