package tunnel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/tunnel"
)

// One CONNECT for each connection, none for each request, and a token of its own
// for each that bears one.
func TestConnects(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		web     fakeweb.Options
		secure  bool
		options tunnel.Options
		want    []int // of a first request, of one more, and of one over a new connection
	}{
		"learned":             {want: []int{407, 200, 200}},
		"always":              {options: tunnel.Options{Always: true}, want: []int{200, 200}},
		"required":            {options: tunnel.Options{Proof: tunnel.ProofRequired}, want: []int{200, 200}},
		"unknown proof":       {options: tunnel.Options{Proof: -1}, want: []int{200, 200}},
		"an https proxy":      {secure: true, want: []int{407, 200, 200}},
		"closes after 407":    {web: quirk(fakeweb.Quirks{EarlyChallenge: true}), want: []int{407, 200, 200}},
		"long body of 407":    {web: quirk(fakeweb.Quirks{ChallengeBody: 1 << 20}), want: []int{407, 200, 200}},
		"Basic offered first": {web: quirk(fakeweb.Quirks{Challenge: []string{`Basic realm="a, Kerberos b"`, "negotiate"}}), want: []int{407, 200, 200}},
		"Kerberos alone":      {web: fakeweb.Options{Schemes: []string{"Kerberos"}}, want: []int{407, 200, 200}},
		"always, Kerberos alone": {
			web: fakeweb.Options{Schemes: []string{"Kerberos"}}, options: tunnel.Options{Always: true}, want: []int{407, 200, 200},
		},
		"asks for nothing":         {web: quirk(fakeweb.Quirks{Before: fakeweb.ForwardProxy()}), want: []int{200, 200}},
		"always, asks for nothing": {web: quirk(fakeweb.Quirks{Before: fakeweb.ForwardProxy()}), options: tunnel.Options{Always: true}, want: []int{200, 200}},
	} {
		t.Run(name, func(t *testing.T) {
			l := start(t, setup{web: tc.web, secure: tc.secure})
			rt := l.through(t, tc.options)
			wantHello(t, rt, l.origin.URL())
			wantHello(t, rt, l.origin.URL())
			if n := l.origin.Connections(); n != 1 {
				t.Errorf("%d connections for two requests", n)
			}
			rt.CloseIdleConnections()
			wantHello(t, rt, l.origin.URL())
			if diff := cmp.Diff(tc.want, l.statuses(t)); diff != "" {
				t.Errorf("answers to CONNECT (-want +got):\n%s", diff)
			}
			if n := l.proxy.Server.Connections(); n != len(tc.want) {
				t.Errorf("%d connections to the proxy for %d CONNECTs", n, len(tc.want))
			}
			if n, o := l.proxy.Tunnels(), l.origin.Connections(); n != 2 || o != 2 {
				t.Errorf("%d tunnels to %d connections, want 2", n, o)
			}
			for _, rec := range l.proxy.Connects() {
				switch {
				case rec.Reason != "" && rec.Reason != "as ordered":
					t.Errorf("%v", rec)
				case rec.Caller.Name == "":
				case !rec.Proved || !rec.Caller.Mutual || rec.Caller.Bound || rec.Caller.Service != spn+"@"+l.realm.Name() ||
					rec.Caller.Flags&fakekdc.GSSDeleg != 0:
					t.Errorf("%v: %+v", rec, rec.Caller)
				}
			}
			if n := l.realm.Count(fakekdc.TGS, 0); n > 1 {
				t.Errorf("%d tickets fetched", n)
			}
		})
	}
}

func quirk(q fakeweb.Quirks) fakeweb.Options { return fakeweb.Options{Quirks: q} }

