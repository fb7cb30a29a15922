package client_test

import (
	"bytes"
	"context"
	"crypto"
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/cbt"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// A lab is a realm with services to try behaviours on.
type lab struct {
	realm *fakekdc.Realm
	cache string // of alice's, with the ticket-granting ticket alone
}

// A trial is one service, and a client of it.
type trial struct {
	*testing.T
	lab     *lab
	handler *fakeweb.Handler
	server  *fakeweb.Server
	client  *http.Client
	conns   *meter
}

type change func(*client.Options)

// try starts a service and makes a client that does not follow redirects.
func (l *lab) try(t *testing.T, web fakeweb.Options, changes ...change) *trial {
	t.Helper()
	if web.Next == nil {
		web.Next = page(0)
	}
	return l.serve(t, fakeweb.New(l.realm, spn, web), fakeweb.ServerOptions{}, nil, changes...)
}

// serve is try with the handler, and what stands in front of it, given.
func (l *lab) serve(t *testing.T, h *fakeweb.Handler, so fakeweb.ServerOptions, front func(http.Handler) http.Handler, changes ...change) *trial {
	t.Helper()
	var outer http.Handler = h
	if front != nil {
		outer = front(h)
	}
	tr := &trial{T: t, lab: l, handler: h, server: fakeweb.Serve(l.realm, outer, so), conns: new(meter)}
	o := bare(l.realm)
	o.Transport = tr.conns.on(tr.server.Transport())
	for _, c := range changes {
		c(&o)
	}
	if o.Initiator == nil && o.Password.IsZero() && o.Keytab == "" && o.CCache == "" && !strings.Contains(o.Principal, ":") {
		o.CCache = l.cache
	}
	tr.client = newClient(t, o)
	tr.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(func() { tr.conns.drained(t, tr.client.CloseIdleConnections) })
	return tr
}

// answer is what a caller sees.
type answerSeen struct {
	status   int
	body     string
	header   http.Header
	verified bool
	err      error
	reason   middleware.Reason
	code     int32
}

func (tr *trial) get(status int) answerSeen {
	tr.Helper()
	r, err := http.NewRequestWithContext(tr.Context(), http.MethodGet, fmt.Sprintf("%s/%d", tr.server.URL(), status), nil)
	if err != nil {
		tr.Fatal(err)
	}
	return tr.do(r)
}

func (tr *trial) do(r *http.Request) answerSeen {
	tr.Helper()
	resp, err := tr.client.Do(r)
	if err != nil {
		a := answerSeen{err: err}
		var known *middleware.Error
		if errors.As(err, &known) {
			a.reason, a.code = known.Reason, known.Code
		}
		return a
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		tr.Errorf("body: %v", err)
	}
	sc := middleware.SecurityOf(resp.Request)
	return answerSeen{status: resp.StatusCode, body: string(b), header: resp.Header, verified: sc != nil && sc.Verified()}
}

// ok fails the test unless the call ended in a verified 200.
func (tr *trial) ok() {
	tr.Helper()
	if a := tr.get(200); a.err != nil || a.status != 200 || !a.verified || a.body != "page 200" {
		tr.Errorf("%+v", a)
	}
}

// requests compares what arrived: one word for each request, "token" or "bare".
func (tr *trial) requests(want ...string) []fakeweb.Record {
	tr.Helper()
	all := tr.handler.Requests()
	var got []string
	for _, rec := range all {
		if rec.Scheme != "" {
			got = append(got, "token")
		} else {
			got = append(got, "bare")
		}
	}
	if !slices.Equal(got, want) {
		tr.Errorf("requests %q, want %q", got, want)
	}
	return all
}

// fails compares an error: its kind, and its reason or code.
func (tr *trial) fails(a answerSeen, kind error, reason middleware.Reason, code int32) {
	tr.Helper()
	reads(tr, a.err)
	if !errors.Is(a.err, kind) || a.reason != reason || a.code != code {
		tr.Errorf("status %d, error %v (%v, %d), want %v (%v, %d)", a.status, a.err, a.reason, a.code, kind, reason, code)
	}
}

func withMode(m mutual.Mode) change { return func(o *client.Options) { o.Mutual = m } }

func force(o *client.Options) { o.Preemptive = preemptive.Always() }

// rewritten passes the server's challenges and tokens through f.
func rewritten(f func(line string) []string) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(&rewriter{ResponseWriter: w, f: f}, r)
		})
	}
}

