// Package preemptive puts a token on a request before any server has asked for
// one, which saves the round trip of the challenge and the sending of a body
// twice. What comes back goes up as it came.
//
// Which requests are signed is a [Policy]: every one ([Always]), those to
// certain hosts ([Hosts]), or those to origins where a token was of use before
// ([Learned]).
//
// A body that can be sent once only is best sent so. If the server refuses the
// token after all, nothing is left to send with another; it can be asked to say
// so first with Expect: 100-continue.
//
// Leave it out where a round trip more does no harm; [Always] also where a
// chain talks to servers that are not to be told who asks: a token names its
// user to whoever holds the service's key.
//
// Order: inside mutual and sanitize, which judge what comes back, and outside
// negotiate, which goes on with the exchange that this stage began, or begins
// anew where a token was refused. Without negotiate a 401 is the answer.
package preemptive

import (
	"errors"
	"net/http"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/leg"
	stages "github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

const name = "preemptive"

// DefaultMaxOrigins is the default of Options.MaxOrigins.
const DefaultMaxOrigins = 1024

// Options bound the stage. The zero value is the default.
type Options struct {
	// MaxOrigins is how many origins [Learned] remembers at most, 0 or less
	// meaning DefaultMaxOrigins. The one that was used longest ago is
	// forgotten first; it costs a challenge to be learned again.
	MaxOrigins int
	// AllowDowngrade signs requests over plain HTTP that a redirect led to from
	// https. Without it they go unsigned, whatever the policy says: whoever is on
	// the way could read and use a token.
	AllowDowngrade bool
}

// New returns a stage that signs those requests that p chooses, with tokens of
// in, which must not be nil; a nil p chooses none.
//
// A request with an Authorization header, whoever set it, is left alone, save that
// what [http.Client] makes of user info in the URL is taken off. Its body is sent
// as it is, and never held in memory.
//
// Where no token can be had, the call fails with the error of in, of type
// [*middleware.Error], under Always and Hosts; under Learned the request is
// sent without one, and what the server says decides. A token that must be bound
// to a connection ([middleware.ErrNoBindings]) is made when the transport has
// taken one; one that does not tell gets the request unsigned. A host that is not to be authenticated to gets
// the request unsigned ([middleware.ErrNotAllowed]).
//
// What Learned remembers belongs to one wiring of the stage.
func New(in middleware.Initiator, p Policy, o Options) kerbchain.Middleware {
	if o.MaxOrigins < 1 {
		o.MaxOrigins = DefaultMaxOrigins
	}
	if p == nil {
		p = Hosts()
	}
	signer := leg.Signer{Initiator: in, Stage: name, AllowDowngrade: o.AllowDowngrade}
	return func(next kerbchain.Next) kerbchain.Next {
		s := &stage{signer: signer, rule: p.wire(o), next: next}
		return stages.ForCallers(s.roundTrip)
	}
}

type stage struct {
	signer leg.Signer
	rule   rule
	next   kerbchain.Next
}

func (s *stage) roundTrip(r *http.Request) (*http.Response, error) {
	if r.URL == nil {
		return s.next(r)
	}
	r = stages.DropUserInfo(r, name)
	if stages.Has(r.Header, "Authorization") {
		if _, chosen := s.rule.choose(r); chosen {
			stages.Own(r, name, "Authorization")
		}
		return s.next(r)
	}
	resp, err := s.send(r)
	if err == nil && resp != nil {
		s.rule.learn(r, resp)
	}
	return resp, err
}

func (s *stage) send(r *http.Request) (*http.Response, error) {
	scheme, chosen := s.rule.choose(r)
	if !chosen {
		return s.next(r)
	}
	target := middleware.TargetFor(r)
	target.Scheme = scheme
	token, err := s.signer.First(r.Context(), target)
	switch {
	case errors.Is(err, middleware.ErrNoBindings):
		token = s.signer.Later(target)
	case errors.Is(err, middleware.ErrNotAllowed):
		middleware.Emit(r.Context(), middleware.WithheldEvent{Stage: name, Host: target.HostPort(), Err: err})
		return s.next(r)
	case err != nil && s.rule.lenient():
		return s.next(r)
	case err != nil:
		if r.Body != nil {
			// Nothing was sent; the first error is the one to tell.
			_ = r.Body.Close()
		}
		return nil, err
	}
	return s.signer.Send(s.next, r, leg.Leg{Number: 1, Body: r.Body, Tokens: []leg.Token{token}})
}
