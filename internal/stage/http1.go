package stage

import (
	"context"
	"net/http"
)

type http1Key struct{}

// http1 is what a request's context says of HTTP/1.1.
type http1 uint8

const (
	http1Offered http1 = iota + 1
	http1Wanted
)

// WantHTTP1 returns a shallow copy of r that asks the transport for HTTP/1.1,
// since the server does not authenticate over HTTP/2. A transport that does not
// know of it takes what it would take otherwise; see [HTTP1Offered].
func WantHTTP1(r *http.Request) *http.Request { return withHTTP1(r, http1Wanted) }

// HTTP1Wanted reports whether r asks for HTTP/1.1.
func HTTP1Wanted(r *http.Request) bool { return http1Of(r) == http1Wanted }

// OfferHTTP1 returns a shallow copy of r that says that its transport heeds
// [WantHTTP1]. Transports that do put it into the responses of HTTP/2 that they
// return, as resp.Request.
func OfferHTTP1(r *http.Request) *http.Request { return withHTTP1(r, http1Offered) }

// HTTP1Offered reports whether resp came over HTTP/2 from a transport that heeds
// [WantHTTP1].
func HTTP1Offered(resp *http.Response) bool {
	return resp != nil && resp.ProtoMajor >= 2 && http1Of(resp.Request) == http1Offered
}

func withHTTP1(r *http.Request, v http1) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), http1Key{}, v))
}

func http1Of(r *http.Request) http1 {
	if r == nil {
		return 0
	}
	v, _ := r.Context().Value(http1Key{}).(http1)
	return v
}
