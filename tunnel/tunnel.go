package tunnel

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/sign"
	"github.com/kerbchain/kerbchain/middleware"
)

const name = "tunnel"

// Proof says what happens to tunnels whose proxy did not prove itself.
type Proof int

// The modes of proof. A value that is none of them acts as ProofRequired.
const (
	// ProofOptional verifies the proxy's token if it sends one; most send none. TLS
	// within the tunnel does not trust the proxy.
	ProofOptional Proof = iota
	// ProofRequired refuses tunnels of proxies without proof. It implies Always,
	// since a proxy that gets no token proves nothing.
	ProofRequired
	// ProofDisabled looks at no token.
	ProofDisabled
)

var proofs = [...]string{ProofOptional: "optional", ProofRequired: "required", ProofDisabled: "disabled"}

// String returns "optional", "required" or "disabled".
func (p Proof) String() string {
	if p < 0 || int(p) >= len(proofs) {
		return fmt.Sprintf("proof %d", int(p))
	}
	return proofs[p]
}

// Options are the choices of [New]. The zero value sends a token to proxies that ask
// for one, and verifies theirs.
type Options struct {
	// Always sends a token with every CONNECT. Without it, the first CONNECT has
	// none; a proxy that answers 407 and offers Negotiate or Kerberos is remembered.
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
// connection is opened. The initiator gets targets with Proxy set, and the host and
// port of the proxy's URL. The hooks do not show the TLS connection to an https
// proxy, so its tokens have no channel bindings (RFC 5929).
func New(in middleware.Initiator, t *http.Transport, o Options) *Transport {
	if t == nil {
		t = kerbchain.NewTransport()
	}
	if o.Proof != ProofOptional && o.Proof != ProofDisabled {
		o.Proof, o.Always = ProofRequired, true
	}
	out := &Transport{o: o, signer: sign.Signer{Initiator: in, Stage: name}, base: t.Clone(), proxy: t.Proxy}
	if t.Proxy == nil {
		return out
	}
	out.header, out.answered = t.GetProxyConnectHeader, t.OnProxyConnectResponse
	out.base.Proxy = out.chosen
	if out.header == nil {
		fixed := out.base.ProxyConnectHeader
		out.header = func(context.Context, *url.URL, string) (http.Header, error) { return fixed, nil }
	}
	out.base.GetProxyConnectHeader = out.connectHeader
	out.base.OnProxyConnectResponse = out.connectResponse
	return out
}
