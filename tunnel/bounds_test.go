package tunnel

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	stages "github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

// A connection that nobody waits for any more reports nothing of its own: the
// verdict on the call may have been given.
func TestQuietAfterwards(t *testing.T) {
	n := 0
	c := newCall(middleware.WithTrace(t.Context(), func(middleware.Event) { n++ }))
	c.emit(middleware.SendEvent{})
	c.done.Store(true)
	c.emit(middleware.SendEvent{})
	if n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

// The memory is bounded.
func TestMemory(t *testing.T) {
	m := New(nil, &http.Transport{}, Options{})
	at := func(host string) middleware.Target {
		return middleware.TargetOfURL(&url.URL{Scheme: "http", Host: host + ":3128"})
	}
	learn := func(proxy middleware.Target, scheme middleware.Scheme) {
		(&answer{t: m, proxy: proxy, r: new(http.Request), resp: new(http.Response)}).again(scheme)
	}
	for i := range maxProxies {
		learn(at(fmt.Sprint("p", i)), middleware.Negotiate)
	}
	for i := range maxProxies {
		if _, ok := m.known.Get(at(fmt.Sprint("p", i)).Origin()); !ok {
			t.Fatalf("proxy %d of %d is forgotten", i, maxProxies)
		}
	}
	for i := range 3 * maxProxies {
		learn(at(fmt.Sprint("q", i)), middleware.Negotiate)
	}
	if n := m.known.Len(); n > maxProxies {
		t.Errorf("%d proxies", n)
	}
	learn(at("proxy.example"), middleware.Kerberos)
	if s, ok := m.known.Get(at("PROXY.example.").Origin()); !ok || s != middleware.Kerberos {
		t.Errorf("%q, %t", s, ok)
	}
	secure := at("proxy.example")
	secure.Secure = true
	if _, ok := m.known.Get(secure.Origin()); ok {
		t.Error("an https proxy is another one")
	}
}

// What an error says of a proxy's answer.
func TestConnectErrorText(t *testing.T) {
	for want, e := range map[string]*ConnectError{
		"CONNECT a:443: 403 Forbidden": {Target: "a:443", Status: 403},
		"CONNECT a:443: 599":           {Target: "a:443", Status: 599},
		"CONNECT a:443: 407 Proxy Authentication Required, offering nothing":                 {Target: "a:443", Status: 407},
		"CONNECT a:443: 407 Proxy Authentication Required, offering Basic, Negotiate, other": {Target: "a:443", Status: 407, Schemes: offered([]string{`basic realm="x"`, "Negotiate, BASIC", "X y, Negotiate", "Z"})},
	} {
		if e.Error() != want {
			t.Errorf("got  %s\nwant %s", e, want)
		}
	}
	for p, want := range map[Proof]string{ProofOptional: "optional", ProofRequired: "required", ProofDisabled: "disabled", -1: "proof -1", 3: "proof 3"} {
		if got := p.String(); got != want {
			t.Errorf("%d: %s, want %s", int(p), got, want)
		}
	}
}

// A token that could not be made is of the kind that its maker says, and for the proxy.
func TestNoTokenFromInitiator(t *testing.T) {
	proxy := stages.ProxyTarget(&url.URL{Scheme: "http", Host: "proxy.example:3128"})
	plain := errors.New("plain")
	for name, tc := range map[string]struct {
		err  error
		kind error
		hint string
	}{
		"an error of somebody's":   {plain, middleware.ErrToken, ""},
		"of a kind":                {&middleware.Error{Kind: middleware.ErrCredentials, Err: plain, Hint: "theirs"}, middleware.ErrCredentials, "theirs"},
		"of none":                  {&middleware.Error{Err: plain, Hint: "theirs"}, middleware.ErrToken, "theirs"},
		"no bindings":              {middleware.ErrNoBindings, middleware.ErrToken, hintBindings},
		"no bindings, with a hint": {&middleware.Error{Kind: middleware.ErrConfiguration, Err: middleware.ErrNoBindings, Hint: "theirs"}, middleware.ErrConfiguration, hintBindings},
	} {
		e := noToken(tc.err, proxy)
		if e.Kind != tc.kind || e.Hint != tc.hint || !errors.Is(e, tc.err) || e.Host != "proxy.example:3128" || e.Stage != "tunnel" {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// Without a transport there is one, whose proxy is the environment's.
func TestNoTransport(t *testing.T) {
	if got := New(nil, nil, Options{}); got.base == nil || got.proxy == nil || got.base.Proxy == nil {
		t.Errorf("%+v", got)
	}
}
