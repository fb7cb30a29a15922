package client_test

import (
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// What servers say no with, and what is told of it.
func TestRefusalsExplained(t *testing.T) {
	var crowd []uint32
	for rid := range uint32(900) {
		crowd = append(crowd, 5000+rid)
	}
	realm := start(t, fakekdc.WithPAC(), fakekdc.WithUser("crowded", password, fakekdc.Groups(crowd...)))
	code := func(c int32) fakeweb.Quirks { return fakeweb.Quirks{Reject: true, RejectCode: c} }
	// What nginx and Apache do with their default limits, for a field.
	limited := func(status int) fakeweb.Quirks {
		return fakeweb.Quirks{Before: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if len(r.Header.Get("Authorization")) > 8190 {
				w.WriteHeader(status)
				return
			}
			w.Header().Set("WWW-Authenticate", "Negotiate")
			w.WriteHeader(http.StatusUnauthorized)
		})}
	}
	for name, tc := range map[string]struct {
		quirks fakeweb.Quirks
		user   string
		status int
		reason middleware.Reason
		words  []string // that the event's error has
	}{
		"wrong key":           {code(31), "alice", 401, middleware.ReasonKRBError, []string{"KRB_AP_ERR_BAD_INTEGRITY", "keytab is stale", spn, "a fresh ticket was asked for already"}},
		"key version":         {code(44), "alice", 401, middleware.ReasonKRBError, []string{"KRB_AP_ERR_BADKEYVER", "keytab is stale"}},
		"wrong SPN":           {code(35), "alice", 401, middleware.ReasonKRBError, []string{"KRB_AP_ERR_NOT_US", "another principal"}},
		"skew":                {code(37), "alice", 401, middleware.ReasonKRBError, []string{"KRB_AP_ERR_SKEW", "time synchronisation", "the server's clock says 2", "ours 2"}},
		"replay":              {code(34), "alice", 401, middleware.ReasonKRBError, []string{"KRB_AP_ERR_REPEAT", "sent the request twice"}},
		"a reason in words":   {code(60), "alice", 401, middleware.ReasonKRBError, []string{"KRB_ERR_GENERIC (as ordered)"}},
		"NTLM":                {fakeweb.Quirks{Reject: true, Rejection: fakeweb.RejectNTLM}, "alice", 401, middleware.ReasonWrongMechanism, []string{"NTLM", "SPN is not registered", "another account", "address in place of its name"}},
		"a state":             {fakeweb.Quirks{Reject: true, Rejection: fakeweb.RejectState}, "alice", 401, middleware.ReasonRefused, []string{"rejected the negotiation"}},
		"large token, 400":    {limited(400), "crowded", 400, middleware.ReasonTokenTooLarge, []string{"bad request", "large_client_header_buffers", "LimitRequestFieldSize"}},
		"large token, 431":    {limited(431), "crowded", 431, middleware.ReasonTokenTooLarge, []string{"request header fields too large", "groups"}},
		"large token, 413":    {limited(413), "crowded", 413, middleware.ReasonTokenTooLarge, []string{"MaxRequestBytes"}},
		"small token, no 431": {limited(431), "alice", 401, middleware.ReasonRefused, nil},
	} {
		t.Run(name, func(t *testing.T) {
			handler := fakeweb.New(realm, spn, fakeweb.Options{Quirks: tc.quirks})
			server := fakeweb.Serve(realm, handler, fakeweb.ServerOptions{})
			o := bare(realm)
			o.CCache = testmain.File(t, "krb5cc", realm.CCache(tc.user, spn))
			o.Transport, o.Mutual = server.Transport(), mutual.Optional
			c := newClient(t, o)
			var got []middleware.RefusedEvent
			sent := 0
			r := put(t, server.URL(), strings.NewReader("data"))
			r = r.WithContext(middleware.WithTrace(t.Context(), func(e middleware.Event) {
				switch e := e.(type) {
				case middleware.RefusedEvent:
					got = append(got, e)
				case middleware.TokenEvent:
					sent = e.Bytes
				}
			}))
			status, _, err := do(t, c, r)
			if status != tc.status || err != nil {
				t.Errorf("status %d, %v", status, err)
			}
			if len(got) != 1 || got[0].Status != tc.status || got[0].Reason != tc.reason || got[0].Bytes != sent || sent == 0 {
				t.Fatalf("events %+v, a token of %d bytes", got, sent)
			}
			reads(t, got[0].Err)
			words := tc.words
			if tc.reason == middleware.ReasonTokenTooLarge {
				words = append(words, fmt.Sprintf("a token of %d bytes", sent))
			}
			for _, word := range words {
				if text := fmt.Sprint(got[0].Err); !strings.Contains(text, word) {
					t.Errorf("%q does not say %q", text, word)
				}
			}
		})
	}
}

