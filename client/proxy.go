package client

import (
	"net/http"

	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/tunnel"
)

// tunneled returns t with tunnels of ours for https, which authenticate to proxies with
// tokens of in.
func (o Options) tunneled(in middleware.Initiator, t *http.Transport) http.RoundTripper {
	if t.Proxy == nil {
		return t
	}
	return tunnel.New(in, t, o.Tunnel)
}
