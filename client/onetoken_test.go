package client_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// A request over https that is signed beforehand costs one token, bound to the
// connection that it goes over, be that new or an old one. Where the transport is not
// known, the first request finds out at the cost of another token; where nothing comes
// of what is put into the header when there is a connection, each goes with the token
// that was made before, signed as ever.
func TestOneTokenOverHTTPS(t *testing.T) {
	realm := start(t)
	handler := fakeweb.New(realm, spn, fakeweb.Options{})
	server := fakeweb.Serve(realm, handler, fakeweb.ServerOptions{TLS: true})
	copying := kerbchain.Adapt(func(rt http.RoundTripper) http.RoundTripper {
		return kerbchain.Next(func(r *http.Request) (*http.Response, error) { return rt.RoundTrip(r.Clone(r.Context())) })
	})
	silent := kerbchain.Next(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		resp := w.Result()
		resp.Request = r
		return resp, nil
	})
	own := func(below ...kerbchain.Middleware) func(*testing.T, client.Options) http.RoundTripper {
		return func(t *testing.T, o client.Options) http.RoundTripper {
			stack, err := client.NewStack(o)
			if err != nil {
				t.Fatal(err)
			}
			return kerbchain.Wrap(o.Transport, append([]kerbchain.Middleware{stack.Chain()}, below...)...)
		}
	}
	ready := func(t *testing.T, o client.Options) http.RoundTripper { return newClient(t, o).Transport }
	for name, tc := range map[string]struct {
		rt      func(*testing.T, client.Options) http.RoundTripper
		over    http.RoundTripper // nil: net/http's
		tokens  []int             // by call, of which the third is over a new connection
		unbound bool
	}{
		"ready-made":                {rt: ready, tokens: []int{1, 1, 1, 1}},
		"a stack of one's own":      {rt: own(), tokens: []int{2, 1, 1, 1}},
		"a copy of the header":      {rt: own(copying), tokens: []int{2, 2, 2, 2}, unbound: true},
		"a transport without hooks": {rt: ready, over: silent, tokens: []int{1, 1, 1, 1}, unbound: true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, bindings := range []kerberos.Bindings{kerberos.BindingsAuto, kerberos.BindingsOff} {
				transport := server.Transport()
				defer transport.CloseIdleConnections()
				o := kinit(t, realm, spn)
				o.Preemptive, o.Mutual, o.Bindings = preemptive.Always(), mutual.Required, bindings
				o.OneShot, o.BodyLimit = negotiate.Refuse, -1
				if o.Transport = tc.over; tc.over == nil {
					o.Transport = transport
				}
				rt := tc.rt(t, o)
				c := &http.Client{Transport: rt}
				for n, want := range tc.tokens {
					if n == 2 {
						c.CloseIdleConnections()
					}
					var made, bound atomic.Int32
					ctx := middleware.WithTrace(t.Context(), func(e middleware.Event) {
						if e, ok := e.(middleware.TokenEvent); ok {
							made.Add(1)
							if e.Bound {
								bound.Add(1)
							}
						}
					})
					// A body that can be sent once only is no reason not to: the server has
					// no need to ask.
					r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL(), io.MultiReader(strings.NewReader("x")))
					if err != nil {
						t.Fatal(err)
					}
					before := len(handler.Requests())
					if status, _, err := do(t, c, r); err != nil || status != 200 {
						t.Errorf("call %d: %d, %v", n, status, err)
					}
					asked := handler.Requests()[before:]
					if len(asked) != 1 || asked[0].Caller.Bound != (bindings == kerberos.BindingsAuto && !tc.unbound) {
						t.Errorf("call %d: %d requests, %+v", n, len(asked), asked)
					}
					if int(made.Load()) != want {
						t.Errorf("call %d: %d tokens were made, %d of them bound, want %d", n, made.Load(), bound.Load(), want)
					}
				}
			}
		})
	}
}

// A refusal, which another stage answers, says nothing of the transport.
func TestOneTokenAfterRefusal(t *testing.T) {
	realm := start(t)
	handler := fakeweb.New(realm, spn, fakeweb.Options{})
	var refuse atomic.Bool
	server := fakeweb.Serve(realm, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refuse.Swap(false) {
			w.Header().Set("WWW-Authenticate", "Negotiate")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		handler.ServeHTTP(w, r)
	}), fakeweb.ServerOptions{TLS: true})
	o := kinit(t, realm, spn)
	o.Preemptive, o.Transport = preemptive.Always(), server.Transport()
	c := newClient(t, o)
	for n, want := range []int32{1, 2, 1} {
		refuse.Store(n == 1)
		var made atomic.Int32
		ctx := middleware.WithTrace(t.Context(), func(e middleware.Event) {
			if _, ok := e.(middleware.TokenEvent); ok {
				made.Add(1)
			}
		})
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if status, _, err := do(t, c, r); err != nil || status != 200 || made.Load() != want {
			t.Errorf("call %d: %d, %v, %d tokens, want %d", n, status, err, made.Load(), want)
		}
	}
}

// Which token was too large is told, too, of one that was made on the connection.
func TestOneTokenTooLarge(t *testing.T) {
	realm := start(t)
	server := fakeweb.Serve(realm, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusRequestHeaderFieldsTooLarge)
	}), fakeweb.ServerOptions{TLS: true})
	o := kinit(t, realm, spn)
	o.Preemptive, o.Mutual, o.Transport = preemptive.Always(), mutual.Optional, server.Transport()
	var sent, refused int
	r, err := http.NewRequestWithContext(middleware.WithTrace(t.Context(), func(e middleware.Event) {
		switch e := e.(type) {
		case middleware.TokenEvent:
			sent = e.Bytes
		case middleware.RefusedEvent:
			if refused = e.Bytes; e.Reason != middleware.ReasonTokenTooLarge {
				t.Errorf("reason %s", e.Reason)
			}
		}
	}), http.MethodGet, server.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if status, _, err := do(t, newClient(t, o), r); err != nil || status != http.StatusRequestHeaderFieldsTooLarge || refused != sent || sent == 0 {
		t.Errorf("%d, %v, %d bytes were refused of %d", status, err, refused, sent)
	}
}
