package system

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/kerbchain/kerbchain/internal/cbt"
	"github.com/kerbchain/kerbchain/internal/ended"
	"github.com/kerbchain/kerbchain/internal/negotiation"
	"github.com/kerbchain/kerbchain/internal/spnego"
	"github.com/kerbchain/kerbchain/middleware"
)

// A Mechanism is a security context of Kerberos in a system's library. Its errors are
// those of the exchange ([Context.Fail]).
type Mechanism interface {
	fmt.Stringer // the library

	// Step takes the first step, and the one with the server's AP-REP.
	Step(ctx context.Context, in Input) (Output, error)
	MIC(msg []byte) ([]byte, error)
	VerifyMIC(msg, mic []byte) error
	// Release frees what the library keeps for the context, and Settle what it keeps
	// that an established context does not need.
	Release()
	Settle()
}

// An Input is what a step begins with.
type Input struct {
	Token    []byte // the server's AP-REP, framed; nil in the first step
	Mutual   bool   // the server is to prove itself
	Delegate bool   // it is to get credentials, as the peer's Delegation says
	Bindings []byte // application data of the channel bindings, nil for none
}

// An Output is what a step led to.
type Output struct {
	Token     []byte // ours, framed
	Complete  bool   // the library needs no more tokens
	Mutual    bool   // and says that the server has proved itself
	Delegated bool   // the token has credentials in it
}

// A Context is a [middleware.SecurityContext]. It is for one exchange at a time.
type Context struct {
	Service string // the service principal
	Client  string // the client principal, "" for one that is not known
	Peer    *Peer

	stage    string
	target   middleware.Target
	sealing  bool
	m        Mechanism
	asked    Input // for the first token
	begun    bool  // that token was made
	complete bool  // the mechanism's exchange is complete
	mutual   bool  // and it authenticated the server
	exchange negotiation.Exchange
	broken   error // why the context can no longer be used
	verified atomic.Bool
}

// Carry says who carries out the mechanism, and whether its handles are needed once the
// exchange is over, to seal messages.
func (c *Context) Carry(m Mechanism, sealing bool) { c.m, c.sealing = m, sealing }

// Target returns whom the context is with.
func (c *Context) Target() middleware.Target { return c.target }

// SPN is for stages that report whom a context is with.
func (c *Context) SPN() string { return c.Service }

// Bound is for stages that explain why a server refused the token.
func (c *Context) Bound() bool { return c.begun && c.asked.Bindings != nil }

// Principal returns the client principal that the context speaks for.
func (c *Context) Principal() string { return c.Client }

// Verified reports whether the server has proved itself.
func (c *Context) Verified() bool { return c.verified.Load() }

// Step carries out [middleware.SecurityContext].
func (c *Context) Step(ctx context.Context, token []byte) ([]byte, error) {
	if err := ended.Because(ctx, "", nil); err != nil {
		return nil, err
	}
	if c.broken != nil {
		return nil, c.broken
	}
	if !c.begun && !negotiation.Opens(token) {
		return nil, negotiation.Refuse(mechanism{ctx, c}, token, errors.New("the server answered before it was asked"))
	}
	var out []byte
	var err error
	if c.begun {
		out, err = c.exchange.Answer(mechanism{ctx, c}, token)
	} else {
		out, err = c.first(ctx)
	}
	switch {
	case errors.Is(err, middleware.ErrNoBindings):
		// No token was made, so that another try is possible once there is a connection.
	case err != nil:
		// After a forged answer no other is accepted.
		c.broken = err
		c.verified.Store(false)
		c.m.Release()
	case c.complete:
		c.verified.Store(c.mutual)
		if out == nil && !c.sealing {
			c.m.Release() // the exchange is over
		} else {
			c.m.Settle()
		}
	}
	c.begun = c.begun || err == nil
	return out, err
}

// first makes our first token.
func (c *Context) first(ctx context.Context) ([]byte, error) {
	begin := time.Now()
	bindings, err := c.bindings()
	if err != nil {
		return nil, c.Fail(middleware.ErrToken, middleware.ReasonNone, err)
	}
	c.asked = Input{Mutual: !c.Peer.NoMutual, Delegate: c.Peer.delegates(c.target), Bindings: bindings}
	got, err := c.m.Step(ctx, c.asked)
	switch kind := spnego.Classify(got.Token); {
	case err != nil:
		return nil, err
	case kind != spnego.APReq:
		return nil, c.Fail(middleware.ErrToken, middleware.ReasonNone,
			fmt.Errorf("%v made %v of %d bytes where a Kerberos token is due", c.m, kind, len(got.Token)))
	}
	c.complete, c.mutual = got.Complete, false // a first step authenticates nobody
	token := got.Token
	scheme := c.target.Scheme
	if scheme != middleware.Kerberos {
		scheme, token = middleware.Negotiate, spnego.AppendInit(nil, token)
	}
	middleware.Emit(ctx, middleware.TokenEvent{
		Host: c.target.HostPort(), SPN: c.Service, Scheme: scheme, Bytes: len(token),
		Mutual: c.asked.Mutual, Bound: bindings != nil, Delegate: got.Delegated, Duration: time.Since(begin),
	})
	return token, nil
}

// bindings returns the application data of the channel bindings that the token is to
// have, nil for none.
func (c *Context) bindings() ([]byte, error) {
	mode := c.Peer.Bindings
	if wanted, err := mode.Wanted(c.target); !wanted {
		return nil, err
	}
	data, err := cbt.ForConn(c.target.TLS)
	if err != nil && mode.Spare(err) {
		return nil, nil
	}
	return data, err
}

// A mechanism is a context as [negotiation] uses it.
type mechanism struct {
	ctx context.Context
	c   *Context
}

func (m mechanism) SPN() string       { return m.c.Service }
func (m mechanism) Established() bool { return m.c.complete }

func (m mechanism) Accept(token []byte) error {
	c := m.c
	token, err := negotiation.Reply(m, token)
	if err != nil {
		return err
	}
	if c.complete {
		return m.Fail(middleware.ReasonMalformed, errors.New("an AP-REP that was not asked for, or a second one"))
	}
	in := c.asked
	in.Token = token
	got, err := c.m.Step(m.ctx, in)
	switch {
	case err != nil:
		return err
	case !got.Complete || !got.Mutual || len(got.Token) > 0:
		return m.Fail(middleware.ReasonNoToken, fmt.Errorf("%v does not say that the server has proved itself", c.m))
	}
	c.complete, c.mutual = true, true
	return nil
}

func (m mechanism) MIC(msg []byte) ([]byte, error)  { return m.c.m.MIC(msg) }
func (m mechanism) VerifyMIC(msg, mic []byte) error { return m.c.m.VerifyMIC(msg, mic) }

func (m mechanism) Fail(reason middleware.Reason, err error) *middleware.Error {
	return m.c.Fail(middleware.ErrToken, reason, err)
}

// Fail returns the error of an exchange that failed, with the names of those concerned.
func (c *Context) Fail(kind error, reason middleware.Reason, err error) *middleware.Error {
	return &middleware.Error{
		Stage: c.stage, Kind: kind, Host: c.target.HostPort(), SPN: c.Service, Principal: c.Client,
		Reason: reason, Err: err,
	}
}
