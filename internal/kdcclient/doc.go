// Package kdcclient asks key distribution centres for tickets: the AS and TGS
// exchanges of RFC 4120 sections 3.1 and 3.3, in one realm and across several,
// with referrals of clients and services (RFC 6806), over UDP and TCP (RFC 4120
// section 7.2).
//
// Every wait ends with the caller's context, every read is bounded, and no
// goroutine or socket outlives the call that made it. Nothing that arrives is
// believed because of where it came from: a reply counts when it opens under
// the right key, bears our nonce and names what was asked for. A KRB-ERROR,
// which anyone on the way can forge, steers bounded retries at most.
package kdcclient
