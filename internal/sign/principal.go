package sign

import (
	"context"
	"errors"
	"net/http"

	"github.com/kerbchain/kerbchain/middleware"
)

// errOther says that the connection is another user's.
var errOther = errors.New("the credentials became another user's while the request was on its way")

// Expect tells the attempt whose request r is, if it is one, as whom the server and a
// proxy know the connections that r may get: "" is nobody known. Tokens that are
// made when r has its connection are then of these principals, or none.
func Expect(r *http.Request, origin, proxy string) {
	x := exchangeOf(r)
	if x == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.told, x.origin, x.proxy = true, origin, proxy
}

// Pending reports whether r is the request of an attempt that signs it for its origin
// server when it has a connection, and whether it must.
func Pending(r *http.Request) (pending, must bool) {
	x := exchangeOf(r)
	if x == nil {
		return false, false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.landed {
		return false, false
	}
	for _, t := range x.tokens {
		if p := t.pending; p != nil && !p.target.Proxy {
			return true, p.when == nil
		}
	}
	return false, false
}

// minds reports whether sc is of another principal than the connections that
// the request gets.
func (x *exchange) minds(sc middleware.SecurityContext) bool {
	id, ok := sc.(middleware.Identified)
	if !ok || !x.told {
		return false
	}
	if sc.Target().Proxy {
		return id.Principal() != x.proxy
	}
	return id.Principal() != x.origin
}

type proxyKey struct{}

// WithProxyPrincipal returns a shallow copy of r whose tunnel is for connections that
// a proxy knows as that principal's; "" changes nothing.
func WithProxyPrincipal(r *http.Request, principal string) *http.Request {
	if principal == "" {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), proxyKey{}, principal))
}

// ForProxy makes the first token for a proxy, of the principal that the context
// asks for, if it does.
func (s Signer) ForProxy(ctx context.Context, proxy middleware.Target) (Token, error) {
	t, err := s.First(ctx, proxy)
	if err != nil {
		return t, err
	}
	want, _ := ctx.Value(proxyKey{}).(string)
	if id, ok := t.Context.(middleware.Identified); ok && want != "" && id.Principal() != want {
		return Token{}, other(s.Stage, proxy)
	}
	return t, nil
}

func other(stage string, t middleware.Target) error {
	return &middleware.Error{Stage: stage, Kind: middleware.ErrConnection, Host: t.HostPort(),
		IsTemporary: true, Err: errOther, Hint: "send the request again"}
}
