// Package gssapi signs requests with the machine's GSS-API library, MIT's, Heimdal's
// or Apple's, and so with every credential that it knows: caches of type API of
// macOS, smart cards and PKINIT, gssproxy, and what plug-ins add. Use it where
// package kerberos cannot reach the credentials. [New] returns an initiator for the
// same stages:
//
//	in, err := gssapi.New(gssapi.Options{})
//	c, err := client.New(client.Options{Initiator: in})
//
// It needs no C compiler: github.com/ebitengine/purego loads the library when [New]
// is called. Programs that import this package are linked dynamically, against the
// system's C library; others are not affected.
//
// It works on Linux (386, amd64, arm, arm64, loong64, ppc64le, riscv64), on macOS, and
// on FreeBSD (amd64, arm64) where the program is built with cgo. Without cgo FreeBSD
// needs
//
//	go build -tags gssapi_nocgo -gcflags=github.com/ebitengine/purego/internal/fakecgo=-std
//
// On other systems it compiles, and New returns an error.
//
// # What the library is asked for
//
// Only the Kerberos mechanism. SPNEGO is this module's own, and offers Kerberos
// alone, so that no other mechanism of the library, such as NTLM, is ever negotiated.
//
// The library reads krb5.conf, caches and keytabs, as the environment of the process
// says: $KRB5_CONFIG, $KRB5CCNAME, $KRB5_CLIENT_KTNAME, $GSS_USE_PROXY. Service
// principals are made from the host in the URL, as in package kerberos; the library
// chooses the realm.
//
// The library judges the server's proof. It believes some answers that package kerberos
// refuses, such as one with more in it than there should be, or, Heimdal's, one that names
// another encryption type. All of them are sealed with the session key, and so prove the
// same.
//
// # Threads
//
// A call into C cannot be interrupted, even if it waits for a KDC or a lock. So calls
// that may wait run in a goroutine of their own. When the request's context ends, the
// caller returns; the call ends later, and what it made is released then. Each call
// takes a thread, and Options.Calls bounds their number. Further callers wait, until
// their context ends.
//
// With Heimdal's library on other systems than macOS a single call runs at a time where
// a cache may be of type KCM; see Options.Calls. It does not keep authenticators of one
// microsecond apart: of requests that begin at the same time a server that remembers
// authenticators (RFC 4120 section 3.2.3) may refuse one as a replay, with a 401.
//
// # Memory
//
// Memory of the library is released when an exchange is over: the server has proved
// itself, or its answer was refused. A context that seals messages (Options.Sealing),
// and that of a request without an answer, is released once it is garbage.
package gssapi
