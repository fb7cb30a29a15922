// Package client puts the stages together for those who want Kerberos and not
// its parts: [New] returns an *http.Client, [NewRetryable] a client that retries,
// and [NewStack] the named stages themselves, to leave one out or to replace it.
// [NewSigner] signs what is sent through no [net/http.RoundTripper], such as the
// handshake of a WebSocket.
//
// The zero [Options] is the full standard stack with the credentials of the
// environment: the cache that kinit filled, or a client keytab.
package client
