// Package initiatortest is the conformance kit that every [middleware.Initiator]
// passes, whoever carries out Kerberos below it: the same exchanges with the services
// of a fakekdc realm, genuine and forged.
package initiatortest

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/policy"
	"github.com/kerbchain/kerbchain/internal/spnego"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
)

// SPN is the service that is called. It may have credentials delegated to it
// (ok-as-delegate), as [Plain] may not.
const (
	SPN   = "HTTP/localhost"
	Plain = "HTTP/plain.example"
)

// Options are what initiators are made with.
type Options struct {
	Names        policy.Names
	NoMutual     bool
	Bindings     policy.Bindings
	Delegation   policy.Delegation
	DelegateTo   []string
	AllowedHosts []string
	Sealing      bool
}

// A Make returns an initiator for alice of the realm, who ran kinit.
type Make func(t *testing.T, o Options) middleware.Initiator

// Run holds initiators to the contract. setup prepares what they need of a realm, which
// lasts as long as the test that it is given.
func Run(t *testing.T, setup func(t *testing.T, r *fakekdc.Realm) Make) {
	t.Helper()
	RunWithin(t, Limits{}, setup)
}

// Limits are what initiators cannot do because the system below them cannot.
type Limits struct {
	// MarkedAlone: credentials are delegated to services alone that the KDC marked
	// ok-as-delegate.
	MarkedAlone bool
	// MarksIgnored: they are delegated to others too, whatever the mode.
	MarksIgnored bool
	// Unbound: tokens have no channel bindings.
	Unbound bool
	// Vague: errors tell neither why a proof is refused, nor the code of a KDC.
	Vague bool
	// Principal is as whom alice is known, where that is not alice@REALM.
	Principal string
}

// RunWithin is [Run] for initiators with limits.
func RunWithin(t *testing.T, l Limits, setup func(t *testing.T, r *fakekdc.Realm) Make) {
	t.Helper()
	realm := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService(SPN, fakekdc.OKAsDelegate()),
		fakekdc.WithService(Plain), fakekdc.WithHosts("plain.example"))
	k := kit{l, realm, setup(t, realm)}
	t.Run("answers", k.answers)
	t.Run("bad token is the end", k.badTokens)
	t.Run("frame of Windows 2000", k.otherFrame)
	t.Run("bindings", k.bindings)
	t.Run("bindings, connection unknown", k.unbound)
	t.Run("delegation", k.delegation)
	t.Run("no mutual authentication", k.noMutual)
	t.Run("hosts", k.hosts)
	t.Run("principals", k.principals)
	t.Run("proxy", k.proxy)
	t.Run("identity", k.identity)
	t.Run("contexts that end", k.ends)
	t.Run("parallel requests", k.parallel)
}

type kit struct {
	Limits
	realm *fakekdc.Realm
	make  Make
}

// A call is one exchange by hand.
type call struct {
	t      *testing.T
	server *fakeweb.Server
	client *http.Transport
	target middleware.Target
	scheme middleware.Scheme
}

func (k kit) call(t *testing.T, h http.Handler, o fakeweb.ServerOptions, scheme middleware.Scheme) *call {
	t.Helper()
	return newCall(t, fakeweb.Serve(k.realm, h, o), scheme)
}

func newCall(t *testing.T, server *fakeweb.Server, scheme middleware.Scheme) *call {
	t.Helper()
	c := &call{t: t, server: server, client: server.Transport(), scheme: scheme}
	t.Cleanup(c.client.CloseIdleConnections)
	r := c.request()
	c.target = middleware.TargetOfURL(r.URL)
	c.target.Scheme = scheme
	if c.target.Secure {
		c.target.TLS = c.send(r).TLS
	}
	return c
}

// Exchange carries out one exchange with a server by hand, to its end.
func Exchange(t *testing.T, in middleware.Initiator, server *fakeweb.Server, scheme middleware.Scheme) (middleware.SecurityContext, *http.Response, error) {
	t.Helper()
	return newCall(t, server, scheme).exchange(in)
}

func (c *call) request() *http.Request {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.server.URL()+"/", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// send sends a request, and reads the answer to its end.
func (c *call) send(r *http.Request) *http.Response {
	c.t.Helper()
	resp, err := c.client.RoundTrip(r)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		c.t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		c.t.Fatal(err)
	}
	return resp
}

