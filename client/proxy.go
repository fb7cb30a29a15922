package client

import (
	"net/http"

	"github.com/kerbchain/kerbchain/middleware/proxy"
)

// tunneled returns rt with its proxies authenticated to for https, where net/http
// opens the connections. Initiator is set.
func (o Options) tunneled(rt http.RoundTripper) http.RoundTripper {
	t, ok := rt.(*http.Transport)
	if !ok || t.Proxy == nil {
		return rt
	}
	return proxy.New(o.Initiator, t, o.Tunnel)
}
