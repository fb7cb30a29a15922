package middleware

import "context"

// A SecurityContext is one GSS-API context (RFC 2743 section 2.2) being set up
// with one peer for one request. It is driven by the goroutine that runs the
// request and is not safe for concurrent use, save Verified and Target. One that can
// tell or do more is a [Named], [Identified], [Bound], [Discarder] or [Sealer] too.
type SecurityContext interface {
	// Step takes the peer's token, nil at first, and returns ours, nil when none is
	// owed. Tokens are raw bytes, not base64; the caller owns both. After an error
	// the context must not be used.
	Step(ctx context.Context, token []byte) ([]byte, error)
	// Verified reports whether the peer has proved who it is.
	Verified() bool
	// Target returns what the context was made for.
	Target() Target
}

// A Named is a [SecurityContext] that tells for which service it was made.
type Named interface {
	// SPN returns the service principal, such as HTTP/www.example.com@EXAMPLE.COM.
	SPN() string
}

// A Bound is a [SecurityContext] that tells whether it is tied to a connection.
type Bound interface {
	// Bound reports whether the token holds the channel bindings of a TLS connection
	// (RFC 5929).
	Bound() bool
}

// An Identified is a [SecurityContext] that tells its client principal.
type Identified interface {
	// Principal returns the client principal, such as alice@EXAMPLE.COM.
	Principal() string
}

// A Discarder is a [SecurityContext] that can drop the ticket it was made with. The
// negotiate stage does so, once in a call, where a server says that it cannot use the
// ticket, as when its key has changed.
type Discarder interface {
	// Discard drops the ticket, so that the next context for the same peer is made
	// with one that is fetched anew. It reports false if that would not help, as with
	// a ticket that was just fetched. Anybody can forge what the server said, so an
	// implementation bounds how often it asks a KDC because of it.
	Discard() bool
}

// A Sealer is a [SecurityContext] that can also protect messages once it is
// established (RFC 2743 section 2.3), each a token in two parts: a header and data as
// long as the message, as EncryptMessage of Windows' SSPI makes them. The messages of
// each direction are numbered, and must be opened in the order in which the peer
// sealed them. It is safe for concurrent use.
type Sealer interface {
	// Seal appends to dst a token with integrity and confidentiality, of which
	// the first header bytes are the header. It does not keep or change plain,
	// which must not overlap dst.
	Seal(dst, plain []byte) (out []byte, header int, err error)
	// Open verifies and decrypts what the peer sealed, and returns it, in the
	// memory of data if it can; with an error data holds no plaintext. Errors
	// are of type [*Error], with a Reason such as [ReasonTampered] or [ReasonReplayed].
	// Padding, which RC4 may have, stays.
	Open(header, data []byte) (plain []byte, err error)
}

// An Initiator starts security contexts. It is safe for concurrent use.
type Initiator interface {
	// Initiate finds credentials for t and returns a context whose first token is
	// still to be made by Step. It may wait for the network, and returns when ctx
	// ends. Its errors are of type [*Error].
	Initiate(ctx context.Context, t Target) (SecurityContext, error)
}

// InitiatorFunc makes a function an [Initiator].
type InitiatorFunc func(ctx context.Context, t Target) (SecurityContext, error)

// Initiate calls f.
func (f InitiatorFunc) Initiate(ctx context.Context, t Target) (SecurityContext, error) {
	return f(ctx, t)
}

// An Identifier is an [Initiator] that tells, before it makes a context, for which
// client principal it would. The owner of connections asks it, so that a connection
// that a server authenticated for one user never carries another's request. It is
// safe for concurrent use.
type Identifier interface {
	// Identity returns the client principal that a context for t would be made for
	// now, as [Identified] tells it, "" where there would be none. It is called for
	// each request, and must be fast. After an error the principal counts as unknown.
	Identity(ctx context.Context, t Target) (principal string, err error)
}