// answer sends our token, and returns the answer with the token in it.
func (c *call) answer(token []byte) (*http.Response, []byte) {
	c.t.Helper()
	r := c.request()
	r.Header.Set("Authorization", string(c.scheme)+" "+base64.StdEncoding.EncodeToString(token))
	resp := c.send(r)
	_, text, _ := strings.Cut(resp.Header.Get("WWW-Authenticate"), " ")
	theirs, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		c.t.Fatalf("answer %q: %v", text, err)
	}
	return resp, theirs
}

// begin makes a context and its first token.
func (c *call) begin(in middleware.Initiator) (middleware.SecurityContext, []byte, error) {
	c.t.Helper()
	sc, err := in.Initiate(c.t.Context(), c.target)
	if err != nil {
		return nil, nil, err
	}
	if sc.Verified() {
		c.t.Error("a new context is verified")
	}
	token, err := sc.Step(c.t.Context(), nil)
	if err == nil && sc.Verified() {
		c.t.Error("verified before the server said anything")
	}
	return sc, token, err
}

// exchange goes on to the end of one.
func (c *call) exchange(in middleware.Initiator) (middleware.SecurityContext, *http.Response, error) {
	c.t.Helper()
	sc, token, err := c.begin(in)
	if err != nil {
		return sc, nil, err
	}
	for range 4 {
		resp, theirs := c.answer(token)
		if len(theirs) == 0 && sc.Verified() {
			return sc, resp, nil // by an earlier leg
		}
		if token, err = sc.Step(c.t.Context(), theirs); err != nil || token == nil || resp.StatusCode != http.StatusUnauthorized {
			return sc, resp, err
		}
	}
	c.t.Fatal("the exchange does not end")
	return nil, nil, nil
}

func (k kit) answers(t *testing.T) {
	in := k.make(t, Options{})
	for name, tc := range map[string]struct {
		quirks fakeweb.Quirks
		scheme middleware.Scheme
		status int
		reason middleware.Reason // ReasonNone: verified
		code   int32
	}{
		"genuine":             {status: 200},
		"raw answer":          {quirks: fakeweb.Quirks{Raw: true}, status: 200},
		"scheme Kerberos":     {scheme: middleware.Kerberos, status: 200},
		"no state":            {quirks: fakeweb.Quirks{NoState: true}, status: 200},
		"Microsoft's OID":     {quirks: fakeweb.Quirks{MicrosoftOID: true}, status: 200},
		"no subkey":           {quirks: fakeweb.Quirks{NoSubkey: true}, status: 200},
		"leg for the MIC":     {quirks: fakeweb.Quirks{ExtraLeg: fakeweb.LegMIC}, status: 200},
		"leg incomplete":      {quirks: fakeweb.Quirks{ExtraLeg: fakeweb.LegIncomplete}, status: 200},
		"completed, no proof": {quirks: fakeweb.Quirks{Proof: fakeweb.ProofState}, status: 200, reason: middleware.ReasonNoToken},
		"none":                {quirks: fakeweb.Quirks{Proof: fakeweb.ProofNone}, status: 200, reason: middleware.ReasonRefused},
		"forged":              {quirks: fakeweb.Quirks{Proof: fakeweb.ProofForged}, status: 200, reason: middleware.ReasonWrongKey},
		"foreign":             {quirks: fakeweb.Quirks{Proof: fakeweb.ProofForeign}, status: 200, reason: middleware.ReasonWrongKey},
		"KRB-ERROR":           {quirks: fakeweb.Quirks{Proof: fakeweb.ProofKRBError}, status: 200, reason: middleware.ReasonKRBError, code: 41},
		"reject":              {quirks: fakeweb.Quirks{Proof: fakeweb.ProofReject}, status: 200, reason: middleware.ReasonRefused},
		"NTLM":                {quirks: fakeweb.Quirks{Proof: fakeweb.ProofNTLM}, status: 200, reason: middleware.ReasonWrongMechanism},
		"garbage":             {quirks: fakeweb.Quirks{Proof: fakeweb.ProofGarbage}, status: 200, reason: middleware.ReasonMalformed},
		"empty":               {quirks: fakeweb.Quirks{Proof: fakeweb.ProofEmpty}, status: 200, reason: middleware.ReasonRefused},
		"refused, modified":   {quirks: fakeweb.Quirks{Reject: true, RejectCode: 41}, status: 401, reason: middleware.ReasonKRBError, code: 41},
		"refused, no reason":  {quirks: fakeweb.Quirks{Reject: true, Rejection: fakeweb.RejectState}, status: 401, reason: middleware.ReasonRefused},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.scheme == "" {
				tc.scheme = middleware.Negotiate
			}
			h := fakeweb.New(k.realm, SPN, fakeweb.Options{Quirks: tc.quirks, Schemes: []string{string(tc.scheme)}})
			c := k.call(t, h, fakeweb.ServerOptions{}, tc.scheme)
			sc, resp, err := c.exchange(in)
			if resp == nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tc.status {
				t.Errorf("status %d, want %d: %v", resp.StatusCode, tc.status, h.Requests())
			}
			k.judge(t, sc, err, tc.reason, tc.code)
		})
	}
	t.Run("replayed", func(t *testing.T) {
		h := fakeweb.New(k.realm, SPN, fakeweb.Options{})
		c := k.call(t, h, fakeweb.ServerOptions{}, middleware.Negotiate)
		if _, _, err := c.exchange(in); err != nil {
			t.Fatal(err)
		}
		h.SetQuirks(fakeweb.Quirks{Proof: fakeweb.ProofReplayed})
		sc, resp, err := c.exchange(in)
		if resp == nil {
			t.Fatal(err)
		}
		var e *middleware.Error
		if sc.Verified() || !errors.As(err, &e) || e.Reason != middleware.ReasonWrongTime && e.Reason != middleware.ReasonWrongKey {
			t.Errorf("verified %t, %v", sc.Verified(), err)
		}
	})
}

