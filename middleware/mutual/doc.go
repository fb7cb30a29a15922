// Package mutual is the stage that demands that servers prove who they are. Begin
// with [New] and its zero [Options], which refuse every response without proof.
//
// It looks at every response but 401 and 407, which belong to the stages that sign.
// It gives the server's token to the security context that signed the request (RFC
// 4559 section 5, RFC 2743 section 2.2.1). What follows depends on the [Mode]:
//
//	mode      verified  no token, below 400  no token, 400 and above  bad token
//	Required  pass      error                pass, not verified       error
//	Optional  pass      pass                 pass                     error
//	Disabled  pass      pass                 pass                     pass
//
// An error is a [*middleware.Error] that wraps [middleware.ErrNotVerified]; its
// Reason says why, and the response's body is closed. Where the stage watches
// connections, as Required and TrustConnection do, that of HTTP/1 over which a refused
// response came is ended with it; one that the transport has in its pool by then, when it
// is given to the next request that can be sent again. A response that passes is not changed: its body is
// neither read nor wrapped, so that of a 101 can still be written to.
// [middleware.SecurityOf] of its request tells whether it was verified.
//
// A token that says "completed" and proves nothing counts as none; acceptors without
// mutual authentication send such tokens.
//
// The response to an unsigned request counts as one without a token, whatever the
// server sends, since no context can verify it. So [Required] refuses hosts that ask
// for no authentication: apply the stage to some hosts only with [kerbchain.When], or
// use [Optional] where requests are signed by other means.
//
// Over plain HTTP a proxy may ask for authentication, and prove itself in a
// Proxy-Authenticate or Proxy-Authentication-Info header. That proves nothing of the
// server behind it: only Options.TrustProxy lets it verify a request that was signed
// for the proxy alone. A proxy's bad token is an error, whatever the origin server
// proved.
//
// # Trust in a connection
//
// IIS, WinRM and others authenticate a connection once, and send no more tokens on
// it. With Options.TrustConnection a response without a token counts as verified,
// whatever its status, if it came over a connection of HTTP/1.1 on which the same
// wiring of the stage verified an earlier response, for the same origin.
// [middleware.Trusted] of its request is true then, and sanitize heeds that; no
// security context is verified by it.
//
// The connection itself is trusted, never its address: a new one to the same server
// must be verified again. A bad token ends the trust. Some connections are never
// trusted: those of HTTP/2, which are shared; those that lead to a proxy over plain
// HTTP; and those that the transport does not report ([httptrace.ClientTrace]), or
// wraps in a type without a method NetConn() [net.Conn].
//
// This is worth what the connection is worth. Over TLS nobody else can write to it.
// Over plain HTTP anybody on the way can, and only messages that are sealed one by
// one (a [middleware.Sealer]) are safe.
//
// # Order
//
// The stage stands outside (before, in [kerbchain.Chain]) the stages that sign and
// inside sanitize, which empties what mutual passes unverified. A context counts if
// it signed the request within this call, or came with it and had verified nothing
// yet ([middleware.Call]). So a request taken from an earlier response can be sent
// again, and a cached response proves nothing.
//
// # When to leave it out
//
// Leave it out where the server sends no token and its TLS certificate is proof
// enough; [Optional] then still refuses bad tokens. Use [Disabled] with an initiator
// that does not ask for proof, since its server's tokens prove nothing. Message
// encryption (a [middleware.Sealer]) needs the server's token, and so Required or
// Optional.
package mutual
