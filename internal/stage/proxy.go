package stage

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/kerbchain/kerbchain/middleware"
)

// HTTPProxy returns the HTTP proxy that r goes through, as the Proxy of an
// [http.Transport] names it: nil for none, for a SOCKS proxy, and where that is not known.
func HTTPProxy(proxy func(*http.Request) (*url.URL, error), r *http.Request) *url.URL {
	if proxy == nil || r.URL == nil {
		return nil
	}
	at, err := proxy(r)
	if err != nil || at == nil || strings.HasPrefix(at.Scheme, "socks") {
		return nil
	}
	return at
}

// ProxyTarget returns the target that tokens for a proxy are for.
func ProxyTarget(proxy *url.URL) middleware.Target {
	t := middleware.TargetOfURL(proxy)
	t.Proxy = true
	return t
}