// alice is as whom she is known.
func (k kit) alice() string { return cmp.Or(k.Principal, "alice@"+k.realm.Name()) }

// judge checks what became of an exchange.
func (k kit) judge(t *testing.T, sc middleware.SecurityContext, err error, reason middleware.Reason, code int32) {
	t.Helper()
	if sc.Verified() != (reason == middleware.ReasonNone) {
		t.Errorf("verified is %t: %v", sc.Verified(), err)
	}
	alice := k.alice()
	if id, ok := sc.(middleware.Identified); !ok || id.Principal() != alice {
		t.Errorf("the context does not say that it is %s's", alice)
	}
	if k.Vague && reason == middleware.ReasonWrongKey {
		var e *middleware.Error
		if !errors.As(err, &e) || !errors.Is(err, middleware.ErrToken) {
			t.Errorf("got %v", err)
		}
		return
	}
	if reason == middleware.ReasonNone {
		if err != nil {
			t.Error(err)
		}
		return
	}
	var e *middleware.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v", err)
	}
	if !errors.Is(err, middleware.ErrToken) || e.Reason != reason || e.Code != code || !strings.HasPrefix(e.SPN, SPN) || e.Host == "" || e.Principal == "" || e.Stage == "" {
		t.Errorf("reason %v, code %d, SPN %s, want %v and %d: %v", e.Reason, e.Code, e.SPN, reason, code, err)
	}
}

// reframed returns what frames the AP-REP of an answer anew, with more behind it.
func reframed(mechanism spnego.OID, more ...byte) func(answer []byte) []byte {
	return func(answer []byte) []byte {
		resp, err := spnego.ParseResp(answer)
		if err != nil {
			panic(err)
		}
		_, id, inner, err := spnego.Unframe(resp.ResponseToken)
		if err != nil {
			panic(err)
		}
		b := cryptobyte.NewBuilder(nil)
		b.AddASN1(asn1.Tag(0x60), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes([]byte(mechanism)) })
			b.AddUint16(id)
			b.AddBytes(inner)
			b.AddBytes(more)
		})
		resp.ResponseToken = b.BytesOrPanic()
		return resp.Append(nil)
	}
}

// otherFrame: Windows 2000 frames its AP-REP by a name of its own.
func (k kit) otherFrame(t *testing.T) {
	c := k.call(t, fakeweb.New(k.realm, SPN, fakeweb.Options{}), fakeweb.ServerOptions{}, middleware.Negotiate)
	sc, token, err := c.begin(k.make(t, Options{}))
	if err != nil {
		t.Fatal(err)
	}
	_, theirs := c.answer(token)
	if _, err := sc.Step(t.Context(), reframed(spnego.MSKRB5)(theirs)); err != nil || !sc.Verified() {
		t.Errorf("verified %t, %v", sc.Verified(), err)
	}
}