// What becomes of a proxy's proof, in each mode. The server behind it must not
// hear of a request where the proxy is refused.
func TestProof(t *testing.T) {
	t.Parallel()
	const (
		none      = middleware.ReasonNone
		noToken   = middleware.ReasonNoToken
		malformed = middleware.ReasonMalformed
	)
	for name, tc := range map[string]struct {
		quirks             fakeweb.Quirks
		optional, required middleware.Reason // none where the tunnel is taken
	}{
		"genuine":         {fakeweb.Quirks{}, none, none},
		"raw":             {fakeweb.Quirks{Raw: true}, none, none},
		"no state":        {fakeweb.Quirks{NoState: true}, none, none},
		"Microsoft's OID": {fakeweb.Quirks{MicrosoftOID: true}, none, none},
		"none":            {fakeweb.Quirks{Proof: fakeweb.ProofNone}, none, noToken},
		"empty":           {fakeweb.Quirks{Proof: fakeweb.ProofEmpty}, none, noToken},
		"state alone":     {fakeweb.Quirks{Proof: fakeweb.ProofState}, none, noToken},
		"forged":          {fakeweb.Quirks{Proof: fakeweb.ProofForged}, middleware.ReasonWrongKey, middleware.ReasonWrongKey},
		"foreign":         {fakeweb.Quirks{Proof: fakeweb.ProofForeign}, middleware.ReasonWrongKey, middleware.ReasonWrongKey},
		"replayed":        {fakeweb.Quirks{Proof: fakeweb.ProofReplayed}, middleware.ReasonWrongTime, middleware.ReasonWrongTime},
		"KRB-ERROR":       {fakeweb.Quirks{Proof: fakeweb.ProofKRBError}, middleware.ReasonKRBError, middleware.ReasonKRBError},
		"reject":          {fakeweb.Quirks{Proof: fakeweb.ProofReject}, middleware.ReasonRefused, middleware.ReasonRefused},
		"NTLM":            {fakeweb.Quirks{Proof: fakeweb.ProofNTLM}, middleware.ReasonWrongMechanism, middleware.ReasonWrongMechanism},
		"garbage":         {fakeweb.Quirks{Proof: fakeweb.ProofGarbage}, malformed, malformed},
		"not base64":      {fakeweb.Quirks{Proof: fakeweb.ProofNotBase64}, malformed, malformed},
		"not asked for":   {fakeweb.Quirks{Before: fakeweb.ForwardProxy()}, none, noToken},
	} {
		t.Run(name, func(t *testing.T) {
			l := start(t, setup{})
			in := l.initiator(t, kerberos.InitiatorOptions{})
			// One genuine answer, to have another to replay.
			wantHello(t, l.with(t, in, tunnel.Options{Always: true}), l.origin.URL())
			l.proxy.SetQuirks(tc.quirks)
			for proof, want := range map[tunnel.Proof]middleware.Reason{
				tunnel.ProofOptional: tc.optional, tunnel.ProofRequired: tc.required, tunnel.ProofDisabled: none,
			} {
				before := len(l.seen())
				_, err := get(t.Context(), l.with(t, in, tunnel.Options{Always: true, Proof: proof}), l.origin.URL())
				if want == none {
					if err != nil || len(l.seen()) != before+1 {
						t.Errorf("%v: %v", proof, err)
					}
					continue
				}
				e, ok := errors.AsType[*middleware.Error](err)
				if !ok || !errors.Is(err, middleware.ErrNotVerified) || e.Stage != "tunnel" || e.Reason != want ||
					e.SPN != spn+"@"+l.realm.Name() || !strings.HasPrefix(e.Host, "proxy.example:") || e.Temporary() {
					t.Errorf("%v: %v, want reason %v", proof, err, want)
				}
				if len(l.seen()) != before {
					t.Errorf("%v: the server was sent a request", proof)
				}
			}
		})
	}
}

