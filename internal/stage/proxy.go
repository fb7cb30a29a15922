package stage

import (
	"errors"
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

var errNoProxy = errors.New("no HTTP proxy is known for this request, and an origin server gets no token for one: " +
	"set Options.Proxy to the function that the transport uses")

// errOwnProxy: net/http sends such credentials in place of any token.
var errOwnProxy = errors.New("the URL of the proxy bears a user, whose credentials net/http sends in place of a token: leave them out")

// ProxyOf returns the HTTP proxy that r goes through by what the transport's function
// says, which may be nil. An error says why no proxy can get a token.
func ProxyOf(r *http.Request, proxy func(*http.Request) (*url.URL, error)) (middleware.Target, error) {
	none := middleware.Target{Proxy: true}
	if proxy == nil {
		return none, errNoProxy
	}
	u, err := proxy(r)
	switch {
	case err != nil:
		return none, err
	case u == nil || u.Scheme != "http" && u.Scheme != "https":
		return none, errNoProxy
	case u.User != nil:
		return none, errOwnProxy
	}
	return ProxyTarget(u), nil
}