type rewriter struct {
	http.ResponseWriter
	f func(string) []string
}

func (w *rewriter) WriteHeader(status int) {
	var out []string
	for _, line := range w.Header().Values("WWW-Authenticate") {
		out = append(out, w.f(line)...)
	}
	w.Header()["Www-Authenticate"] = out
	w.ResponseWriter.WriteHeader(status)
}

// What requests-kerberos does, as its own tests have it, by name. Where we do
// otherwise the name says so.
func behaviours() map[string]func(*testing.T, *lab) {
	all := map[string]func(*testing.T, *lab){
		// Preemptive or not.
		"force_preemptive: the first request bears a token": func(t *testing.T, l *lab) {
			tr := l.try(t, fakeweb.Options{}, force)
			tr.ok()
			tr.requests("token")
		},
		"no force_preemptive: the first request is bare": func(t *testing.T, l *lab) {
			tr := l.try(t, fakeweb.Options{})
			tr.ok()
			tr.requests("bare", "token")
		},
		"force_preemptive: a refused token is followed by a fresh one, once": func(t *testing.T, l *lab) {
			tr := l.try(t, quirk(fakeweb.Quirks{Reject: true}), force)
			if a := tr.get(200); a.status != 401 {
				t.Errorf("%+v", a)
			}
			tr.requests("token", "token")
		},

		// Making the header.
		"generate_request_header: SPN, flags and scheme": func(t *testing.T, l *lab) {
			tr := l.try(t, fakeweb.Options{})
			tr.ok()
			rec := tr.requests("bare", "token")[1]
			if want := spn + "@" + l.realm.Name(); rec.Caller.Service != want || rec.Scheme != "Negotiate" {
				t.Errorf("%s token for %s", rec.Scheme, rec.Caller.Service)
			}
			if want := fakekdc.GSSMutual | fakekdc.GSSSequence; rec.Caller.Flags&want != want || rec.Caller.Flags&fakekdc.GSSDeleg != 0 || !rec.Caller.Mutual {
				t.Errorf("flags %x, mutual %v", rec.Caller.Flags, rec.Caller.Mutual)
			}
		},
		"generate_request_header: no proof is asked for when disabled": func(t *testing.T, l *lab) {
			tr := l.try(t, fakeweb.Options{}, withMode(mutual.Disabled))
			if a := tr.get(200); a.err != nil || a.status != 200 || a.verified {
				t.Errorf("%+v", a)
			}
			if rec := tr.requests("bare", "token")[1]; rec.Caller.Mutual || rec.Caller.Flags&fakekdc.GSSMutual != 0 {
				t.Errorf("flags %x, mutual %v", rec.Caller.Flags, rec.Caller.Mutual)
			}
		},
		"generate_request_header: init error, no ticket for the SPN": func(t *testing.T, l *lab) {
			tr := l.try(t, fakeweb.Options{}, func(o *client.Options) { o.HostOverride = "nowhere.example" })
			a := tr.get(200)
			tr.fails(a, middleware.ErrKDC, middleware.ReasonNone, 7)
			for _, want := range []string{"HTTP/nowhere.example", "alice@" + l.realm.Name()} {
				if !strings.Contains(fmt.Sprint(a.err), want) {
					t.Errorf("%v: does not name %s", a.err, want)
				}
			}
			tr.requests("bare")
		},
		"generate_request_header: init error, no cache": func(t *testing.T, l *lab) {
			path := t.TempDir() + "/none"
			tr := l.try(t, fakeweb.Options{}, func(o *client.Options) { o.CCache = path })
			a := tr.get(200)
			tr.fails(a, middleware.ErrCredentials, middleware.ReasonNone, 0)
			if text := fmt.Sprint(a.err); !strings.Contains(text, "kinit") || !strings.Contains(text, path) {
				t.Errorf("%v: does not say what to do", a.err)
			}
			tr.requests("bare")
		},
		"generate_request_header: init error, before anything is sent": func(t *testing.T, l *lab) {
			tr := l.try(t, fakeweb.Options{}, force, func(o *client.Options) { o.CCache = t.TempDir() + "/none" })
			tr.fails(tr.get(200), middleware.ErrCredentials, middleware.ReasonNone, 0)
			tr.requests()
		},
		"generate_request_header: init error returns the 401 if asked to": func(t *testing.T, l *lab) {
			tr := l.try(t, fakeweb.Options{}, func(o *client.Options) { o.CCache, o.ReturnChallenge = t.TempDir()+"/none", true })
			if a := tr.get(200); a.status != 401 || a.body != "" || a.header.Get("WWW-Authenticate") != "Negotiate" {
				t.Errorf("%+v", a)
			}
			tr.requests("bare")
		},
		"generate_request_header: step error": func(t *testing.T, l *lab) {
			tr := l.try(t, fakeweb.Options{}, func(o *client.Options) { *o = client.Options{Initiator: stumbling{}, Transport: o.Transport} })
			tr.fails(tr.get(200), middleware.ErrToken, middleware.ReasonNone, 0)
			tr.requests("bare")
		},
		"generate_request_header: step error of the server's token": func(t *testing.T, l *lab) {
			tr := l.try(t, quirk(fakeweb.Quirks{Proof: fakeweb.ProofGarbage}))
			tr.fails(tr.get(200), middleware.ErrNotVerified, middleware.ReasonMalformed, 0)
		},

		// 401.
		"authenticate_user: 200 after a 401, over one connection": func(t *testing.T, l *lab) {
			tr := l.try(t, fakeweb.Options{})
			tr.ok()
			if n := tr.conns.total(); n != 1 {
				t.Errorf("%d connections", n)
			}
		},
		"handle_401: the first 401 is read to its end": func(t *testing.T, l *lab) {
			tr := l.try(t, quirk(fakeweb.Quirks{ChallengeBody: 200 << 10}))
			tr.ok()
			if n := tr.conns.total(); n != 1 {
				t.Errorf("%d connections", n)
			}
		},
		"handle_401: the body is sent again": func(t *testing.T, l *lab) {
			var got []byte
			tr := l.try(t, fakeweb.Options{Next: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				got, _ = io.ReadAll(r.Body)
			})})
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, tr.server.URL(), strings.NewReader("the body"))
			if err != nil {
				t.Fatal(err)
			}
			if a := tr.do(r); a.status != 200 || string(got) != "the body" {
				t.Errorf("%+v, body %q", a, got)
			}
		},
		"handle_response_401_rejected: the second 401 is the answer": func(t *testing.T, l *lab) {
			tr := l.try(t, quirk(fakeweb.Quirks{Reject: true, Rejection: fakeweb.RejectNothing}))
			if a := tr.get(200); a.err != nil || a.status != 401 || a.body != "" {
				t.Errorf("%+v", a)
			}
			tr.requests("bare", "token")
		},
		"handle_response_401_rejected: for ever, with more challenges": func(t *testing.T, l *lab) {
			tr := l.try(t, quirk(fakeweb.Quirks{Reject: true, Rejection: fakeweb.RejectPlain}))
			for range 2 {
				if a := tr.get(200); a.err != nil || a.status != 401 {
					t.Errorf("%+v", a)
				}
			}
			tr.requests("bare", "token", "bare", "token")
		},
		"handle_401: 401 of another scheme keeps its challenge, and no more (ours)": func(t *testing.T, l *lab) {
			tr := l.try(t, challengeWith(`Basic realm="x"`))
			if a := tr.get(200); a.status != 401 || a.body != "" || a.header.Get("WWW-Authenticate") != `Basic realm="x"` {
				t.Errorf("%+v", a)
			}
			tr.requests("bare")
		},
		"handle_401: 401 without a challenge is untouched where bodies are kept": func(t *testing.T, l *lab) {
			tr := l.try(t, quirk(fakeweb.Quirks{Before: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, "no", http.StatusUnauthorized)
			})}), func(o *client.Options) { o.KeepErrorBodies = true })
			if a := tr.get(200); a.status != 401 || a.body != "no\n" {
				t.Errorf("%+v", a)
			}
			tr.requests("bare")
		},
		"handle_401: a caller's own Authorization is left alone": func(t *testing.T, l *lab) {
			tr := l.try(t, fakeweb.Options{})
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tr.server.URL(), nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer abc")
			if a := tr.do(r); a.status != 401 {
				t.Errorf("%+v", a)
			}
			if rec := tr.requests("token")[0]; rec.Scheme != "Bearer" {
				t.Errorf("scheme %q", rec.Scheme)
			}
		},

		// 407.
		"handle_407: a proxy's proof is not the server's (ours)": func(t *testing.T, l *lab) {
			tr := l.proxy(t, fakeweb.Quirks{})
			tr.fails(tr.get(200), middleware.ErrNotVerified, middleware.ReasonNoToken, 0)
			tr.requests("bare", "token")
		},
		"handle_407: 200 after a 407": func(t *testing.T, l *lab) {
			tr := l.proxy(t, fakeweb.Quirks{}, func(o *client.Options) { o.TrustProxy = true })
			if a := tr.get(200); a.err != nil || a.status != 200 {
				t.Errorf("%+v", a)
			}
			tr.requests("bare", "token")
		},
		"handle_407: the second 407 is the answer": func(t *testing.T, l *lab) {
			tr := l.proxy(t, fakeweb.Quirks{Reject: true})
			if a := tr.get(200); a.err != nil || a.status != 407 || a.body != "" {
				t.Errorf("%+v", a)
			}
			tr.requests("bare", "token")
		},
		"handle_407: 407 of another scheme is untouched": func(t *testing.T, l *lab) {
			tr := l.proxy(t, fakeweb.Quirks{Challenge: []string{`Basic realm="x"`}})
			if a := tr.get(200); a.status != 407 || a.header.Get("Proxy-Authenticate") != `Basic realm="x"` {
				t.Errorf("%+v", a)
			}
			tr.requests("bare")
		},
		"handle_407: a proxy that is not known gets no token (ours)": func(t *testing.T, l *lab) {
			tr := l.try(t, fakeweb.Options{Proxy: true})
			if a := tr.get(200); a.status != 407 {
				t.Errorf("%+v", a)
			}
			tr.requests("bare")
		},

		// The server's proof.
		"authenticate_server: ok": func(t *testing.T, l *lab) {
			tr := l.try(t, fakeweb.Options{})
			tr.ok()
			if !tr.requests("bare", "token")[1].Proved {
				t.Error("the service sent no proof")
			}
		},
		"authenticate_server: error": func(t *testing.T, l *lab) {
			tr := l.try(t, quirk(fakeweb.Quirks{Proof: fakeweb.ProofForged}))
			tr.fails(tr.get(200), middleware.ErrNotVerified, middleware.ReasonWrongKey, 0)
		},
		"authenticate_server: missing": func(t *testing.T, l *lab) {
			tr := l.try(t, quirk(fakeweb.Quirks{Proof: fakeweb.ProofNone}))
			tr.fails(tr.get(200), middleware.ErrNotVerified, middleware.ReasonNoToken, 0)
		},
		"authenticate_server: KRB-ERROR": func(t *testing.T, l *lab) {
			tr := l.try(t, quirk(fakeweb.Quirks{Proof: fakeweb.ProofKRBError}))
			tr.fails(tr.get(200), middleware.ErrNotVerified, middleware.ReasonKRBError, 41)
		},
		"handle_other: a server that asks for nothing is not verified": func(t *testing.T, l *lab) {
			tr := l.try(t, quirk(fakeweb.Quirks{Before: page(200)}))
			tr.fails(tr.get(200), middleware.ErrNotVerified, middleware.ReasonNoToken, 0)
			tr.requests("bare")
		},
		"handle_other: a server that asks for nothing passes when optional": func(t *testing.T, l *lab) {
			tr := l.try(t, quirk(fakeweb.Quirks{Before: page(200)}), withMode(mutual.Optional))
			if a := tr.get(200); a.status != 200 || a.verified || a.body != "page 200" {
				t.Errorf("%+v", a)
			}
		},

		// Arguments.
		"service: another class": func(t *testing.T, l *lab) {
			tr := l.serve(t, fakeweb.New(l.realm, "barfoo/localhost", fakeweb.Options{Next: page(0)}), fakeweb.ServerOptions{}, nil,
				func(o *client.Options) { o.Service = "barfoo" })
			tr.ok()
			if got := tr.requests("bare", "token")[1].Caller.Service; got != "barfoo/localhost@"+l.realm.Name() {
				t.Errorf("service %s", got)
			}
		},
		"service: another class than the server's": func(t *testing.T, l *lab) {
			tr := l.try(t, fakeweb.Options{}, func(o *client.Options) { o.Service = "barfoo" })
			if a := tr.get(200); a.status != 401 {
				t.Errorf("%+v", a)
			}
			if rec := tr.requests("bare", "token")[1]; rec.Code != 35 { // KRB_AP_ERR_NOT_US
				t.Errorf("code %d", rec.Code)
			}
		},
		"delegate: off by default": func(t *testing.T, l *lab) {
			tr := l.try(t, fakeweb.Options{})
			tr.ok()
			if flags := tr.requests("bare", "token")[1].Caller.Flags; flags&fakekdc.GSSDeleg != 0 {
				t.Errorf("flags %x", flags)
			}
		},
		"delegate: the flag, and credentials with it": func(t *testing.T, l *lab) {
			tr := l.try(t, fakeweb.Options{}, func(o *client.Options) { o.Delegation = kerberos.DelegationAlways })
			tr.ok()
			rec := tr.requests("bare", "token")[1]
			if rec.Caller.Flags&fakekdc.GSSDeleg == 0 || rec.Token < 1000 {
				t.Errorf("flags %x, token of %d bytes", rec.Caller.Flags, rec.Token)
			}
		},
		"principal: that of the cache": func(t *testing.T, l *lab) {
			l.try(t, fakeweb.Options{}, func(o *client.Options) { o.Principal = "alice@" + l.realm.Name() }).ok()
		},
		"principal: short, of the default realm": func(t *testing.T, l *lab) {
			l.try(t, fakeweb.Options{}, func(o *client.Options) { o.Principal = "alice" }).ok()
		},
		"principal: not that of the cache": func(t *testing.T, l *lab) {
			tr := l.try(t, fakeweb.Options{}, func(o *client.Options) { o.Principal = "bob@" + l.realm.Name() })
			a := tr.get(200)
			tr.fails(a, middleware.ErrCredentials, middleware.ReasonNone, 0)
			for _, want := range []string{"bob@" + l.realm.Name(), "alice@" + l.realm.Name()} {
				if !strings.Contains(fmt.Sprint(a.err), want) {
					t.Errorf("%v: does not name %s", a.err, want)
				}
			}
		},
		"password: with a principal": func(t *testing.T, l *lab) {
			tr := l.try(t, fakeweb.Options{}, func(o *client.Options) {
				o.Principal, o.Password = "alice@"+l.realm.Name(), kerberos.NewSecret(password)
			})
			tr.ok()
			if got := tr.requests("bare", "token")[1].Caller.Name; got != "alice@"+l.realm.Name() {
				t.Errorf("caller %s", got)
			}
		},
		"password: in the principal": func(t *testing.T, l *lab) {
			tr := l.try(t, fakeweb.Options{}, func(o *client.Options) { o.Principal = "alice@" + l.realm.Name() + ":" + password })
			tr.ok()
			if got := tr.requests("bare", "token")[1].Caller.Name; got != "alice@"+l.realm.Name() {
				t.Errorf("caller %s", got)
			}
		},
		"password: wrong": func(t *testing.T, l *lab) {
			tr := l.try(t, fakeweb.Options{}, func(o *client.Options) { o.Principal = "carol@" + l.realm.Name() + ":not this one" })
			a := tr.get(200)
			tr.fails(a, middleware.ErrCredentials, middleware.ReasonNone, 24)
			if text := fmt.Sprint(a.err); strings.Contains(text, "not this one") || !strings.Contains(text, "carol@"+l.realm.Name()) {
				t.Errorf("%v", text)
			}
		},
		"keytab": func(t *testing.T, l *lab) {
			path := testmain.File(t, "alice.keytab", l.realm.Keytab("alice"))
			l.try(t, fakeweb.Options{}, func(o *client.Options) { o.Keytab = path }).ok()
		},
		"hostname_override": func(t *testing.T, l *lab) {
			tr := l.serve(t, fakeweb.New(l.realm, "HTTP/otherhost.example", fakeweb.Options{Next: page(0)}), fakeweb.ServerOptions{}, nil,
				func(o *client.Options) { o.HostOverride = "otherhost.example" })
			tr.ok()
			if got := tr.requests("bare", "token")[1].Caller.Service; got != "HTTP/otherhost.example@"+l.realm.Name() {
				t.Errorf("service %s", got)
			}
		},
	}

	// Where the token and the challenge stand.
	for name, lines := range fakeweb.Challenges() {
		all["negotiate_value: challenge, "+name] = func(t *testing.T, l *lab) { l.try(t, challengeWith(lines...)).ok() }
	}
	for name, tc := range map[string]struct {
		rewrite func(string) []string
		found   bool
	}{
		"token alone":      {func(s string) []string { return []string{s} }, true},
		"lower case":       {func(s string) []string { return []string{strings.Replace(s, "Negotiate", "negotiate", 1)} }, true},
		"after a comma":    {func(s string) []string { return []string{`Basic realm="x", ` + s} }, true},
		"before a comma":   {func(s string) []string { return []string{s + `, Basic realm="x"`} }, true},
		"on the last line": {func(s string) []string { return []string{`Basic realm="x"`, "NTLM", s} }, true},
		"more blanks":      {func(s string) []string { return []string{"  " + strings.Replace(s, " ", "   ", 1) + " "} }, true},
		"no header":        {func(string) []string { return nil }, false},
		"another scheme":   {func(s string) []string { return []string{strings.Replace(s, "Negotiate", "NTLM", 1)} }, false},
		"no token":         {func(string) []string { return []string{"Negotiate"} }, false},
		"quoted":           {func(s string) []string { return []string{`Basic realm="` + s + `"`} }, false},
	} {
		all["negotiate_value: server's token, "+name] = func(t *testing.T, l *lab) {
			h := fakeweb.New(l.realm, spn, fakeweb.Options{Next: page(0)})
			tr := l.serve(t, h, fakeweb.ServerOptions{}, rewritten(tc.rewrite), force)
			if tc.found {
				tr.ok()
			} else {
				tr.fails(tr.get(200), middleware.ErrNotVerified, middleware.ReasonNoToken, 0)
			}
		}
	}

	// handle_response: every status in every mode, with each answer to a token.
	for _, status := range []int{200, 201, 204, 301, 302, 304, 307, 400, 403, 404, 418, 500, 502, 503} {
		for _, mode := range []mutual.Mode{mutual.Required, mutual.Optional, mutual.Disabled} {
			for token, name := range map[fakeweb.Proof]string{
				fakeweb.ProofGenuine: "verified", fakeweb.ProofNone: "no token", fakeweb.ProofForged: "forged token",
			} {
				for _, keep := range []bool{false, true} {
					title := fmt.Sprintf("handle_response: %d, %v, %s, sanitize %v", status, mode, name, !keep)
					all[title] = func(t *testing.T, l *lab) {
						tr := l.try(t, quirk(fakeweb.Quirks{Proof: token}), withMode(mode), func(o *client.Options) { o.KeepErrorBodies = keep })
						tr.response(status, mode, token, keep)
					}
				}
			}
		}
	}

	// Channel bindings.
	for name, hash := range map[string]crypto.Hash{
		"rsa-md5": crypto.SHA256, "rsa-sha1": crypto.SHA256, "rsa-sha256": crypto.SHA256, "rsa-sha384": crypto.SHA384, "rsa-sha512": crypto.SHA512,
		"ecdsa-sha1": crypto.SHA256, "ecdsa-sha256": crypto.SHA256, "ecdsa-sha384": crypto.SHA384, "ecdsa-sha512": crypto.SHA512,
		"pss-sha256": crypto.SHA256, "ed25519": 0,
	} {
		all["certificate_hash: "+name] = func(t *testing.T, l *lab) { l.bindings(t, name, hash) }
	}
	for name, algorithm := range map[string]x509.SignatureAlgorithm{
		"RSA, SHA-512": x509.SHA512WithRSA, "ECDSA, SHA-256": x509.ECDSAWithSHA256, "ECDSA, SHA-384": x509.ECDSAWithSHA384,
		"ECDSA, SHA-512": x509.ECDSAWithSHA512,
	} {
		for _, pre := range []bool{false, true} {
			all[fmt.Sprintf("send_cbt: over TLS, %s, preemptive %v", name, pre)] = func(t *testing.T, l *lab) {
				h := fakeweb.New(l.realm, spn, fakeweb.Options{Bindings: fakekdc.BindingsRequired, Next: page(0)})
				tr := l.serve(t, h, fakeweb.ServerOptions{TLS: true, Signature: algorithm}, nil, func(o *client.Options) {
					if pre {
						force(o)
					}
				})
				tr.ok()
				if all := h.Requests(); !all[len(all)-1].Caller.Bound {
					t.Error("not bound")
				}
			}
		}
	}
	for name, tc := range map[string]struct {
		client kerberos.Bindings
		server fakekdc.Bindings
		tls    bool
		status int
		bound  bool
		err    error
	}{
		"off, required":           {kerberos.BindingsOff, fakekdc.BindingsRequired, true, 401, false, nil},
		"off, when supported":     {kerberos.BindingsOff, fakekdc.BindingsWhenSupported, true, 200, false, nil},
		"off, off":                {kerberos.BindingsOff, fakekdc.BindingsOff, true, 200, false, nil},
		"auto, off":               {kerberos.BindingsAuto, fakekdc.BindingsOff, true, 200, true, nil},
		"auto, when supported":    {kerberos.BindingsAuto, fakekdc.BindingsWhenSupported, true, 200, true, nil},
		"auto, required":          {kerberos.BindingsAuto, fakekdc.BindingsRequired, true, 200, true, nil},
		"require, required":       {kerberos.BindingsRequired, fakekdc.BindingsRequired, true, 200, true, nil},
		"auto, plain HTTP":        {kerberos.BindingsAuto, fakekdc.BindingsWhenSupported, false, 200, false, nil},
		"require over plain HTTP": {kerberos.BindingsRequired, fakekdc.BindingsWhenSupported, false, 0, false, middleware.ErrToken},
	} {
		all["send_cbt: "+name] = func(t *testing.T, l *lab) {
			h := fakeweb.New(l.realm, spn, fakeweb.Options{Bindings: tc.server, Next: page(0)})
			tr := l.serve(t, h, fakeweb.ServerOptions{TLS: tc.tls}, nil, func(o *client.Options) { o.Bindings = tc.client })
			a := tr.get(200)
			records := h.Requests()
			if a.status != tc.status || !errors.Is(a.err, tc.err) || records[len(records)-1].Caller.Bound != tc.bound {
				t.Errorf("%+v; %v", a, records)
			}
		}
	}
	return all
}

