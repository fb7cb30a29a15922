package sspi

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/kerbchain/kerbchain/internal/system"
	"github.com/kerbchain/kerbchain/middleware"
)

type securityContext struct {
	system.Context
	in   *initiator
	held *held
}

// A mechanism is a context as package system uses it.
type mechanism struct{ c *securityContext }

func (m mechanism) String() string { return "SSPI" }
func (m mechanism) Release()       { m.c.held.Release() }
func (m mechanism) Settle()        { m.c.held.Settle() }

func (m mechanism) Step(ctx context.Context, in system.Input) (out system.Output, err error) {
	c := m.c
	first := in.Token == nil
	kind := middleware.ErrToken
	if first {
		kind = middleware.ErrCredentials
	}
	got, err := c.step(ctx, step{target: c.Service, request: flagsFor(in), token: in.Token, bindings: in.Bindings})
	switch {
	case err != nil:
		return out, c.Fail(kind, middleware.ReasonNone, err)
	case got.err != nil && first:
		return out, c.refused(got.err)
	case got.err != nil:
		return out, c.Fail(kind, got.err.reason(), got.err)
	case got.foreign != "":
		reason := middleware.ReasonWrongMechanism
		if first {
			reason = middleware.ReasonNone
		}
		return out, c.Fail(middleware.ErrToken, reason, fmt.Errorf("SSPI negotiated %q, which is not Kerberos", got.foreign))
	}
	out = system.Output{
		Token: got.token, Complete: got.complete,
		Mutual: got.attributes&flagMutual != 0, Delegated: got.attributes&flagDelegate != 0,
	}
	if first && in.Delegate && c.Peer.Delegation == DelegationAlways && !out.Delegated {
		e := c.Fail(middleware.ErrCredentials, middleware.ReasonNone, ErrNotForwardable)
		e.Hint = `trust the service's account for delegation to any service, and look whether the user's is sensitive or in Protected Users, or lacks a forwardable ticket; DelegationPolicy goes on without`
		return out, e
	}
	return out, nil
}

// flagsFor returns the flags of a step's request.
func flagsFor(in system.Input) uint32 {
	var flags uint32 = flagConfidentiality | flagIntegrity | flagSequence | flagReplay
	if in.Mutual {
		flags |= flagMutual
	}
	if in.Delegate {
		flags |= flagDelegate
	}
	return flags
}

func (m mechanism) MIC(msg []byte) (mic []byte, err error) {
	lib := m.c.in.lib
	err = m.c.held.with(func(context handle) (fault *StatusError) {
		mic, fault = lib.sign(context, msg)
		return fault
	})
	return mic, err
}

func (m mechanism) VerifyMIC(msg, mic []byte) error {
	lib := m.c.in.lib
	return m.c.held.with(func(context handle) *StatusError { return lib.verify(context, msg, mic) })
}

// A reply is Windows' result of a step.
type reply struct {
	stepped
	foreign string // the package that carries out the context, where it is not Kerberos
	err     *StatusError
}

// step has Windows take a step. Its error is that of a caller who did not wait.
func (c *securityContext) step(ctx context.Context, s step) (reply, error) {
	h := c.held
	done := func() {}
	if s.token == nil {
		var refused *StatusError
		var err error
		if done, refused, err = h.from.try(ctx, h.credential); refused != nil || err != nil {
			return reply{err: refused}, err
		}
	}
	return system.Call(ctx, &h.Lease, c.in.calls, func() reply { return h.step(s) }, done)
}

// step takes a step of a context that the caller has the use of.
func (h *held) step(s step) (r reply) {
	lib := h.from.lib
	s.context, s.credential = h.context, h.credential.handle
	first := h.context == handle{}
	r.stepped, r.err = lib.initiate(s)
	if first && r.err != nil {
		h.from.failed(h.credential, r.err, time.Now())
		if r.err.stale() && h.renew() {
			s.credential = h.credential.handle
			if r.stepped, r.err = lib.initiate(s); r.err != nil {
				h.from.failed(h.credential, r.err, time.Now())
			}
		}
	}
	if r.err != nil {
		return r
	}
	if first {
		h.from.made(h.credential)
	}
	h.Change(func() { h.context = r.context })
	if pkg := lib.negotiated(r.context); pkg != "" && !strings.EqualFold(pkg, kerberosPackage) {
		r.foreign = pkg
	}
	return r
}

// refused returns the error for Windows giving us no credentials or no token.
func (c *securityContext) refused(s *StatusError) *middleware.Error {
	m := status(s.Status).meaning()
	e := c.Fail(m.kind, middleware.ReasonNone, s)
	e.Code, e.Hint, e.IsTemporary = m.code, m.hint, m.temporary
	if c.in.credentials.who != nil && s.refusal() && (m.hint == hintLogOn || m.hint == "") {
		e.Hint = hintUser
	}
	return e
}
