package preemptive

import (
	"container/list"
	"sync"

	"github.com/kerbchain/kerbchain/middleware"
)

// Learned returns the policy that signs requests to origins (scheme, host and
// port) where a token was of use before: where the response to a signed request
// was not a 401. A 401 makes it forget the origin again. Of proxies it learns in the
// same way, with 407. It learns from what the negotiate stage does further in, and
// keeps names, not tokens.
func Learned() Policy { return learned{} }

type learned struct{}

func (learned) wire(o Options) rule {
	return &memory{max: o.MaxOrigins, origins: make(map[key]*list.Element)}
}

// A memory is what one wiring has learned.
type memory struct {
	max int

	mu      sync.Mutex
	origins map[key]*list.Element // of order
	order   list.List             // of *origin, the last used first
}

// A key names an origin, or a proxy.
type key struct {
	secure     bool
	host, port string
}

func keyOf(t middleware.Target) key { return key{t.Secure, t.Host, t.Port} }

type origin struct {
	key    key
	scheme middleware.Scheme
}

func (m *memory) lenient() bool { return true }

func (m *memory) choose(t middleware.Target) (middleware.Scheme, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.origins[keyOf(t)]
	if !ok {
		return "", false
	}
	m.order.MoveToFront(e)
	return e.Value.(*origin).scheme, true
}

func (m *memory) learn(t middleware.Target, challenged bool, sc middleware.SecurityContext) {
	key := keyOf(t)
	if challenged {
		m.forget(key)
		return
	}
	if sc == nil || keyOf(sc.Target()) != key {
		return
	}
	m.remember(key, sc.Target().Scheme)
}

func (m *memory) remember(k key, s middleware.Scheme) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.origins[k]; ok {
		e.Value.(*origin).scheme = s // choose has moved it
		return
	}
	m.origins[k] = m.order.PushFront(&origin{k, s})
	for m.order.Len() > m.max {
		last := m.order.Back()
		delete(m.origins, m.order.Remove(last).(*origin).key)
	}
}

func (m *memory) forget(k key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.origins[k]; ok {
		m.order.Remove(e)
		delete(m.origins, k)
	}
}
