// Package tunnel authenticates to the HTTP proxies that https goes through. Begin
// with [New], or leave it to package client. A transport asks such a proxy for a
// tunnel (CONNECT, RFC 9110 section 9.3.6) when it opens a connection, and reports
// its 407 as an error, so that no stage can answer it. New sets two hooks of an
// [http.Transport] that put a token on CONNECT, and sends a request again whose
// CONNECT was refused without one. What a proxy proves never counts for the server
// behind it.
//
// A [Transport] is no stage, and stands below all stages. It does nothing for plain
// HTTP, where the negotiate stage answers a proxy's 407, nor without a proxy, nor for
// SOCKS proxies.
//
// Leave it out where no proxy asks for Negotiate (RFC 4559). A proxy whose URL has a
// user name gets that and no token, and so does one for which ProxyConnectHeader or
// GetProxyConnectHeader sets Proxy-Authorization.
package tunnel
