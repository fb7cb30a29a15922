package middleware

import (
	"context"
	"net/http"
)

type trustKey struct{}

// WithTrust returns a shallow copy of r that says whether the response to it
// counts as verified because of the connection that it came over: the server
// proved who it is on that connection before, in a response to another request.
// r is not changed.
//
// It is for the stage that knows connections. Such a stage must also take the
// mark off the requests that it passes down, for a caller may have made them
// of an earlier response's.
func WithTrust(r *http.Request, trusted bool) *http.Request {
	if Trusted(r) == trusted {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), trustKey{}, trusted))
}

// Trusted reports whether the response to r counts as verified because of its
// connection; r may be nil. Nothing was proved by such a response itself: the
// security context of its request ([SecurityOf]) is nil if nothing signed it,
// and is not verified.
func Trusted(r *http.Request) bool {
	if r == nil {
		return false
	}
	trusted, _ := r.Context().Value(trustKey{}).(bool)
	return trusted
}
