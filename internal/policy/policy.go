// Package policy holds what every initiator is told in the same words: which service
// principals hosts have, to which connections tokens are bound, and which servers get
// the user's credentials.
package policy

import (
	"errors"
	"fmt"

	"github.com/kerbchain/kerbchain/internal/cbt"
	"github.com/kerbchain/kerbchain/internal/hostname"
	"github.com/kerbchain/kerbchain/middleware"
)

// Bindings says whether tokens are bound to the TLS connection that carries
// them (tls-server-end-point, RFC 5929 section 4).
type Bindings int

// The modes of channel binding.
const (
	BindingsAuto     Bindings = iota // where the certificate defines bindings
	BindingsRequired                 // or there is an error
	BindingsOff                      // never
)

// Check returns an error for a value that is none of the modes.
func (b Bindings) Check() error {
	if b < BindingsAuto || b > BindingsOff {
		return fmt.Errorf("unknown mode of channel binding %d", b)
	}
	return nil
}

// Wanted reports whether a token for t is to be bound to its connection. An error
// says that it cannot be, and must: whoever has no TLS connection to show yet will ask
// again for a token once there is one.
func (b Bindings) Wanted(t middleware.Target) (bool, error) {
	switch {
	case b == BindingsOff, t.TLS == nil && b != BindingsRequired:
		return false, nil
	case t.TLS != nil:
		return true, nil
	case t.Proxy:
		return false, errors.New("channel bindings are required, and there are none to this proxy: give proxies options of their own (InitiatorOptions.Proxy)")
	case !t.Secure:
		return false, errors.New("channel bindings are required, and plain HTTP has none: use https, or BindingsAuto")
	}
	return false, fmt.Errorf("%w: the TLS connection is not known yet", middleware.ErrNoBindings)
}

// Spare reports whether a token may do without bindings that could not be made
// because of err: the certificate defines none.
func (b Bindings) Spare(err error) bool {
	return b == BindingsAuto && errors.Is(err, cbt.ErrUndefined)
}

// Delegation says when the user's credentials are forwarded to the server.
type Delegation int

// The modes of delegation.
const (
	DelegationOff    Delegation = iota // never
	DelegationPolicy                   // where the KDC says ok-as-delegate (RFC 4120 section 2.8)
	DelegationAlways                   // or there is an error
)

// Check returns an error for a value that is none of the modes, and for a list of
// hosts that would be passed over.
func (d Delegation) Check(to []string) error {
	if d < DelegationOff || d > DelegationAlways {
		return fmt.Errorf("unknown mode of delegation %d", d)
	}
	if d == DelegationOff && len(to) > 0 {
		return errors.New("DelegateTo has hosts, and Delegation is off: set it to DelegationPolicy or DelegationAlways, or leave DelegateTo out")
	}
	return nil
}

// Hosts are the lists of an initiator, in Chromium's notation.
type Hosts struct {
	allowed, delegateTo hostname.List
	delegateToAll       bool
}

// NewHosts returns the lists of hosts that may be authenticated to and that
// credentials may be delegated to. An empty one means all.
func NewHosts(allowed, delegateTo []string) (Hosts, error) {
	h := Hosts{delegateToAll: len(delegateTo) == 0}
	var err error
	if h.allowed, err = hostname.ParseList(orAll(allowed)); err != nil {
		return Hosts{}, fmt.Errorf("AllowedHosts: %w", err)
	}
	if h.delegateTo, err = hostname.ParseList(orAll(delegateTo)); err != nil {
		return Hosts{}, fmt.Errorf("DelegateTo: %w", err)
	}
	return h, nil
}

// orAll is the list of all hosts where none are listed.
func orAll(hosts []string) []string {
	if len(hosts) == 0 {
		return []string{"*"}
	}
	return hosts
}

// Allow reports whether t may be authenticated to.
func (h Hosts) Allow(t middleware.Target) bool { return h.allowed.Match(t.Host, t.Port) }

// Delegate reports whether t may get the user's credentials. Proxies never do, nor
// hosts that a redirect led to, unless they are listed.
func (h Hosts) Delegate(t middleware.Target) bool {
	return !t.Proxy && (t.RedirectedFrom == "" || !h.delegateToAll) && h.delegateTo.Match(t.Host, t.Port)
}
