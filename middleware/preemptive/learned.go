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
	return &memory{max: o.MaxOrigins, origins: make(map[string]*list.Element)}
}

// A memory is what one wiring has learned.
type memory struct {
	max int

	mu      sync.Mutex
	origins map[string]*list.Element // of order
	order   list.List                // of origin, the last used first
}

type origin struct {
	key    string
	scheme middleware.Scheme
}

func (m *memory) lenient() bool { return true }

func (m *memory) choose(t middleware.Target) (middleware.Scheme, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.origins[t.Origin()]
	if !ok {
		return "", false
	}
	m.order.MoveToFront(e)
	return e.Value.(origin).scheme, true
}

func (m *memory) learn(t middleware.Target, challenged bool, sc middleware.SecurityContext) {
	key := t.Origin()
	if challenged {
		m.forget(key)
		return
	}
	if sc == nil || sc.Target().Proxy != t.Proxy || sc.Target().Origin() != key {
		return
	}
	m.remember(origin{key, sc.Target().Scheme})
}

func (m *memory) remember(o origin) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.origins[o.key]; ok {
		e.Value = o
		m.order.MoveToFront(e)
		return
	}
	m.origins[o.key] = m.order.PushFront(o)
	for m.order.Len() > m.max {
		last := m.order.Back()
		delete(m.origins, m.order.Remove(last).(origin).key)
	}
}

func (m *memory) forget(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.origins[key]; ok {
		m.order.Remove(e)
		delete(m.origins, key)
	}
}