// response checks one cell of the table of modes, as requests-kerberos has it.
func (tr *trial) response(status int, mode mutual.Mode, token fakeweb.Proof, keep bool) {
	tr.Helper()
	a := tr.get(status)
	redirect := status == 301 || status == 302 || status == 304 || status == 307
	var reason middleware.Reason
	switch {
	case mode == mutual.Disabled, token == fakeweb.ProofGenuine:
	case token == fakeweb.ProofForged:
		reason = middleware.ReasonWrongKey
	case mode == mutual.Required && redirect: // the page has a Location for all of them
		reason = middleware.ReasonUnverifiedRedirect
	case mode == mutual.Required && status < 400:
		reason = middleware.ReasonNoToken
	}
	if reason != middleware.ReasonNone {
		tr.fails(a, middleware.ErrNotVerified, reason, 0)
		return
	}
	if a.err != nil || a.status != status {
		tr.Errorf("%+v", a)
		return
	}
	if want := token == fakeweb.ProofGenuine && mode != mutual.Disabled; a.verified != want {
		tr.Errorf("verified %v", a.verified)
	}
	body, cookie := fmt.Sprintf("page %d", status), "planted=1"
	if status == 204 || status == 304 {
		body = ""
	}
	if mode == mutual.Required && token == fakeweb.ProofNone && !keep {
		body, cookie = "", "" // status is 400 or above
	}
	if a.body != body || a.header.Get("Set-Cookie") != cookie {
		tr.Errorf("body %q, cookie %q, want %q, %q", a.body, a.header.Get("Set-Cookie"), body, cookie)
	}
}

