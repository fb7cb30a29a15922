package tunnel

import (
	"github.com/kerbchain/kerbchain/internal/lru"
	"github.com/kerbchain/kerbchain/middleware"
)

// maxProxies bounds what is remembered. A proxy that is forgotten costs one CONNECT
// to be learned again.
const maxProxies = 1024

// A memory holds which proxies want a token, and for which scheme. The zero
// value is empty.
type memory struct {
	schemes lru.Map[string, middleware.Scheme]
}

func (m *memory) get(t middleware.Target) (middleware.Scheme, bool) {
	return m.schemes.Get(t.Origin())
}

func (m *memory) put(t middleware.Target, s middleware.Scheme) {
	m.schemes.Put(t.Origin(), s, maxProxies)
}
