package preemptive

import (
	"github.com/kerbchain/kerbchain/internal/lru"
	"github.com/kerbchain/kerbchain/middleware"
)

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
