package stagetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/kerbchain/kerbchain/middleware"
)

// The tokens of the fake mechanism, as raw bytes.
const (
	// ServerOK is the token by which a peer proves itself.
	ServerOK = "server-ok"
	// ServerMore is the token by which a peer asks for one more leg: Step
	// answers it with the context's first token and "-more".
	ServerMore = "server-more"
	// ServerReject is the token by which a peer says no: Step answers with an
	// error of reason KRBError and code 31.
	ServerReject = "server-reject"
)

// An Initiator is a fake [middleware.Initiator]. Its first context's first
// token is "client-1", the second context's "client-2", and so on. The zero
// value works; fields are set before use. It is safe for concurrent use.
type Initiator struct {
	// Fail, when set, is asked before each context; an error of it is what
	// Initiate returns. n counts from 1.
	Fail func(n int, t middleware.Target) error

	mu       sync.Mutex
	n        int
	contexts []*Context
}

// Initiate returns a new [Context], or the error of ctx or of i.Fail.
func (i *Initiator) Initiate(ctx context.Context, t middleware.Target) (middleware.SecurityContext, error) {
	if err := ctx.Err(); err != nil {
		return nil, &middleware.Error{Stage: "stagetest", Kind: middleware.ErrKDC, Host: t.HostPort(), Err: err}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.n++
	if i.Fail != nil {
		if err := i.Fail(i.n, t); err != nil {
			return nil, err
		}
	}
	c := &Context{name: fmt.Sprintf("client-%d", i.n), target: t}
	i.contexts = append(i.contexts, c)
	return c, nil
}

// Contexts returns those made so far, in order.
func (i *Initiator) Contexts() []*Context {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.contexts)
}

// Targets returns what the contexts made so far are for, in order.
func (i *Initiator) Targets() []middleware.Target {
	var out []middleware.Target
	for _, c := range i.Contexts() {
		out = append(out, c.target)
	}
	return out
}

// A Context is a fake [middleware.SecurityContext]. It is a plain state
// machine: first a nil token, then any number of [ServerMore], then [ServerOK].
type Context struct {
	name     string
	target   middleware.Target
	started  bool
	failed   bool
	verified atomic.Bool
}

// Name returns the context's first token.
func (c *Context) Name() string { return c.name }

// Step runs the fake mechanism. Every token that is not one of this package's
// constants is an error of reason WrongKey.
func (c *Context) Step(ctx context.Context, token []byte) ([]byte, error) {
	fail := func(reason middleware.Reason, code int32) ([]byte, error) {
		c.failed = true
		return nil, &middleware.Error{
			Stage:  "stagetest",
			Kind:   middleware.ErrNotVerified,
			Host:   c.target.HostPort(),
			Reason: reason,
			Code:   code,
		}
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case c.failed:
		return fail(middleware.ReasonMalformed, 0)
	case !c.started && token == nil:
		c.started = true
		return []byte(c.name), nil
	case !c.started || c.verified.Load():
		return fail(middleware.ReasonWrongTime, 0)
	case string(token) == ServerOK:
		c.verified.Store(true)
		return nil, nil
	case string(token) == ServerMore:
		return []byte(c.name + "-more"), nil
	case string(token) == ServerReject:
		return fail(middleware.ReasonKRBError, 31)
	default:
		return fail(middleware.ReasonWrongKey, 0)
	}
}

// Verified reports whether [ServerOK] has been stepped.
func (c *Context) Verified() bool { return c.verified.Load() }

// Target returns what the context was made for.
func (c *Context) Target() middleware.Target { return c.target }
