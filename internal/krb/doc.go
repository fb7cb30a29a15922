// Package krb is the door to Kerberos primitives: principals, prepared keys,
// tickets, and the few ASN.1 messages that the client side and the acceptor
// share (RFC 4120, RFC 3961, RFC 3962, RFC 8009, RFC 4757).
//
// Everything here takes bytes from strangers: lengths are checked before use,
// encryption types must match their keys, iteration counts are capped, and a
// ticket is kept as the bytes that arrived, never encoded anew.
package krb
