package client

import (
	"context"
	"errors"
	"net/http"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/tunnel"
)

// New returns a client whose transport is the standard stack. It has no
// timeout and no cookie jar; set them as on any other client. It is safe for
// concurrent use. Idle connections are closed with CloseIdleConnections.
//
// Errors of requests are [*url.Error] with a [*middleware.Error] inside where a
// stage failed. A failed authentication is not an error but the response 401.
func New(o Options) (*http.Client, error) {
	rt, err := NewTransport(o)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: rt}, nil
}

// NewTransport returns the standard stack as an [http.RoundTripper], for a client of
// your own. It shares no connections with other transports, and keeps those of each
// client principal apart; see [Connections].
func NewTransport(o Options) (http.RoundTripper, error) {
	in, err := o.initiator(false)
	if err != nil {
		return nil, err
	}
	var base http.RoundTripper
	base, o.Proxy = o.transport()
	_, netHTTP := base.(*http.Transport)
	rt := o.stack(in, netHTTP).Wrap(o.connections(in, base, func(t *http.Transport) http.RoundTripper {
		return withHTTP1(t, func(t *http.Transport) http.RoundTripper { return tunnel.New(in, t, o.Tunnel) })
	}))
	if o.OneConnection {
		rt = &inTurn{next: rt}
	}
	return rt, nil
}

// NewRetryable returns a client that retries requests through one of [New]. Each try
// is signed anew. [CheckRetry] decides whether to try again. The logger of
// retryablehttp is off, since it writes URLs.
func NewRetryable(o Options) (*retryablehttp.Client, error) {
	c, err := New(o)
	if err != nil {
		return nil, err
	}
	r := retryablehttp.NewClient()
	r.HTTPClient = c
	r.CheckRetry = CheckRetry
	r.Logger = nil
	return r, nil
}

// CheckRetry is a [retryablehttp.CheckRetry] that knows the errors of stages. It
// retries those that are temporary ([middleware.Error.Temporary]), such as an
// unreachable KDC, and no others: a wrong password would lock the account, and a
// server that did not prove itself will not do so next time. It leaves everything
// else to [retryablehttp.DefaultRetryPolicy].
func CheckRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if e, ok := errors.AsType[*middleware.Error](err); ok {
		return e.Temporary(), nil
	}
	return retryablehttp.DefaultRetryPolicy(ctx, resp, err)
}
