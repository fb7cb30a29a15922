package tunnel

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/kerbchain/kerbchain/internal/lru"
	"github.com/kerbchain/kerbchain/internal/replay"
	"github.com/kerbchain/kerbchain/internal/sign"
	stages "github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

// A Transport is an [http.Transport] that authenticates to proxies; see [New]. It is
// safe for concurrent use, and for one user, as its connections are.
//
// The caller's GetProxyConnectHeader is called for each CONNECT, and its header sent
// beside the token; without one, ProxyConnectHeader is. The caller's
// OnProxyConnectResponse sees every response, 407 included. Its request carries the
// context that signed it, and not the token: [middleware.ProxySecurityOf] tells
// whether the proxy proved itself. Its error counts if the response is not refused
// already.
type Transport struct {
	o      Options
	signer sign.Signer
	base   *http.Transport
	known  lru.Map[string, middleware.Scheme] // by origin: the proxies that want a token, and by which scheme

	// The caller's hooks.
	proxy    func(*http.Request) (*url.URL, error)
	header   func(ctx context.Context, proxy *url.URL, target string) (http.Header, error)
	answered func(ctx context.Context, proxy *url.URL, r *http.Request, resp *http.Response) error
}

// maxProxies bounds known. A proxy that is forgotten costs one CONNECT to be learned
// again.
const maxProxies = 1024

// RoundTrip sends a request, and tries again if the proxy refused the tunnel and
// another token may help. The request's body is not read before there is a tunnel.
//
// If the proxy refuses, the error is of type [*middleware.Error] around a
// [*ConnectError] and [ErrTunnel]; if its token is wrong, or missing and required,
// around [middleware.ErrNotVerified]. Other errors are those of the initiator, with
// the proxy as host, and those of net/http.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	c := t.calling(r)
	if c == nil {
		return t.base.RoundTrip(r)
	}
	defer c.done.Store(true)
	// The transport closes the body of a request that got no connection, without
	// reading it, and may read that of one whose connection was dead.
	bodies, err := replay.New(r, replay.Options{Limit: -1})
	if err != nil {
		return nil, err
	}
	defer func() { _ = bodies.Close() }() // of what was never sent; there is an error already
	var refused error
	for {
		next, err := bodies.Next()
		if err != nil {
			return nil, noBody(r, errors.Join(err, refused))
		}
		sent := next.WithContext(t.within(r.Context(), c))
		resp, err := t.base.RoundTrip(sent)
		if resp != nil && resp.Request == sent {
			resp.Request = r
		}
		if !c.again(err) {
			return resp, err
		}
		refused = err
	}
}

// noBody is the error of a request that is to be sent again and cannot be.
func noBody(r *http.Request, err error) error {
	if !errors.Is(err, replay.ErrNotReplayable) {
		return err
	}
	return &middleware.Error{
		Stage: name, Kind: middleware.ErrBodyNotReplayable, Host: stages.Host(r),
		Hint: "set Request.GetBody, or let every CONNECT be signed (Options.Always)", Err: err,
	}
}

// calling returns the call for a request that goes through a tunnel, nil for
// others, which must not pay for it. The caller's function is asked once more for
// those, by the transport.
func (t *Transport) calling(r *http.Request) *call {
	if r.URL == nil || r.URL.Scheme != "https" {
		return nil
	}
	at := stages.HTTPProxy(t.proxy, r)
	if at == nil {
		return nil
	}
	c := newCall(r.Context())
	c.proxy = at
	return c
}

// chosen is the Proxy of the transport: the function of the caller's, or what it
// said for this call already.
func (t *Transport) chosen(r *http.Request) (*url.URL, error) {
	if c := t.callOf(r.Context()); c != nil && c.proxy != nil {
		return c.proxy, nil
	}
	return t.proxy(r)
}

// NewClientConn opens one connection outside the pool, through the proxy if there is
// one; see [http.Transport.NewClientConn]. Errors are those of RoundTrip.
func (t *Transport) NewClientConn(ctx context.Context, scheme, address string) (*http.ClientConn, error) {
	c := newCall(ctx)
	defer c.done.Store(true)
	for {
		conn, err := t.base.NewClientConn(t.within(ctx, c), scheme, address)
		if !c.again(err) {
			return conn, err
		}
	}
}

// CloseIdleConnections closes the connections that wait for a request.
func (t *Transport) CloseIdleConnections() { t.base.CloseIdleConnections() }
