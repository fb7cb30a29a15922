package tunnel

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"

	stages "github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

// field is where tokens for proxies go (RFC 9110 section 11.7.2).
const field = "Proxy-Authorization"

// connectHeader is called before each CONNECT, once the proxy was reached.
func (t *Transport) connectHeader(ctx context.Context, proxy *url.URL, target string) (http.Header, error) {
	h, err := t.header(ctx, proxy, target)
	if err != nil {
		return nil, err
	}
	if h = h.Clone(); h == nil {
		h = make(http.Header)
	}
	c := t.callOf(ctx)
	if c == nil || proxy.User != nil || len(h.Values(field)) > 0 {
		return h, nil
	}
	value, sc, err := t.token(ctx, c, stages.ProxyTarget(proxy))
	if err != nil {
		return nil, err
	}
	connects := c.connects.Add(1)
	if sc != nil {
		c.signed.Store(value, sc)
		h.Set(field, value)
		c.emit(middleware.SendEvent{Stage: name, Host: sc.Target().HostPort(), Request: int(connects)})
	}
	return h, nil
}

// token returns a header value for the proxy and who made it, nil if it is to
// get none.
func (t *Transport) token(ctx context.Context, c *call, proxy middleware.Target) (string, middleware.SecurityContext, error) {
	scheme, known := t.known.Get(proxy.Origin())
	if !known && !t.o.Always {
		return "", nil, nil
	}
	proxy.Scheme = cmp.Or(scheme, middleware.Negotiate)
	ctx, cancel := c.bound(ctx)
	defer cancel()
	token, err := t.signer.ForProxy(ctx, proxy)
	switch {
	case errors.Is(err, middleware.ErrNotAllowed):
		// What the proxy says without decides, as it does for servers.
		c.forbidden.Store(&err)
		return "", nil, nil
	case err != nil:
		return "", nil, noToken(err, proxy)
	}
	return stages.Value(token.Context, token.Bytes), token.Context, nil
}

// connectResponse is called with the answer to each CONNECT.
func (t *Transport) connectResponse(ctx context.Context, proxy *url.URL, r *http.Request, resp *http.Response) error {
	a := &answer{t: t, call: t.callOf(ctx), proxy: stages.ProxyTarget(proxy), r: r, resp: resp}
	if a.call == nil {
		a.call = newCall(ctx)
	}
	values := r.Header.Values(field)
	if len(values) == 1 {
		if sc, ours := a.call.signed.LoadAndDelete(values[0]); ours {
			a.sc = sc.(middleware.SecurityContext)
		}
	}
	a.own = len(values) > 0 && a.sc == nil
	err := a.judge(ctx)
	if t.answered == nil {
		return err
	}
	seen := r
	if a.sc != nil {
		seen = middleware.WithSecurity(r, a.sc)
		seen.Header = r.Header.Clone()
		seen.Header.Del(field)
		resp.Request = seen
	}
	return cmp.Or(err, t.answered(ctx, proxy, seen, resp))
}
