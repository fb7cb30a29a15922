package system

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"slices"
	"testing"

	"github.com/kerbchain/kerbchain/internal/policy"
	"github.com/kerbchain/kerbchain/internal/spnego"
	"github.com/kerbchain/kerbchain/middleware"
)

// A script is a mechanism that does as it is told, and tells what was done with it.
type script struct {
	out  Output
	in   Input
	done []string
}

func (s *script) String() string { return "the script" }
func (s *script) Step(_ context.Context, in Input) (Output, error) {
	s.in = in
	return s.out, nil
}
func (s *script) MIC([]byte) ([]byte, error)      { return nil, errors.New("no MIC") }
func (s *script) VerifyMIC(msg, mic []byte) error { return errors.New("no MIC") }
func (s *script) Release()                        { s.done = append(s.done, "release") }
func (s *script) Settle()                         { s.done = append(s.done, "settle") }

var apReq = spnego.Frame(spnego.TokAPReq, []byte("an AP-REQ"))

// apRep is one by its shape (RFC 4120 section 5.5.2).
var apRep = spnego.Frame(spnego.TokAPRep, []byte("\x6f\x1c\x30\x1a\xa0\x03\x02\x01\x05\xa1\x03\x02\x01\x0f"+
	"\xa2\x0e\x30\x0c\xa0\x03\x02\x01\x12\xa2\x05\x04\x03abc"))

func begin(t *testing.T, s Settings, target middleware.Target, m Mechanism, sealing bool) *Context {
	t.Helper()
	peers, err := NewPeers(s, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	c := new(Context)
	if _, err := peers.Begin(c, "test", target); err != nil {
		t.Fatal(err)
	}
	c.Carry(m, sealing)
	return c
}

// The first token is as the scheme has it, and the event says what is in it.
func TestFirstToken(t *testing.T) {
	with := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate(t, false)}}
	for name, tc := range map[string]struct {
		target  middleware.Target
		want    []byte
		event   middleware.TokenEvent
		asked   Input
		options Settings
	}{
		"Negotiate": {
			target: middleware.Target{Host: "a.example", Port: "80"}, want: spnego.AppendInit(nil, apReq),
			event: middleware.TokenEvent{Scheme: middleware.Negotiate, Mutual: true}, asked: Input{Mutual: true},
		},
		"Kerberos": {
			target: middleware.Target{Host: "a.example", Port: "80", Scheme: middleware.Kerberos}, want: apReq,
			event: middleware.TokenEvent{Scheme: middleware.Kerberos, Mutual: true}, asked: Input{Mutual: true},
		},
		"bound": {
			target: middleware.Target{Host: "a.example", Port: "443", Secure: true, TLS: with}, want: spnego.AppendInit(nil, apReq),
			event: middleware.TokenEvent{Scheme: middleware.Negotiate, Mutual: true, Bound: true}, asked: Input{Mutual: true},
		},
		"no mutual": {
			target: middleware.Target{Host: "a.example", Port: "80"}, want: spnego.AppendInit(nil, apReq),
			event: middleware.TokenEvent{Scheme: middleware.Negotiate}, options: Settings{NoMutual: true},
		},
		"delegated": {
			target: middleware.Target{Host: "a.example", Port: "80"}, want: spnego.AppendInit(nil, apReq),
			event:   middleware.TokenEvent{Scheme: middleware.Negotiate, Mutual: true, Delegate: true},
			asked:   Input{Mutual: true, Delegate: true},
			options: Settings{Delegation: policy.DelegationPolicy},
		},
		"not delegated to proxies": {
			target: middleware.Target{Host: "a.example", Port: "80", Proxy: true}, want: spnego.AppendInit(nil, apReq),
			event: middleware.TokenEvent{Scheme: middleware.Negotiate, Mutual: true}, asked: Input{Mutual: true},
			options: Settings{Delegation: policy.DelegationAlways},
		},
		"not delegated to others": {
			target: middleware.Target{Host: "a.example", Port: "80"}, want: spnego.AppendInit(nil, apReq),
			event: middleware.TokenEvent{Scheme: middleware.Negotiate, Mutual: true}, asked: Input{Mutual: true},
			options: Settings{Delegation: policy.DelegationAlways, DelegateTo: []string{"b.example"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := &script{out: Output{Token: apReq, Delegated: tc.event.Delegate}}
			c := begin(t, tc.options, tc.target, m, false)
			var events []middleware.Event
			ctx := middleware.WithTrace(t.Context(), func(e middleware.Event) { events = append(events, e) })
			// Nobody answers what was not asked.
			if out, err := c.Step(ctx, apRep); out != nil || !errors.Is(err, middleware.ErrToken) || len(events) > 0 || c.Bound() {
				t.Fatalf("% x, %v, %v", out, err, events)
			}
			out, err := c.Step(ctx, nil)
			if err != nil || !bytes.Equal(out, tc.want) {
				t.Fatalf("% x, %v; want % x", out, err, tc.want)
			}
			if bound := m.in.Bindings != nil; bound != tc.event.Bound || c.Bound() != bound || m.in.Mutual != tc.asked.Mutual || m.in.Delegate != tc.asked.Delegate {
				t.Errorf("asked for %+v, says bound %v", m.in, c.Bound())
			}
			if len(events) != 1 {
				t.Fatalf("events %v", events)
			}
			got := events[0].(middleware.TokenEvent)
			got.Duration = 0
			want := tc.event
			want.Host, want.SPN, want.Bytes = tc.target.HostPort(), "HTTP/a.example", len(tc.want)
			if got != want {
				t.Errorf("event %+v, want %+v", got, want)
			}
		})
	}
}

