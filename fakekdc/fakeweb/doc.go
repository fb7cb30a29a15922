// Package fakeweb is the web half of a realm of package fakekdc: services and proxies
// that verify HTTP Negotiate (RFC 4559), and the servers that they run in.
//
//	realm := fakekdc.Start(t,
//		fakekdc.WithUser("alice", "secret"),
//		fakekdc.WithService("HTTP/localhost"))
//	web := fakeweb.New(realm, "HTTP/localhost", fakeweb.Options{})
//	server := fakeweb.Serve(realm, web, fakeweb.ServerOptions{TLS: true})
//
// A service is strict always: it opens tickets, verifies authenticators and channel
// bindings (RFC 5929), and takes no token twice. It is rude by request: see [Quirks].
// What it was asked is in [Handler.Requests]. Package fakewinrm has endpoints whose
// messages are sealed.
//
// [ServerOptions].InMemory does without a socket. Together with
// [fakekdc.WithoutSockets] a whole test fits into a bubble of testing/synctest.
//
// TEST ONLY, as fakekdc is.
package fakeweb
