// Package tunnel authenticates to HTTP proxies that https goes through. There a
// proxy is asked for a tunnel (CONNECT, RFC 9110 section 9.3.6) when a connection
// is opened and sees nothing of the requests, so that no stage can answer its
// 407: what net/http offers are two hooks of an [http.Transport]. [New] wires
// them, and sees to it that a request whose CONNECT was refused for want of a
// token is sent once more with one. What a proxy proves of itself is said of
// its tunnel alone and never counts for the server behind it.
//
// It is a transport and no stage, to be put below all stages; package client
// does. Plain HTTP passes through untouched: there a proxy's 407 is a response,
// which the negotiate stage answers and the mutual stage judges. So do
// connections without a proxy, and SOCKS proxies.
//
// Leave it out where no proxy asks for Negotiate (RFC 4559). A proxy whose URL
// bears a user name gets that and no token, as does one for which the caller's
// own ProxyConnectHeader or GetProxyConnectHeader sets Proxy-Authorization.
package tunnel
