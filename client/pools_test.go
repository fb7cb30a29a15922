package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/sign"
	"github.com/kerbchain/kerbchain/middleware"
)

// A clone stands for the transport of one pool.
type clone struct {
	p      *pond
	n      int
	closed int // times that its idle connections were
}

func (c *clone) RoundTrip(r *http.Request) (*http.Response, error) {
	c.p.took = c.n
	if during := c.p.during; during != nil {
		c.p.during = nil
		during(r)
	}
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

func (c *clone) CloseIdleConnections() { c.closed++ }

// A pond is connections that a test can look into.
type pond struct {
	*connections
	t      *testing.T
	in     *someone
	clones []*clone
	took   int                 // clone that had a request last
	during func(*http.Request) // called while the next request is on its way
	clock  time.Time
}

func newPond(t *testing.T, proxy func(*http.Request) (*url.URL, error)) *pond {
	p := &pond{t: t, in: new(someone), clock: time.Unix(1e9, 0)}
	p.connections = newConnections(p.in, proxy, func() http.RoundTripper {
		c := &clone{p: p, n: len(p.clones)}
		p.clones = append(p.clones, c)
		return c
	})
	p.connections.now = func() time.Time { return p.clock }
	return p
}

// send returns the number of the clone that r went to.
func (p *pond) send(r *http.Request) int {
	p.t.Helper()
	resp, err := p.RoundTrip(r)
	if err != nil {
		p.t.Fatal(err)
	}
	n := p.took
	if resp.Request != r {
		p.t.Error("the response names another request than its own")
	}
	resp.Body.Close()
	return n
}

// get sends an unsigned request, as sends one that somebody signed.
func (p *pond) get(url string) int      { return p.send(get(p.t, url)) }
func (p *pond) as(user, url string) int { return p.send(signedBy(get(p.t, url), user)) }
func (p *pond) want(what string, got, want int) {
	p.t.Helper()
	if got != want {
		p.t.Errorf("%s: transport %d, want %d", what, got, want)
	}
}

const siteA, siteB, secureA = "http://a.example/", "http://b.example/", "https://a.example/"

func through(*http.Request) (*url.URL, error) { return url.Parse("http://proxy.example:3128") }

// As long as nobody was authenticated, nobody is asked whose a request is, and the
// connection over which a 401 came is that of whoever answers it.
func TestPoolOfNobody(t *testing.T) {
	p := newPond(t, nil)
	p.in.origin = "alice"
	for range 3 {
		p.want("not signed", p.get(siteA), 0)
	}
	if n := len(p.in.asked); n > 0 {
		t.Errorf("asked %d times", n)
	}
	p.want("signed", p.as("alice", siteA), 0)
	p.want("not signed any more", p.get(siteA), 0)
	if n := len(p.in.asked); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
	p.in.origin = ""
	p.want("nobody is logged in", p.get(siteA), 1)
	p.in.origin = "alice"
	p.want("hers again", p.get(siteA), 0)
	if len(p.clones) != 2 {
		t.Errorf("%d transports", len(p.clones))
	}
}

// A request that may be signed on its connection is not asked for either; one that
// must be is.
func TestPoolOfPending(t *testing.T) {
	for name, must := range map[string]bool{"may": false, "must": true} {
		t.Run(name, func(t *testing.T) {
			p := newPond(t, nil)
			p.in.origin = "alice"
			r := get(t, siteA)
			s := sign.Signer{Initiator: p.in, Stage: "test"}
			target := middleware.TargetOfURL(r.URL)
			token := s.Later(target)
			if !must {
				token = s.LaterIf(target, func(net.Conn) (middleware.Target, bool) { return target, false })
			}
			resp, err := s.Send(p.RoundTrip, r, sign.Attempt{Number: 1, Tokens: []sign.Token{token}})
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if asked := len(p.in.asked) > 0; asked != must {
				t.Errorf("asked: %v", asked)
			}
		})
	}
}

// The connections of nobody stay nobody's while a request of nobody's is on its way,
// which may take one.
func TestPoolInUse(t *testing.T) {
	p := newPond(t, nil)
	p.in.origin = "alice"
	p.during = func(*http.Request) { p.want("signed meanwhile", p.as("alice", siteA), 1) }
	p.get(siteA)
	p.want("signed", p.as("alice", siteA), 1)
	p.in.origin = ""
	p.want("nobody's", p.get(siteA), 0)
	p.in.origin = "bob"
	p.want("bob, to whom the answer was 401", p.as("bob", siteA), 0)
	p.want("bob", p.get(siteA), 0)
}

// Where a tunnel was opened for nobody, the proxy may have asked for credentials: its
// connections are nobody else's, whatever goes over them later.
func TestPoolOfTunnels(t *testing.T) {
	p := newPond(t, through)
	p.want("a tunnel", p.get(secureA), 0)
	p.want("no tunnel", p.get(siteA), 0)
	p.want("signed", p.as("alice", secureA), 1)
	p.want("nobody", p.get(secureA), 0)
	p.in.proxy = "alice"
	p.want("the proxy is to know somebody", p.get(secureA), 2)
	p.in.proxy = "bob"
	p.want("and another", p.get(secureA), 3)
	// Of plain http each request is seen by the proxy.
	q := newPond(t, through)
	q.want("plain", q.get(siteA), 0)
	q.want("signed", q.as("alice", siteA), 0)
	// Whom the proxy is to know counts for the first tunnel, too.
	u := newPond(t, through)
	u.in.proxy = "alice"
	u.want("a tunnel of hers", u.get("HTTPS://a.example/"), 0)
	u.want("the same", u.get(secureA), 0)
	u.in.proxy = "bob"
	u.want("one of his", u.get(secureA), 1)
	// Without a proxy, https is like http.
	v := newPond(t, nil)
	v.want("direct", v.get(secureA), 0)
	v.want("signed", v.as("alice", secureA), 0)
}

// When an origin's principal changes, idle connections of the former one are closed:
// once, and not again for a while, since an initiator may sign for many in turn.
func TestPoolIsClosedWhenItsUserIsGone(t *testing.T) {
	p := newPond(t, nil)
	check := func(what string, want ...int) {
		t.Helper()
		for i, c := range p.clones {
			if c.closed != want[i] {
				t.Errorf("%s: those of transport %d were closed %d times, want %d", what, i, c.closed, want[i])
			}
		}
	}
	p.as("alice", siteA)
	p.as("alice", siteA)
	p.as("bob", siteB)
	check("users of other origins", 0, 0)
	p.as("bob", siteA)
	check("alice is gone", 1, 0)
	p.as("alice", siteA)
	p.as("bob", siteA)
	check("in turn", 1, 1)
	p.clock = p.clock.Add(closeAgain - 1)
	p.as("alice", siteA)
	p.as("bob", siteA)
	check("before the time is over", 1, 1)
	p.clock = p.clock.Add(1)
	p.as("alice", siteA)
	p.as("bob", siteA)
	check("after a while", 2, 2)
	p.in.origin = ""
	p.clock = p.clock.Add(closeAgain)
	p.get(siteA)
	check("nobody is logged in", 2, 3, 0)
	r := get(t, siteA)
	r.Header.Set(toOrigin, "Basic b3duOm93bg==")
	p.send(r)
	p.get(siteA)
	check("a caller's own credentials say nothing of it", 2, 3, 0, 0)
	// Nobody was known at an origin that is new, either.
	p.as("carol", "http://c.example/")
	p.get("http://d.example/")
	p.as("carol", "http://d.example/")
	check("new origins", 2, 3, 0, 0, 0)
	p.CloseIdleConnections()
	check("all", 3, 4, 1, 1, 1)
	p.want("and can be used again", p.as("carol", siteA), 3)
}

// There is a bound, and the user who was away for longest makes room. It does not
// matter if that one was the last at some origin.
func TestPoolsAreBounded(t *testing.T) {
	p := newPond(t, nil)
	name := func(n int) string { return fmt.Sprint("user", n) }
	for n := range maxPrincipals {
		p.want(name(n), p.as(name(n), fmt.Sprintf("http://host%d.example/", n)), n)
	}
	p.want("the first again", p.as(name(0), siteA), 0)
	p.want("one more", p.as("more", siteB), maxPrincipals)
	for n, c := range p.clones {
		if want := n == 1; (c.closed > 0) != want {
			t.Errorf("those of user %d are closed: %v", n, !want)
		}
	}
	p.want("the first is there", p.as(name(0), siteA), 0)
	p.want("the second is not, and takes the place of the third", p.as(name(1), siteA), maxPrincipals+1)
	p.want("who takes that of the fourth", p.as(name(2), siteA), maxPrincipals+2)
	if n := len(p.pools); n != maxPrincipals {
		t.Errorf("%d pools", n)
	}
	p.want("where the fourth was last", p.as(name(0), "http://host3.example/"), 0)
}

// So has the memory of who was known where.
func TestOriginsAreBounded(t *testing.T) {
	p := newPond(t, nil)
	p.as("alice", siteA)
	p.in.origin = ""
	p.get(siteB)
	if n := p.last.Len(); n != 1 {
		t.Errorf("%d origins are remembered, of which one knew nobody", n)
	}
	for n := range 3 * maxOrigins {
		p.as("alice", fmt.Sprintf("http://host%d.example/", n))
		if got, want := p.last.Len(), min(n+2, maxOrigins); got != want {
			t.Fatalf("after %d origins: %d are remembered, want %d", n+2, got, want)
		}
	}
}

// What is below has the last word on the response and its request.
func TestPoolAnswers(t *testing.T) {
	bad, other := errors.New("bad"), get(t, siteB)
	for name, tc := range map[string]struct {
		resp *http.Response
		err  error
	}{
		"an error":        {nil, bad},
		"another request": {&http.Response{StatusCode: 200, Body: http.NoBody, Request: other}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			below := kerbchain.Next(func(*http.Request) (*http.Response, error) { return tc.resp, tc.err })
			for name, rt := range map[string]http.RoundTripper{
				"connections": newConnections(&someone{proxy: "alice"}, through, func() http.RoundTripper { return below }),
				"foreign":     newForeign(&someone{proxy: "alice"}, through, below),
			} {
				resp, err := rt.RoundTrip(get(t, secureA))
				if err != tc.err || resp != tc.resp {
					t.Errorf("%s: %v, %v", name, resp, err)
				}
				if resp != nil && resp.Request != other {
					t.Errorf("%s: the response's request was changed", name)
				}
			}
		})
	}
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, bad }}
	if _, err := Connections(new(someone), tr).RoundTrip(get(t, siteA)); !errors.Is(err, bad) {
		t.Errorf("not of the transport that was given: %v", err)
	}
	if _, err := Connections(new(someone), nil).RoundTrip(get(t, "none://a.example/")); err == nil {
		t.Error("no error of a transport of its own")
	}
}

// A request without a URL has an error, or the connections of nobody.
func TestPoolWithoutURL(t *testing.T) {
	p := newPond(t, through)
	p.as("alice", siteA)
	r := get(t, siteA)
	r.URL = nil
	p.send(r)
}
