package kerberos

import "context"

// FallbackRealm is what a source falls back on for the realm of a host.
func (s *Source) FallbackRealm(ctx context.Context, host string) string {
	return s.fallbackRealm(ctx, host)
}