// Refusals, and what they say.
func TestRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		web      fakeweb.Options
		options  tunnel.Options
		names    kerberos.InitiatorOptions
		url      string
		statuses []int
		kinds    []error
		reason   middleware.Reason
		code     int32
		schemes  []string
		signed   bool
		again    bool // Temporary
		text     []string
	}{
		"NTLM alone": {
			web: quirk(fakeweb.Quirks{Challenge: []string{"NTLM"}}), statuses: []int{407}, schemes: []string{"NTLM"},
			text: []string{"CONNECT app.example:", "407 Proxy Authentication Required, offering NTLM; kerbchain answers Negotiate alone"},
		},
		"Basic alone": {
			web:      quirk(fakeweb.Quirks{Challenge: []string{`bAsIc realm="Negotiate"`, "abrakadabra"}}),
			statuses: []int{407}, schemes: []string{"Basic", "other"}, text: []string{"offering Basic, other"},
		},
		"nothing offered": {
			web: quirk(fakeweb.Quirks{Challenge: []string{}}), statuses: []int{407}, text: []string{"offering nothing"},
		},
		"always, NTLM alone": {
			web: quirk(fakeweb.Quirks{Challenge: []string{"NTLM"}, Reject: true, Rejection: fakeweb.RejectPlain}), options: tunnel.Options{Always: true},
			statuses: []int{407}, schemes: []string{"NTLM"}, signed: true, text: []string{"offering NTLM"},
		},
		"refuses every token": {
			web: quirk(fakeweb.Quirks{Reject: true}), statuses: []int{407, 407}, schemes: []string{"Negotiate"}, signed: true,
			reason: middleware.ReasonKRBError, code: 60, text: []string{"SPN " + spn, "code 60"},
		},
		"refuses every token, with a state": {
			web: quirk(fakeweb.Quirks{Reject: true, Rejection: fakeweb.RejectState}), statuses: []int{407, 407}, schemes: []string{"Negotiate"},
			signed: true, reason: middleware.ReasonRefused, text: []string{"rejected the negotiation"},
		},
		"refuses every token, without a word": {
			web: quirk(fakeweb.Quirks{Reject: true, Rejection: fakeweb.RejectPlain}), statuses: []int{407, 407}, schemes: []string{"Negotiate"},
			signed: true, reason: middleware.ReasonRefused, text: []string{"check the SPN"},
		},
		"refuses every token, and offers nothing": {
			web: quirk(fakeweb.Quirks{Reject: true, Rejection: fakeweb.RejectNothing}), statuses: []int{407, 407}, signed: true,
			text: []string{"offering nothing"},
		},
		"goes on with NTLM": {
			web: quirk(fakeweb.Quirks{Reject: true, Rejection: fakeweb.RejectNTLM}), statuses: []int{407, 407}, schemes: []string{"Negotiate"},
			signed: true, reason: middleware.ReasonWrongMechanism,
		},
		"a stale ticket that is fresh": {
			web: quirk(fakeweb.Quirks{Reject: true, RejectCode: 44}), statuses: []int{407, 407}, schemes: []string{"Negotiate"}, signed: true,
			reason: middleware.ReasonKRBError, code: 44,
		},
		"wants a MIC": {
			web: quirk(fakeweb.Quirks{ExtraLeg: fakeweb.LegMIC}), statuses: []int{407, 407}, schemes: []string{"Negotiate"}, signed: true,
			text: []string{"on which it began", "single Kerberos token"},
		},
		"wants another leg": {
			web: quirk(fakeweb.Quirks{ExtraLeg: fakeweb.LegIncomplete}), statuses: []int{407, 407}, schemes: []string{"Negotiate"}, signed: true,
			text: []string{"on which it began"},
		},
		"hangs up on a token": {web: quirk(fakeweb.Quirks{Hangup: true}), statuses: []int{407, 0}, text: []string{"EOF"}},
		"forbids": {
			web: quirk(fakeweb.Quirks{Before: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, "canary", http.StatusForbidden)
			})}), statuses: []int{403}, text: []string{"403 Forbidden"},
		},
		"is busy": {
			web: quirk(fakeweb.Quirks{Before: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, "canary", http.StatusServiceUnavailable)
			})}), statuses: []int{503}, again: true,
		},
		"is asked too often": {
			web: quirk(fakeweb.Quirks{Before: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, "canary", http.StatusTooManyRequests)
			})}), statuses: []int{429}, again: true,
		},
		"fails": {
			web: quirk(fakeweb.Quirks{Before: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, "canary", http.StatusInternalServerError)
			})}), statuses: []int{500}, again: true,
		},
		"knows no CONNECT": {
			web: quirk(fakeweb.Quirks{Before: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, "canary", http.StatusNotImplemented)
			})}), statuses: []int{501},
		},
		"knows who asks, and says 407": {
			web: fakeweb.Options{Next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, "canary", http.StatusProxyAuthRequired)
			})}, statuses: []int{407, 407}, schemes: []string{"Negotiate"}, signed: true,
			text: []string{"it knows the user", "look for who may use the proxy"},
		},
		"forbids those it knows": {
			web: fakeweb.Options{Next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, "canary", http.StatusForbidden)
			})}, statuses: []int{407, 403}, signed: true,
		},
		"not to be authenticated to": {
			names:    kerberos.InitiatorOptions{Proxy: &kerberos.InitiatorOptions{AllowedHosts: []string{"other.example", "*.proxy.example"}}},
			statuses: []int{407, 407}, schemes: []string{"Negotiate"}, kinds: []error{middleware.ErrNotAllowed},
			text: []string{"AllowedHosts of the options for proxies"},
		},
		"always, not to be authenticated to": {
			names:   kerberos.InitiatorOptions{Proxy: &kerberos.InitiatorOptions{AllowedHosts: []string{"other.example"}}},
			options: tunnel.Options{Always: true}, statuses: []int{407}, schemes: []string{"Negotiate"}, kinds: []error{middleware.ErrNotAllowed},
		},
		"nobody there": {url: "https://app.example:1", statuses: []int{407, 502}, signed: true, again: true, text: []string{"502 Bad Gateway"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := start(t, setup{web: tc.web})
			rt := l.with(t, l.initiator(t, tc.names), tc.options)
			target := l.origin.URL()
			if tc.url != "" {
				target = tc.url
			}
			_, err := get(t.Context(), rt, target)
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(tc.statuses, l.statuses(t)); diff != "" {
				t.Errorf("answers to CONNECT (-want +got):\n%s", diff)
			}
			for _, text := range append(tc.text, "") {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%v: does not say %q", err, text)
				}
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("%v: bears what the proxy wrote", err)
			}
			if len(l.seen()) != 0 {
				t.Error("the server was sent a request")
			}
			if tc.web.Quirks.Hangup {
				return
			}
			e, ok := errors.AsType[*middleware.Error](err)
			if !ok || e.Stage != "tunnel" || !strings.HasPrefix(e.Host, "proxy.example:") {
				t.Fatalf("%v (%T)", err, err)
			}
			for _, kind := range append(tc.kinds, tunnel.ErrTunnel) {
				if !errors.Is(err, kind) {
					t.Errorf("%v: is no %v", err, kind)
				}
			}
			if e.Reason != tc.reason || e.Code != tc.code || e.Temporary() != tc.again {
				t.Errorf("reason %v, code %d, temporary %t", e.Reason, e.Code, e.Temporary())
			}
			c, ok := errors.AsType[*tunnel.ConnectError](err)
			if !ok {
				t.Fatalf("%v: no answer in it", err)
			}
			want := &tunnel.ConnectError{
				Proxy: l.proxy.URL().Host, Target: strings.TrimPrefix(target, "https://"),
				Status: tc.statuses[len(tc.statuses)-1], Schemes: tc.schemes, Signed: tc.signed,
			}
			if diff := cmp.Diff(want, c, cmpopts.IgnoreUnexported(tunnel.ConnectError{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			for _, rec := range l.proxy.Connects() {
				if len(tc.kinds) > 0 && rec.Scheme != "" {
					t.Errorf("a token for a proxy that is not to have one: %v", rec)
				}
			}
		})
	}
}

