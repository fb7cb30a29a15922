package negotiate_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// A hearing is an initiator whose contexts take the peer's token as told.
type hearing struct {
	stagetest.Initiator
	hears func(ctx context.Context, token []byte) ([]byte, error)
	bound bool
	drops bool
}

func (h *hearing) Initiate(ctx context.Context, t middleware.Target) (middleware.SecurityContext, error) {
	sc, err := h.Initiator.Initiate(ctx, t)
	if err != nil {
		return nil, err
	}
	return &hearingContext{sc, h}, nil
}

type hearingContext struct {
	middleware.SecurityContext
	h *hearing
}

func (c *hearingContext) Step(ctx context.Context, token []byte) ([]byte, error) {
	if token != nil {
		return c.h.hears(ctx, token)
	}
	return c.SecurityContext.Step(ctx, token)
}

func (c *hearingContext) Bound() bool   { return c.h.bound }
func (c *hearingContext) Discard() bool { return c.h.drops }

// Why a request was refused: what the server's token came to, and what is known
// besides.
func TestWhyRefused(t *testing.T) {
	completed := string(spnego.Resp{State: spnego.AcceptCompleted}.Append(nil))
	rejected := string(spnego.Resp{State: spnego.Reject}.Append(nil))
	because := func(reason middleware.Reason, code int32, hint string, err error) error {
		return &middleware.Error{Stage: "fake", Kind: middleware.ErrToken, Reason: reason, Code: code, Hint: hint, Err: err}
	}
	clock := &krb.KRBError{STime: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	const said = "the server's clock says 2026-01-02T03:04:05Z"
	for name, tc := range map[string]struct {
		token   string // of the server, empty for none
		out     string // what the context makes of it
		err     error
		bound   bool
		carried bool
		anew    bool // another token is sent
		reason  middleware.Reason
		says    []string // in the event's error
		not     string
		without bool // an error
	}{
		"a token beside the error":   {token: "x", out: "y", err: because(middleware.ReasonWrongKey, 0, "", nil), reason: middleware.ReasonWrongKey},
		"done":                       {token: completed, err: because(middleware.ReasonNoToken, 0, "", nil), reason: middleware.ReasonNotAuthorized, says: []string{"complete"}},
		"done, and a proof is wrong": {token: completed, err: because(middleware.ReasonWrongKey, 0, "", nil), reason: middleware.ReasonWrongKey},
		"done, an error of its own":  {token: completed, err: errors.New("odd"), reason: middleware.ReasonRefused, says: []string{"odd"}},
		"not done":                   {token: rejected, err: because(middleware.ReasonNoToken, 0, "", nil), reason: middleware.ReasonNoToken},
		"no token of SPNEGO":         {token: "x", err: because(middleware.ReasonNoToken, 0, "", nil), reason: middleware.ReasonNoToken},
		"carried, done":              {token: completed, carried: true, err: because(middleware.ReasonNoToken, 0, "", nil), reason: middleware.ReasonNotAuthorized},
		"carried, not done":          {token: rejected, carried: true, err: because(middleware.ReasonNoToken, 0, "", nil), anew: true, reason: middleware.ReasonNoToken},
		"no reason":                  {token: "x", err: because(middleware.ReasonNone, 0, "", errors.New("odd")), reason: middleware.ReasonRefused, says: []string{"odd"}},

		"bound":                     {bound: true, reason: middleware.ReasonRefused, says: []string{"BindingsOff"}},
		"not bound":                 {reason: middleware.ReasonRefused, without: true},
		"bound, an error":           {token: "x", bound: true, err: errors.New("odd"), reason: middleware.ReasonRefused, says: []string{"odd"}, not: "BindingsOff"},
		"bound, refused":            {token: "x", bound: true, err: because(middleware.ReasonRefused, 0, "ask around", nil), reason: middleware.ReasonRefused, says: []string{"ask around; the token was bound"}},
		"bound, refused, no hint":   {token: "x", bound: true, err: because(middleware.ReasonRefused, 0, "", nil), reason: middleware.ReasonRefused, says: []string{middleware.ReasonRefused.Hint() + "; the token was bound"}},
		"bound, a code for nothing": {token: "x", bound: true, err: because(middleware.ReasonKRBError, krb.CodeGeneric, "", nil), reason: middleware.ReasonKRBError, says: []string{"BindingsOff"}},
		"bound, another code":       {token: "x", bound: true, err: because(middleware.ReasonKRBError, krb.CodeSkew, "", nil), reason: middleware.ReasonKRBError, not: "BindingsOff"},
		"not bound, refused":        {token: "x", err: because(middleware.ReasonRefused, 0, "", nil), reason: middleware.ReasonRefused, not: "BindingsOff"},

		"skew":                {token: "x", err: because(middleware.ReasonKRBError, krb.CodeSkew, "set the clock", clock), reason: middleware.ReasonKRBError, says: []string{"set the clock; " + said}},
		"not yet valid":       {token: "x", err: because(middleware.ReasonKRBError, krb.CodeTicketNotYet, "", clock), reason: middleware.ReasonKRBError, says: []string{said}, not: "; " + said + "; "},
		"generic":             {token: "x", err: because(middleware.ReasonKRBError, krb.CodeGeneric, "", clock), reason: middleware.ReasonKRBError, not: "clock says"},
		"skew, no time":       {token: "x", err: because(middleware.ReasonKRBError, krb.CodeSkew, "", new(krb.KRBError)), reason: middleware.ReasonKRBError, not: "clock says"},
		"skew, no KRB-ERROR":  {token: "x", err: because(middleware.ReasonKRBError, krb.CodeSkew, "", nil), reason: middleware.ReasonKRBError, not: "clock says"},
		"skew, no such token": {token: "x", err: because(middleware.ReasonWrongKey, krb.CodeSkew, "", clock), reason: middleware.ReasonWrongKey, not: "clock says"},
	} {
		t.Run(name, func(t *testing.T) {
			in := &hearing{bound: tc.bound, hears: func(context.Context, []byte) ([]byte, error) { return []byte(tc.out), tc.err }}
			srv := stagetest.NewServer(func(r *http.Request) (*http.Response, error) {
				value := "Negotiate"
				if tc.token != "" && r.Header.Get("Authorization") != "" {
					value = stagetest.Value(middleware.Negotiate, tc.token)
				}
				return stagetest.Challenge(401, value)(r)
			})
			r := request(t, http.MethodGet, "http://origin.example/", "")
			if tc.carried {
				r = carry(t, in, r)
			}
			resp, told, err := tracing(negotiate.New(in, negotiate.Options{})(srv.Next), r)
			finish(t, resp, err)
			if n, want := len(in.Contexts()), map[bool]int{false: 1, true: 2}[tc.anew]; n != want {
				t.Errorf("%d tokens, want %d", n, want)
			}
			if len(told) != 1 || told[0].Reason != tc.reason || (told[0].Err == nil) != tc.without {
				t.Fatalf("the trace says %+v, want reason %v", told, tc.reason)
			}
			text := fmt.Sprint(told[0].Err)
			for _, want := range tc.says {
				if !strings.Contains(text, want) {
					t.Errorf("%q does not say %q", text, want)
				}
			}
			if tc.not != "" && strings.Contains(text, tc.not) {
				t.Errorf("%q says %q", text, tc.not)
			}
		})
	}
}

// tracing sends r and returns the refusals that the trace was told of.
func tracing(next kerbchain.Next, r *http.Request) (*http.Response, []middleware.RefusedEvent, error) {
	var told []middleware.RefusedEvent
	resp, err := next(r.WithContext(middleware.WithTrace(r.Context(), func(e middleware.Event) {
		if e, ok := e.(middleware.RefusedEvent); ok {
			told = append(told, e)
		}
	})))
	return resp, told, err
}

// That a fresh ticket was asked for is told of another KRB-ERROR, after what else is
// known, and of nothing else.
func TestRefusedWithAFreshTicket(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		says string // "" for nothing of it
	}{
		"KRB-ERROR":     {&middleware.Error{Kind: middleware.ErrToken, Reason: middleware.ReasonKRBError, Code: krb.CodeSkew, Hint: "set the clock"}, "set the clock; a fresh ticket"},
		"another error": {&middleware.Error{Kind: middleware.ErrToken, Reason: middleware.ReasonWrongKey}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			heard := 0
			in := &hearing{drops: true, hears: func(context.Context, []byte) ([]byte, error) {
				if heard++; heard == 1 {
					return nil, &middleware.Error{Kind: middleware.ErrToken, Reason: middleware.ReasonKRBError, Code: 44}
				}
				return nil, tc.err
			}}
			srv := stagetest.NewServer(stagetest.Challenge(401, "Negotiate"), stagetest.Challenge(401, stagetest.Value(middleware.Negotiate, "x")))
			resp, told, err := tracing(negotiate.New(in, negotiate.Options{})(srv.Next), request(t, http.MethodGet, "http://origin.example/", ""))
			finish(t, resp, err)
			if len(told) != 1 || heard != 2 {
				t.Fatalf("the trace says %+v, %d tokens were heard", told, heard)
			}
			text := fmt.Sprint(told[0].Err)
			if tc.says == "" && strings.Contains(text, "fresh ticket") || !strings.Contains(text, tc.says) {
				t.Errorf("%q, want it to say %q", text, tc.says)
			}
		})
	}
}