// proxy puts a proxy that authenticates between the client and a page.
func (l *lab) proxy(t *testing.T, q fakeweb.Quirks, changes ...change) *trial {
	t.Helper()
	h := fakeweb.New(l.realm, spn, fakeweb.Options{Proxy: true, Next: page(0), Quirks: q})
	var address string
	tr := l.serve(t, h, fakeweb.ServerOptions{}, nil, append(changes, func(o *client.Options) {
		o.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(address) }
	})...)
	address = tr.server.URL()
	return tr
}

// bindings checks tokens for a connection with a given certificate, which no Go
// server could be made to present: MD5 and SHA-1 are history. A hash of 0 says
// that RFC 5929 defines none for it.
func (l *lab) bindings(t *testing.T, name string, hash crypto.Hash) {
	cert := certificate(t, name)
	got, err := cbt.EndPoint(cert)
	if hash != 0 {
		h := hash.New()
		h.Write(cert.Raw)
		if want := append([]byte("tls-server-end-point:"), h.Sum(nil)...); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%x, %v, want %x", got, err, want)
		}
	} else if !errors.Is(err, cbt.ErrUndefined) {
		t.Errorf("%x, %v", got, err)
	}
	web := fakeweb.Options{Certificate: cert, Next: page(0)}
	if hash != 0 {
		web.Bindings = fakekdc.BindingsRequired
	}
	for _, pre := range []bool{false, true} {
		h := fakeweb.New(l.realm, spn, web)
		o := bare(l.realm)
		o.CCache, o.Transport = l.cache, presenting(h, cert)
		if pre {
			force(&o)
		}
		c := newClient(t, o)
		status, body, err := get(t, c, "https://localhost/200")
		if err != nil || status != 200 || body != "page 200" {
			t.Errorf("preemptive %v: %d, %q, %v", pre, status, body, err)
		}
		records := h.Requests()
		if len(records) == 0 || len(records) > 2 || records[len(records)-1].Caller.Bound != (hash != 0) {
			t.Errorf("preemptive %v: %v", pre, records)
		}
	}
	h := fakeweb.New(l.realm, spn, web)
	o := bare(l.realm)
	o.CCache = l.cache
	if hash == 0 {
		o.Bindings, o.Transport = kerberos.BindingsRequired, presenting(h, cert)
		if _, _, err := get(t, newClient(t, o), "https://localhost/200"); !errors.Is(err, middleware.ErrToken) || !errors.Is(err, cbt.ErrUndefined) {
			t.Errorf("required: %v", err)
		}
		return
	}
	// Another connection's certificate: someone in between.
	o.Transport = presenting(h, certificate(t, "pss-sha512"))
	status, _, err := get(t, newClient(t, o), "https://localhost/200")
	if err != nil || status != 401 {
		t.Errorf("another certificate: %d, %v", status, err)
	}
}

