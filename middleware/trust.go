package middleware

import "net/http"

type trustKey struct{}

// trust says which call marked a response as trusted, and which was the innermost
// call around its request at that time.
type trust struct{ by, at *mark }

// trustOf returns the mark of a response's request. One that was made of it since,
// and sent by a further call, has none.
func trustOf(r *http.Request) (trust, bool) {
	if r == nil {
		return trust{}, false
	}
	t, ok := r.Context().Value(trustKey{}).(trust)
	return t, ok && t.at == markOf(r.Context())
}

// Trusted reports whether the response to r counts as verified because of its
// connection, or of a proxy ([Call.Trust]); r may be nil. Such a response proved
// nothing itself: its security context ([SecurityOf]) is nil or not verified.
func Trusted(r *http.Request) bool {
	_, ok := trustOf(r)
	return ok
}