// A certificate for which there are no bindings is passed over with Auto alone, and one
// that is not there is an error. A context whose bindings are not known yet may be tried
// again.
func TestBindings(t *testing.T) {
	undefined := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate(t, true)}}
	for name, tc := range map[string]struct {
		mode  policy.Bindings
		state *tls.ConnectionState
		want  error
		again bool
	}{
		"undefined":            {policy.BindingsAuto, undefined, nil, false},
		"undefined, required":  {policy.BindingsRequired, undefined, middleware.ErrToken, false},
		"no certificate":       {policy.BindingsAuto, &tls.ConnectionState{}, middleware.ErrToken, false},
		"off":                  {policy.BindingsOff, &tls.ConnectionState{}, nil, false},
		"no connection":        {policy.BindingsAuto, nil, nil, false},
		"no connection so far": {policy.BindingsRequired, nil, middleware.ErrNoBindings, true},
	} {
		t.Run(name, func(t *testing.T) {
			m := &script{out: Output{Token: apReq}}
			c := begin(t, Settings{Bindings: tc.mode}, middleware.Target{Host: "a.example", Port: "443", Secure: true, TLS: tc.state}, m, false)
			out, err := c.Step(t.Context(), nil)
			if !errors.Is(err, tc.want) || (out == nil) != (tc.want != nil) || m.in.Bindings != nil || c.Bound() {
				t.Errorf("% x, %v; bindings % x", out, err, m.in.Bindings)
			}
			if released := slices.Contains(m.done, "release"); released != (tc.want != nil && !tc.again) {
				t.Errorf("released %v after %v", released, err)
			}
		})
	}
}

// What the library keeps is given up as soon as it can be: all of it once the exchange
// is over, or failed, and what an established context does not need before that.
func TestGivenUp(t *testing.T) {
	resp := (&spnego.Resp{State: spnego.AcceptCompleted, ResponseToken: apRep}).Append(nil)
	for name, tc := range map[string]struct {
		sealing bool
		out     Output // of the second step
		want    string
		fails   bool
	}{
		"over":                        {false, Output{Complete: true, Mutual: true}, "release", false},
		"messages follow":             {true, Output{Complete: true, Mutual: true}, "settle", false},
		"not proved":                  {true, Output{Complete: true}, "release", true},
		"not complete":                {true, Output{Mutual: true}, "release", true},
		"one more token than is owed": {true, Output{Complete: true, Mutual: true, Token: apReq}, "release", true},
	} {
		t.Run(name, func(t *testing.T) {
			m := &script{out: Output{Token: apReq}}
			c := begin(t, Settings{}, middleware.Target{Host: "a.example", Port: "80"}, m, tc.sealing)
			if _, err := c.Step(t.Context(), nil); err != nil || len(m.done) != 0 {
				t.Fatalf("%v, %v", m.done, err)
			}
			m.out = tc.out
			_, err := c.Step(t.Context(), resp)
			if (err != nil) != tc.fails || c.Verified() == tc.fails || !slices.Equal(m.done, []string{tc.want}) {
				t.Errorf("%v, verified %v, %v", m.done, c.Verified(), err)
			}
			if _, again := c.Step(t.Context(), resp); again == nil || c.Verified() {
				t.Errorf("a second answer: verified %v, %v", c.Verified(), again)
			}
		})
	}
}

