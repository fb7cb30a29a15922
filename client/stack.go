package client

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/logging"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
	"github.com/kerbchain/kerbchain/middleware/sanitize"
)

// A Stage is a middleware with a name.
type Stage struct {
	Name       string
	Middleware kerbchain.Middleware
}

// A Stack is a list of stages, the outermost first. Its methods return new
// stacks and leave the old one as it is.
type Stack []Stage

// The names of the standard stages, outermost first.
const (
	Logging    = "logging"
	Sanitize   = "sanitize"
	Mutual     = "mutual"
	Preemptive = "preemptive"
	Negotiate  = "negotiate"
)

// NewStack returns the standard stages for o: logging, sanitize, mutual, preemptive,
// negotiate. Stages that have nothing to do are left out: sanitize with
// KeepErrorBodies or where mutual authentication is not required, preemptive without
// a policy and without a Proxy, logging without a logger and a handler. Transport and
// Tunnel do not matter here. Proxy names the proxy whose 407 is answered, and which
// then gets a token at once. For https through a proxy that authenticates, wrap a
// transport of [tunnel.New].
func NewStack(o Options) (Stack, error) {
	in, err := o.initiator(false)
	if err != nil {
		return nil, err
	}
	return o.stack(in, false), nil
}

// stack returns the standard stages, which sign with in. netHTTP says that the transport
// is net/http's.
func (o Options) stack(in middleware.Initiator, netHTTP bool) Stack {
	var s Stack
	if o.Logging.Logger != nil || o.Logging.Handler != nil {
		s = append(s, Stage{Logging, logging.New(o.Logging)})
	}
	// An unknown mode acts as Required, there and here.
	if o.Mutual != mutual.Optional && o.Mutual != mutual.Disabled && !o.KeepErrorBodies {
		s = append(s, Stage{Sanitize, sanitize.New(sanitize.Options{Keep: o.KeepError})})
	}
	s = append(s, Stage{Mutual, mutual.New(mutual.Options{Mode: o.Mutual, TrustConnection: o.TrustConnection, TrustProxy: o.TrustProxy})})
	if o.Preemptive != nil || o.Proxy != nil {
		s = append(s, Stage{Preemptive, preemptive.New(in, o.Preemptive, preemptive.Options{NetHTTP: netHTTP, Proxies: o.proxies(), Proxy: o.Proxy, AllowDowngrade: o.AllowDowngrade})})
	}
	return append(s, Stage{Negotiate, negotiate.New(in, negotiate.Options{
		BodyLimit: o.BodyLimit, SpillLimit: o.SpillLimit, SpillDir: o.SpillDir, OneShot: o.OneShot, NoResend: o.NoResend, ReturnChallenge: o.ReturnChallenge, Proxy: o.Proxy, AllowDowngrade: o.AllowDowngrade,
		WaitForChallenge: o.TrustConnection, // a proven connection proves its later responses
	})})
}

// Without returns the stack without the stages of the given names; a name that
// is not there changes nothing.
func (s Stack) Without(names ...string) Stack {
	return slices.DeleteFunc(slices.Clone(s), func(st Stage) bool { return slices.Contains(names, st.Name) })
}

// Replace returns the stack with m in the place of the stage called name. It panics
// when there is none, since the missing stage may be the one that verifies.
func (s Stack) Replace(name string, m kerbchain.Middleware) Stack {
	s = slices.Clone(s)
	s[s.index(name)].Middleware = m
	return s
}

// Before returns the stack with a further stage just outside the one called
// name. It panics when there is none.
func (s Stack) Before(name string, stage Stage) Stack {
	return slices.Insert(slices.Clone(s), s.index(name), stage)
}

// After returns the stack with a further stage just inside the one called name.
// It panics when there is none.
func (s Stack) After(name string, stage Stage) Stack {
	return slices.Insert(slices.Clone(s), s.index(name)+1, stage)
}

func (s Stack) index(name string) int {
	i := slices.IndexFunc(s, func(st Stage) bool { return st.Name == name })
	if i < 0 {
		panic(fmt.Sprintf("client: the stack %v has no stage %q", s, name))
	}
	return i
}

// String returns the names of the stages, outermost first.
func (s Stack) String() string {
	names := make([]string, len(s))
	for i, st := range s {
		names[i] = st.Name
	}
	return fmt.Sprint(names)
}

// Chain joins the stages into one middleware.
func (s Stack) Chain() kerbchain.Middleware {
	stages := make([]kerbchain.Middleware, len(s))
	for i, st := range s {
		stages[i] = st.Middleware
	}
	return kerbchain.Chain(stages...)
}

// Wrap returns rt behind the stack; see [kerbchain.Wrap].
func (s Stack) Wrap(rt http.RoundTripper) http.RoundTripper { return kerbchain.Wrap(rt, s.Chain()) }

// proxies returns the policy for tokens to proxies with requests over plain http.
func (o Options) proxies() preemptive.Policy {
	switch {
	case o.PreemptiveProxy != nil:
		return o.PreemptiveProxy
	case o.Tunnel.Always:
		return preemptive.Always()
	}
	return preemptive.Learned()
}
