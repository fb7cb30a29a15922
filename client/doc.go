// Package client makes HTTP clients that speak Kerberos. Begin with [New], which
// returns an *http.Client. [NewRetryable] returns one that retries, [NewWinRM] one
// for WinRM, and [NewStack] the stages by name, to leave one out or replace it.
// [NewSigner] signs requests that are not sent through a [net/http.RoundTripper],
// such as the handshake of a WebSocket.
//
// The zero [Options] means all standard stages, and the credentials of the
// environment: the cache that kinit filled, or a client keytab.
package client
