package client_test

import (
	"fmt"

	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
)

// A subset says which of the five stages a stack has.
type subset struct{ logging, sanitize, mutual, preemptive, negotiate bool }

// facts are what is known about a server, in the terms of the protocol rather
// than those of the fake that plays it. The zero value is a good server.
type facts struct {
	open     bool // answers without authentication
	location bool // that answer leads elsewhere
	status   int  // of that answer; 0 leaves the status to the call

	challenge challenge
	costly    bool // each challenge costs its connection, as that of a proxy does, to a body
	kerberos  bool // speaks the scheme Kerberos instead of Negotiate
	proxy     bool // says 407 and is a proxy
	trusted   bool // that proxy speaks for the servers behind it
	tls       bool
	bound     bool // authenticates connections

	refuses refusal
	legs    legs
	hangup  bool // closes the connection on a token

	proof   proof
	proofOn func(status int) bool // nil: always
}

// A challenge is what a 401 without a token has to say.
type challenge int

const (
	offers    challenge = iota // the scheme, well-formed
	unusable                   // the scheme with something that is no base64
	unrelated                  // other schemes
)

// A refusal is what a server says to a token.
type refusal int

const (
	accepts        refusal = iota
	refusesWith            // 401 that offers the scheme, with or without a token
	refusesSilent          // 401 without a challenge
	refusesTwoLegs         // 401 that goes on, and on
)

// legs are what a server wants beside one token.
type legs int

const (
	oneToken  legs = iota
	oneMore        // proves itself in a 401 and wants one more token
	startOver      // wants the token once more, without having proved itself
)

// A proof is how a server answers a token that it accepted.
type proof struct {
	none   bool // no token at all
	hollow bool // a token that says yes and proves nothing, which is as good as none
	reason middleware.Reason
	code   int32
}

// An outcome is what there is to see of one call.
type outcome struct {
	Err      string // empty, "transport", or kind, reason and code
	Status   int
	Body     string // "whole", "empty" or what it is
	Planted  bool   // the cookie and the location that the server planted are there
	Verified bool   // by the context of the response's request
	Logged   string // the summary in the log

	Requests int // that arrived at the server
	Tokens   int // those with credentials
	Contexts int // that were asked of the initiator
	Conns    int // that were opened
}

// oracle says what becomes of one call, by the rules in the architecture. It
// knows nothing of how stages are made. used says that a connection is there
// already, proved that it belongs to the user.
func oracle(s subset, mode mutual.Mode, f facts, status int, used, proved bool) outcome {
	w := &world{f: f, used: used, proved: proved, asksProof: mode != mutual.Disabled}
	if !used {
		w.out.Conns = 1
	}
	if f.status != 0 {
		status = f.status
	}
	rep := w.send(s)
	out := w.out
	if rep == died {
		out.Err = "transport"
		return logged(s, out)
	}
	final := rep == served
	switch {
	case final:
		out.Status = status
	case f.proxy:
		out.Status = 407
	default:
		out.Status = 401
	}
	out.Body, out.Planted = "whole", final
	out.Verified = w.verified
	switch {
	case final:
		judge(s, mode, f, w, &out, status)
	case s.sanitize && !out.Verified:
		out.Body = "empty" // but for its challenges
	}
	return logged(s, out)
}

// judge applies the table of modes, and sanitize.
func judge(s subset, mode mutual.Mode, f facts, w *world, out *outcome, status int) {
	// A proxy is the peer where it may be, and nobody else was asked for proof.
	concerned := w.signed && (!f.proxy || f.trusted && !w.signedOrigin)
	token := w.answered && !f.proof.none && (f.proofOn == nil || f.proofOn(status))
	hollow := token && w.signed && f.proof.hollow
	reason, code := middleware.ReasonNoToken, int32(0)
	bad := false
	if s.mutual && mode != mutual.Disabled && !out.Verified && w.signed && token {
		switch {
		case hollow:
		case f.proof.reason != middleware.ReasonNone:
			bad, reason, code = true, f.proof.reason, f.proof.code
		case concerned:
			out.Verified = true
		}
	}
	redirect := status >= 300 && status < 400 && (f.location || !f.open)
	switch {
	case bad, hollow:
	case redirect:
		reason = middleware.ReasonUnverifiedRedirect
	case w.used && w.out.Requests == 1:
		reason = middleware.ReasonReusedConnection
	}
	if bad || s.mutual && mode == mutual.Required && !out.Verified && status < 400 {
		out.Err = describe(middleware.ErrNotVerified, reason, code)
		out.Status, out.Body, out.Planted, out.Verified = 0, "", false, false
		return
	}
	if s.sanitize && !out.Verified && status >= 400 {
		out.Body, out.Planted = "empty", false
	}
}

