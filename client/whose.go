package client

import (
	"net/http"
	"net/url"

	"github.com/kerbchain/kerbchain/internal/sign"
	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

// A whose names the users for whom a connection was authenticated. It is comparable.
type whose struct {
	origin string // client principal, "" where nobody is known
	proxy  string // client principal at a proxy on the way
	apart  string // caller or untold: only for requests of the same kind
}

const (
	// caller: the caller's own credentials go over it.
	caller = "caller"
	// untold: it is not known beforehand as whom a token is made, since it is made once
	// there is a connection.
	untold = "untold"
)

// An identity tells whose request it is.
type identity struct {
	who   middleware.Identifier                 // nil if the initiator is none
	proxy func(*http.Request) (*url.URL, error) // nil for none
}

func identityOf(in middleware.Initiator, proxy func(*http.Request) (*url.URL, error)) identity {
	who, _ := in.(middleware.Identifier)
	return identity{who, proxy}
}

// of returns whose request r is: who signed it or, if ask is set, who would sign it now.
func (i identity) of(r *http.Request, ask bool) whose {
	origin, theirs, own := signer(r, "Authorization", middleware.SecurityOf(r))
	proxy, proxys, proxyOwn := signer(r, "Proxy-Authorization", middleware.ProxySecurityOf(r))
	if own || proxyOwn {
		return whose{apart: caller}
	}
	if (theirs && origin == "") || (proxys && proxy == "") {
		return whose{apart: untold} // the context that signed it names no principal
	}
	if !ask && !theirs && !proxys {
		return whose{}
	}
	if !theirs && r.URL != nil {
		origin = i.would(r, middleware.TargetOf(r))
	}
	if _, must := sign.Pending(r); must && origin == "" {
		return whose{apart: untold}
	}
	if at := stage.HTTPProxy(i.proxy, r); at != nil && !proxys {
		proxy = i.would(r, stage.ProxyTarget(at))
	}
	return whose{origin: origin, proxy: proxy}
}

// tells reports whether w is the user who is logged in now, or nobody.
func (i identity) tells(w whose) bool { return w.apart == "" && (i.who != nil || w != whose{}) }

// expect returns r marked so that only tokens of w are sent with it.
func (i identity) expect(r *http.Request, w whose) *http.Request {
	if i.tells(w) {
		sign.Expect(r, w.origin, w.proxy)
	}
	return sign.WithProxyPrincipal(r, w.proxy)
}

// signer returns the principal that signed r for one side. signed says that a context
// did, and own that the caller set the field.
func signer(r *http.Request, field string, sc middleware.SecurityContext) (principal string, signed, own bool) {
	if _, signed = stage.SignedBytes(r, field, sc); !signed {
		return "", false, stage.Has(r.Header, field)
	}
	if id, ok := sc.(middleware.Identified); ok {
		principal = id.Principal()
	}
	return principal, true, false
}

// would returns the principal that would sign for t now, "" if there are no credentials.
func (i identity) would(r *http.Request, t middleware.Target) string {
	if i.who == nil {
		return ""
	}
	principal, err := i.who.Identity(r.Context(), t)
	if err != nil {
		return ""
	}
	return principal
}
