package gssapi

import (
	"context"
	"errors"
	"time"

	"github.com/kerbchain/kerbchain/internal/ended"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/system"
	"github.com/kerbchain/kerbchain/middleware"
)

type securityContext struct {
	system.Context
	in    *initiator
	asked string // the service principal without a realm that the library added
	fixed bool   // the library must not look for another one
	held  *held
}

// A mechanism is a context as package system uses it.
type mechanism struct{ c *securityContext }

func (m mechanism) String() string { return m.c.in.lib.String() }
func (m mechanism) Release()       { m.c.held.Release() }
func (m mechanism) Settle()        { m.c.held.Settle() }

func (m mechanism) Step(ctx context.Context, in system.Input) (out system.Output, err error) {
	c := m.c
	var got reply
	if in.Token != nil {
		if got, err = c.step(ctx, step{token: in.Token}); err != nil {
			return out, c.Fail(middleware.ErrToken, middleware.ReasonNone, err)
		}
		if got.err != nil {
			return out, c.Fail(middleware.ErrToken, got.err.reason(), got.err)
		}
		return got.output(), nil
	}
	// The flags of MIT's own clients.
	flags := flagConf | flagInteg | flagSequence | flagReplay
	if in.Mutual {
		flags |= flagMutual
	}
	if in.Delegate {
		flags |= map[Delegation]uint32{DelegationPolicy: flagDelegPolicy, DelegationAlways: flagDeleg}[c.Peer.Delegation]
	}
	if got, err = c.initial(ctx, step{flags: flags, binding: in.Bindings}); err != nil {
		return out, err
	}
	if flags&flagDeleg != 0 && got.flags&flagDeleg == 0 {
		e := c.Fail(middleware.ErrCredentials, middleware.ReasonNone, ErrNotForwardable)
		e.Hint = "get a forwardable ticket (kinit -f), or look at enforce_ok_as_delegate in krb5.conf and at what the KDC allows the service; DelegationPolicy goes on without"
		return out, e
	}
	return got.output(), nil
}

func (m mechanism) MIC(msg []byte) (mic []byte, err error) {
	h := m.c.held
	err = h.with(func() (fault *StatusError) {
		mic, fault = h.lib.sign(h.context, msg)
		return fault
	})
	return mic, err
}

func (m mechanism) VerifyMIC(msg, mic []byte) error {
	h := m.c.held
	err := h.with(func() *StatusError { return h.lib.verify(h.context, msg, mic) })
	// Heimdal's library numbers the messages of an acceptor that was not asked to prove
	// itself from 0, and they begin with the number of our AP-REQ (RFC 4121 section 4.2.2).
	if fault, ok := errors.AsType[*StatusError](err); ok && fault.Major == gapToken && m.c.Peer.NoMutual {
		return nil
	}
	return err
}

// initial has the library take the first step, and notes the client principal.
func (c *securityContext) initial(ctx context.Context, s step) (reply, error) {
	got, err := c.step(ctx, s)
	if err == nil && got.err != nil && c.in.o.canonicalize(c.Target()) && !c.fixed && got.err.code() == krb.CodeServerUnknown {
		got, err = c.byCanonicalName(ctx, s, got)
	}
	switch {
	case err != nil:
		return got, c.Fail(middleware.ErrCredentials, middleware.ReasonNone, err)
	case got.err != nil:
		return got, c.refused(got.err)
	case got.client != "":
		c.Client = got.client
		c.in.told.put(c.asked, got.client, time.Now())
	}
	return got, nil
}

// A reply is the library's result of a step.
type reply struct {
	stepped
	client string // the client principal, of the first step
	err    *StatusError
}

func (r reply) output() system.Output {
	return system.Output{Token: r.token, Complete: r.complete, Mutual: r.flags&flagMutual != 0, Delegated: r.flags&flagDeleg != 0}
}

// step has the library take a step. Its error is that of a caller who did not wait.
func (c *securityContext) step(ctx context.Context, s step) (reply, error) {
	h := c.held
	first, done := s.token == nil, func() {}
	if first {
		// Heimdal's library gives two authenticators the same time if they are made in
		// the same microsecond, and a service takes the second one for a replay.
		var err error
		if done, err = c.in.firsts.Take(ctx, c.Service); err != nil {
			return reply{}, ended.Because(ctx, "waiting for another token for the same service", nil)
		}
	}
	return system.Call(ctx, &h.Lease, c.in.calls, func() (r reply) {
		s.context, s.cred, s.name = h.context, h.cred, h.name
		r.stepped, r.err = h.lib.initiate(s)
		h.keep(r.context)
		if first && r.err == nil {
			r.client, r.err = h.lib.principal(s.cred)
		}
		return r
	}, done)
}

// byCanonicalName takes the first step again, for a service principal that the library
// makes of the host's name.
func (c *securityContext) byCanonicalName(ctx context.Context, s step, unknown reply) (reply, error) {
	type named struct {
		name uintptr
		err  *StatusError
	}
	lib := c.in.lib
	service, host := hostBased(c.asked)
	got, err := system.Run(ctx, c.in.calls, func() (n named) {
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

// refused returns the error for a library that gives no name, no credentials or no token.
func (c *securityContext) refused(s *StatusError) *middleware.Error {
	hint, kind := s.explain()
	e := c.Fail(kind, middleware.ReasonNone, s)
	e.Code, e.Hint, e.IsTemporary = s.code(), hint, s.temporary()
	return e
}
