package tunnel

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/kerbchain/kerbchain/internal/challenge"
	stages "github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

// ErrTunnel: a proxy answered CONNECT with a status other than 200.
// [middleware.Error.Temporary] is true for 429, and for 5xx except 501.
var ErrTunnel = errors.New("proxy opened no tunnel")

var (
	errContinue = errors.New("the proxy wants the exchange to go on over the connection on which it began, and net/http has closed that")
	errKnown    = errors.New("the exchange is complete, and the proxy still refuses: it knows the user, and does not let that user through")
)

const (
	hintNotOffered = "kerbchain answers Negotiate alone: have it offered by the proxy, or put a user name and password into the proxy's URL"
	hintNotAllowed = "add the proxy to AllowedHosts of the options for proxies"
	hintOwn        = "the credentials are those of the proxy's URL or of the caller's header: leave them out to let Kerberos answer"
	hintOwnProof   = "credentials of the proxy's URL or of the caller's header prove nothing of the proxy: leave them out, or use ProofOptional"
	hintContinue   = "let the proxy accept a single Kerberos token: it may ask for a mechListMIC, or for another mechanism"
	hintKnown      = "look for who may use the proxy"
	hintNoProof    = "the proxy sends no mutual token; if that cannot be mended there, use ProofOptional"
	hintBindings   = "no token for a proxy can be bound to TLS: give proxies options of their own, that do not require it"
)

// A ConnectError is the response of a proxy that refused a tunnel. It is wrapped in a
// [*middleware.Error] that says why.
type ConnectError struct {
	// Proxy was asked for a tunnel to Target, each as host:port.
	Proxy, Target string
	// Status is the proxy's, such as 407 or 403.
	Status int
	// Schemes are those that a 407 offers, in order. A scheme that is not a common
	// one is called "other", since a broken header may hold anything.
	Schemes []string
	// Signed is set where CONNECT bore a token of ours.
	Signed bool

	again bool // another CONNECT may do better
}

// Error returns one line without the names that [middleware.Error] has.
func (e *ConnectError) Error() string {
	s := fmt.Sprintf("CONNECT %s: %d", e.Target, e.Status)
	if text := http.StatusText(e.Status); text != "" {
		s += " " + text
	}
	if e.Status != http.StatusProxyAuthRequired {
		return s
	}
	if len(e.Schemes) == 0 {
		return s + ", offering nothing"
	}
	return s + ", offering " + strings.Join(e.Schemes, ", ")
}

// offered returns the schemes of a 407, each once.
func offered(lines []string) []string {
	var out []string
	for ch := range challenge.All(lines) {
		s := challenge.Name(ch.Scheme)
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// refusal makes the error of a tunnel that was not opened; cause may be nil.
func (a *answer) refusal(cause error) *middleware.Error {
	e := &ConnectError{
		Proxy: a.proxy.HostPort(), Target: a.r.Host, Status: a.resp.StatusCode, Signed: a.sc != nil,
	}
	if e.Status == http.StatusProxyAuthRequired {
		e.Schemes = offered(a.resp.Header.Values("Proxy-Authenticate"))
	}
	out := blame(cause, ErrTunnel, a.proxy, stages.SPN(a.sc))
	if out.Err == nil {
		out.Err = e
	} else {
		out.Err = fmt.Errorf("%w: %w", e, out.Err)
	}
	return out
}

// refused is refusal, reported.
func (a *answer) refused(cause error, hint string) *middleware.Error {
	e := a.refusal(cause)
	e.Hint = cmp.Or(hint, e.Hint)
	if a.sc != nil || cause != nil {
		a.call.emit(middleware.RefusedEvent{Host: e.Host, Status: a.resp.StatusCode, Reason: e.Reason, Err: cause})
	}
	return e
}

// unverified makes the error of a tunnel whose proxy is not to be trusted.
func (a *answer) unverified(cause error) *middleware.Error {
	e := blame(cause, middleware.ErrNotVerified, a.proxy, stages.SPN(a.sc))
	if e.Reason == middleware.ReasonNone {
		e.Reason = middleware.ReasonMalformed
	}
	a.call.emit(middleware.VerdictEvent{
		Host: e.Host, SPN: e.SPN, Mode: middleware.Mode(a.t.o.Proof.String()), Status: a.resp.StatusCode, Reason: e.Reason, Err: e,
	})
	return e
}

// noToken makes the error of a token that could not be made.
func noToken(err error, proxy middleware.Target) *middleware.Error {
	kind := middleware.ErrToken
	if said, ok := errors.AsType[*middleware.Error](err); ok && said.Kind != nil {
		kind = said.Kind
	}
	e := blame(err, kind, proxy, "")
	if errors.Is(err, middleware.ErrNoBindings) {
		e.Hint = hintBindings
	}
	return e
}

// blame makes an error of this package of what an initiator or a context said.
func blame(err, kind error, proxy middleware.Target, spn string) *middleware.Error {
	return stages.Blame(middleware.Error{Stage: name, Kind: kind, Host: proxy.HostPort(), SPN: spn}, err)
}
