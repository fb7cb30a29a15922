// Package negotiate is the stage that answers challenges: on a response with status
// 401 or 407 that offers Negotiate (RFC 4559), it sends the request again with a
// token, and returns the response to that. Every other response passes unchanged.
// Begin with [New] and its zero [Options]; the stage mutual judges whether the server
// proved itself.
//
// Without usable credentials the call fails with an error, unless ReturnChallenge is
// set. If the server refuses them, its 401 is the response, and a [middleware.RefusedEvent] says why. The same
// event reports a status such as 400 or 431 that may be due to the size of the token
// ([middleware.ReasonTokenTooLarge]).
//
// Leave it out where every request is signed at once (package preemptive) and a 401
// shall stand.
//
// Order: inside preemptive, mutual and sanitize, which sign or judge what passes this
// stage, and outside any stage that must see each single request.
package negotiate

import (
	"cmp"
	"net/http"
	"net/url"
	"time"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/replay"
	"github.com/kerbchain/kerbchain/internal/sign"
	stages "github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

const name = "negotiate"

// Options loosen or bound the stage. The zero value is the safe default.
type Options struct {
	// MaxSigned is the largest number of signed requests for one call, to origin and
	// proxy together; below 1 it is 4. Most calls need one, a proxy
	// that authenticates takes one more, and so does each further token that a server
	// asks for. At the bound, the last challenge is the response. A request that was
	// lost with its connection and sent again counts once.
	MaxSigned int
	// BodyLimit is how many bytes of a request body without GetBody are kept in
	// memory, to be sent again; 0 means 1 MiB, less than 0 none. They are
	// copied while they are sent, which delays nothing. Bodies that can be rewound
	// ([io.Seeker], files) need no memory. OneShot says what happens to longer ones.
	BodyLimit int64
	// SpillLimit is how many bytes of a body that is longer than BodyLimit are kept
	// in a temporary file, in the clear; 0 means none. The file has mode 0600, and no
	// name where the system allows that. If it cannot be written, the body is sent
	// without it.
	SpillLimit int64
	// SpillDir is the folder of such files; empty means [os.TempDir].
	SpillDir string
	// OneShot says what happens to a body that can be sent only once.
	OneShot OneShot
	// DrainLimit is how many bytes of a challenge's body are read so that the next
	// request can take the same connection; 0 means 256 KiB, less than 0
	// none.
	DrainLimit int64
	// DrainTime is how long that reading may take before the connection is closed and
	// another one taken; 0 means half a second. Below 0 only the request's context
	// ends it, and so it does where the next token is of use only on that connection.
	DrainTime time.Duration
	// NoResend makes it an error if a signed request is lost with its connection, for
	// servers that must not see a request twice that they may have carried out.
	// Without it such a request is sent once more; see [New].
	NoResend bool
	// ReturnChallenge returns the 401 or 407 where there are no credentials for a
	// token, or the KDC does not know the service, in place of the error
	// ([middleware.ErrCredentials], [middleware.ErrKDC] with code 7): for chains with
	// another scheme outside. A KDC that cannot be reached, or refuses for another
	// reason, is an error all the same. Whoever can forge what a KDC says can have the
	// other scheme chosen.
	ReturnChallenge bool
	// AllowDowngrade sends tokens to a server over plain HTTP to which a redirect led
	// from https. Without it such a server gets none, since anybody on the way could
	// read and use it, and its 401 is the response.
	AllowDowngrade bool
	// WaitForChallenge sends every request unsigned until the server asks. Without
	// it, a request is signed at once that goes over a connection of HTTP/1.1 on
	// which the server has proved itself (a mutual stage verified its last signed
	// response): servers such as IIS authenticate a connection once, and their later
	// responses on it have no token that could be verified. Set it where the
	// connection itself is trusted (TrustConnection of package mutual).
	WaitForChallenge bool
	// Proxy says which proxy a request goes through, so that a 407 can be answered;
	// give it the function that the transport uses, such as
	// [http.ProxyFromEnvironment]. If it is nil, or names none or a SOCKS proxy, no
	// 407 is answered: it comes from an origin server, which must not get a token for
	// a proxy. It must be safe for concurrent use.
	//
	// This is for plain HTTP. For https the transport asks the proxy for a tunnel
	// (CONNECT), and reports its 407 as an error; see package tunnel.
	Proxy func(*http.Request) (*url.URL, error)
}

// A OneShot says what to do with a request whose body can be sent only once: it has
// no GetBody, cannot be rewound, and is longer than what is kept of it. Such requests
// are best signed at once (package preemptive), and then it does not matter.
//
// All but SendOnce read a body of unknown length before anything is sent, to its end
// or to the limit, unless BodyLimit is negative and there is no SpillLimit.
type OneShot int

const (
	// SendOnce sends it. If the server asks for a token when more of the body has
	// passed than is kept, the call fails with [middleware.ErrBodyNotReplayable].
	SendOnce OneShot = iota
	// Expect sends it with Expect: 100-continue (RFC 9110 section 10.1.1). A server
	// that asks for a token before it reads gets the body with the token. One that
	// ignores the field gets it as by SendOnce, after the transport's
	// ExpectContinueTimeout, which must not be zero. Unlike Probe, this costs no
	// request if the server asks for nothing, and the connection if it does.
	Expect
	// Probe first sends the same request with the method HEAD and without a body, and
	// if that is challenged, signs the one with the body at once. HEAD changes
	// nothing on the server (RFC 9110 section 9.2.1), as the request's own method
	// with an empty body might. A server that answers HEAD without asking for a token
	// gets the body as by SendOnce. A proxy that asks first gets its token with another
	// HEAD.
	Probe
	// Refuse sends nothing, and the call fails with
	// [middleware.ErrBodyNotReplayable].
	Refuse
)

// New returns a stage that answers 401 and 407 with tokens of in, which must not be
// nil. Each wiring remembers up to 1024 connections, and the contexts that signed on
// them (see Options.WaitForChallenge); it keeps none alive. It keeps nothing else
// from one request to the next.
//
// It prefers Negotiate to Kerberos, and understands no other scheme. If the caller
// set an Authorization header, a 401 is not answered, and with Proxy-Authorization no
// 407. The header that [http.Client] makes of user info in the URL does not count,
// and is removed. Nor does one that another stage set, whose context the request
// carries ([middleware.SecurityOf]): the stage continues that exchange, and if it was
// refused, tries once more with a fresh context.
//
// Each request gets a fresh body: from GetBody, by rewinding, or from what was kept
// (see Options.BodyLimit) followed by the rest of the stream. It is complete, or the
// request fails: no two requests read from the same source. A transport that still
// reads a body after the 401 has a tenth of a second to finish; then reading fails.
//
// The body of a request with Expect: 100-continue is not read before the transport
// reads it. If the connection breaks while the body of an unsigned request is
// written, as when a server says 401 and hangs up, the request is sent once more with
// that field. On a 417 it is sent without the field, unless the caller set it. Errors
// are those of the transport below, those of in, and [*middleware.Error] around
// [middleware.ErrBodyNotReplayable].
//
// Cookies that a challenge sets or deletes (RFC 6265) count for the requests that
// follow in the call, and the final response has the Set-Cookie lines of all
// responses, the oldest first, up to 256 of them from challenges.
//
// The next request goes over the connection of the challenge, where the server can be
// expected to read on. If a connection that was used before ends without a byte of an
// answer to a signed request, the request is sent once more on a new one with a new
// token, once in a call and if its body can be sent again: some servers close after a
// 401 without saying so.
//
// Three kinds of refusal are answered again, each once in a call. A server that
// cannot use the ticket (KRB-ERROR 31, 32, 41 and 44) gets a fresh one, if there is
// one ([middleware.Discarder]). One that refuses a token over HTTP/2 without a reason
// is asked over HTTP/1.1, if the transport can do that, as those of package client
// can. A request that another stage signed is signed again if the 401 has neither
// challenge nor body, as when a session has ended.
func New(in middleware.Initiator, o Options) kerbchain.Middleware {
	if o.MaxSigned < 1 {
		o.MaxSigned = 4
	}
	o.DrainLimit = cmp.Or(o.DrainLimit, 256<<10)
	o.DrainTime = cmp.Or(o.DrainTime, replay.DefaultDrainTime)
	signer := sign.Signer{Initiator: in, Stage: name, AllowDowngrade: o.AllowDowngrade}
	return func(next kerbchain.Next) kerbchain.Next {
		s := &stage{Options: o, signer: signer}
		return stages.ForCallers(func(r *http.Request) (*http.Response, error) { return s.roundTrip(next, r) })
	}
}

type stage struct {
	Options
	signer sign.Signer
	proven proven
}
