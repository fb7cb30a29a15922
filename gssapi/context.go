package gssapi

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/kerbchain/kerbchain/internal/beside"
	"github.com/kerbchain/kerbchain/internal/cbt"
	"github.com/kerbchain/kerbchain/internal/ended"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/negotiation"
	"github.com/kerbchain/kerbchain/internal/spnego"
	"github.com/kerbchain/kerbchain/middleware"
)

type securityContext struct {
	in        *initiator
	side      *side
	target    middleware.Target
	spn       string
	asked     string // spn without a realm that the library added
	fixed     bool   // spn was configured
	principal string // as configured, then as the library says
	held      *held
	begun     bool // our first token was made
	bound     bool // the token is bound to the TLS connection
	complete  bool // the mechanism's exchange is complete
	mutual    bool // and it authenticated the server
	exchange  negotiation.Exchange
	broken    error // why the context can no longer be used
	verified  atomic.Bool
}

func (c *securityContext) Target() middleware.Target { return c.target }

// SPN is for stages that report whom a context is with.
func (c *securityContext) SPN() string { return c.spn }

// Bound is for stages that explain why a server refused the token.
func (c *securityContext) Bound() bool { return c.bound }

// Principal returns the client principal that the context speaks for, once its first
// token is made.
func (c *securityContext) Principal() string { return c.principal }

func (c *securityContext) Verified() bool { return c.verified.Load() }

func (c *securityContext) Step(ctx context.Context, token []byte) ([]byte, error) {
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
		c.held.release()
	case c.complete:
		c.verified.Store(c.mutual)
		if out == nil && !c.in.o.Sealing {
			c.held.release() // the exchange is over
		} else {
			c.held.settle()
		}
	}
	c.begun = c.begun || err == nil
	return out, err
}

// first makes our first token.
func (c *securityContext) first(ctx context.Context) ([]byte, error) {
	begin := time.Now()
	o := &c.side.o
	bindings, err := c.bindings()
	if err != nil {
		return nil, c.fail(middleware.ErrToken, middleware.ReasonNone, err)
	}
	// The flags of MIT's own clients.
	flags := flagConf | flagInteg | flagSequence | flagReplay
	if !o.NoMutual {
		flags |= flagMutual
	}
	if o.Delegation != DelegationOff && c.side.hosts.Delegate(c.target) {
		flags |= map[Delegation]uint32{DelegationPolicy: flagDelegPolicy, DelegationAlways: flagDeleg}[o.Delegation]
	}
	got, err := c.initial(ctx, step{flags: flags, binding: bindings})
	switch {
	case err != nil:
		return nil, err
	case spnego.Classify(got.token) != spnego.APReq:
		return nil, c.fail(middleware.ErrToken, middleware.ReasonNone,
			fmt.Errorf("%v made %v of %d bytes where a Kerberos token is due", c.in.lib, spnego.Classify(got.token), len(got.token)))
	case flags&flagDeleg != 0 && got.flags&flagDeleg == 0:
		e := c.fail(middleware.ErrCredentials, middleware.ReasonNone, ErrNotForwardable)
		e.Hint = "get a forwardable ticket (kinit -f), or look at enforce_ok_as_delegate in krb5.conf and at what the KDC allows the service; DelegationPolicy goes on without"
		return nil, e
	}
	c.bound = bindings != nil
	c.complete, c.mutual = got.complete, false // a first step authenticates nobody
	token := got.token
	scheme := c.target.Scheme
	if scheme != middleware.Kerberos {
		scheme, token = middleware.Negotiate, spnego.AppendInit(nil, token)
	}
	middleware.Emit(ctx, middleware.TokenEvent{
		Host: c.target.HostPort(), SPN: c.spn, Scheme: scheme, Bytes: len(token),
		Mutual: !o.NoMutual, Bound: c.bound, Delegate: got.flags&flagDeleg != 0, Duration: time.Since(begin),
	})
	return token, nil
}

// initial has the library take the first step, and notes the client principal.
func (c *securityContext) initial(ctx context.Context, s step) (reply, error) {
	got, err := c.step(ctx, s)
	if err == nil && got.err != nil && c.side.o.Canonicalize && !c.fixed && got.err.code() == krb.CodeServerUnknown {
		got, err = c.byCanonicalName(ctx, s, got)
	}
	switch {
	case err != nil:
		return got, c.fail(middleware.ErrCredentials, middleware.ReasonNone, err)
	case got.err != nil:
		return got, c.refused(got.err)
	case got.client != "":
		c.principal = got.client
		c.in.told.put(c.asked, got.client, time.Now())
	}
	return got, nil
}