// Where proof is required and no token was allowed, the list is named.
func TestProofNotAllowed(t *testing.T) {
	l := start(t, setup{web: quirk(fakeweb.Quirks{Before: fakeweb.ForwardProxy()})})
	for host, hint := range map[string]string{"other.example": "AllowedHosts", "proxy.example": "ProofOptional"} {
		names := kerberos.InitiatorOptions{Proxy: &kerberos.InitiatorOptions{AllowedHosts: []string{host}}}
		_, err := get(t.Context(), l.with(t, l.initiator(t, names), tunnel.Options{Proof: tunnel.ProofRequired}), l.origin.URL())
		if !errors.Is(err, middleware.ErrNotVerified) || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s allowed: %v, want %s in it", host, err, hint)
		}
	}
}

// Names, lists and bindings are those of the options for proxies.
func TestNames(t *testing.T) {
	for name, tc := range map[string]struct {
		names kerberos.InitiatorOptions
		want  string
		text  string
	}{
		"as the URL says": {kerberos.InitiatorOptions{HostOverride: "web.example", AllowedHosts: []string{"web.example"}}, spn, ""},
		"listed":          {kerberos.InitiatorOptions{Proxy: &kerberos.InitiatorOptions{AllowedHosts: []string{"proxy.example"}}}, spn, ""},
		"overridden":      {kerberos.InitiatorOptions{Proxy: &kerberos.InitiatorOptions{HostOverride: "cluster.example"}}, "HTTP/cluster.example", ""},
		"another class":   {kerberos.InitiatorOptions{Proxy: &kerberos.InitiatorOptions{HostOverrides: map[string]string{"*.example": "squid/cluster.example"}}}, "squid/cluster.example", ""},
		"delegating": {kerberos.InitiatorOptions{
			Delegation: kerberos.DelegationAlways, Proxy: &kerberos.InitiatorOptions{Delegation: kerberos.DelegationAlways},
		}, spn, ""},
		"bindings that cannot be": {kerberos.InitiatorOptions{Bindings: kerberos.BindingsRequired}, "", "give proxies options of their own"},
		"not known to the KDC":    {kerberos.InitiatorOptions{Proxy: &kerberos.InitiatorOptions{HostOverride: "nowhere.example"}}, "", "HTTP/nowhere.example"},
	} {
		t.Run(name, func(t *testing.T) {
			l := start(t, setup{secure: true, realm: []fakekdc.Option{
				fakekdc.WithService("HTTP/cluster.example"), fakekdc.WithService("squid/cluster.example"),
			}})
			// Keys for all three.
			l.proxy = fakeweb.ServeProxy(l.realm, "", fakeweb.Options{}, fakeweb.ServerOptions{Host: "proxy.example", TLS: true})
			rt := l.with(t, l.initiator(t, tc.names), tunnel.Options{})
			_, err := get(t.Context(), rt, l.origin.URL())
			if tc.text != "" {
				e, ok := errors.AsType[*middleware.Error](err)
				if !ok || e.Stage != "tunnel" || !strings.HasPrefix(e.Host, "proxy.example:") || !strings.Contains(err.Error(), tc.text) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			last := l.proxy.Connects()[1]
			if last.Caller.Service != tc.want+"@"+l.realm.Name() || last.Caller.Flags&fakekdc.GSSDeleg != 0 || last.Caller.Bound {
				t.Errorf("%+v", last.Caller)
			}
		})
	}
}

// An initiator that waits for a connection to bind to is told that there is none.
func TestNoBindings(t *testing.T) {
	l := start(t, setup{secure: true})
	in := &stagetest.Initiator{Fail: func(_ int, at middleware.Target) error {
		if !at.Proxy || !at.Secure || at.TLS != nil {
			t.Errorf("target %+v", at)
		}
		return &middleware.Error{Stage: "fake", Kind: middleware.ErrToken, Err: middleware.ErrNoBindings}
	}}
	_, err := get(t.Context(), l.with(t, in, tunnel.Options{}), l.origin.URL())
	if e, ok := errors.AsType[*middleware.Error](err); !ok || e.Stage != "tunnel" || !errors.Is(err, middleware.ErrNoBindings) ||
		!strings.Contains(e.Hint, "options of their own") {
		t.Errorf("%v", err)
	}
}

// Many at once: a token for each connection, no two alike, one ticket.
func TestParallel(t *testing.T) {
	t.Parallel()
	const calls = 40
	for name, tc := range map[string]struct {
		options tunnel.Options
		h2      bool
	}{
		"learned":              {},
		"always":               {options: tunnel.Options{Always: true}},
		"learned over HTTP/2":  {h2: true},
		"required over HTTP/2": {h2: true, options: tunnel.Options{Proof: tunnel.ProofRequired}},
	} {
		t.Run(name, func(t *testing.T) {
			l := start(t, setup{h2: tc.h2})
			var d dials
			rt := l.through(t, tc.options, func(tr *http.Transport) {
				tr.MaxIdleConnsPerHost = calls
				d.watch(tr)
			})
			want := "payload" + fmt.Sprintf("hello over HTTP/%d", map[bool]int{false: 1, true: 2}[tc.h2])
			var wg sync.WaitGroup
			for range calls {
				wg.Go(func() {
					r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.origin.URL(), io.NopCloser(strings.NewReader("payload")))
					if err != nil {
						t.Error(err)
						return
					}
					if body, err := do(rt, r); err != nil || body != want {
						t.Errorf("%q, %v", body, err)
					}
				})
			}
			wg.Wait()
			d.settle(t)
			signed, bare := 0, 0
			for _, rec := range l.proxy.Connects() {
				switch {
				case rec.Status == 200 && rec.Proved:
					signed++
				case rec.Status == 407 && rec.Scheme == "":
					bare++
				default:
					t.Errorf("%v", rec)
				}
			}
			if signed != l.proxy.Tunnels() || signed > calls || bare > calls || tc.options.Always && bare > 0 {
				t.Errorf("%d signed and %d bare CONNECTs for %d tunnels", signed, bare, l.proxy.Tunnels())
			}
			if n := l.realm.Count(fakekdc.TGS, 0); n != 1 {
				t.Errorf("%d tickets fetched", n)
			}
			// What is open is used again.
			if tc.h2 {
				before := len(l.proxy.Connects())
				for range 5 {
					if _, err := get(t.Context(), rt, l.origin.URL()); err != nil {
						t.Error(err)
					}
				}
				if n := len(l.proxy.Connects()); n != before {
					t.Errorf("%d further CONNECTs over HTTP/2", n-before)
				}
			}
		})
	}
}

