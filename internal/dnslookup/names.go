package dnslookup

import (
	"context"
	"net"
	"strings"
)

// Names looks up the names of hosts. It knows without asking that localhost has no other
// one (RFC 6761 section 6.3). Package net asks name servers: with the dot that keeps
// search domains away it does not find localhost in the hosts file.
type Names struct{ *net.Resolver }

// LookupCNAME is that of [net.Resolver], but for localhost and what is below it, which it
// returns without a dot at the end: so package net finds its addresses.
func (n Names) LookupCNAME(ctx context.Context, host string) (string, error) {
	if name := strings.ToLower(strings.TrimSuffix(host, ".")); name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return name, nil
	}
	return n.Resolver.LookupCNAME(ctx, host)
}
