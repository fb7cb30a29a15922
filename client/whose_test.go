package client

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/kerbchain/kerbchain/internal/sign"
	"github.com/kerbchain/kerbchain/middleware"
)

// unnamed is a context that does not tell whose it is.
type unnamed struct{ target middleware.Target }

func (u unnamed) Step(context.Context, []byte) ([]byte, error) { return []byte("token"), nil }
func (u unnamed) Verified() bool                               { return false }
func (u unnamed) Target() middleware.Target                    { return u.target }

// named is one that does.
type named struct {
	unnamed
	principal string
}

func (n named) Principal() string { return n.principal }

// someone would sign as one user for servers, as another for proxies.
type someone struct {
	origin, proxy string
	err           error
	asked         []bool // for whom: true for a proxy
}

func (s *someone) Initiate(_ context.Context, t middleware.Target) (middleware.SecurityContext, error) {
	return named{unnamed{t}, s.origin}, nil
}

func (s *someone) Identity(_ context.Context, t middleware.Target) (string, error) {
	s.asked = append(s.asked, t.Proxy)
	if t.Proxy {
		return s.proxy, s.err
	}
	return s.origin, s.err
}

// mute is an initiator that does not tell.
type mute struct{ middleware.Initiator }

func get(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const (
	toOrigin = "Authorization"
	toProxy  = "Proxy-Authorization"
)

// signed returns r as sc signed it.
func signed(r *http.Request, sc middleware.SecurityContext) *http.Request {
	r = middleware.WithSecurity(r, sc)
	field := toOrigin
	if sc.Target().Proxy {
		field = toProxy
	}
	r.Header.Set(field, "Negotiate dG9rZW4=")
	return r
}

func signedBy(r *http.Request, principal string) *http.Request {
	return signed(r, named{principal: principal})
}

var atProxy = middleware.Target{Host: "proxy.example", Port: "3128", Proxy: true}

// Whose a request is: of who signed it for each side, else of who would sign it now.
func TestWhose(t *testing.T) {
	via := func(raw string, err error) func(*http.Request) (*url.URL, error) {
		return func(*http.Request) (*url.URL, error) {
			u, perr := url.Parse(raw)
			return u, errors.Join(err, perr)
		}
	}
	through := via("http://proxy.example:3128", nil)
	users := func() *someone { return &someone{origin: "alice", proxy: "alice/proxy"} }
	plain := func(r *http.Request) *http.Request { return r }
	own := func(field string) func(*http.Request) *http.Request {
		return func(r *http.Request) *http.Request {
			r.Header.Set(field, "Basic b3duOm93bg==")
			return r
		}
	}
	by := func(contexts ...middleware.SecurityContext) func(*http.Request) *http.Request {
		return func(r *http.Request) *http.Request {
			for _, sc := range contexts {
				r = signed(r, sc)
			}
			return r
		}
	}
	bob, bobs := named{principal: "bob"}, named{unnamed{atProxy}, "bob/proxy"}
	for name, tc := range map[string]struct {
		in      middleware.Initiator
		proxy   func(*http.Request) (*url.URL, error)
		request func(*http.Request) *http.Request
		ask     bool
		want    whose
		asked   []bool
	}{
		"not signed, and not asked":   {users(), through, plain, false, whose{}, nil},
		"who would sign it":           {users(), nil, plain, true, whose{origin: "alice"}, []bool{false}},
		"and for the proxy":           {users(), through, plain, true, whose{"alice", "alice/proxy", ""}, []bool{false, true}},
		"signed":                      {users(), nil, by(bob), true, whose{origin: "bob"}, nil},
		"signed, with a proxy":        {users(), through, by(bob), false, whose{"bob", "alice/proxy", ""}, []bool{true}},
		"signed for the proxy":        {users(), through, by(bobs), false, whose{"alice", "bob/proxy", ""}, []bool{false}},
		"signed for both":             {users(), through, by(bob, bobs), true, whose{"bob", "bob/proxy", ""}, nil},
		"signed by who does not tell": {users(), nil, by(unnamed{}), true, whose{apart: untold}, nil},
		"the same for the proxy":      {users(), through, by(unnamed{atProxy}), true, whose{apart: untold}, nil},
		"told for one side only":      {users(), through, by(bob, unnamed{atProxy}), true, whose{apart: untold}, nil},
		"the caller's own":            {users(), through, own(toOrigin), true, whose{apart: caller}, nil},
		"the caller's, for the proxy": {users(), through, own(toProxy), true, whose{apart: caller}, nil},
		"signed, and the caller's":    {users(), through, func(r *http.Request) *http.Request { return own(toProxy)(by(bob)(r)) }, true, whose{apart: caller}, nil},
		"nobody is known":             {&someone{origin: "x", proxy: "x", err: errors.New("no credentials")}, through, plain, true, whose{}, []bool{false, true}},
		"nobody tells":                {mute{users()}, through, plain, true, whose{}, nil},
		"through SOCKS":               {users(), via("socks5://proxy.example", nil), plain, true, whose{origin: "alice"}, []bool{false}},
		"no proxy for this one":       {users(), func(*http.Request) (*url.URL, error) { return nil, nil }, plain, true, whose{origin: "alice"}, []bool{false}},
		"a proxy that is not known":   {users(), via("http://proxy.example", errors.New("no")), plain, true, whose{origin: "alice"}, []bool{false}},
		"without a URL": {users(), through, func(r *http.Request) *http.Request {
			r.URL = nil
			return r
		}, true, whose{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := identityOf(tc.in, tc.proxy).of(tc.request(get(t, "http://a.example/")), tc.ask)
			if got != tc.want {
				t.Errorf("%+v, want %+v", got, tc.want)
			}
			asked := []bool(nil)
			if s, ok := tc.in.(*someone); ok {
				asked = s.asked
			}
			if !slices.Equal(asked, tc.asked) {
				t.Errorf("asked for proxies: %v, want %v", asked, tc.asked)
			}
		})
	}
}

// A request that must be signed once there is a connection, by who does not tell, is
// for connections apart. One that may as well go unsigned is not.
func TestWhosePending(t *testing.T) {
	for name, tc := range map[string]struct {
		in   middleware.Initiator
		must bool
		want whose
	}{
		"must be":               {&someone{origin: "alice"}, true, whose{origin: "alice"}},
		"by somebody":           {mute{&someone{origin: "alice"}}, true, whose{apart: untold}},
		"by nobody":             {&someone{}, true, whose{apart: untold}},
		"may be":                {&someone{origin: "alice"}, false, whose{origin: "alice"}},
		"may be, by somebody":   {mute{&someone{origin: "alice"}}, false, whose{}},
		"may be, and by nobody": {&someone{}, false, whose{}},
	} {
		t.Run(name, func(t *testing.T) {
			r := get(t, "http://a.example/")
			s := sign.Signer{Initiator: tc.in, Stage: "test"}
			target := middleware.TargetOfURL(r.URL)
			token := s.Later(target)
			if !tc.must {
				token = s.LaterIf(target, func(net.Conn) (middleware.Target, bool) { return target, true })
			}
			resp, err := s.Send(func(r *http.Request) (*http.Response, error) {
				if got := identityOf(tc.in, nil).of(r, true); got != tc.want {
					t.Errorf("%+v, want %+v", got, tc.want)
				}
				return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
			}, r, sign.Attempt{Number: 1, Tokens: []sign.Token{token}})
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		})
	}
}
