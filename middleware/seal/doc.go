// Package seal is the stage that authenticates a connection once and encrypts
// what is sent on it, as WinRM wants it ([MS-WSMV] section 2.2.9.1).
//
// With the first request it sends an empty one through the stages that
// authenticate, which sets up a security context between both ends of the
// connection. The caller's requests follow on the same connection, without
// Authorization, sealed with that context; what comes back is opened, whatever
// its status, and is verified by that: [middleware.SecurityOf] of its request
// tells, and so do the stages around. Sequence numbers are checked.
//
// When the connection is gone, or was idle for a minute ([Options].Idle), the
// context is dropped and the connection authenticated anew before a message goes
// over it. A message that may have been carried out is never sent again. A 401 says
// that it was not, and proves nothing: it is the answer, unless [Options].Resend is
// set, and the next message begins anew.
//
// An answer in clear is an error of reason [middleware.ReasonUnsealed], save 401, 407
// and answers without a body, which pass and are not verified. An answer that
// does not open is an error too, with a reason such as [middleware.ReasonTampered],
// [middleware.ReasonReplayed] or [middleware.ReasonOutOfOrder]; all wrap
// [middleware.ErrNotVerified]. A request without a body has nothing to seal and
// goes as it is; its answer must be sealed all the same.
//
// Status and header are not protected by WinRM's framing. Of the header, Date and
// Server are passed on and no more; whether a message is a fault is told by the
// message.
//
// Over https nothing is sealed unless asked ([Mode]). What is not sealed goes
// through the stages that authenticate, each request, as if this stage were not
// there; see TrustConnection of package mutual.
//
// # Connections
//
// A context belongs to one connection, and so the stage sends one request at a
// time and reads its answer to the end before the next. The transport below
// should have one connection and one identity: an [http.Transport] with
// MaxConnsPerHost 1 and HTTP/2 off, or an [http.ClientConn]. If it takes another
// connection nonetheless, the stage notices before a message goes out on it.
// Package client has sessions in parallel (client.NewWinRM).
//
// # Order
//
// The stages that authenticate are an argument, since they see the request that
// sets up a context and not those that are sealed:
//
//	auth := kerbchain.Chain(mutual.New(mutual.Options{}), preemptive.New(in, preemptive.Always(), preemptive.Options{}), negotiate.New(in, negotiate.Options{}))
//	kerbchain.Wrap(transport, mutual.New(mutual.Options{}), seal.New(auth, seal.Options{}))
//
// There must be a mutual stage among them, which verifies the server. One outside
// refuses what this stage passes without proof.
//
// # When to leave it out
//
// Leave it out for servers that do not speak WinRM's framing, and where messages
// must be streamed: here they are held in memory.
//
// [MS-WSMV]: https://learn.microsoft.com/openspecs/windows_protocols/ms-wsmv
package seal
