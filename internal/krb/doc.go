// Package krb is the codec of Kerberos: principals, prepared keys, and every message
// that a client, a KDC, an acceptor or a password service of this module reads or
// writes (RFC 4120, 3961, 3962, 8009, 4757, 3244, 6806, MS-KILE, MS-SFU, MS-KKDCP).
// One file is about one message, both ways, and numbers.go has all numbers. What a
// message means, and whether to believe it, is for those who use it.
//
// Everything here takes bytes from strangers: lengths are checked before use,
// encryption types must match their keys, iteration counts are capped, and a
// ticket is kept as the bytes that arrived, never encoded anew.
package krb
