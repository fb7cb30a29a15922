package client

import (
	"net/http"

	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/tunnel"
)

// tunneled returns rt with its proxies authenticated to for https, where net/http
// opens the connections, with tokens of in.
func (o Options) tunneled(in middleware.Initiator, rt http.RoundTripper) http.RoundTripper {
	t, ok := rt.(*http.Transport)
	if !ok || t.Proxy == nil {
		return rt
	}
	return tunnel.New(in, t, o.Tunnel)
}
