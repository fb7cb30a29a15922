// Package negotiate answers challenges: a response with status 401 or 407 that
// offers Negotiate (RFC 4559) is replaced by the response to the same request,
// sent again with a token. Every other response goes up as it came; whether the
// server proved itself is for the mutual stage to judge.
//
// Where credentials lack, the call fails with an error; where the server
// refuses them, the 401 is the answer, and why is told in a
// [middleware.RefusedEvent].
//
// Leave it out where every request is signed at once and a 401 is to be taken
// for an answer (see package preemptive), or where requests have bodies that
// can neither be had twice nor be held in memory.
//
// Order: inside preemptive, mutual and sanitize, which judge or sign what this
// stage sends, and outside whatever ought to see each single request.
package negotiate

import (
	"net/http"
	"net/url"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/leg"
	"github.com/kerbchain/kerbchain/middleware"
)

const name = "negotiate"

// Defaults of [Options].
const (
	DefaultMaxLegs    = 4
	DefaultBodyLimit  = 1 << 20
	DefaultDrainLimit = 256 << 10
)

// Options loosen or bound the stage. The zero value is the safe default.
type Options struct {
	// MaxLegs is how many signed requests are sent at most for one call, to
	// origin and proxy together; below 1 it is DefaultMaxLegs. One is enough
	// for most calls, a proxy that authenticates takes one more, and each
	// further token that a server asks for another. At the bound, the last
	// challenge is the answer.
	MaxLegs int
	// BodyLimit is up to how many bytes of a request body without GetBody are
	// held in memory to be sent again, 0 meaning DefaultBodyLimit and less
	// than 0 none. A longer body is streamed, and if its request is challenged
	// the call fails with [middleware.ErrBodyNotReplayable].
	BodyLimit int64
	// DrainLimit is up to how many bytes of a challenge's body are read so
	// that the next request can take the same connection, 0 meaning
	// DefaultDrainLimit and less than 0 none.
	DrainLimit int64
	// ReturnChallenge makes a 401 or 407, whole, the answer where there are no
	// credentials for a token ([middleware.ErrCredentials]), in place of that
	// error: for chains with another scheme outside.
	ReturnChallenge bool
	// Proxy says which proxy a request goes through, so that a 407 can be
	// answered; give it the function that the transport uses. Nil means
	// [http.ProxyFromEnvironment]. It must be safe for concurrent use.
	//
	// This is for plain HTTP. For a URL with https the transport asks the
	// proxy for a tunnel (CONNECT), whose 407 it reports as an error.
	Proxy func(*http.Request) (*url.URL, error)
}

// New returns a stage that answers 401 and 407 with tokens of in, which must
// not be nil. The stage keeps nothing from one request to the next.
//
// Negotiate is preferred to Kerberos where both are offered, and no other
// scheme is understood. A request with an Authorization header that the caller
// set is left alone in regard to 401, one with Proxy-Authorization in regard to
// 407. A header that another stage set, and whose context the request carries
// ([middleware.SecurityOf]), is not the caller's: its exchange is gone on with,
// and if it was refused, tried once more with a fresh context.
//
// Each leg sends a fresh body: of GetBody, or of a buffer (see
// Options.BodyLimit). Errors are those of the transport below, those of in, and
// [*middleware.Error] around [middleware.ErrBodyNotReplayable].
func New(in middleware.Initiator, o Options) kerbchain.Middleware {
	if o.MaxLegs < 1 {
		o.MaxLegs = DefaultMaxLegs
	}
	if o.BodyLimit == 0 {
		o.BodyLimit = DefaultBodyLimit
	}
	if o.DrainLimit == 0 {
		o.DrainLimit = DefaultDrainLimit
	}
	if o.Proxy == nil {
		o.Proxy = http.ProxyFromEnvironment
	}
	s := &stage{Options: o, signer: leg.Signer{Initiator: in, Stage: name}}
	return func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) { return s.roundTrip(next, r) }
	}
}

type stage struct {
	Options
	signer leg.Signer
}
