// Package preemptive is the stage that puts a token on a request before the server
// asks for one. That saves the round trip of the challenge, and sending a body twice.
// Responses pass unchanged.
//
// [New] takes a [Policy], which chooses the requests: all ([Always]), those to
// certain hosts ([Hosts]), or those to origins that accepted a token before
// ([Learned]).
//
// A body that can be sent only once, such as a stream, is best sent this way: it
// flows while it is produced, over HTTP/2 in both directions at once. If the server
// refuses the token after all, negotiate sends again what it kept of the body,
// followed by the rest; if more had passed than was kept, the call fails. Expect:
// 100-continue lets the server refuse first.
//
// Leave it out where one more round trip does no harm. Do not use [Always] with
// servers that shall not learn who asks: a token names its user to the holder of the
// service's key.
//
// Order: inside mutual and sanitize, which judge the response, and outside negotiate,
// which continues the exchange, or starts a new one if the token was refused. Without
// negotiate a 401 is the response.
package preemptive

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/sign"
	stages "github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

const name = "preemptive"

// Options bound the stage. The zero value is the default.
type Options struct {
	// MaxOrigins is how many origins [Learned] remembers; 0 or less means
	// 1024. It forgets the least recently used first, which costs one
	// challenge to learn again.
	MaxOrigins int
	// AllowDowngrade signs requests over plain HTTP that a redirect led to from
	// https. Without it they are sent unsigned, whatever the policy says, since
	// anybody on the way could read and use a token.
	AllowDowngrade bool
	// NetHTTP says that an [http.Transport] is below, and nothing between copies a
	// request's header. A token for https, which is bound to its connection, is then
	// made only once there is a connection. Without it the first request finds out,
	// and is signed twice: before there is a connection, and for it. So is every
	// request if the initiator is no [middleware.Identifier].
	NetHTTP bool
	// Proxies chooses the proxies that get a token before they ask, in the field
	// Proxy-Authorization of requests over plain http; nil chooses none. [Hosts]
	// names proxies here, not the servers behind them.
	Proxies Policy
	// Proxy says which proxy a request goes through; give it the function that the
	// transport uses. Nil means that no proxy gets a token, and neither does one
	// whose URL has a user name, nor a SOCKS proxy. It must be safe for concurrent
	// use. If the transport takes another way after all, and reports that as
	// [http.Transport] does, the token is not sent.
	Proxy func(*http.Request) (*url.URL, error)
}

// New returns a stage that signs the requests that p chooses, with tokens of in,
// which must not be nil. A nil p chooses none.
//
// A request with an Authorization header is not signed for the server, and one with
// Proxy-Authorization not for a proxy. The header that [http.Client] makes of user
// info in the URL does not count, and is removed. The body is sent as it is; this
// stage keeps nothing of it.
//
// If no token can be made, the call fails under Always and Hosts with the error of
// in, of type [*middleware.Error]. Under Learned the request is sent unsigned, and so
// it is for a host that the options do not allow ([middleware.ErrNotAllowed]). A
// token that must be bound to a connection ([middleware.ErrNoBindings]) is made once
// the transport has taken one; with a transport that does not report that, the
// request is sent unsigned.
//
// Each wiring of the stage has its own memory for Learned, and another one for
// proxies.
func New(in middleware.Initiator, p Policy, o Options) kerbchain.Middleware {
	if o.MaxOrigins < 1 {
		o.MaxOrigins = 1024
	}
	if p == nil {
		p = Hosts()
	}
	signer := sign.Signer{Initiator: in, Stage: name, AllowDowngrade: o.AllowDowngrade}
	return func(next kerbchain.Next) kerbchain.Next {
		s := &stage{signer: signer, origins: p.wire(o), proxy: o.Proxy, next: next}
		if _, ok := in.(middleware.Identifier); ok {
			// The user of the connection must be known before there is a token.
			s.signer.Known = new(sign.Known)
			if o.NetHTTP {
				s.signer.Known.Tells()
			}
		}
		if o.Proxies != nil {
			s.proxies = o.Proxies.wire(o)
		}
		return stages.ForCallers(s.roundTrip)
	}
}

type stage struct {
	signer  sign.Signer
	origins rule
	proxies rule // zero for none
	proxy   func(*http.Request) (*url.URL, error)
	next    kerbchain.Next
}

// A peer is one of the two that a request may be signed for.
type peer struct {
	rule   rule
	target middleware.Target
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
	var known [2]peer
	peers := s.peers(r, known[:0])
	tokens, err := s.tokens(r, peers)
	if err != nil {
		stages.CloseRequest(r)
		return nil, err
	}
	var resp *http.Response
	if len(tokens) == 0 {
		resp, err = s.next(r)
	} else {
		resp, err = s.signer.Send(s.next, r, sign.Attempt{Number: 1, Tokens: tokens})
	}
	if resp != nil {
		learn(call, resp, peers)
	}
	return resp, err
}

// peers adds to all, which is empty, the peers that r may be signed for.
func (s *stage) peers(r *http.Request, all []peer) []peer {
	origin := middleware.TargetOf(r)
	if !stages.Has(r.Header, "Authorization") {
		all = append(all, peer{s.origins, origin})
	} else if _, chosen := s.origins.choose(origin); chosen {
		stages.Own(r, name, "Authorization")
	}
	if s.proxies.choose == nil || stages.Has(r.Header, "Proxy-Authorization") || origin.Secure {
		return all
	}
	t, err := stages.ProxyOf(r, s.proxy)
	if err != nil {
		return all // the transport asks for itself, and reports the error if there is one
	}
	return append(all, peer{s.proxies, t})
}

// tokens returns the tokens for those peers that the rules choose.
func (s *stage) tokens(r *http.Request, peers []peer) ([]sign.Token, error) {
	var tokens []sign.Token
	for _, p := range peers {
		scheme, chosen := p.rule.choose(p.target)
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
		case err != nil && p.rule.memory != nil:
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
		switch {
		case p.rule.memory == nil:
		case p.target.Proxy:
			p.rule.memory.learn(p.target, resp.StatusCode == http.StatusProxyAuthRequired, proxy)
		case resp.StatusCode != http.StatusProxyAuthRequired: // which says nothing of the origin
			p.rule.memory.learn(p.target, resp.StatusCode == http.StatusUnauthorized, origin)
		}
	}
}
