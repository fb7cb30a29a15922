package tunnel

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/kerbchain/kerbchain/internal/challenge"
	"github.com/kerbchain/kerbchain/internal/krb"
	stages "github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

// An answer is what a proxy said to one CONNECT.
type answer struct {
	t     *Transport
	call  *call
	proxy middleware.Target
	r     *http.Request
	resp  *http.Response
	sc    middleware.SecurityContext // that signed the CONNECT, nil if we did not
	own   bool                       // the caller's own credentials were sent
}

// judge returns why there is no tunnel, nil if there is one.
func (a *answer) judge(ctx context.Context) error {
	ctx, cancel := a.call.bound(ctx)
	defer cancel()
	switch a.resp.StatusCode {
	case http.StatusOK:
		return a.verify(ctx)
	case http.StatusProxyAuthRequired:
		return a.challenged(ctx)
	}
	e := a.refusal(nil)
	e.IsTemporary = a.resp.StatusCode == http.StatusTooManyRequests ||
		a.resp.StatusCode >= 500 && a.resp.StatusCode != http.StatusNotImplemented
	return e
}

// challenged finds out whether another CONNECT can do better.
func (a *answer) challenged(ctx context.Context) error {
	lines := a.resp.Header.Values("Proxy-Authenticate")
	a.call.emit(middleware.ChallengeEvent{
		Host: a.proxy.HostPort(), Status: a.resp.StatusCode, Schemes: challenge.Schemes(lines), Requests: int(a.call.connects.Load()),
	})
	ch, scheme, ok := stages.Choose(lines, a.sc)
	switch {
	case a.own:
		return a.refused(nil, hintOwn)
	case !ok:
		return a.refused(nil, hintNotOffered)
	case a.sc == nil:
		if why := a.call.forbidden.Load(); why != nil {
			return a.refused(*why, hintNotAllowed)
		}
		return a.again(scheme)
	case scheme != stages.SchemeOf(a.sc):
		return a.again(scheme)
	}
	token, err := ch.Token()
	if err != nil {
		return a.refused(&middleware.Error{Stage: name, Kind: middleware.ErrToken, Reason: middleware.ReasonMalformed}, "")
	}
	if token == nil {
		return a.refused(&middleware.Error{Stage: name, Kind: middleware.ErrToken, Reason: middleware.ReasonRefused}, "")
	}
	out, err := a.sc.Step(ctx, token)
	var said *middleware.Error
	switch {
	case err == nil && len(out) > 0:
		return a.refused(errContinue, hintContinue)
	case err == nil:
		return a.refused(errKnown, hintKnown)
	case errors.As(err, &said) && krb.TicketUnusable(said.Code) && a.call.discard(a.sc):
		return a.again(scheme)
	}
	return a.refused(err, "")
}

// again learns that the proxy wants a token, and lets the call be tried anew.
func (a *answer) again(scheme middleware.Scheme) error {
	a.t.known.Put(a.proxy.Origin(), scheme, maxProxies)
	e := a.refusal(nil)
	e.Err.(*ConnectError).again = true
	return e
}

// verify holds the proxy's token against the context that signed the CONNECT.
func (a *answer) verify(ctx context.Context) error {
	if a.t.o.Proof == ProofDisabled {
		return nil
	}
	var why error
	if a.sc != nil {
		var proved bool
		var err error
		lines := slices.Concat(a.resp.Header.Values("Proxy-Authenticate"), a.resp.Header.Values("Proxy-Authentication-Info"))
		switch proved, why, err = stages.Prove(ctx, a.sc, lines); {
		case proved:
			return nil
		case err != nil && !errors.Is(err, stages.ErrUnproved):
			return a.unverified(err)
		}
	}
	if a.t.o.Proof == ProofOptional {
		return nil
	}
	if why == nil {
		why = &middleware.Error{Kind: middleware.ErrToken, Reason: middleware.ReasonNoToken, Hint: a.missing()}
	}
	return a.unverified(why)
}

func (a *answer) missing() string {
	switch {
	case a.own:
		return hintOwnProof
	case a.call.forbidden.Load() != nil:
		return hintNotAllowed
	}
	return hintNoProof
}
