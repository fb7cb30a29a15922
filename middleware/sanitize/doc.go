// Package sanitize is the stage that empties error responses of servers that did not
// prove who they are. Begin with [New] and its zero [Options].
//
// Servers seldom sign their error responses, so mutual passes them even where it
// requires proof. An impostor could use that to set cookies, redirect, or attack a
// parser. Of a response with status 400 and above that neither a security context
// verified nor its connection ([middleware.Trusted]), this is left:
//
//   - status, status line and protocol version,
//   - the header fields Date and Server,
//   - of status 401 the challenges in WWW-Authenticate, of status 407 those in
//     Proxy-Authenticate, without which nobody could answer them,
//   - of status 429 and 503 the value of Retry-After (RFC 9110 section 10.2.3),
//     parsed, rewritten and at most an hour, so that clients still back off,
//   - the request that it answers, and the state of the TLS connection.
//
// The body is closed and replaced by an empty one; all other header fields,
// cookies, Location and trailers among them, are gone. Since this happens below
// [http.Client], its cookie jar never sees the cookies.
//
// # Order
//
// The stage stands outside (before, in [kerbchain.Chain]) mutual, which verifies, and
// negotiate, which needs challenges whole, and inside logging. Without a stage that
// verifies, it empties every error response.
//
// # When to leave it out
//
// Leave it out where error bodies are needed and the server's TLS certificate is
// proof enough, or together with mutual. Options.Keep passes some responses, such as
// the SOAP faults of WinRM or the body of a final 401.
package sanitize