// dials count the connections that a transport opens. It goes on with one when
// the request that it was for has got another.
type dials struct {
	mu             sync.Mutex
	begun, settled int
	changed        chan struct{}
}

func (d *dials) add(begun, settled int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.begun, d.settled = d.begun+begun, d.settled+settled
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}

func (d *dials) watch(tr *http.Transport) {
	dial := tr.DialContext
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		d.add(1, 0)
		return dial(ctx, network, addr)
	}
	tr.OnProxyConnectResponse = func(context.Context, *url.URL, *http.Request, *http.Response) error {
		d.add(0, 1)
		return nil
	}
}

// settle waits until every connection has had its answer.
func (d *dials) settle(t *testing.T) {
	t.Helper()
	for {
		d.mu.Lock()
		left := d.begun - d.settled
		if d.changed == nil {
			d.changed = make(chan struct{})
		}
		changed := d.changed
		d.mu.Unlock()
		if left == 0 {
			return
		}
		<-changed
	}
}

// What the caller set stays, is sent and is called.
func TestCallersHooks(t *testing.T) {
	l := start(t, setup{})
	type answer struct {
		Status  int
		Token   bool // the request that the hook sees bears one
		Proved  bool
		Inner   bool // so does that of the response
		Context string
	}
	var seen []answer
	type key struct{}
	fail := errors.New("says the caller")
	var failing bool
	dynamic := func(_ context.Context, at *url.URL, target string) (http.Header, error) {
		if at.Host != l.proxy.URL().Host || target != strings.TrimPrefix(l.origin.URL(), "https://") {
			t.Errorf("hook was called for %s and %s", at, target)
		}
		return http.Header{"X-Seen": {"dynamic"}}, nil
	}
	for name, tc := range map[string]struct {
		change func(*http.Transport)
		want   string
	}{
		"a header":   {func(tr *http.Transport) { tr.ProxyConnectHeader = http.Header{"X-Seen": {"static"}} }, "static"},
		"a function": {func(tr *http.Transport) { tr.GetProxyConnectHeader = dynamic }, "dynamic"},
		"both, of which one is": {func(tr *http.Transport) {
			tr.ProxyConnectHeader, tr.GetProxyConnectHeader = http.Header{"X-Seen": {"x"}}, dynamic
		}, "dynamic"},
		"a function without both": {func(tr *http.Transport) {
			tr.GetProxyConnectHeader = func(context.Context, *url.URL, string) (http.Header, error) { return nil, nil }
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			seen, failing = nil, false
			var got []string
			l.proxy.SetQuirks(fakeweb.Quirks{})
			base := l.proxy.Transport(l.origin)
			tc.change(base)
			base.OnProxyConnectResponse = func(ctx context.Context, _ *url.URL, r *http.Request, resp *http.Response) error {
				got = append(got, r.Header.Get("X-Seen"))
				sc := middleware.ProxySecurityOf(r)
				value, _ := ctx.Value(key{}).(string)
				seen = append(seen, answer{
					resp.StatusCode, r.Header.Get("Proxy-Authorization") != "", sc != nil && sc.Verified(),
					resp.Request.Header.Get("Proxy-Authorization") != "", value,
				})
				if failing {
					return fail
				}
				return nil
			}
			header, static := base.GetProxyConnectHeader, base.ProxyConnectHeader.Clone()
			rt := tunnel.New(l.initiator(t, kerberos.InitiatorOptions{}), base, tunnel.Options{})
			defer rt.CloseIdleConnections()
			ctx := context.WithValue(t.Context(), key{}, "of the request")
			if _, err := get(ctx, rt, l.origin.URL()); err != nil {
				t.Fatal(err)
			}
			want := []answer{{Status: 407, Context: "of the request"}, {Status: 200, Proved: true, Context: "of the request"}}
			if diff := cmp.Diff(want, seen); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if diff := cmp.Diff([]string{tc.want, tc.want}, got); diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
			// Neither replaced nor written to.
			if (base.GetProxyConnectHeader == nil) != (header == nil) || !cmp.Equal(base.ProxyConnectHeader, static) {
				t.Error("the caller's transport was changed")
			}
			rt.CloseIdleConnections()
			failing = true
			if _, err := get(ctx, rt, l.origin.URL()); !errors.Is(err, fail) {
				t.Errorf("%v, want the hook's", err)
			}
			l.proxy.SetQuirks(fakeweb.Quirks{Proof: fakeweb.ProofForged})
			if _, err := get(ctx, rt, l.origin.URL()); !errors.Is(err, middleware.ErrNotVerified) {
				t.Errorf("%v, want ours before the hook's", err)
			}
		})
	}
	t.Run("a function that fails", func(t *testing.T) {
		before := len(l.proxy.Connects())
		rt := l.through(t, tunnel.Options{Always: true}, func(tr *http.Transport) {
			tr.GetProxyConnectHeader = func(context.Context, *url.URL, string) (http.Header, error) { return nil, fail }
		})
		if _, err := get(t.Context(), rt, l.origin.URL()); !errors.Is(err, fail) || len(l.proxy.Connects()) != before {
			t.Errorf("%v", err)
		}
	})
}

