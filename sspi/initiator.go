package sspi

import (
	"context"
	"runtime"
	"time"

	"github.com/kerbchain/kerbchain/internal/ended"
	"github.com/kerbchain/kerbchain/internal/system"
	"github.com/kerbchain/kerbchain/middleware"
)

// An initiator makes contexts with the credentials of one user.
type initiator struct {
	lib         *library
	credentials *credentials
	sealing     bool
	calls       system.Calls
	peers       system.Peers
}

// newInitiator makes an initiator of options and of the library that open returns.
func newInitiator(o Options, open func() (*library, error)) (*initiator, error) {
	peers, err := o.peers()
	if err != nil {
		return nil, err
	}
	who, err := o.identity()
	if err != nil {
		return nil, err
	}
	calls, err := system.CallsOf(o.Calls, "SSPI")
	if err != nil {
		return nil, err
	}
	lib, err := open()
	if err != nil {
		return nil, err
	}
	in := &initiator{
		lib: lib, credentials: newCredentials(lib, who), sealing: o.Sealing,
		calls: calls, peers: peers,
	}
	runtime.AddCleanup(in, (*credentials).close, in.credentials)
	return in, nil
}

// Initiate finds the credentials and the service that a context needs. Windows asks a
// domain controller for tickets in the first Step.
func (i *initiator) Initiate(ctx context.Context, t middleware.Target) (middleware.SecurityContext, error) {
	c, err := i.begin(ctx, t)
	switch {
	case err != nil:
		return nil, err
	case i.sealing:
		return &sealer{c, system.NewMessages(&c.Context, c.held)}, nil
	}
	return c, nil
}

// begin returns a context whose first step is still to be taken.
func (i *initiator) begin(ctx context.Context, t middleware.Target) (*securityContext, error) {
	c := &securityContext{in: i}
	if _, err := i.peers.Begin(&c.Context, stage, t); err != nil {
		return nil, err
	}
	if who := i.credentials.who; who != nil {
		c.Client = who.principal
	}
	if err := ended.Because(ctx, "", nil); err != nil {
		return nil, c.Fail(middleware.ErrCredentials, middleware.ReasonNone, err)
	}
	k, refused, err := i.take(ctx)
	switch {
	case err != nil:
		return nil, c.Fail(middleware.ErrCredentials, middleware.ReasonNone, err)
	case refused != nil:
		return nil, c.refused(refused)
	}
	c.Client, c.held = k.name, newHeld(i.credentials, k)
	c.Carry(mechanism{c}, i.sealing)
	// For a context that is dropped before its exchange is over.
	runtime.AddCleanup(c, (*held).Release, c.held)
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
	got, err := system.Run(ctx, i.calls, func() (t taken) {
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
	if !i.peers.Signs(t) {
		return "", nil
	}
	made, err := i.begin(ctx, t)
	if err != nil {
		return "", err
	}
	defer made.held.Release()
	return made.Client, nil
}
