package tunnel

import (
	"sync"

	"github.com/kerbchain/kerbchain/middleware"
)

// maxProxies bounds what is remembered. At the bound all is forgotten, which
// costs each proxy one CONNECT to be learned again.
const maxProxies = 1024

// A memory holds which proxies want a token, and for which scheme. The zero
// value is empty.
type memory struct {
	mu      sync.Mutex
	schemes map[string]middleware.Scheme
}

func (m *memory) get(t middleware.Target) (middleware.Scheme, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.schemes[t.Origin()]
	return s, ok
}

func (m *memory) put(t middleware.Target, s middleware.Scheme) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.schemes == nil || len(m.schemes) >= maxProxies {
		m.schemes = make(map[string]middleware.Scheme)
	}
	m.schemes[t.Origin()] = s
}
