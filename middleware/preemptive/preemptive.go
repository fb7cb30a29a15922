// Package preemptive puts a token on a request before any server has asked for
// one, which saves the round trip of the challenge and the sending of a body
// twice. What comes back goes up as it came.
//
// Which requests are signed is a [Policy]: every one ([Always]), those to
// certain hosts ([Hosts]), or those to origins where a token was of use before
// ([Learned]).
//
// A body that can be sent once only, as a stream, is best sent so: it flows as it is
// produced, in both directions at once over HTTP/2. If the server refuses the token
// after all, negotiate sends again what it has kept of the body, and goes on with
// the rest; where more had passed than is kept, the call fails. A server can be
// asked to say so first with Expect: 100-continue.
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
	"net/url"

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
	// NetHTTP says that an [http.Transport] is below, with nothing between that copies
	// a request's header. A token for https, which is bound to its connection, is then
	// made once there is one. Without it the first request tells whether that is so,
	// and is signed twice: before there is a connection, and for it. So is every
	// request where the initiator is no [middleware.Identifier].
	NetHTTP bool
	// Proxies chooses the proxies that get a token beforehand, in the field
	// Proxy-Authorization and with requests over plain http alone; nil chooses
	// none. A host that Always or Hosts chooses is the proxy's, never the
	// server's behind it.
	Proxies Policy
	// Proxy says which proxy a request goes through; give it the function that the
	// transport uses. Nil means that no proxy is signed for. A proxy whose URL
	// bears a user is left to the transport, as SOCKS is. It must be safe for
	// concurrent use. Where the transport goes another way after all, and tells
	// so as [http.Transport] does, the token is not sent.
	Proxy func(*http.Request) (*url.URL, error)
}

// New returns a stage that signs those requests that p chooses, with tokens of
// in, which must not be nil; a nil p chooses none.
//
// A request with an Authorization header, whoever set it, is left alone in regard to
// the server, save that what [http.Client] makes of user info in the URL is taken
// off, and one with Proxy-Authorization in regard to a proxy. Its body is sent as it
// is, and this stage keeps nothing of it.
//
// Where no token can be had, the call fails with the error of in, of type
// [*middleware.Error], under Always and Hosts; under Learned the request is
// sent without one, and what the server says decides. A token that must be bound
// to a connection ([middleware.ErrNoBindings]) is made when the transport has
// taken one; one that does not tell gets the request unsigned. A host that is not to be authenticated to gets
// the request unsigned ([middleware.ErrNotAllowed]).
//
// What Learned remembers belongs to one wiring of the stage, and of proxies to
// another memory than of servers.
func New(in middleware.Initiator, p Policy, o Options) kerbchain.Middleware {
	if o.MaxOrigins < 1 {
		o.MaxOrigins = DefaultMaxOrigins
	}
	if p == nil {
		p = Hosts()
	}
	signer := leg.Signer{Initiator: in, Stage: name, AllowDowngrade: o.AllowDowngrade}
	return func(next kerbchain.Next) kerbchain.Next {
		s := &stage{signer: signer, origins: p.wire(o), proxy: o.Proxy, next: next}
		if _, ok := in.(middleware.Identifier); ok {
			// Whose connection it is has to be known before there is a token.
			s.signer.Known = new(leg.Known)
			if o.NetHTTP {
				s.signer.Known.Tells()
			}
		}
		if o.Proxies != nil && o.Proxy != nil {
			s.proxies = o.Proxies.wire(o)
		}
		return stages.ForCallers(s.roundTrip)
	}
}

type stage struct {
	signer  leg.Signer
	origins rule
	proxies rule // nil for none
	proxy   func(*http.Request) (*url.URL, error)
	next    kerbchain.Next
}

// A peer is one of the two that a request may be signed for.
type peer struct {
	rule   rule
	key    middleware.Target // what the rule knows it by
	target middleware.Target // what it is signed for
	status int               // by which it asks for a token
}

func (s *stage) roundTrip(r *http.Request) (*http.Response, error) {
	if r.URL == nil {
		return s.next(r)
	}
	r, call := middleware.Begin(stages.DropUserInfo(r, name))
	resp, err := s.send(r, call)
	call.End(resp)
	return resp, err
}

func (s *stage) send(r *http.Request, call middleware.Call) (*http.Response, error) {
	peers := s.peers(r)
	tokens, err := s.tokens(r, peers)
	if err != nil {
		if r.Body != nil {
			// Nothing was sent; the first error is the one to tell.
			_ = r.Body.Close()
		}
		return nil, err
	}
	var resp *http.Response
	if len(tokens) == 0 {
		resp, err = s.next(r)
	} else {
		resp, err = s.signer.Send(s.next, r, leg.Leg{Number: 1, Body: r.Body, Tokens: tokens})
	}
	if resp != nil {
		learn(call, resp, peers)
	}
	return resp, err
}

// peers returns for whom r may be signed.
func (s *stage) peers(r *http.Request) []peer {
	var all []peer
	if key := middleware.TargetOfURL(r.URL); !stages.Has(r.Header, "Authorization") {
		all = append(all, peer{s.origins, key, middleware.TargetOf(r), http.StatusUnauthorized})
	} else if _, chosen := s.origins.choose(key); chosen {
		stages.Own(r, name, "Authorization")
	}
	if s.proxies == nil || stages.Has(r.Header, "Proxy-Authorization") || middleware.TargetOfURL(r.URL).Secure {
		return all
	}
	// The transport asks for itself, and reports the error if there is one.
	at, err := s.proxy(r)
	if err != nil || at == nil || at.User != nil || at.Scheme != "http" && at.Scheme != "https" {
		return all
	}
	t := middleware.TargetOfURL(at)
	t.Proxy = true
	return append(all, peer{s.proxies, t, t, http.StatusProxyAuthRequired})
}

// tokens returns the tokens for those peers that the rules choose.
func (s *stage) tokens(r *http.Request, peers []peer) ([]leg.Token, error) {
	var tokens []leg.Token
	for _, p := range peers {
		scheme, chosen := p.rule.choose(p.key)
		if !chosen {
			continue
		}
		p.target.Scheme = scheme
		token, err := s.signer.Surely(r.Context(), p.target)
		switch {
		case errors.Is(err, middleware.ErrNoBindings):
			token = s.signer.Later(p.target)
		case errors.Is(err, middleware.ErrNotAllowed):
			middleware.Emit(r.Context(), middleware.WithheldEvent{Stage: name, Host: p.target.HostPort(), Err: err})
			continue
		case err != nil && p.rule.lenient():
			continue
		case err != nil:
			return nil, err
		}
		tokens = append(tokens, token)
	}
	return tokens, nil
}

// learn tells the rules what the peers said in the call.
func learn(call middleware.Call, resp *http.Response, peers []peer) {
	origin, proxy := call.Security(resp), call.ProxySecurity(resp)
	for _, p := range peers {
		sc := origin
		switch {
		case p.target.Proxy:
			sc = proxy
		case resp.StatusCode == http.StatusProxyAuthRequired:
			continue // says nothing of the origin
		}
		p.rule.learn(p.key, resp.StatusCode == p.status, sc)
	}
}
