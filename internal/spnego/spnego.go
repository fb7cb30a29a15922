// Package spnego encodes and decodes the tokens that follow "Negotiate" in
// HTTP headers: NegTokenInit and NegTokenResp (RFC 4178 section 4.2), and the
// frame around a mechanism's own tokens (RFC 2743 section 3.1, RFC 4121
// section 4.1). It holds no state and knows nothing of keys: who is verified
// by what is the business of the mechanism.
//
// Decoding takes DER only, refuses trailing bytes and never panics. What it
// returns points into the bytes it was given. Encoding appends to a slice, in
// one allocation at most. All functions are safe for concurrent use.
package spnego

import "errors"

// Errors of this package wrap one of these.
var (
	ErrMalformed = errors.New("malformed token")
	ErrMechanism = errors.New("unexpected mechanism")
)
