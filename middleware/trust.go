package middleware

import (
	"context"
	"net/http"
)

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

// Trust makes resp count as verified although its context verified nothing: the
// server proved itself on the same connection before, in a response to another
// request, or a proxy did that is trusted to speak for it. Only the stage that
// verifies calls it. It replaces resp.Request, which must not be nil, by a copy.
func (c Call) Trust(resp *http.Response) {
	ctx := resp.Request.Context()
	resp.Request = resp.Request.WithContext(context.WithValue(ctx, trustKey{}, trust{by: c.mark, at: markOf(ctx)}))
}

// Trusted reports whether a stage marked resp within the call; see [Trusted].
func (c Call) Trusted(resp *http.Response) bool {
	if resp == nil {
		return false
	}
	t, ok := trustOf(resp.Request)
	return ok && t.by.within(c.mark)
}