func logged(s subset, out outcome) outcome {
	if !s.logging {
		return out
	}
	if out.Err != "" {
		out.Logged = "error, verified false"
		return out
	}
	out.Logged = fmt.Sprintf("%d, verified %t", out.Status, out.Verified)
	return out
}

func describe(kind error, reason middleware.Reason, code int32) string {
	return fmt.Sprintf("%v: %v: %d", kind, reason, code)
}

// A world is a server and the exchange with it.
type world struct {
	f            facts
	used         bool // the next request goes over a connection that was used
	proved       bool // which belongs to the user
	asksProof    bool // the client wants to see the server's proof
	signed       bool // a token for this server was on the last request
	signedOrigin bool // a token for the origin server was, too, beside one for the proxy
	verified     bool // by a token that came with a 401
	answered     bool // the last answer is one to a token, and may bear one
	out          outcome
}

// What a server does with a request.
type answer int

const (
	served answer = iota
	asked         // 401
	wrong         // 401 that nobody can answer
	more          // 401 that goes on with the exchange
	died          // no answer
)

// send plays a call through preemptive and negotiate.
func (w *world) send(s subset) answer {
	var rep answer
	if s.preemptive {
		// The token is for the origin, in the scheme Negotiate.
		w.context()
		if w.f.tls {
			w.context() // the token is made anew when the connection is known
		}
		rep = w.preempt()
	} else {
		rep = w.unsigned()
	}
	if !s.negotiate {
		return rep
	}
	mine := false // negotiate began the exchange, rather than preemptive
	for {
		switch rep {
		case more:
			rep = w.goOn()
			continue
		case asked:
			if mine {
				return rep
			}
		default:
			return rep
		}
		mine = true
		w.context()
		if w.f.proxy && s.preemptive {
			w.context() // the origin's token was seen, and would be a replay
			w.signedOrigin = true
		}
		rep = w.token()
	}
}

func (w *world) context() { w.out.Contexts++ }

// arrives counts a request.
func (w *world) arrives(token bool) {
	w.out.Requests++
	if token {
		w.out.Tokens++
	}
}

// challenged counts what a 401 costs.
func (w *world) challenged(a answer) answer {
	w.answered, w.used = false, !w.f.costly
	return a
}

func (w *world) unsigned() answer {
	w.arrives(false)
	switch {
	case w.f.open, w.proved:
		return served
	case w.f.challenge == offers:
		return w.challenged(asked)
	}
	return w.challenged(wrong)
}

// preempt sends a Negotiate token for the origin.
func (w *world) preempt() answer {
	switch {
	case w.f.open:
		w.arrives(true)
		w.signed = true
		return served
	case w.f.proxy:
		w.arrives(true) // a proxy does not look at it
		return w.challenged(asked)
	case w.f.kerberos:
		w.arrives(true) // it does not look at that either
		w.verified = false
		return w.challenged(asked)
	}
	return w.token0()
}

// token sends a first token as a reply to a 401.
func (w *world) token() answer {
	if w.f.costly {
		w.out.Conns++
	}
	return w.token0()
}

func (w *world) token0() answer {
	w.arrives(true)
	w.signed, w.verified, w.answered = true, false, false
	switch {
	case w.f.hangup:
		if w.used {
			// The transport takes a connection that was idle for dead, and tries
			// another with a token of its own.
			w.arrives(true)
			w.context()
			w.out.Conns++
		}
		return died
	case w.f.refuses == refusesWith:
		return w.challenged(asked)
	case w.f.refuses == refusesSilent:
		return w.challenged(wrong)
	case w.f.legs == oneMore, w.f.refuses == refusesTwoLegs:
		return w.challenged(more)
	case w.f.legs == startOver && w.asksProof:
		return w.challenged(asked) // no proof, so no way to go on
	case w.f.legs == startOver:
		return w.challenged(more)
	}
	w.answered = true
	return served
}

// goOn sends the second token of an exchange.
func (w *world) goOn() answer {
	if w.f.legs != startOver {
		w.verified = w.asksProof
	}
	w.arrives(true)
	switch {
	case w.f.legs == startOver:
		return w.challenged(asked)
	case w.f.refuses == refusesTwoLegs:
		return w.challenged(wrong) // the client has nothing more to say
	}
	return served
}
