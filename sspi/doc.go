// Package sspi signs requests with the credentials of Windows, by SSPI: those of the
// user who is logged on, with a password, a smart card or Windows Hello, or of another
// user with a password. [New] returns an initiator for the same stages:
//
//	in, err := sspi.New(sspi.Options{})
//	c, err := client.New(client.Options{Initiator: in})
//
// It needs no C compiler, and nothing besides secur32.dll. On other systems it
// compiles, and New returns an error.
//
// # What Windows is asked for
//
// Only its package Kerberos. SPNEGO is this module's own, and offers Kerberos alone.
// Windows' package Negotiate would go on with NTLM where Kerberos does not work: after a
// wrong password, or for a server whose service principal is not registered. No NTLM
// token is ever sent, nor is one read.
//
// Windows finds realm, KDCs and tickets by itself, and reads no krb5.conf. Service
// principals are made from the host in the URL, as in package kerberos.
//
// # Threads
//
// A call into secur32.dll cannot be interrupted, even if it waits for a domain
// controller. So calls that may wait run in a goroutine of their own. When the request's
// context ends, the caller returns; the call ends later, and what it made is freed then.
// Each call takes a thread, and Options.Calls bounds their number. Further callers wait,
// until their context ends.
//
// # Handles
//
// There is one handle of credentials for an initiator. It is acquired when it is first
// needed and again when it has run out, and freed when the initiator is garbage. A
// security context is freed when its exchange is over: the server has proved itself, or
// its answer was refused. One that seals messages (Options.Sealing), and that of a
// request without an answer, is freed once it is garbage.
package sspi
