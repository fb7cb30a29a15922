package client

import (
	"net/http"
	"net/url"
	"sync"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/leg"
	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

// maxPrincipals bounds how many users have connections at the same time. The one
// that was used longest ago gives up its own for another.
const maxPrincipals = 64

// Connections returns a transport that keeps the connections of each client
// principal apart, to be put below stages that sign with in: a server may
// authenticate a connection rather than a request, and whatever goes over it then
// is carried out as that user. So a request gets connections of its own principal
// alone: of the one who signed it, or of the one who would sign it now, which in
// tells if it is a [middleware.Identifier], as those of package kerberos are. When
// a credential cache becomes another user's, the connections of the former user are
// closed, but for those with a request under way.
//
// Each principal has a clone of t, up to 64 of them; a nil t means one of
// [kerbchain.NewTransport]. Bounds such as MaxConnsPerHost are each clone's. It is
// safe for concurrent use. [New] has such a transport below its stack already.
func Connections(in middleware.Initiator, t *http.Transport) http.RoundTripper {
	if t == nil {
		t = kerbchain.NewTransport()
	}
	return newConnections(in, t.Proxy, func() http.RoundTripper { return t.Clone() })
}

// An identity tells whose a request is.
type identity struct {
	who middleware.Identifier // nil where nobody tells
}

func identityOf(in middleware.Initiator) identity {
	who, _ := in.(middleware.Identifier)
	return identity{who}
}

// of returns the principal that signed r, or with ask the one that would sign it
// now, "" where nobody is known.
func (i identity) of(r *http.Request, ask bool) string {
	for field, sc := range map[string]middleware.SecurityContext{
		"Authorization": middleware.SecurityOf(r), "Proxy-Authorization": middleware.ProxySecurityOf(r),
	} {
		id, ok := sc.(middleware.Identified)
		if _, signed := stage.Signed(r, field, sc); ok && signed {
			return id.Principal()
		}
	}
	if !ask || i.who == nil || r.URL == nil {
		return ""
	}
	principal, err := i.who.Identity(r.Context(), middleware.TargetFor(r))
	if err != nil {
		return "" // who has no credentials is nobody
	}
	return principal
}

// connections are those of each principal.
type connections struct {
	identity
	proxy func(*http.Request) (*url.URL, error) // nil for none
	open  func() http.RoundTripper

	mu    sync.Mutex
	pools map[string]*pool // by principal; "" is nobody known
	clock uint64
	last  map[string]string // origin to the principal that it knew last
}

type pool struct {
	rt   http.RoundTripper
	used uint64 // when, by the clock of uses
	// taken is set when credentials went over its connections, be it those of
	// somebody who is not known.
	taken bool
}

func newConnections(in middleware.Initiator, proxy func(*http.Request) (*url.URL, error), open func() http.RoundTripper) *connections {
	return &connections{identity: identityOf(in), proxy: proxy, open: open, pools: make(map[string]*pool), last: make(map[string]string)}
}

// RoundTrip sends r over a connection of its principal.
func (c *connections) RoundTrip(r *http.Request) (*http.Response, error) {
	principal := c.of(r, c.matters(r))
	rt, former := c.pool(r, principal)
	if former != nil {
		closeIdle(former)
	}
	leg.Expect(r, principal)
	return rt.RoundTrip(r)
}

// matters reports whether it matters whose r is, though it is not signed: there
// are connections that were authenticated for somebody, r is signed when it has one,
// or it goes through a tunnel, which may be authenticated for it.
func (c *connections) matters(r *http.Request) bool {
	if leg.Unsigned(r) {
		return true
	}
	c.mu.Lock()
	taken := len(c.pools) > 1 || len(c.pools) == 1 && (c.pools[""] == nil || c.pools[""].taken)
	c.mu.Unlock()
	if taken || c.proxy == nil || r.URL == nil || r.URL.Scheme != "https" {
		return taken
	}
	at, err := c.proxy(r)
	return at != nil || err != nil
}

// pool returns the transport of a principal, and one to be closed that is of no
// more use, if there is one.
func (c *connections) pool(r *http.Request, principal string) (rt, former http.RoundTripper) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pools[principal]
	if p == nil {
		if unknown := c.pools[""]; unknown != nil && !unknown.taken {
			// Nobody was authenticated on its connections, so that they may become
			// anybody's: the 401 came over one.
			delete(c.pools, "")
			p = unknown
		} else {
			p = &pool{rt: c.open()}
			former = c.makeRoom()
		}
		c.pools[principal] = p
	}
	c.clock++
	p.used = c.clock
	p.taken = p.taken || principal != "" || stage.Has(r.Header, "Authorization") || stage.Has(r.Header, "Proxy-Authorization")
	if principal == "" || r.URL == nil {
		return p.rt, former
	}
	origin := middleware.TargetOf(r.URL).Origin()
	if before, ok := c.last[origin]; ok && before != principal && former == nil {
		if old := c.pools[before]; old != nil {
			former = old.rt
			delete(c.pools, before)
		}
	}
	if _, ok := c.last[origin]; !ok && len(c.last) >= maxOrigins {
		for other := range c.last {
			delete(c.last, other)
			break
		}
	}
	c.last[origin] = principal
	return p.rt, former
}

// maxOrigins bounds of how many origins it is remembered whom they know.
const maxOrigins = 1024

// makeRoom takes the pool that was used longest ago away, if there are too many.
func (c *connections) makeRoom() http.RoundTripper {
	if len(c.pools) < maxPrincipals {
		return nil
	}
	oldest := ""
	for name, p := range c.pools {
		if o := c.pools[oldest]; o == nil || p.used < o.used {
			oldest = name
		}
	}
	p := c.pools[oldest]
	delete(c.pools, oldest)
	return p.rt
}

// CloseIdleConnections closes those of every principal.
func (c *connections) CloseIdleConnections() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pools {
		closeIdle(p.rt)
	}
}