// bindings returns the application data of the channel bindings that the token is to
// have, nil for none.
func (c *securityContext) bindings() ([]byte, error) {
	mode := c.side.o.Bindings
	if wanted, err := mode.Wanted(c.target); !wanted {
		return nil, err
	}
	data, err := cbt.ForConn(c.target.TLS)
	if err != nil && mode.Spare(err) {
		return nil, nil
	}
	return data, err
}

// A reply is the library's result of a step.
type reply struct {
	stepped
	client string // the client principal, of the first step
	err    *StatusError
}

// step has the library take a step. Its error is that of a caller who did not wait.
func (c *securityContext) step(ctx context.Context, s step) (reply, error) {
	h := c.held
	if !h.use() {
		return reply{}, errReleased
	}
	first, done := h.context == 0, func() {}
	if first {
		// Heimdal's library gives two authenticators the same time if they are made in
		// the same microsecond, and a service takes the second one for a replay.
		var err error
		if done, err = c.in.firsts.Take(ctx, c.spn); err != nil {
			h.used()
			return reply{}, ended.Because(ctx, "waiting for another token for the same service", nil)
		}
	}
	if err := c.in.calls.Enter(ctx); err != nil {
		done()
		h.used()
		return reply{}, err
	}
	s.context, s.cred, s.name = h.context, h.cred, h.name
	work := func() (r reply) {
		defer h.used()
		defer done()
		r.stepped, r.err = h.lib.initiate(s)
		h.keep(r.context)
		if first && r.err == nil {
			r.client, r.err = h.lib.principal(s.cred)
		}
		return r
	}
	return beside.Entered(ctx, c.in.calls, work, func(reply) { h.release() })
}

var errReleased = errors.New("the security context is no longer there")

// byCanonicalName takes the first step again, for a service principal that the library
// makes of the host's name.
func (c *securityContext) byCanonicalName(ctx context.Context, s step, unknown reply) (reply, error) {
	type named struct {
		name uintptr
		err  *StatusError
	}
	lib := c.in.lib
	service, host := hostBased(c.spn)
	got, err := beside.Run(ctx, c.in.calls, func() (n named) {
		n.name, n.err = lib.importName(service+"@"+host, true)
		return n
	}, func(n named) {
		if n.name != 0 {
			lib.releaseName(n.name)
		}
	})
	if err != nil || got.err != nil {
		return unknown, err
	}
	c.held.rename(got.name)
	return c.step(ctx, s)
}

// A mechanism is a context as [negotiation] uses it.
type mechanism struct {
	ctx context.Context
	c   *securityContext
}

func (m mechanism) Established() bool { return m.c.complete }

func (m mechanism) Accept(token []byte) error {
	c := m.c
	if spnego.Classify(token) == spnego.KRBError {
		return negotiation.Told(m, c.spn, token)
	}
	if spnego.Classify(token) != spnego.APRep {
		return negotiation.Refuse(m, token, nil)
	}
	if c.complete {
		return m.Fail(middleware.ReasonMalformed, errors.New("an AP-REP that was not asked for, or a second one"))
	}
	got, err := c.step(m.ctx, step{flags: 0, token: token})
	switch {
	case err != nil:
		return c.fail(middleware.ErrToken, middleware.ReasonNone, err)
	case got.err != nil:
		return m.Fail(got.err.reason(), got.err)
	case !got.complete || got.flags&flagMutual == 0 || len(got.token) > 0:
		return m.Fail(middleware.ReasonNoToken, errors.New("the library does not say that the server has proved itself"))
	}
	c.complete, c.mutual = true, true
	return nil
}

func (m mechanism) MIC(msg []byte) (mic []byte, err error) {
	call := func(h *held) (fault *StatusError) {
		mic, fault = h.lib.sign(h.context, msg)
		return fault
	}
	return mic, m.c.held.with(call)
}

func (m mechanism) VerifyMIC(msg, mic []byte) error {
	return m.c.held.with(func(h *held) *StatusError { return h.lib.verify(h.context, msg, mic) })
}

func (m mechanism) Fail(reason middleware.Reason, err error) *middleware.Error {
	return m.c.fail(middleware.ErrToken, reason, err)
}

func (c *securityContext) fail(kind error, reason middleware.Reason, err error) *middleware.Error {
	return &middleware.Error{
		Stage: stage, Kind: kind, Host: c.target.HostPort(), SPN: c.spn, Principal: c.principal,
		Reason: reason, Err: err,
	}
}

// refused returns the error for a library that gives no name, no credentials or no token.
func (c *securityContext) refused(s *StatusError) *middleware.Error {
	hint, kind := s.explain()
	e := c.fail(kind, middleware.ReasonNone, s)
	e.Code, e.Hint, e.IsTemporary = s.code(), hint, s.temporary()
	return e
}
