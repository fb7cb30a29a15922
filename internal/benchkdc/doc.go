// Package benchkdc asks a KDC for tickets as fast as it answers, to measure it:
// AS and TGS exchanges (RFC 4120 sections 3.1 and 3.3) over UDP and TCP. What is
// asked is what clients ask, with fresh nonces, timestamps and authenticators, so
// that nothing is answered from a cache of replies.
//
// It is a load for machines of one's own: it speaks to loopback addresses alone,
// and workers and time are bounded.
package benchkdc
