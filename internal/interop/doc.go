// Package interop holds no code, only tests of kerbchain against the peers of
// the real world: MIT's KDC and tools, Apache with mod_auth_gssapi, curl, and
// the acceptor of gokrb5. Those that need programs of the machine have the build
// tag interop and run with
//
//	make interop
//
// A program that is missing fails them, with the name of its Debian package; it
// never skips them. They start their own servers, as no service of the system,
// on free ports of the loopback interface, and keep all files in temporary
// folders, which go when they end.
package interop