// One that could drop its ticket is not asked to where no reason was given.
func TestNoReasonToDiscard(t *testing.T) {
	in := &hearing{drops: true}
	srv := stagetest.NewServer(stagetest.Challenge(401, "Negotiate"))
	resp, told, err := tracing(negotiate.New(in, negotiate.Options{})(srv.Next), request(t, http.MethodGet, "http://origin.example/", ""))
	finish(t, resp, err)
	if len(in.Contexts()) != 1 || len(told) != 1 || told[0].Err != nil {
		t.Errorf("%d tokens, the trace says %+v", len(in.Contexts()), told)
	}
}

// Where the call ends while the server's token is looked at, that is its error.
func TestEndsWhileAnswering(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	in := &hearing{hears: func(context.Context, []byte) ([]byte, error) {
		cancel()
		return nil, &middleware.Error{Kind: middleware.ErrToken, Reason: middleware.ReasonWrongKey}
	}}
	srv := stagetest.NewServer(stagetest.Challenge(401, "Negotiate"), stagetest.Challenge(401, stagetest.Value(middleware.Negotiate, "x")))
	resp, told, err := tracing(negotiate.New(in, negotiate.Options{})(srv.Next), request(t, http.MethodGet, "http://origin.example/", "").WithContext(ctx))
	if !errors.Is(err, context.Canceled) || resp != nil || len(told) > 0 {
		t.Errorf("%v, error %v, the trace says %+v", resp, err, told)
	}
}

