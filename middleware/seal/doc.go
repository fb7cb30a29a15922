// Package seal is the stage that authenticates a connection once and encrypts the
// messages on it, as WinRM does ([MS-WSMV] section 2.2.9.1). Most programs use
// client.NewWinRM; [New] is for chains of your own.
//
// Before the first request it sends an empty one through the stages that
// authenticate, which sets up a security context for the connection. The caller's
// requests follow on the same connection, without Authorization, sealed with that
// context. A response that opens is verified, whatever its status, and
// [middleware.SecurityOf] of its request tells so. Sequence numbers are checked.
//
// When the connection has ended, or was idle for a minute ([Options].Idle), the
// context is dropped and a connection authenticated before the next message. A
// message that may have been carried out is never sent again. A 401 says that it was
// not, but without proof: it is the response, unless [Options].Resend is set, and the
// next message authenticates again.
//
// A response in clear is an error with the reason [middleware.ReasonUnsealed], except
// 401, 407 and responses without a body, which pass and are not verified. A response
// that does not open is an error too, with a reason such as
// [middleware.ReasonTampered], [middleware.ReasonReplayed] or
// [middleware.ReasonOutOfOrder]; all wrap [middleware.ErrNotVerified]. A request
// without a body has nothing to seal and is sent as it is; its response must be
// sealed all the same.
//
// WinRM's framing protects neither status nor header. Of the header only Date and
// Server are passed on; the message itself tells whether it is a fault.
//
// Over https nothing is sealed unless [Mode] says so. Each request that is not sealed
// goes through the stages that authenticate, as if this stage were not there; see
// TrustConnection of package mutual.
//
// # Connections
//
// A context belongs to one connection, so the stage sends one request at a time, and
// reads its response to the end before the next. The transport below should have one
// connection and one identity: an [http.Transport] with MaxConnsPerHost 1 and HTTP/2
// off, or an [http.ClientConn]. If it takes another connection nonetheless, the stage
// notices before it sends a message on it. client.NewWinRM has several sessions at
// once.
//
// # Order
//
// The stages that authenticate are an argument of New, since they see only the
// request that sets up a context:
//
//	auth := kerbchain.Chain(mutual.New(mutual.Options{}), preemptive.New(in, preemptive.Always(), preemptive.Options{}), negotiate.New(in, negotiate.Options{}))
//	kerbchain.Wrap(transport, mutual.New(mutual.Options{}), seal.New(auth, seal.Options{}))
//
// One of them must be a mutual stage, which verifies the server. Another one outside
// refuses what this stage passes without proof.
//
// # When to leave it out
//
// Leave it out for servers that do not speak WinRM's framing, and where messages must
// be streamed: this stage holds them in memory.
//
// [MS-WSMV]: https://learn.microsoft.com/openspecs/windows_protocols/ms-wsmv
package seal
