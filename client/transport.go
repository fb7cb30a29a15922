package client

import (
	"net/http"
	"net/url"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/middleware"
)

// transport returns the transport, and the function by which it chooses proxies.
func (o Options) transport() (http.RoundTripper, func(*http.Request) (*url.URL, error)) {
	var t *http.Transport
	switch rt := o.Transport.(type) {
	case nil:
		t = kerbchain.NewTransport()
	case *http.Transport:
		t = rt.Clone()
	default:
		return rt, o.Proxy
	}
	if o.OneConnection {
		t = pinned(t)
	}
	if o.Proxy != nil {
		t.Proxy = o.Proxy
	}
	return t, t.Proxy
}

// connections returns a transport like base that keeps the connections of each principal
// of in apart. wire wraps each of its clones.
func (o Options) connections(in middleware.Initiator, base http.RoundTripper, wire func(*http.Transport) http.RoundTripper) http.RoundTripper {
	t, ok := base.(*http.Transport)
	if !ok {
		return newForeign(in, o.Proxy, base)
	}
	return newConnections(in, t.Proxy, func() http.RoundTripper { return wire(t.Clone()) })
}

// pinned returns a transport like t with one connection of HTTP/1.1 for each host.
func pinned(t *http.Transport) *http.Transport {
	t = http1Only(t)
	t.MaxConnsPerHost, t.MaxIdleConnsPerHost, t.DisableKeepAlives = 1, 1, false
	return t
}

// closeIdle closes the idle connections of a transport that can.
func closeIdle(rt http.RoundTripper) { (&http.Client{Transport: rt}).CloseIdleConnections() }