// A context that was given one bad token proves nothing any more: neither is a
// forgery followed by a better one, nor a proof by a forgery.
func (k kit) badTokens(t *testing.T) {
	in := k.make(t, Options{})
	c := k.call(t, fakeweb.New(k.realm, SPN, fakeweb.Options{}), fakeweb.ServerOptions{}, middleware.Negotiate)
	begin := func(t *testing.T) (middleware.SecurityContext, []byte) {
		t.Helper()
		sc, token, err := c.begin(in)
		if err != nil {
			t.Fatal(err)
		}
		if sc.Target() != c.target {
			t.Errorf("target %v, want %v", sc.Target(), c.target)
		}
		_, theirs := c.answer(token)
		return sc, theirs
	}
	_, foreign := begin(t)
	bad := map[string]func(good []byte) []byte{
		"empty":            func([]byte) []byte { return nil },
		"garbage":          func([]byte) []byte { return []byte("garbage") },
		"changed":          func(good []byte) []byte { b := append([]byte(nil), good...); b[len(b)-1] ^= 1; return b },
		"longer":           func(good []byte) []byte { return append(append([]byte(nil), good...), 0) },
		"foreign":          func([]byte) []byte { return foreign },
		"NTLM":             func([]byte) []byte { return []byte("NTLMSSP\x00\x02\x00\x00\x00") },
		"rejection":        func([]byte) []byte { return spnego.Resp{State: spnego.Reject}.Append(nil) },
		"AP-REP, and more": reframed(spnego.KRB5, 0),
		"frame of NTLM":    reframed(spnego.NTLM),
		"MIC of nobody": func(good []byte) []byte {
			resp, err := spnego.ParseResp(good)
			if err != nil {
				panic(err)
			}
			resp.MechListMIC = make([]byte, 28)
			return resp.Append(nil)
		},
	}
	_, good := begin(t)
	for n := 1; n < len(good); n += 13 {
		bad[fmt.Sprintf("cut to %d bytes", n)] = func(good []byte) []byte { return good[:min(n, len(good)-1)] }
	}
	for name, spoil := range bad {
		for _, order := range []string{"bad, good", "good, bad", "good, bad, good", "bad, good, good"} {
			t.Run(name+": "+order, func(t *testing.T) {
				sc, good := begin(t)
				var first error
				for _, which := range strings.Split(order, ", ") {
					token := good
					if which == "bad" {
						token = spoil(good)
					}
					out, err := sc.Step(t.Context(), token)
					switch {
					case first != nil && !errors.Is(err, first):
						t.Errorf("after %v: %v", first, err)
					case which == "bad" && err == nil:
						t.Error("a bad token was taken")
					case which == "good" && first == nil && (err != nil || !sc.Verified()):
						t.Fatalf("a genuine token: verified %t, %v", sc.Verified(), err)
					}
					if err != nil && (sc.Verified() || out != nil) {
						t.Errorf("verified %t, %q after %v", sc.Verified(), out, err)
					}
					if first == nil {
						first = err
					}
				}
				if first == nil || sc.Verified() {
					t.Errorf("verified %t after %v", sc.Verified(), first)
				}
				if s, ok := sc.(middleware.Sealer); ok {
					if out, _, err := s.Seal(nil, []byte("x")); err == nil || out != nil || !errors.Is(err, middleware.ErrToken) {
						t.Errorf("sealed %q, %v", out, err)
					}
				}
			})
		}
	}
}

