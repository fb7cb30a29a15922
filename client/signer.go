package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"

	"github.com/kerbchain/kerbchain/internal/challenge"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/secret"
	"github.com/kerbchain/kerbchain/internal/sign"
	stages "github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
)

// A Signer makes the Authorization header of single requests that are not sent
// through an [http.RoundTripper], and verifies the answers: the handshake of a
// WebSocket, metadata of gRPC, a login that takes the header as a value. It waits for
// no challenge, and sends nothing itself. Where a RoundTripper can be used, prefer
// [New] and [NewStack], which sign each request and verify each response by
// themselves.
//
// It is safe for concurrent use, and signs for one principal. Servers often
// authenticate the connection: never send another user's requests over one that
// carried a signed request.
type Signer struct {
	signer sign.Signer
	mode   mutual.Mode // an unknown mode acts as Required, as in mutual
}

// NewSigner returns a signer for o. Only credentials, names, delegation, bindings,
// AllowedHosts and Mutual of o count, since a Signer sends no requests.
func NewSigner(o Options) (*Signer, error) {
	in, err := o.initiator(false)
	if err != nil {
		return nil, err
	}
	return &Signer{sign.Signer{Initiator: in, Stage: "client"}, o.Mutual}, nil
}

// Sign returns the header for one request to a URL with the scheme http, https, ws or
// wss. The token is for the host of the URL: send it to no other, not after a
// redirect either. It is valid for a few minutes, by the server's clock (RFC 4120
// section 3.2.3).
//
// The token is bound to no TLS connection, since none is known. For a server that
// demands channel bindings use [Signer.SignOver]; with BindingsRequired, Sign of an
// https URL is an error around [middleware.ErrNoBindings].
//
// It may wait for a KDC, and returns when ctx ends. Errors are of type
// [*middleware.Error]: around [middleware.ErrNotAllowed] for a host that AllowedHosts
// leaves out, [middleware.ErrHost] for a URL without a valid host, and
// [middleware.ErrConfiguration] for a URL of another scheme.
func (s *Signer) Sign(ctx context.Context, url string) (Authorization, error) {
	return s.sign(ctx, url, false, nil)
}

// SignOver is [Signer.Sign] for a request over an existing TLS connection, to which
// it binds the token (RFC 5929) unless BindingsOff is set. conn is the state of the
// connection to the server itself, after its handshake, not of one to a proxy. The
// URL's scheme is https or wss.
func (s *Signer) SignOver(ctx context.Context, url string, conn tls.ConnectionState) (Authorization, error) {
	return s.sign(ctx, url, false, &conn)
}

// SignProxy is [Signer.Sign] for a proxy with an http or https URL: for a CONNECT
// that you send yourself, or a request over plain http through it. The header is
// Proxy-Authorization, and ForProxy has the names. The proxy's proof says nothing of
// the servers behind it.
func (s *Signer) SignProxy(ctx context.Context, proxy string) (Authorization, error) {
	return s.sign(ctx, proxy, true, nil)
}

// sign signs a request to a URL, of a proxy or not, over a connection, nil for one that is
// not known.
func (s *Signer) sign(ctx context.Context, url string, proxy bool, conn *tls.ConnectionState) (Authorization, error) {
	t, err := signable(url, proxy)
	switch {
	case err != nil:
		return Authorization{}, err
	case conn != nil && !t.Secure:
		return Authorization{}, wrongFor(t.HostPort(), "use an https or wss URL, or Sign", "a token for plain http cannot be bound to a TLS connection")
	case conn != nil && !conn.HandshakeComplete:
		return Authorization{}, wrongFor(t.HostPort(), "call HandshakeContext of the connection first, and ConnectionState after it",
			"the handshake of the TLS connection is not complete, so there is nothing to bind to")
	case ctx == nil:
		return Authorization{}, wrongFor(t.HostPort(), "use context.Background, or the one of the request", "the context is nil")
	}
	t.TLS = conn
	token, err := s.signer.First(ctx, t)
	if err != nil {
		if e, ok := errors.AsType[*middleware.Error](err); ok && errors.Is(err, middleware.ErrNoBindings) {
			named := *e
			named.Hint = "connect first, and give the connection's state to SignOver"
			return Authorization{}, &named
		}
		return Authorization{}, err
	}
	value := secret.NewText(stages.Value(token.Context, token.Bytes))
	return Authorization{&authorization{mode: s.mode, sc: token.Context, field: stages.Field(t), value: value}}, nil
}

// signable returns the target in a URL. Its errors hold no user info, path or query.
func signable(raw string, proxy bool) (middleware.Target, error) {
	u, err := url.Parse(raw)
	if err != nil {
		if parse, ok := errors.AsType[*url.Error](err); ok {
			err = parse.Err
		}
		return middleware.Target{}, &middleware.Error{Stage: "client", Kind: middleware.ErrHost, Err: fmt.Errorf("the URL cannot be parsed: %w", err)}
	}
	scheme, ok := map[string]string{"http": "http", "https": "https", "ws": "http", "wss": "https"}[u.Scheme]
	hint := "use a URL such as https://host/path or wss://host:port/path"
	if proxy {
		ok = ok && scheme == u.Scheme
		hint = "use a URL such as http://proxy:3128"
	}
	if !ok {
		return middleware.Target{}, wrong(hint, "no token can be made for a URL of the scheme %q", u.Scheme)
	}
	t := middleware.TargetOfURL(&url.URL{Scheme: scheme, Host: u.Host})
	t.Proxy = proxy
	return t, nil
}

// An Authorization is the header for one request, and verifies its answer. Use it
// once: a server refuses a second request with the same token as a replay, so sign
// again for a retry, a redirect or a new connection. Copies share their state. It is
// safe for concurrent use, and prints without its token.
type Authorization struct{ a *authorization }

