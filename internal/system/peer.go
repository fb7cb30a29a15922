package system

import (
	"cmp"
	"fmt"

	"github.com/kerbchain/kerbchain/internal/policy"
	"github.com/kerbchain/kerbchain/middleware"
)

// Settings say how one kind of peer is authenticated to, origin servers or proxies.
type Settings struct {
	Names        policy.Names
	AllowedHosts []string
	NoMutual     bool
	Bindings     policy.Bindings
	Delegation   policy.Delegation
	DelegateTo   []string
}

// Peers are the settings of an initiator.
type Peers struct{ origin, proxy *Peer }

// A Peer holds the settings for one kind of peer.
type Peer struct {
	Settings
	names *policy.Namer
	hosts policy.Hosts
}

// NewPeers returns the settings for origin servers, and those for proxies: proxy, or where
// that is nil the same without overrides and AllowedHosts. beyond names an option that is
// set for proxies and has no meaning for them alone, "" for none.
func NewPeers(origin Settings, proxy *Settings, beyond string) (p Peers, err error) {
	if p.origin, err = newPeer(origin); err != nil {
		return p, err
	}
	s := origin
	if proxy != nil {
		if beyond != "" {
			return p, fmt.Errorf("options for proxies: %s is for all tokens alike, so set it outside of Proxy alone", beyond)
		}
		s = *proxy
		s.Names.Realm = cmp.Or(s.Names.Realm, origin.Names.Realm)
	} else {
		s.Names.HostOverride, s.Names.HostOverrides, s.AllowedHosts = "", nil, nil
	}
	s.Delegation, s.DelegateTo = policy.DelegationOff, nil
	if p.proxy, err = newPeer(s); err != nil {
		return p, fmt.Errorf("options for proxies: %w", err)
	}
	return p, nil
}

func newPeer(s Settings) (*Peer, error) {
	if err := s.Delegation.Check(s.DelegateTo); err != nil {
		return nil, err
	}
	if err := s.Bindings.Check(); err != nil {
		return nil, err
	}
	names, err := policy.NewNamer(s.Names)
	if err != nil {
		return nil, err
	}
	hosts, err := policy.NewHosts(s.AllowedHosts, s.DelegateTo)
	if err != nil {
		return nil, err
	}
	return &Peer{s, names, hosts}, nil
}

func (p Peers) of(t middleware.Target) *Peer {
	if t.Proxy {
		return p.proxy
	}
	return p.origin
}

// Signs reports whether a target gets a token, if there are credentials.
func (p Peers) Signs(t middleware.Target) bool {
	return t.Check() == nil && p.of(t).hosts.Allow(t)
}

// SPN returns the service principal of a target.
func (p Peers) SPN(t middleware.Target) string {
	spn, _ := p.of(t).names.For(t)
	return spn
}

// Begin makes c a context with a target. It tells whether the service principal was
// configured.
func (p Peers) Begin(c *Context, stage string, t middleware.Target) (fixed bool, err error) {
	peer := p.of(t)
	if wrong := t.Check(); wrong != nil {
		wrong.Stage = stage
		return false, wrong
	}
	if !peer.hosts.Allow(t) {
		return false, &middleware.Error{Stage: stage, Kind: middleware.ErrNotAllowed, Host: t.HostPort(), Hint: "add it to AllowedHosts"}
	}
	c.stage, c.Peer, c.target = stage, peer, t
	c.Service, fixed = peer.names.For(t)
	return fixed, nil
}

// delegates reports whether a target is to get credentials.
func (p *Peer) delegates(t middleware.Target) bool {
	return p.Delegation != policy.DelegationOff && p.hosts.Delegate(t)
}