func (k kit) bindings(t *testing.T) {
	for name, tc := range map[string]struct {
		mode    policy.Bindings
		service fakekdc.Bindings
		tls     bool
		status  int
		bound   bool
	}{
		"auto, when supported":  {tls: true, status: 200, bound: true},
		"auto, required":        {service: fakekdc.BindingsRequired, tls: true, status: 200, bound: true},
		"require, required":     {mode: policy.BindingsRequired, service: fakekdc.BindingsRequired, tls: true, status: 200, bound: true},
		"off, required":         {mode: policy.BindingsOff, service: fakekdc.BindingsRequired, tls: true, status: 401},
		"off, when supported":   {mode: policy.BindingsOff, tls: true, status: 200},
		"auto, plain":           {status: 200},
		"require, plain":        {mode: policy.BindingsRequired},
		"auto, service ignores": {service: fakekdc.BindingsOff, tls: true, status: 200, bound: true},
	} {
		t.Run(name, func(t *testing.T) {
			h := fakeweb.New(k.realm, SPN, fakeweb.Options{Bindings: tc.service})
			c := k.call(t, h, fakeweb.ServerOptions{TLS: tc.tls}, middleware.Negotiate)
			sc, resp, err := c.exchange(k.make(t, Options{Bindings: tc.mode}))
			if tc.status == 0 {
				if !errors.Is(err, middleware.ErrToken) {
					t.Errorf("got %v", err)
				}
				return
			}
			if resp == nil {
				t.Fatal(err)
			}
			if k.Unbound {
				return
			}
			all := h.Requests()
			last := all[len(all)-1]
			told := sc.(middleware.Bound).Bound()
			if resp.StatusCode != tc.status || last.Caller.Bound != tc.bound || told != tc.bound {
				t.Errorf("status %d, bound %t, told %t, want %d and %t: %s", resp.StatusCode, last.Caller.Bound, told, tc.status, tc.bound, last)
			}
		})
	}
}

// unbound: where bindings are required and the connection is not known, there is
// another try once it is.
func (k kit) unbound(t *testing.T) {
	c := k.call(t, fakeweb.New(k.realm, SPN, fakeweb.Options{}), fakeweb.ServerOptions{TLS: true}, middleware.Negotiate)
	state := c.target.TLS
	c.target.TLS = nil
	in := k.make(t, Options{Bindings: policy.BindingsRequired})
	if _, _, err := c.begin(in); !errors.Is(err, middleware.ErrNoBindings) || !errors.Is(err, middleware.ErrToken) {
		t.Errorf("got %v, want ErrNoBindings", err)
	}
	c.target.TLS = state
	if sc, _, err := c.exchange(in); err != nil || !sc.Verified() {
		t.Errorf("with the connection: %v", err)
	}
}

func (k kit) delegation(t *testing.T) {
	for name, tc := range map[string]struct {
		o         Options
		spn       string
		from      string
		delegated bool
	}{
		"off":                  {Options{}, SPN, "", false},
		"policy":               {Options{Delegation: policy.DelegationPolicy}, SPN, "", true},
		"policy, not marked":   {Options{Delegation: policy.DelegationPolicy, Names: policy.Names{HostOverride: "plain.example"}}, Plain, "", false},
		"always":               {Options{Delegation: policy.DelegationAlways}, SPN, "", true},
		"always, not marked":   {Options{Delegation: policy.DelegationAlways, Names: policy.Names{HostOverride: "plain.example"}}, Plain, "", true},
		"always, listed":       {Options{Delegation: policy.DelegationAlways, DelegateTo: []string{"localhost"}}, SPN, "", true},
		"always, another host": {Options{Delegation: policy.DelegationAlways, DelegateTo: []string{"other.example"}}, SPN, "", false},
		"always, redirected":   {Options{Delegation: policy.DelegationAlways}, SPN, "other.example:80", false},
		"listed, redirected":   {Options{Delegation: policy.DelegationAlways, DelegateTo: []string{"localhost"}}, SPN, "other.example:80", true},
	} {
		t.Run(name, func(t *testing.T) {
			h := fakeweb.New(k.realm, tc.spn, fakeweb.Options{})
			c := k.call(t, h, fakeweb.ServerOptions{}, middleware.Negotiate)
			c.target.RedirectedFrom = tc.from
			sc, _, err := c.exchange(k.make(t, tc.o))
			if k.MarkedAlone && tc.spn == Plain && tc.delegated {
				if !errors.Is(err, middleware.ErrCredentials) || len(h.Requests()) > 0 {
					t.Errorf("got %v after %v", err, h.Requests())
				}
				return
			}
			if err != nil || !sc.Verified() {
				t.Fatal(err)
			}
			all := h.Requests()
			if k.MarksIgnored && tc.o.Delegation == policy.DelegationPolicy {
				tc.delegated = true
			}
			if got := !all[len(all)-1].Caller.Delegated.IsZero(); got != tc.delegated {
				t.Errorf("delegated %t", got)
			}
		})
	}
}