// refusedAs fetches url and returns what the trace says of the 401 that is the answer.
func refusedAs(t *testing.T, c *http.Client, url string) middleware.RefusedEvent {
	t.Helper()
	var got []middleware.RefusedEvent
	ctx := middleware.WithTrace(t.Context(), func(e middleware.Event) {
		if e, ok := e.(middleware.RefusedEvent); ok {
			got = append(got, e)
		}
	})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	status, _, err := do(t, c, r)
	if status != http.StatusUnauthorized || err != nil || len(got) != 1 {
		t.Fatalf("status %d, error %v, events %+v", status, err, got)
	}
	reads(t, got[0].Err)
	return got[0]
}

// TestTLSEndsElsewhere: behind a balancer that ends TLS and encrypts anew, a bound
// token is refused, and the client is told of the option; a token without bindings
// passes.
func TestTLSEndsElsewhere(t *testing.T) {
	realm := start(t)
	for name, quirks := range map[string]fakeweb.Quirks{
		"without a word":  {Rejection: fakeweb.RejectPlain},
		"by a state":      {Rejection: fakeweb.RejectState},
		"by a GSS error":  {},
		"without a reply": {Rejection: fakeweb.RejectNothing},
	} {
		t.Run(name, func(t *testing.T) {
			inner := fakeweb.Serve(realm, fakeweb.New(realm, spn, fakeweb.Options{Quirks: quirks}), fakeweb.ServerOptions{TLS: true})
			at, err := url.Parse(inner.URL())
			if err != nil {
				t.Fatal(err)
			}
			rt := inner.Transport()
			t.Cleanup(rt.CloseIdleConnections)
			front := fakeweb.Serve(realm, &httputil.ReverseProxy{Transport: rt, Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(at) }}, fakeweb.ServerOptions{TLS: true})
			for _, policy := range []preemptive.Policy{nil, preemptive.Always()} {
				o := kinit(t, realm, spn)
				o.Transport, o.Preemptive = front.Transport(), policy
				e := refusedAs(t, newClient(t, o), front.URL())
				if text := e.Err.Error(); strings.Count(text, "BindingsOff") != 1 || !strings.Contains(text, "another certificate") {
					t.Errorf("the refusal does not tell of bindings: %v", text)
				}
				o.Bindings = kerberos.BindingsOff
				if status, _, err := get(t, newClient(t, o), front.URL()); status != 200 || err != nil {
					t.Errorf("without bindings: status %d, error %v", status, err)
				}
			}
		})
	}
	// Who bound nothing is told nothing of it.
	plain := fakeweb.Serve(realm, fakeweb.New(realm, spn, fakeweb.Options{Quirks: fakeweb.Quirks{Reject: true, Rejection: fakeweb.RejectState}}), fakeweb.ServerOptions{})
	o := kinit(t, realm, spn)
	o.Transport = plain.Transport()
	if e := refusedAs(t, newClient(t, o), plain.URL()); strings.Contains(e.Err.Error(), "BindingsOff") {
		t.Errorf("over plain http: %v", e.Err)
	}
}

// TestKnownAndRefused: a 401 with a token that completes the exchange, as Jetty and
// others answer those whom they know and do not let in, is no matter of keytabs.
func TestKnownAndRefused(t *testing.T) {
	realm := start(t)
	for name, tc := range map[string]struct {
		token  fakeweb.Proof
		reason middleware.Reason
		sent   int // tokens for two calls, the second of which is signed before it is asked
	}{
		"proved":          {fakeweb.ProofGenuine, middleware.ReasonNotAuthorized, 2},
		"completed":       {fakeweb.ProofState, middleware.ReasonNotAuthorized, 2},
		"somebody else's": {fakeweb.ProofForged, middleware.ReasonWrongKey, 3},
	} {
		t.Run(name, func(t *testing.T) {
			h := fakeweb.New(realm, spn, fakeweb.Options{Quirks: fakeweb.Quirks{Proof: tc.token}, Next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusUnauthorized)
			})})
			server := fakeweb.Serve(realm, h, fakeweb.ServerOptions{TLS: true})
			for _, policy := range []preemptive.Policy{nil, preemptive.Always()} {
				o := kinit(t, realm, spn)
				o.Transport, o.Preemptive = server.Transport(), policy
				e := refusedAs(t, newClient(t, o), server.URL())
				if e.Reason != tc.reason {
					t.Errorf("reason %v, error %v", e.Reason, e.Err)
				}
			}
			signed := 0
			for _, r := range h.Requests() {
				if r.Token > 0 {
					signed++
				}
			}
			if signed != tc.sent {
				t.Errorf("%d tokens for two calls, want %d: a server that knows who asks is not asked again", signed, tc.sent)
			}
		})
	}
}
