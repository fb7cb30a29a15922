// Package sanitize is the stage that empties error responses of servers that
// did not prove who they are.
//
// A server seldom signs its error responses, so mutual lets them pass even
// where it requires proof. Whoever answers in the server's place could use
// that to plant cookies, redirect, or feed a parser. Of a response of status
// 400 and above that no security context verified, nor its connection
// ([middleware.Trusted]), this is left:
//
//   - status, status line and protocol version,
//   - the header fields Date and Server,
//   - of status 401 the challenges in WWW-Authenticate, of status 407 those in
//     Proxy-Authenticate, without which nobody could answer them,
//   - of status 429 and 503 the value of Retry-After (RFC 9110 section 10.2.3),
//     written anew and an hour at most, so that retries back off as they are told,
//   - the request that it answers, and the state of the TLS connection.
//
// The body is closed and replaced by an empty one; all other header fields,
// cookies, Location and trailers among them, are gone. Since this happens below
// [http.Client], its cookie jar never sees the cookies.
//
// # Order
//
// The stage stands outside (before, in [kerbchain.Chain]) mutual, which
// verifies, and negotiate, which needs challenges whole, and inside logging. Without a stage that verifies, it empties every
// error response.
//
// # When to leave it out
//
// Leave it out where error bodies are needed and TLS with a trusted certificate
// names the server well enough, or together with mutual. Where some responses
// alone are needed, such as the SOAP faults of WinRM or the body of a final 401,
// say so with Options.Keep.
package sanitize