func (k kit) noMutual(t *testing.T) {
	h := fakeweb.New(k.realm, SPN, fakeweb.Options{})
	c := k.call(t, h, fakeweb.ServerOptions{}, middleware.Negotiate)
	sc, token, err := c.begin(k.make(t, Options{NoMutual: true}))
	if err != nil {
		t.Fatal(err)
	}
	resp, _ := c.answer(token)
	if caller := h.Requests()[0].Caller; resp.StatusCode != 200 || caller.Mutual || sc.Verified() {
		t.Errorf("%s, proof asked for %t, verified %t", resp.Status, caller.Mutual, sc.Verified())
	}
	// One that wants the list of mechanisms protected gets that.
	h = fakeweb.New(k.realm, SPN, fakeweb.Options{Quirks: fakeweb.Quirks{ExtraLeg: fakeweb.LegMIC}})
	sc, resp, err = k.call(t, h, fakeweb.ServerOptions{}, middleware.Negotiate).exchange(k.make(t, Options{NoMutual: true}))
	if resp == nil || resp.StatusCode != 200 || sc.Verified() {
		t.Errorf("%v, %v: %v", resp, err, h.Requests())
	}
}

func (k kit) hosts(t *testing.T) {
	in := k.make(t, Options{AllowedHosts: []string{"localhost", "unknown.example"}})
	for name, tc := range map[string]struct {
		host string
		kind error
		code int32
	}{
		"not allowed":         {"other.example", middleware.ErrNotAllowed, 0},
		"no host":             {"a b", middleware.ErrHost, 0},
		"unknown to the KDC":  {"unknown.example", middleware.ErrKDC, 7},
		"known":               {"localhost", nil, 0},
		"known, in capitals":  {"LOCALHOST", nil, 0},
		"known, with its dot": {"localhost.", nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if k.Vague {
				tc.code = 0
			}
			sc, err := in.Initiate(t.Context(), middleware.Target{Host: tc.host, Port: "80"})
			if err == nil {
				_, err = sc.Step(t.Context(), nil)
			}
			var e *middleware.Error
			switch {
			case tc.kind == nil && err != nil:
				t.Error(err)
			case tc.kind != nil && (!errors.Is(err, tc.kind) || !errors.As(err, &e) || e.Code != tc.code || e.Host == ""):
				t.Errorf("got %v, want %v", err, tc.kind)
			}
		})
	}
}

// ends: whose context has ended gets nothing, and no proof any more.
func (k kit) ends(t *testing.T) {
	in := k.make(t, Options{})
	c := k.call(t, fakeweb.New(k.realm, SPN, fakeweb.Options{}), fakeweb.ServerOptions{}, middleware.Negotiate)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if sc, err := in.Initiate(ended, c.target); err == nil {
		if _, err = sc.Step(ended, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("first step: %v", err)
		}
	} else if !errors.Is(err, context.Canceled) {
		t.Errorf("initiate: %v", err)
	}
	sc, token, err := c.begin(in)
	if err != nil {
		t.Fatal(err)
	}
	_, theirs := c.answer(token)
	if _, err := sc.Step(ended, theirs); !errors.Is(err, context.Canceled) || sc.Verified() {
		t.Errorf("verified %t, %v", sc.Verified(), err)
	}
	for range 50 { // dropped half-way
		if _, _, err := c.begin(in); err != nil {
			t.Fatal(err)
		}
	}
}

// parallel: 200 requests do not get in each other's way.
func (k kit) parallel(t *testing.T) {
	h := fakeweb.New(k.realm, SPN, fakeweb.Options{})
	server := fakeweb.Serve(k.realm, h, fakeweb.ServerOptions{})
	t.Cleanup(func() {
		for _, r := range h.Requests() {
			if r.Reason != "" {
				t.Log(r)
			}
		}
	})
	transport := server.Transport()
	transport.MaxConnsPerHost = 20
	t.Cleanup(transport.CloseIdleConnections)
	rt := kerbchain.Wrap(transport, mutual.New(mutual.Options{}), negotiate.New(k.make(t, Options{}), negotiate.Options{}))
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL(), nil)
			if err != nil {
				t.Error(err)
				return
			}
			resp, err := rt.RoundTrip(r)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Error(err)
			}
			if sc := middleware.SecurityOf(resp.Request); resp.StatusCode != 200 || sc == nil || !sc.Verified() {
				t.Errorf("%s, verified %t", resp.Status, sc != nil && sc.Verified())
			}
		})
	}
	all.Wait()
}
