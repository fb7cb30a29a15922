package sspi

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/kerbchain/kerbchain/internal/beside"
	"github.com/kerbchain/kerbchain/internal/cbt"
	"github.com/kerbchain/kerbchain/internal/ended"
	"github.com/kerbchain/kerbchain/internal/negotiation"
	"github.com/kerbchain/kerbchain/internal/spnego"
	"github.com/kerbchain/kerbchain/middleware"
)

type securityContext struct {
	in        *initiator
	side      *side
	target    middleware.Target
	spn       string
	principal string
	held      *held
	request   uint32 // flags
	bindings  []byte // what our tokens are bound to, nil for nothing
	begun     bool   // our first token is made
	complete  bool   // Windows' exchange is
	mutual    bool   // and the server has proved itself in it
	exchange  negotiation.Exchange
	broken    error // why the context cannot be used any more
	verified  atomic.Bool
}

func (c *securityContext) Target() middleware.Target { return c.target }

// SPN is for stages that report whom a context is with.
func (c *securityContext) SPN() string { return c.spn }

// Bound is for stages that explain why a server refused the token.
func (c *securityContext) Bound() bool { return c.begun && c.bindings != nil }

// Principal returns for whom the context speaks.
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
		// Nothing was made yet; there may be another try once there is a connection.
	case err != nil:
		// A forged answer is not to be followed by a better one.
		c.broken = err
		c.verified.Store(false)
		c.held.release()
	case c.complete:
		c.verified.Store(c.mutual)
		if out == nil && !c.in.sealing {
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
	var err error
	if c.bindings, err = c.bindTo(); err != nil {
		return nil, c.fail(middleware.ErrToken, middleware.ReasonNone, err)
	}
	c.request = flagConfidentiality | flagIntegrity | flagSequence | flagReplay
	if !o.NoMutual {
		c.request |= flagMutual
	}
	if o.Delegation != DelegationOff && c.side.hosts.Delegate(c.target) {
		c.request |= flagDelegate
	}
	got, err := c.initial(ctx)
	switch {
	case err != nil:
		return nil, err
	case spnego.Classify(got.token) != spnego.APReq:
		return nil, c.fail(middleware.ErrToken, middleware.ReasonNone,
			fmt.Errorf("SSPI made %v of %d bytes where a Kerberos token is due", spnego.Classify(got.token), len(got.token)))
	case got.foreign != "":
		return nil, c.fail(middleware.ErrToken, middleware.ReasonNone, fmt.Errorf("SSPI negotiated %q, which is not Kerberos", got.foreign))
	case o.Delegation == DelegationAlways && c.request&flagDelegate != 0 && got.attributes&flagDelegate == 0:
		e := c.fail(middleware.ErrCredentials, middleware.ReasonNone, ErrNotForwardable)
		e.Hint = `trust the service's account for delegation to any service, and look whether the user's is sensitive or in Protected Users, or lacks a forwardable ticket; DelegationPolicy goes on without`
		return nil, e
	}
	c.complete, c.mutual = got.complete, false // nobody has proved anything yet
	token := got.token
	scheme := c.target.Scheme
	if scheme != middleware.Kerberos {
		scheme, token = middleware.Negotiate, spnego.AppendInit(nil, token)
	}
	middleware.Emit(ctx, middleware.TokenEvent{
		Host: c.target.HostPort(), SPN: c.spn, Scheme: scheme, Bytes: len(token),
		Mutual: !o.NoMutual, Bound: c.bindings != nil, Delegate: got.attributes&flagDelegate != 0, Duration: time.Since(begin),
	})
	return token, nil
}

// bindTo returns the application data of the channel bindings that the token is to
// have, nil for none.
func (c *securityContext) bindTo() ([]byte, error) {
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

// initial has Windows take the first step.
func (c *securityContext) initial(ctx context.Context) (reply, error) {
	got, err := c.step(ctx, nil)
	if err != nil {
		return got, c.fail(middleware.ErrCredentials, middleware.ReasonNone, err)
	}
	if got.err != nil {
		return got, c.refused(got.err)
	}
	return got, nil
}

// A reply is what Windows made of a step.
type reply struct {
	stepped
	foreign string // the package that carries out the context, where it is not Kerberos
	err     *StatusError
}

// step has Windows take a step. The error is that of a caller who did not wait.
func (c *securityContext) step(ctx context.Context, token []byte) (reply, error) {
	h := c.held
	if !h.use() {
		return reply{}, errReleased
	}
	if err := c.in.calls.Enter(ctx); err != nil {
		h.used()
		return reply{}, err
	}
	s := step{target: c.spn, request: c.request, token: token, bindings: c.bindings}
	work := func() reply {
		defer h.used()
		return h.step(s)
	}
	return beside.Entered(ctx, c.in.calls, work, func(reply) { h.release() })
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
	h.keep(r.context)
	if pkg := lib.negotiated(r.context); pkg != "" && !strings.EqualFold(pkg, kerberosPackage) {
		r.foreign = pkg
	}
	return r
}

var errReleased = errors.New("the security context is no longer there")

// A mechanism is what [negotiation] sees of a context.
type mechanism struct {
	ctx context.Context
	c   *securityContext
}

func (m mechanism) Established() bool { return m.c.complete }

func (m mechanism) Accept(token []byte) error {
	c := m.c
	switch spnego.Classify(token) {
	case spnego.KRBError:
		return negotiation.Told(m, c.spn, token)
	case spnego.APRep:
	default:
		return negotiation.Refuse(m, token, nil)
	}
	if c.complete {
		return m.Fail(middleware.ReasonMalformed, errors.New("an AP-REP that was not asked for, or a second one"))
	}
	got, err := c.step(m.ctx, token)
	switch {
	case err != nil:
		return c.fail(middleware.ErrToken, middleware.ReasonNone, err)
	case got.err != nil:
		return m.Fail(got.err.reason(), got.err)
	case got.foreign != "":
		return m.Fail(middleware.ReasonWrongMechanism, fmt.Errorf("SSPI negotiated %q, which is not Kerberos", got.foreign))
	case !got.complete || got.attributes&flagMutual == 0 || len(got.token) > 0:
		return m.Fail(middleware.ReasonNoToken, errors.New("SSPI does not say that the server has proved itself"))
	}
	c.complete, c.mutual = true, true
	return nil
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

func (m mechanism) Fail(reason middleware.Reason, err error) *middleware.Error {
	return m.c.fail(middleware.ErrToken, reason, err)
}

func (c *securityContext) fail(kind error, reason middleware.Reason, err error) *middleware.Error {
	return &middleware.Error{
		Stage: stage, Kind: kind, Host: c.target.HostPort(), SPN: c.spn, Principal: c.principal,
		Reason: reason, Err: err,
	}
}

// refused makes the error of Windows giving us no credentials or no token.
func (c *securityContext) refused(s *StatusError) *middleware.Error {
	m := status(s.Status).meaning()
	e := c.fail(m.kind, middleware.ReasonNone, s)
	e.Code, e.Hint, e.IsTemporary = m.code, m.hint, m.temporary
	return e
}