// The exchange is gone on with by the context that signed the request that was sent: one
// that an attempt made anew for another connection, or that of a stage below.
func TestGoesOnWithWhatWasSent(t *testing.T) {
	for name, status := range map[string]int{"origin": 401, "proxy": 407} {
		for how, below := range map[string]bool{"made anew": false, "signed below": true} {
			t.Run(name+", "+how, func(t *testing.T) {
				field := map[int]string{401: "Authorization", 407: "Proxy-Authorization"}[status]
				more := stagetest.Challenge(status, stagetest.Value(middleware.Negotiate, stagetest.ServerMore))
				var got []string
				in := new(stagetest.Initiator)
				server := func(r *http.Request) (*http.Response, error) {
					if len(got) == 1 && !below {
						tell(r, new(wire), true) // which turns out to be dead
						tell(r, new(wire), false)
					}
					_, text, _ := strings.Cut(r.Header.Get(field), " ")
					got = append(got, decoded(text))
					switch {
					case got[len(got)-1] == "":
						return stagetest.Challenge(status, "Negotiate")(r)
					case strings.HasSuffix(got[len(got)-1], "more"):
						return stagetest.Respond(200, "ok")(r)
					}
					return more(r)
				}
				stages := []kerbchain.Middleware{negotiate.New(in, negotiate.Options{Proxy: viaProxy})}
				want := []string{"", "client-2", "client-2-more"}
				if below {
					stages = append(stages, preemptive.New(in, preemptive.Always(), preemptive.Options{Proxies: preemptive.Always(), Proxy: viaProxy}))
					want = []string{"client-1", "client-1-more"}
					if status == 407 { // the first token is for the server
						want = []string{"client-2", "client-2-more"}
					}
				}
				resp, err := kerbchain.Chain(stages...)(server)(request(t, http.MethodGet, "http://origin.example/", ""))
				finish(t, resp, err)
				if d := cmp.Diff(want, got); d != "" || resp.StatusCode != 200 {
					t.Errorf("status %d, tokens (-want +got):\n%s", resp.StatusCode, d)
				}
			})
		}
	}
}

