// Package mutual is the stage that demands that servers prove who they are.
//
// It looks at every response but 401 and 407, which belong to the stages that
// sign. The server's token is taken from the response and given to the security
// context that signed the request (RFC 4559 section 5, RFC 2743 section 2.2.1).
// What follows depends on the [Mode]:
//
//	mode      verified  no token, below 400  no token, 400 and above  bad token
//	Required  pass      error                pass, not verified       error
//	Optional  pass      pass                 pass                     error
//	Disabled  pass      pass                 pass                     pass
//
// An error is a [*middleware.Error] that wraps [middleware.ErrNotVerified]; its
// Reason says why, and the response's body is closed. A response that passes is
// passed as it is: its body is neither read nor wrapped, so that one of status
// 101 can still be written to. Whether it was verified says
// [middleware.SecurityOf] of its request.
//
// A token that says "completed" and proves nothing, as acceptors send that have
// no mutual authentication, counts as none.
//
// A request that nothing signed counts as one without a token, whatever the
// server sends: there is nothing to hold its answer against. With [Required],
// hosts that ask for no authentication are therefore refused; use
// [kerbchain.When] to apply the stage to some hosts only, and [Optional] where
// requests are signed by other means.
//
// Over plain HTTP a proxy may ask for authentication, and prove itself in a
// Proxy-Authenticate or Proxy-Authentication-Info header. That says nothing of the
// server behind it: a request signed for the proxy alone is verified by it only
// with Options.TrustProxy. A proxy's bad token is an error whatever the origin
// server proved.
//
// # Trust in a connection
//
// IIS, WinRM and others authenticate a connection once, and send no more tokens
// on it. With Options.TrustConnection a response without a token counts as
// verified, whatever its status, when it came over a connection of HTTP/1.1 on
// which an earlier response was verified, for the same origin, by the same wiring
// of the stage. [middleware.Trusted] of its request tells such a response, for
// which sanitize asks too; no security context is verified by it.
//
// It is the connection itself that is trusted, never its address: a new one to
// the same server has to be verified anew. A bad token ends the trust. Nothing is
// trusted that cannot be told apart: a response over HTTP/2, whose connections
// are shared; one that came over plain HTTP through a proxy; and one from a
// transport that does not report its connections ([httptrace.ClientTrace]), or
// wraps them in a type that does not say by a method NetConn() [net.Conn] what is
// in it.
//
// What this is worth is what the connection is worth: over TLS nobody else can
// write to it; over plain HTTP whoever is in between can, and then only messages
// that are sealed one by one (a [middleware.Sealer]) are safe.
//
// # Order
//
// The stage stands outside (before, in [kerbchain.Chain]) the stages that sign
// and inside sanitize, which empties what mutual passes unverified. A context
// counts if it signed the request within this very call, or came with it and had
// verified nothing yet ([middleware.Call]): a request taken from an earlier
// response can be sent again without harm, and a response that a transport kept
// proves nothing.
//
// # When to leave it out
//
// Leave it out where the server sends no token and TLS with a trusted
// certificate names it well enough, or say [Optional] and be told at least of
// bad tokens. An initiator that was told not to ask for proof goes with
// [Disabled]: its server's tokens prove nothing. Message encryption (a [middleware.Sealer]) needs the server's
// token, hence Required or Optional.
package mutual