func certificate(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	b, err := os.ReadFile("../internal/cbt/testdata/" + name + ".pem")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// presenting is a transport to h over a connection on which the peer presented
// cert. It tells of the connection with the response, and not before.
func presenting(h http.Handler, cert *x509.Certificate) http.RoundTripper {
	state := &tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{cert}}
	return kerbchain.Next(func(r *http.Request) (*http.Response, error) {
		in := r.Clone(r.Context())
		in.TLS, in.RemoteAddr, in.RequestURI = state, "127.0.0.1:1", r.URL.RequestURI()
		if in.Body == nil {
			in.Body = http.NoBody
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, in)
		resp := w.Result()
		resp.Request, resp.TLS = r, state
		header := make(http.Header) // in the form that reading from a connection gives it
		for field, lines := range resp.Header {
			for _, line := range lines {
				header.Add(field, line)
			}
		}
		resp.Header = header
		return resp, in.Body.Close()
	})
}

// stumbling starts contexts that cannot make a token.
type stumbling struct{}

func (stumbling) Initiate(_ context.Context, t middleware.Target) (middleware.SecurityContext, error) {
	return stumble{t}, nil
}

type stumble struct{ t middleware.Target }

func (stumble) Step(context.Context, []byte) ([]byte, error) { return nil, errors.New("stumbled") }
func (stumble) Verified() bool                               { return false }
func (s stumble) Target() middleware.Target                  { return s.t }

func TestBehaviours(t *testing.T) {
	t.Parallel()
	realm := start(t,
		fakekdc.WithUser("bob", "other"), fakekdc.WithUser("carol", "third"),
		fakekdc.WithService("barfoo/localhost"), fakekdc.WithService("HTTP/otherhost.example"))
	l := &lab{realm: realm, cache: testmain.File(t, "krb5cc", realm.CCache("alice"))}
	t.Run("all", func(t *testing.T) {
		for name, check := range behaviours() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				check(t, l)
			})
		}
	})
}