// A refusal that does not tell who signed is that of our own token: no other one is
// sent.
func TestRefusalTellsNothing(t *testing.T) {
	in := new(stagetest.Initiator)
	older, sent := request(t, http.MethodGet, "http://origin.example/older", ""), 0
	resp, err := negotiate.New(in, negotiate.Options{})(func(r *http.Request) (*http.Response, error) {
		resp, err := stagetest.Challenge(401, "Negotiate")(r)
		if sent++; sent > 1 {
			// A stage below found the answer proved, and the transport names an older request.
			if _, err := in.Contexts()[0].Step(r.Context(), []byte(stagetest.ServerOK)); err != nil {
				t.Error(err)
			}
			resp.Request = older
		}
		return resp, err
	})(request(t, http.MethodGet, "http://origin.example/", ""))
	finish(t, resp, err)
	if sent != 2 || resp.StatusCode != 401 {
		t.Errorf("%d requests, status %d", sent, resp.StatusCode)
	}
}

// A token is bound to the TLS connection of the challenge where that ends at the server:
// over plain http through a proxy with TLS, it does not.
func TestNotBoundToAProxy(t *testing.T) {
	in := new(stagetest.Initiator)
	srv := stagetest.NewServer(func(r *http.Request) (*http.Response, error) {
		resp, err := stagetest.Challenge(401, "Negotiate")(r)
		resp.TLS = stateOfProxy
		return resp, err
	}, stagetest.Respond(200, "ok"))
	resp, err := negotiate.New(in, negotiate.Options{})(srv.Next)(request(t, http.MethodGet, "http://origin.example/", ""))
	finish(t, resp, err)
	if got := in.Targets(); len(got) != 1 || got[0].TLS != nil {
		t.Errorf("targets %+v", got)
	}
}

// A 407 that cannot be answered is told as the proxy's: why, and with the size of what
// was sent to a proxy, which is nothing.
func Test407OfNobody(t *testing.T) {
	for name, tc := range map[string]struct {
		proxy func(*http.Request) (*url.URL, error)
		says  string
	}{
		"not told":     {nil, "Options.Proxy"},
		"none":         {func(*http.Request) (*url.URL, error) { return nil, nil }, "Options.Proxy"},
		"not found":    {func(*http.Request) (*url.URL, error) { return nil, errors.New("bad proxy URL") }, "bad proxy URL"},
		"with an user": {func(*http.Request) (*url.URL, error) { return url.Parse("http://u:p@proxy.example") }, "bears a user"},
	} {
		t.Run(name, func(t *testing.T) {
			in := new(stagetest.Initiator)
			r := carry(t, in, request(t, http.MethodGet, "http://origin.example/", ""))
			resp, told, err := tracing(negotiate.New(in, negotiate.Options{Proxy: tc.proxy})(stagetest.NewServer(stagetest.Challenge(407, "Negotiate")).Next), r)
			finish(t, resp, err)
			if len(told) != 1 || told[0].Bytes != 0 || told[0].Status != 407 || !strings.Contains(fmt.Sprint(told[0].Err), tc.says) {
				t.Errorf("the trace says %+v", told)
			}
		})
	}
}

