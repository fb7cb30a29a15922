package tunnel

import (
	"net/http"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/leg"
	"github.com/kerbchain/kerbchain/middleware"
)

const name = "tunnel"

// Proof says what becomes of tunnels whose proxy did not prove itself.
type Proof int

// The modes of proof. A value that is none of them acts as ProofRequired.
const (
	// ProofOptional verifies a proxy's token where there is one, and takes a
	// tunnel without: TLS within it does not trust the proxy, and most of them
	// send none.
	ProofOptional Proof = iota
	// ProofRequired takes tunnels of proxies alone that proved themselves. It
	// implies Always, since who asks for no token proves nothing.
	ProofRequired
	// ProofDisabled looks at no token.
	ProofDisabled
)

// Options are the choices of [New]. The zero value sends a token to proxies
// that asked for one, and verifies those that come back.
type Options struct {
	// Always sends a token with every CONNECT. Without it, a proxy is asked
	// without one first, and remembered once it answered 407 and offered
	// Negotiate or Kerberos.
	Always bool
	// Proof says what becomes of tunnels whose proxy did not prove itself.
	Proof Proof
}

// New returns a transport that sends requests through a clone of t, which is
// not changed, and authenticates to the proxies that t.Proxy names with tokens
// of in, which must not be nil; a nil t means one of [kerbchain.NewTransport].
// Hooks and headers for CONNECT that t has are kept; see [Transport].
//
// Each CONNECT, and so each connection, gets a token of its own, made while the
// connection is opened. The initiator decides for whom and whether: targets have
// Proxy set, and the host and port of the proxy's URL. Of an https proxy
// the hooks do not show the TLS connection, so that its tokens bear no channel
// bindings (RFC 5929), whatever is asked for.
func New(in middleware.Initiator, t *http.Transport, o Options) *Transport {
	if t == nil {
		t = kerbchain.NewTransport()
	}
	if o.Proof != ProofOptional && o.Proof != ProofDisabled {
		o.Proof, o.Always = ProofRequired, true
	}
	out := &Transport{o: o, signer: leg.Signer{Initiator: in, Stage: name}, base: t.Clone(), proxy: t.Proxy}
	if t.Proxy == nil {
		return out
	}
	out.header, out.answered = t.GetProxyConnectHeader, t.OnProxyConnectResponse
	out.base.Proxy = out.chosen
	if out.header == nil {
		out.header = fixed(out.base.ProxyConnectHeader)
	}
	out.base.GetProxyConnectHeader = out.connectHeader
	out.base.OnProxyConnectResponse = out.connectResponse
	return out
}
