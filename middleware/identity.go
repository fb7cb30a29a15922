package middleware

import (
	"context"
	"net/http"
)

// A Named is a [SecurityContext] that tells for which service it was made.
type Named interface {
	SecurityContext
	// SPN returns the service principal, such as HTTP/www.example.com@EXAMPLE.COM.
	SPN() string
}

// A Bound is a [SecurityContext] that tells whether it is tied to a connection.
type Bound interface {
	SecurityContext
	// Bound reports whether the token holds the channel bindings of a TLS connection
	// (RFC 5929).
	Bound() bool
}

// An Identified is a [SecurityContext] that tells its client principal.
type Identified interface {
	SecurityContext
	// Principal returns the client principal, such as alice@EXAMPLE.COM.
	Principal() string
}

// An Identifier is an [Initiator] that tells, before it makes a context, for which
// client principal it would. The owner of connections asks it, so that a connection
// that a server authenticated for one user never carries another's request. It is
// safe for concurrent use.
type Identifier interface {
	Initiator
	// Identity returns the client principal that a context for t would be made for
	// now, as [Identified] tells it, "" where there would be none. It is called for
	// each request, and must be fast. After an error the principal counts as unknown.
	Identity(ctx context.Context, t Target) (principal string, err error)
}

// PrincipalOf returns the client principal that signed r for its origin server, "" if
// none did or the context does not tell. Given resp.Request it tells an application
// who it was to the server.
func PrincipalOf(r *http.Request) string {
	if sc, ok := SecurityOf(r).(Identified); ok {
		return sc.Principal()
	}
	return ""
}
