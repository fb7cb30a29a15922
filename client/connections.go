package client

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/lru"
	"github.com/kerbchain/kerbchain/internal/sign"
	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

// maxPrincipals bounds the pools, one for each principal. The one that was used longest
// ago makes room.
const maxPrincipals = 64

// Connections returns a transport that keeps the connections of each client principal
// apart, for use below stages that sign with in. A server may authenticate a
// connection rather than a request, and then carries out whatever comes over it as
// that user. So a request only gets connections of its own principal: the one who
// signed it, or who would sign it now. An initiator that is a
// [middleware.Identifier], as those of package kerberos are, tells the latter. When a
// credential cache becomes another user's, idle connections of the former user are
// closed, and requests under way end as that user's.
//
// The same holds for the principals that proxies know. Requests with an Authorization
// header of the caller's have separate connections, as have those of an initiator
// that is no Identifier.
//
// Each principal has a clone of t, up to 64 of them; a nil t means one of
// [kerbchain.NewTransport]. Limits such as MaxConnsPerHost count for each clone. The
// transport is safe for concurrent use. [New], [NewRetryable] and [NewWinRM] use one
// already.
func Connections(in middleware.Initiator, t *http.Transport) http.RoundTripper {
	if t == nil {
		t = kerbchain.NewTransport()
	}
	return newConnections(in, t.Proxy, func() http.RoundTripper { return t.Clone() })
}

// connections has a pool of connections for each principal.
type connections struct {
	identity
	open func() http.RoundTripper
	now  func() time.Time

	mu    sync.Mutex
	pools map[whose]*pool // the zero whose means that nobody is known there
	clock uint64
	last  lru.Map[string, whose] // by origin: whom it knew last
}

type pool struct {
	rt   http.RoundTripper
	used uint64 // value of clock at the last use
	busy int    // requests that may still take a connection
	// taken says of the pool of nobody known that credentials may have gone over its
	// connections.
	taken  bool
	closed time.Time // when its idle connections were last closed because the user changed
}

func newConnections(in middleware.Initiator, proxy func(*http.Request) (*url.URL, error), open func() http.RoundTripper) *connections {
	return &connections{identity: identityOf(in, proxy), open: open, now: time.Now, pools: make(map[whose]*pool)}
}

// RoundTrip sends r over a connection of its principal.
func (c *connections) RoundTrip(r *http.Request) (*http.Response, error) {
	tunneled := r.URL != nil && strings.EqualFold(r.URL.Scheme, "https") && stage.HTTPProxy(c.proxy, r) != nil
	w := c.of(r, tunneled || c.matters(r))
	p, former := c.pool(r, w, tunneled)
	for _, rt := range former {
		closeIdle(rt)
	}
	defer c.leave(p)
	sent := c.expect(r, w)
	resp, err := p.rt.RoundTrip(sent)
	if resp != nil && resp.Request == sent {
		resp.Request = r
	}
	return resp, err
}

// matters reports whether an unsigned request must be assigned to a principal: there are
// authenticated connections, it is signed once it has a connection, or it goes through a
// tunnel, which may be authenticated for it.
func (c *connections) matters(r *http.Request) bool {
	if _, must := sign.Pending(r); must {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.pools) > 1 || len(c.pools) == 1 && c.pools[whose{}] == nil
}

// pool returns the pool of w, and the transports whose idle connections are to be closed.
func (c *connections) pool(r *http.Request, w whose, tunneled bool) (p *pool, former []http.RoundTripper) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p = c.pools[w]
	if p == nil {
		if unknown := c.pools[whose{}]; unknown != nil && !unknown.taken && unknown.busy == 0 {
			// Nobody was authenticated on its connections, so they can become this user's:
			// the 401 came over one of them.
			delete(c.pools, whose{})
			p = unknown
		} else {
			p = &pool{rt: c.open()}
			former = c.makeRoom()
		}
		c.pools[w] = p
	}
	c.clock++
	p.used, p.busy = c.clock, p.busy+1
	p.taken = p.taken || tunneled // the proxy may ask for credentials
	if gone := c.gone(r, w); gone != nil {
		former = append(former, gone)
	}
	return p, former
}

func (c *connections) leave(p *pool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.busy--
}

// maxOrigins bounds the origins in last.
const maxOrigins = 1024

// closeAgain is the least time between two closings of a user's idle connections, since
// an initiator may sign for many users in turn.
const closeAgain = time.Minute

// gone returns the transport of the user whom the origin of r knew before, if that was
// another one.
func (c *connections) gone(r *http.Request, w whose) http.RoundTripper {
	if r.URL == nil || !c.tells(w) {
		return nil
	}
	origin := middleware.TargetOfURL(r.URL).Origin()
	before, known := c.last.Get(origin)
	if !known && (w == whose{}) {
		return nil
	}
	c.last.Put(origin, w, maxOrigins)
	old := c.pools[before]
	if now := c.now(); known && before != w && old != nil && now.Sub(old.closed) >= closeAgain {
		old.closed = now
		return old.rt
	}
	return nil
}

// makeRoom removes the pool that was used longest ago if there are too many.
func (c *connections) makeRoom() []http.RoundTripper {
	if len(c.pools) < maxPrincipals {
		return nil
	}
	oldest := slices.MinFunc(slices.Collect(maps.Keys(c.pools)), func(a, b whose) int {
		return cmp.Compare(c.pools[a].used, c.pools[b].used)
	})
	rt := c.pools[oldest].rt
	delete(c.pools, oldest)
	return []http.RoundTripper{rt}
}

// CloseIdleConnections closes those of every principal.
func (c *connections) CloseIdleConnections() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pools {
		closeIdle(p.rt)
	}
}