// What a session that is over is signed with anew, and what is none: the proxy's token
// and our own.
func TestSessionEndsOf(t *testing.T) {
	over := func(status int, body func(*http.Response)) stagetest.Reply {
		return func(r *http.Request) (*http.Response, error) {
			resp, err := stagetest.Respond(status, "")(r)
			if body != nil {
				body(resp)
			}
			return resp, err
		}
	}
	ok := stagetest.Respond(200, "ok")
	for name, tc := range map[string]struct {
		target  middleware.Target
		replies []stagetest.Reply
		want    []string
	}{
		"Kerberos": {
			middleware.Target{Scheme: middleware.Kerberos, Host: "origin.example", Port: "80"},
			[]stagetest.Reply{over(401, nil), ok}, []string{"Kerberos client-1, ", "Kerberos client-2, "},
		},
		"no body, of no length": {
			middleware.Target{Host: "origin.example", Port: "80"},
			[]stagetest.Reply{over(401, func(r *http.Response) { r.Body, r.ContentLength = http.NoBody, -1 }), ok}, []string{"Negotiate client-1, ", "Negotiate client-2, "},
		},
		"none at all": {
			middleware.Target{Host: "origin.example", Port: "80"},
			[]stagetest.Reply{over(401, func(r *http.Response) { r.Body, r.ContentLength = nil, -1 }), ok}, []string{"Negotiate client-1, ", "Negotiate client-2, "},
		},
		"a proxy": {
			middleware.Target{Host: "proxy.example", Port: "3128", Proxy: true},
			[]stagetest.Reply{over(407, nil), ok}, []string{", Negotiate client-1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := new(stagetest.Initiator)
			sc, err := in.Initiate(t.Context(), tc.target)
			if err != nil {
				t.Fatal(err)
			}
			token, err := sc.Step(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			r := request(t, http.MethodGet, "http://origin.example/", "")
			field, scheme := "Authorization", tc.target.Scheme
			if tc.target.Proxy {
				field = "Proxy-Authorization"
			}
			if scheme == "" {
				scheme = middleware.Negotiate
			}
			r.Header.Set(field, stagetest.Value(scheme, string(token)))
			srv := stagetest.NewServer(tc.replies...)
			resp, err := negotiate.New(in, negotiate.Options{Proxy: viaProxy})(srv.Next)(middleware.WithSecurity(r, sc))
			finish(t, resp, err)
			var got []string
			for _, r := range srv.Requests() {
				got = append(got, r.Auth+", "+r.Proxy)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("tokens (-want +got):\n%s", d)
			}
		})
	}
}

// HTTP/1.1 is for origin servers that refuse a token without a word over HTTP/2, and is
// asked for once.
func TestHTTP1IsAskedForOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		url    string
		status int
		second stagetest.Reply
		want   int // requests
	}{
		"and not heeded":         {"https://origin.example/", 401, stagetest.Challenge(401, "Negotiate"), 3},
		"not of a proxy":         {"http://origin.example/", 407, stagetest.Challenge(407, "Negotiate"), 2},
		"not without a scheme":   {"https://origin.example/", 401, stagetest.Respond(401, ""), 2},
		"not if there is a word": {"https://origin.example/", 401, stagetest.Challenge(401, stagetest.Value(middleware.Negotiate, "foreign")), 2},
	} {
		t.Run(name, func(t *testing.T) {
			sent := 0
			resp, err := negotiate.New(new(stagetest.Initiator), negotiate.Options{Proxy: viaProxy})(func(r *http.Request) (*http.Response, error) {
				reply := tc.second
				if sent++; sent == 1 {
					reply = stagetest.Challenge(tc.status, "Negotiate")
				}
				return offering(reply)(r)
			})(request(t, http.MethodGet, tc.url, ""))
			finish(t, resp, err)
			if sent != tc.want || resp.StatusCode != tc.status {
				t.Errorf("%d requests, want %d; status %d", sent, tc.want, resp.StatusCode)
			}
		})
	}
}

var stateOfProxy = &tls.ConnectionState{HandshakeComplete: true}

// offering makes a reply come over HTTP/2, of a transport that says that it can do
// otherwise, and does not.
func offering(reply stagetest.Reply) stagetest.Reply {
	return func(r *http.Request) (*http.Response, error) {
		resp, err := reply(r)
		resp.Proto, resp.ProtoMajor, resp.ProtoMinor = "HTTP/2.0", 2, 0
		resp.Request = stage.OfferHTTP1(resp.Request)
		return resp, err
	}
}
