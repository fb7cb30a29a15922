package sspi

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/kerbchain/kerbchain/internal/beside"
	"github.com/kerbchain/kerbchain/internal/ended"
	"github.com/kerbchain/kerbchain/middleware"
)

// An initiator makes contexts with the credentials of one user.
type initiator struct {
	lib         *library
	credentials *credentials
	sealing     bool
	calls       beside.Calls
	origin      *side
	proxy       *side
}

// newInitiator makes an initiator of options and of the library that open returns.
func newInitiator(o Options, open func() (*library, error)) (*initiator, error) {
	origin, proxy, err := o.sides()
	if err != nil {
		return nil, err
	}
	who, err := o.identity()
	if err != nil {
		return nil, err
	}
	if o.Calls < 0 {
		return nil, fmt.Errorf("%d calls at once: want one or more, or 0 for %d", o.Calls, DefaultCalls)
	}
	if o.Calls == 0 {
		o.Calls = DefaultCalls
	}
	lib, err := open()
	if err != nil {
		return nil, err
	}
	in := &initiator{
		lib: lib, credentials: &credentials{lib: lib, who: who}, sealing: o.Sealing,
		calls: beside.New(o.Calls, "SSPI"), origin: origin, proxy: proxy,
	}
	runtime.AddCleanup(in, (*credentials).close, in.credentials)
	return in, nil
}

// side returns how a target is authenticated to.
func (i *initiator) side(t middleware.Target) *side {
	if t.Proxy {
		return i.proxy
	}
	return i.origin
}

// Initiate finds the credentials and the service that a context needs. Windows asks a
// domain controller for tickets in the first Step.
func (i *initiator) Initiate(ctx context.Context, t middleware.Target) (middleware.SecurityContext, error) {
	c, err := i.begin(ctx, t)
	switch {
	case err != nil:
		return nil, err
	case i.sealing:
		return &sealer{securityContext: c}, nil
	}
	return c, nil
}

// begin returns a context whose first step is still to be taken.
func (i *initiator) begin(ctx context.Context, t middleware.Target) (*securityContext, error) {
	s := i.side(t)
	if wrong := t.Check(); wrong != nil {
		wrong.Stage = stage
		return nil, wrong
	}
	if !s.hosts.Allow(t) {
		return nil, &middleware.Error{Stage: stage, Kind: middleware.ErrNotAllowed, Host: t.HostPort(), Hint: "add it to AllowedHosts"}
	}
	spn, _ := s.names.For(t)
	c := &securityContext{in: i, side: s, target: t, spn: spn}
	if err := ended.Because(ctx, "", nil); err != nil {
		return nil, c.fail(middleware.ErrCredentials, middleware.ReasonNone, err)
	}
	k, refused, err := i.take(ctx)
	switch {
	case err != nil:
		return nil, c.fail(middleware.ErrCredentials, middleware.ReasonNone, err)
	case refused != nil:
		return nil, c.refused(refused)
	}
	c.principal = k.name
	c.held = &held{from: i.credentials, credential: k}
	// For a context that is dropped before its exchange is over.
	runtime.AddCleanup(c, (*held).release, c.held)
	return c, nil
}

// take returns a credential, to be given back. The error is that of a caller who did
// not wait for Windows.
func (i *initiator) take(ctx context.Context) (*credential, *StatusError, error) {
	if k, ok := i.credentials.have(time.Now()); ok {
		return k, nil, nil
	}
	type taken struct {
		credential *credential
		refused    *StatusError
	}
	got, err := beside.Run(ctx, i.calls, func() (t taken) {
		t.credential, t.refused = i.credentials.take(time.Now())
		return t
	}, func(t taken) {
		if t.credential != nil {
			i.credentials.leave(t.credential)
		}
	})
	return got.credential, got.refused, err
}

// Identity returns as whom a token for t would be made now. Where the target gets no
// token, it is "".
func (i *initiator) Identity(ctx context.Context, t middleware.Target) (string, error) {
	s := i.side(t)
	if t.Check() != nil || !s.hosts.Allow(t) {
		return "", nil
	}
	made, err := i.begin(ctx, t)
	if err != nil {
		return "", err
	}
	defer made.held.release()
	return made.principal, nil
}