type authorization struct {
	mode     mutual.Mode
	sc       middleware.SecurityContext
	field    string
	value    secret.Text
	asked    atomic.Bool // Verify was called
	verified atomic.Bool
}

// Field returns the name of the header field: Authorization, or Proxy-Authorization.
func (a Authorization) Field() string {
	if a.a == nil {
		return ""
	}
	return a.a.field
}

// Value returns the field's value, Negotiate and the token in base64 (RFC 4559 section
// 4.1). It is a secret until the server has seen it.
func (a Authorization) Value() string {
	if a.a == nil {
		return ""
	}
	return a.a.value.Reveal()
}

// Header returns a new header with that field alone.
func (a Authorization) Header() http.Header {
	h := make(http.Header)
	if a.a != nil {
		h.Set(a.a.field, a.a.value.Reveal())
	}
	return h
}

// SPN returns the service principal that the token is for, empty if the initiator
// does not tell.
func (a Authorization) SPN() string {
	if a.a == nil {
		return ""
	}
	return stages.SPN(a.a.sc)
}

// Verify returns nil if the answer proves that it is from the server, or proxy, that
// the request was signed for, by the rules of package mutual. Otherwise it returns an
// error of type [*middleware.Error] around [middleware.ErrNotVerified], and the
// answer must not be trusted. With mutual.Optional an answer without a token passes
// too, and [Authorization.Verified] tells the difference; with mutual.Disabled every
// answer passes.
//
// answer is the header of the response, an [http.Header] or metadata of gRPC, with
// field names in any case. Verify reads WWW-Authenticate, or the fields of a proxy.
// It does not know the status, so it tells who answered, not whether the server
// accepted: of a 401 it tells why the token was refused, if the server said why.
//
// An Authorization verifies one answer. Each further call is an error, since a second
// answer belongs to a second request with the same token.
//
// If the server says that it cannot use the ticket, the ticket is dropped, and the
// next Sign fetches another.
func (a Authorization) Verify(ctx context.Context, answer map[string][]string) error {
	if a.a == nil {
		return &middleware.Error{Stage: "client", Kind: middleware.ErrNotVerified,
			Err: errors.New("nothing was signed, so no answer can be verified"), Hint: "verify with what Sign returned"}
	}
	reason, err := a.a.verify(ctx, answer)
	if middleware.Tracing(ctx) {
		middleware.Emit(ctx, middleware.VerdictEvent{
			Host: a.a.sc.Target().HostPort(), SPN: a.SPN(), Mode: middleware.Mode(a.a.mode.String()), Verified: a.Verified(), Reason: reason, Err: err,
		})
	}
	return err
}

// Verified reports whether Verify found the proof of the server's identity.
func (a Authorization) Verified() bool { return a.a != nil && a.a.verified.Load() }

// Format writes the host that the header is for, never its token.
func (a Authorization) Format(f fmt.State, _ rune) {
	if a.a == nil {
		fmt.Fprint(f, "{no authorization}")
		return
	}
	fmt.Fprintf(f, "{%s for %s, %d bytes}", a.a.field, a.a.sc.Target().HostPort(), len(a.a.value.Reveal()))
}

const (
	usedBefore = "this header's answer was looked at before: a token is good for one request, and a second request with it is a replay"
	askedAgain = "the server asks for a token again: it did not take this one, and says no more (for a second request with the same token, too)"
)

// verify returns why an answer is not verified, and an error if it must not be trusted.
func (a *authorization) verify(ctx context.Context, answer map[string][]string) (middleware.Reason, error) {
	if a.mode == mutual.Disabled {
		return middleware.ReasonNone, nil
	}
	e := middleware.Error{Stage: "client", Kind: middleware.ErrNotVerified, Host: a.sc.Target().HostPort(), SPN: stages.SPN(a.sc)}
	if !a.asked.CompareAndSwap(false, true) {
		e.Err, e.Hint = errors.New(usedBefore), "sign each request anew"
		return middleware.ReasonNone, &e
	}
	lines := a.lines(answer)
	proved, why, err := stages.Prove(ctx, a.sc, lines)
	switch {
	case err != nil:
		refusal := stages.Blame(e, err)
		a.discard(ctx, refusal)
		return refusal.Reason, refusal
	case proved:
		a.verified.Store(true)
		return middleware.ReasonNone, nil
	case a.mode == mutual.Optional:
		return middleware.ReasonNoToken, nil
	}
	e.Reason = middleware.ReasonNoToken
	if _, ok := challenge.Find(lines, string(stages.SchemeOf(a.sc))); ok && why == nil {
		e.Reason, why = middleware.ReasonRefused, errors.New(askedAgain)
	}
	refusal := stages.Blame(e, why)
	return refusal.Reason, refusal
}

// lines returns the fields of an answer that may bear the peer's token.
func (a *authorization) lines(answer map[string][]string) []string {
	h := make(http.Header)
	for _, name := range slices.Sorted(maps.Keys(answer)) {
		key := http.CanonicalHeaderKey(name)
		h[key] = append(h[key], answer[name]...)
	}
	if a.sc.Target().Proxy {
		return slices.Concat(h.Values("Proxy-Authenticate"), h.Values("Proxy-Authentication-Info"))
	}
	return h.Values("WWW-Authenticate")
}

// discard drops the ticket if the server could not use it.
func (a *authorization) discard(ctx context.Context, why *middleware.Error) {
	d, ok := a.sc.(middleware.Discarder)
	if !ok || !krb.TicketUnusable(why.Code) || !d.Discard() {
		return
	}
	middleware.Emit(ctx, middleware.DiscardEvent{Host: why.Host, SPN: why.SPN, Code: why.Code})
}
