// Package negotiate answers challenges: a response with status 401 or 407 that
// offers Negotiate (RFC 4559) is replaced by the response to the same request,
// sent again with a token. Every other response goes up as it came; whether the
// server proved itself is for the mutual stage to judge.
//
// Where credentials lack, the call fails with an error; where the server
// refuses them, the 401 is the answer, and why is told in a
// [middleware.RefusedEvent]; and so it is for a status such as 400 or 431 that
// may be due to the size of the token ([middleware.ReasonTokenTooLarge]).
//
// Leave it out where every request is signed at once and a 401 is to be taken
// for an answer (see package preemptive).
//
// Order: inside preemptive, mutual and sanitize, which judge or sign what this
// stage sends, and outside whatever ought to see each single request.
package negotiate

import (
	"net/http"
	"net/url"
	"time"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/leg"
	"github.com/kerbchain/kerbchain/internal/replay"
	stages "github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

const name = "negotiate"

// Defaults of [Options].
const (
	DefaultMaxSigned  = 4
	DefaultBodyLimit  = 1 << 20
	DefaultDrainLimit = 256 << 10
	DefaultDrainTime  = replay.DefaultPatience // half a second
)

// Options loosen or bound the stage. The zero value is the safe default.
type Options struct {
	// MaxSigned is how many signed requests are sent at most for one call, to
	// origin and proxy together; below 1 it is DefaultMaxSigned. One is enough
	// for most calls, a proxy that authenticates takes one more, and each
	// further token that a server asks for another. At the bound, the last
	// challenge is the answer. A request that was lost with its connection and is
	// sent again is counted once.
	MaxSigned int
	// BodyLimit is up to how many bytes of a request body without GetBody are
	// kept in memory to be sent again, 0 meaning DefaultBodyLimit and less than 0
	// none. They are kept as they pass: the body is not held up. Bodies that can be
	// set back ([io.Seeker], files) are, and need no memory. OneShot says what
	// becomes of a longer one.
	BodyLimit int64
	// SpillLimit is up to how many bytes of a body that is longer than BodyLimit
	// are kept in a temporary file, in the clear, 0 meaning that none are. The
	// file has mode 0600, and where the system allows it no name. One that
	// cannot be written to is gone on without.
	SpillLimit int64
	// SpillDir is the folder of such files; empty means [os.TempDir].
	SpillDir string
	// OneShot says what becomes of a body that can be sent once only.
	OneShot OneShot
	// DrainLimit is up to how many bytes of a challenge's body are read so
	// that the next request can take the same connection, 0 meaning
	// DefaultDrainLimit and less than 0 none.
	DrainLimit int64
	// DrainTime is how long that reading may take; then the connection is closed
	// and another one taken. 0 means DefaultDrainTime, and less than 0 that the
	// context of the request alone ends it, as it does where the next token is
	// of use on that connection only.
	DrainTime time.Duration
	// NoResend leaves a signed request that was lost with its connection to the
	// caller, as an error, where a server must not see one twice that it may have
	// carried out. Without it such a request is sent once more; see [New].
	NoResend bool
	// ReturnChallenge makes a 401 or 407, whole, the answer where there are no
	// credentials for a token ([middleware.ErrCredentials]), in place of that
	// error: for chains with another scheme outside.
	ReturnChallenge bool
	// AllowDowngrade answers a server over plain HTTP that a redirect led to from
	// https. Without it such a server gets no token, whoever it claims to be, and
	// its 401 is the answer: whoever is on the way could read and use one.
	AllowDowngrade bool
	// WaitForChallenge sends every request unsigned until the server asks. Without
	// it, one that goes over a connection of HTTP/1.1 on which the server has
	// proved itself (a mutual stage verified its last signed response) is signed at
	// once: servers such as IIS authenticate a connection once, and what they answer
	// on it without a token cannot be verified. Set it where the connection itself is
	// trusted (TrustConnection of package mutual).
	WaitForChallenge bool
	// Proxy says which proxy a request goes through, so that a 407 can be
	// answered; give it the function that the transport uses, such as
	// [http.ProxyFromEnvironment]. Where it is nil, or names none or one for SOCKS,
	// no 407 is answered: it is an origin server's then, which has no business with
	// a token for a proxy. It must be safe for concurrent use.
	//
	// This is for plain HTTP. For a URL with https the transport asks the
	// proxy for a tunnel (CONNECT), whose 407 it reports as an error.
	Proxy func(*http.Request) (*url.URL, error)
}

// A OneShot says what to do with a request whose body can be sent once only: it
// has no GetBody, cannot be set back, and is longer than what is kept of it. None
// of this concerns requests that are signed at once, which is the best for them
// (see package preemptive).
//
// With all but SendOnce, a body whose length is not told is read before anything is
// sent, until its end or beyond what is kept, to know which it is; a negative
// BodyLimit without a SpillLimit spares that.
type OneShot int

const (
	// SendOnce sends it. If the server asks for a token when more of the body has
	// passed than is kept, the call fails with [middleware.ErrBodyNotReplayable].
	SendOnce OneShot = iota
	// Expect sends it with Expect: 100-continue (RFC 9110 section 10.1.1). A
	// server that asks for a token before it reads gets the body with the token;
	// to one that does not heed the field it is sent as by SendOnce, after the
	// transport's ExpectContinueTimeout, which must not be zero. Unlike a Probe,
	// this costs no request where nothing is asked, and the connection where
	// something is.
	Expect
	// Probe sends the same request with the method HEAD and without a body
	// before, and if that is challenged, signs the one with the body at once.
	// HEAD asks for nothing to be done (RFC 9110 section 9.2.1), which the
	// request's own method with an empty body would: a server that needs no
	// token any more would take it at its word. A server that answers HEAD
	// without asking for a token learns nothing, and gets the body as by
	// SendOnce.
	Probe
	// Refuse sends nothing, and the call fails with
	// [middleware.ErrBodyNotReplayable].
	Refuse
)

// New returns a stage that answers 401 and 407 with tokens of in, which must
// not be nil. Each wiring of the stage remembers up to 1024 connections, none longer
// than somebody else holds it, and the contexts that signed on them (see
// Options.WaitForChallenge); else it keeps nothing from one request to the next.
//
// Negotiate is preferred to Kerberos where both are offered, and no other
// scheme is understood. A request with an Authorization header that the caller
// set is left alone in regard to 401, one with Proxy-Authorization in regard to
// 407. What [http.Client] makes of user info in the URL was not set by the caller,
// and is taken off. A header that another stage set, and whose context the request carries
// ([middleware.SecurityOf]), is not the caller's: its exchange is gone on with,
// and if it was refused, tried once more with a fresh context.
//
// Each leg sends a fresh body: of GetBody, of a body that can be set back, or of what
// was kept as it passed (see Options.BodyLimit) and then the rest, as it comes. It is
// whole, or the leg fails: no leg reads what another one can still read. A transport
// that goes on with a body after the 401 is left a tenth of a second to come to the
// end of it, and then it is taken away.
//
// Of a request that comes with Expect: 100-continue nothing is read before the
// transport does. Where the connection breaks off while the body of an unsigned
// request is written, as by a server that says 401 and hangs up, it is sent once
// more with that field. A 417 to that field is answered by the request without it,
// where it was not the caller's. Errors are those of the transport below, those of in,
// and [*middleware.Error] around [middleware.ErrBodyNotReplayable].
//
// Cookies that a challenge sets or deletes (RFC 6265) are sent, or not sent any
// more, with the legs that follow, and the final response bears the Set-Cookie
// lines of all, the oldest first; there are at most 256 of challenges.
//
// The next request goes over the connection of the challenge, where the server can
// be trusted to listen there. A signed request whose connection ends without a byte
// of an answer, having answered others before, is sent once more on a new one with
// a new token, once in a call and if the body can be sent again: servers close
// after a 401 without saying so.
//
// A refusal is answered again, once in a call for each of these reasons: a server
// that says that it cannot use the ticket at hand (KRB-ERROR 31, 32, 41 and 44)
// gets a fresh one, if there is one ([middleware.Discarder]); one that refuses a
// token without a word over HTTP/2 is asked over HTTP/1.1, if the transport can, as
// those that package client makes can; and a request that another stage signed and that
// is answered 401 without a challenge or a body, as of a session that is over, is
// signed anew.
func New(in middleware.Initiator, o Options) kerbchain.Middleware {
	if o.MaxSigned < 1 {
		o.MaxSigned = DefaultMaxSigned
	}
	if o.BodyLimit == 0 {
		o.BodyLimit = DefaultBodyLimit
	}
	if o.DrainLimit == 0 {
		o.DrainLimit = DefaultDrainLimit
	}
	if o.DrainTime == 0 {
		o.DrainTime = DefaultDrainTime
	}
	signer := leg.Signer{Initiator: in, Stage: name, AllowDowngrade: o.AllowDowngrade}
	return func(next kerbchain.Next) kerbchain.Next {
		s := &stage{Options: o, signer: signer}
		return stages.ForCallers(func(r *http.Request) (*http.Response, error) { return s.roundTrip(next, r) })
	}
}

type stage struct {
	Options
	signer leg.Signer
	proven proven
}
