package kerberos

import (
	"context"

	"github.com/kerbchain/kerbchain/internal/inspect"
)

// tell tells what the source goes by, for a service.
func (s *Source) tell(ctx context.Context, to *inspect.Source, spn string) {
	to.Config, to.KDCs, to.Now, to.Ours, to.FallbackRealm = s.conf, s.kdc, s.o.Now, s.ours, s.fallbackRealm
	if names, err := s.names(); err == nil {
		to.Names = names
	}
	var cache *cacheCredentials
	switch creds := s.creds.(type) {
	case *cacheCredentials:
		cache = creds
	case *environmentCredentials:
		cache = creds.cache
		for _, kt := range creds.keytabs {
			to.ClientKeytabs = append(to.ClientKeytabs, kt.path)
		}
	case *keytabCredentials:
		to.Keytab = creds.path
	}
	if cache == nil {
		return
	}
	// Why there is none to tell of, the choice itself says.
	server, err := s.server(spn)
	if err != nil {
		return
	}
	if primary, err := cache.collection.Primary(ctx); err == nil {
		if store, why, err := cache.pick(ctx, primary, server); err == nil {
			to.Store, to.Why = store, why
		}
	}
}