// Where the caller answers for the proxy, nobody else does.
func TestOwnCredentials(t *testing.T) {
	for name, change := range map[string]func(*http.Transport, *url.URL){
		"in the URL": func(tr *http.Transport, at *url.URL) {
			at.User = url.UserPassword("bob", "canary")
			tr.Proxy = http.ProxyURL(at)
		},
		"in the header": func(tr *http.Transport, _ *url.URL) {
			tr.ProxyConnectHeader = http.Header{"Proxy-Authorization": {"Basic Ym9iOmNhbmFyeQ=="}}
		},
		"by a function": func(tr *http.Transport, _ *url.URL) {
			tr.GetProxyConnectHeader = func(context.Context, *url.URL, string) (http.Header, error) {
				return http.Header{"Proxy-Authorization": {"Basic Ym9iOmNhbmFyeQ=="}}, nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, o := range []tunnel.Options{{}, {Always: true}, {Proof: tunnel.ProofRequired}} {
				l := start(t, setup{})
				in := new(stagetest.Initiator)
				rt := l.with(t, in, o, func(tr *http.Transport) { change(tr, l.proxy.URL()) })
				_, err := get(t.Context(), rt, l.origin.URL())
				if !errors.Is(err, tunnel.ErrTunnel) || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "canary") {
					t.Errorf("%v", err)
				}
				if recs := l.proxy.Connects(); len(recs) != 1 || recs[0].Scheme != "Basic" {
					t.Errorf("%v", recs)
				}
				// A proxy that takes them is one, but has proved nothing.
				l.proxy.SetQuirks(fakeweb.Quirks{Before: fakeweb.ForwardProxy()})
				_, err = get(t.Context(), rt, l.origin.URL())
				if required := o.Proof == tunnel.ProofRequired; required != errors.Is(err, middleware.ErrNotVerified) || !required && err != nil {
					t.Errorf("%+v: %v", o, err)
				}
				if n := len(in.Contexts()); n != 0 {
					t.Errorf("%d contexts", n)
				}
			}
		})
	}
}
