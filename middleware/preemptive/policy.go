package preemptive

import (
	"github.com/kerbchain/kerbchain/internal/hostname"
	"github.com/kerbchain/kerbchain/internal/lru"
	"github.com/kerbchain/kerbchain/middleware"
)

// A Policy chooses the servers, or proxies, for which requests are signed. It is one
// of [Always], [Hosts] and [Learned]; for another condition put the stage with Always
// into kerbchain.When. A Policy is safe for concurrent use, and stages that are given
// the same one share nothing.
type Policy interface {
	// wire makes the rule of one wiring.
	wire(Options) rule
}

// A rule is a policy at work. It is safe for concurrent use.
type rule struct {
	// choose says whether requests to t are to be signed, and for which scheme.
	choose func(t middleware.Target) (middleware.Scheme, bool)
	// memory sees what comes back, and is nil where nothing is learned. With it a request
	// may be sent without a token if none can be had.
	memory *memory
}

// Always returns the policy that signs every request. That includes redirects: any
// host they lead to gets a token, if there is a ticket for it.
func Always() Policy { return always{} }

type always struct{}

func (always) wire(Options) rule {
	return rule{choose: func(middleware.Target) (middleware.Scheme, bool) { return middleware.Negotiate, true }}
}

// Hosts returns the policy that signs requests to these hosts. The notation is
// that of the AuthServerAllowlist of Chromium: "app.example" is that host
// alone, "*.corp.example" every host below corp.example but not itself,
// "*corp.example" every host that ends like that, evilcorp.example too, and
// "*" every host. A port, as in "app.example:8443" or "[2001:db8::1]:8443",
// limits a pattern to URLs with that port, written there or implied. Case and
// one dot at the end make no difference, and a pattern may be a list with
// commas between. A pattern of any other form matches nothing, and the constructors of
// package client refuse it. What counts is the URL, not the Host header.
func Hosts(patterns ...string) Policy {
	list, err := hostname.ParseList(patterns)
	return hosts{list, err}
}

type hosts struct {
	list hostname.List
	err  error
}

// Check says what is wrong with the patterns.
func (h hosts) Check() error { return h.err }

func (h hosts) wire(Options) rule {
	return rule{choose: func(t middleware.Target) (middleware.Scheme, bool) {
		return middleware.Negotiate, h.list.Match(t.Host, t.Port)
	}}
}

// Learned returns the policy that signs requests to origins (scheme, host and port)
// that accepted a token before, which is to say that the response to a signed request
// was not a 401. After a 401 it forgets the origin. It learns of proxies in the same
// way, from 407. It watches what the negotiate stage does further in, and keeps
// names, not tokens.
func Learned() Policy { return learned{} }

type learned struct{}

func (learned) wire(o Options) rule {
	m := &memory{max: o.MaxOrigins}
	return rule{m.choose, m}
}

// A memory is what one wiring has learned.
type memory struct {
	max     int
	schemes lru.Map[key, middleware.Scheme]
}

// A key names an origin, or a proxy.
type key struct {
	secure     bool
	host, port string
}

func keyOf(t middleware.Target) key { return key{t.Secure, t.Host, t.Port} }

func (m *memory) choose(t middleware.Target) (middleware.Scheme, bool) {
	return m.schemes.Get(keyOf(t))
}

// learn is told whether t wants a token, and the context that signed the request, nil if
// none did.
func (m *memory) learn(t middleware.Target, challenged bool, sc middleware.SecurityContext) {
	key := keyOf(t)
	switch {
	case challenged:
		m.schemes.Delete(key)
	case sc != nil && keyOf(sc.Target()) == key:
		m.schemes.Put(key, sc.Target().Scheme, m.max)
	}
}
