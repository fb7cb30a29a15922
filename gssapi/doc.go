// Package gssapi signs requests with the GSS-API library of the machine, MIT's,
// Heimdal's or Apple's, and so with every credential that it knows of: caches of
// type API of macOS, smart cards and PKINIT, gssproxy, and what plug-ins add.
// Its initiator stands where one of package kerberos would, below the same stages:
//
//	in, err := gssapi.New(gssapi.Options{})
//	c, err := client.New(client.Options{Initiator: in})
//
// It needs no C compiler: github.com/ebitengine/purego loads the library when
// [New] is called. Programs that do not import this package have nothing of it.
// Those that do are linked dynamically, against the system's C library.
//
// It works on Linux (386, amd64, arm, arm64, loong64, ppc64le, riscv64), on macOS, and
// on FreeBSD (amd64, arm64) where the program is built with cgo. Without cgo FreeBSD
// needs
//
//	go build -tags gssapi_nocgo -gcflags=github.com/ebitengine/purego/internal/fakecgo=-std
//
// Elsewhere it compiles, and New says that it does not work there.
//
// # What the library is asked for
//
// The Kerberos mechanism, and nothing else. SPNEGO is this module's own, which offers
// Kerberos alone, so that no other mechanism of the library is ever negotiated, NTLM
// least of all.
//
// krb5.conf, caches and keytabs are the library's business, which reads the environment
// of the process: $KRB5_CONFIG, $KRB5CCNAME, $KRB5_CLIENT_KTNAME, $GSS_USE_PROXY.
// Service principals are made as in package kerberos, of the host in the URL; the
// library says in which realm that host is.
//
// # Threads
//
// A call into C cannot be cut short: one that asks a KDC, or waits for a lock, takes
// as long as it takes. So calls that may wait run beside the caller, who goes when the
// request's context ends; the call ends later, and what it made is released then.
// Options.Calls bounds how many run at once, each of which takes a thread. A caller
// for whom there is no room waits, as long as his context lasts.
//
// # Memory
//
// What the library gave is released as soon as an exchange is over: when the server has
// proved itself, or an answer is refused. A context that seals messages (Options.Sealing)
// is kept for as long as the program keeps it, and the one of a request that no server
// answered until it is garbage; the garbage collector then sees to both.
package gssapi
