// Package spake is the arithmetic of SPAKE pre-authentication (RFC 9588): groups,
// both sides of the exchange, the transcript and the keys that come of it. Messages
// are those of internal/krb.
package spake