// Proxies have settings of their own, or those of origin servers without what names hosts.
func TestPeers(t *testing.T) {
	origin := Settings{Names: policy.Names{HostOverride: "o.example", HostOverrides: map[string]string{"b.example": "c.example"}, Realm: "R"}, AllowedHosts: []string{"a.example"}}
	site, proxy, other := middleware.Target{Host: "a.example", Port: "80"}, middleware.Target{Host: "p.example", Port: "80", Proxy: true}, middleware.Target{Host: "b.example", Port: "80"}
	for name, tc := range map[string]struct {
		proxy *Settings
		spn   string // of the proxy
		signs bool   // for it
	}{
		"the same":          {nil, "HTTP/p.example@R", true},
		"their own":         {&Settings{AllowedHosts: []string{"q.example"}}, "HTTP/p.example@R", false},
		"in another realm":  {&Settings{Names: policy.Names{Realm: "P"}}, "HTTP/p.example@P", true},
		"by another's name": {&Settings{Names: policy.Names{HostOverride: "q.example"}}, "HTTP/q.example@R", true},
	} {
		peers, err := NewPeers(origin, tc.proxy, "")
		if err != nil {
			t.Fatal(err)
		}
		if got := peers.SPN(site); got != "HTTP/o.example@R" {
			t.Errorf("%s: a site is %s", name, got)
		}
		if got := peers.SPN(proxy); got != tc.spn {
			t.Errorf("%s: a proxy is %s, want %s", name, got, tc.spn)
		}
		for target, want := range map[*middleware.Target]bool{&site: true, &proxy: tc.signs, &other: false, {Host: "a.example", Port: "x"}: false, {Host: "a b", Proxy: true}: false} {
			var c Context
			_, err := peers.Begin(&c, "test", *target)
			if got := peers.Signs(*target); got != want || (err == nil) != want {
				t.Errorf("%s: %+v: signs %v, %v", name, *target, got, err)
			}
			if wrong := target.Check() != nil; errors.Is(err, middleware.ErrHost) != wrong {
				t.Errorf("%s: %+v: %v", name, *target, err)
			}
			e, _ := errors.AsType[*middleware.Error](err)
			if err != nil && (e == nil || e.Stage != "test" || c.Target().Host != "") {
				t.Errorf("%s: %+v: %#v", name, *target, e)
			}
		}
	}
	for name, tc := range map[string]struct {
		origin, proxy Settings
		beyond        string
	}{
		"an option for all":    {beyond: "Credentials"},
		"hosts to delegate to": {origin: Settings{DelegateTo: []string{"a.example"}}},
		"a mode of bindings":   {proxy: Settings{Bindings: -1}},
		"a name":               {proxy: Settings{Names: policy.Names{Service: "HT/TP"}}},
		"a list":               {proxy: Settings{AllowedHosts: []string{"a.example:x"}}},
	} {
		if _, err := NewPeers(tc.origin, &tc.proxy, tc.beyond); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// certificate returns one that is signed with Ed25519, for which RFC 5929 defines
// no bindings, or with ECDSA.
func certificate(t *testing.T, undefined bool) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	var signer any
	var public any
	if undefined {
		pub, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		signer, public = key, pub
	} else {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		signer, public = key, key.Public()
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
