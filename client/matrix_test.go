package client_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/logging"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
	"github.com/kerbchain/kerbchain/middleware/sanitize"
)

// A service is one behaviour of the fake, and what is known about it.
type service struct {
	web      fakeweb.Options
	server   fakeweb.ServerOptions
	facts    facts
	statuses []int // nil: 200 and 404
	upload   int   // bytes of a request body
	calls    int   // over one transport; 0 means 1
	sockets  bool  // over TCP, and not in memory, since more than HTTP is in it
}

var everyStatus = []int{200, 302, 404, 500}

func services() map[string]service {
	all := map[string]service{
		"good": {statuses: everyStatus, sockets: true},

		"redirect in front of it": {
			web:      fakeweb.Options{Quirks: fakeweb.Quirks{Before: page(302)}},
			facts:    facts{open: true, location: true, status: 302},
			statuses: []int{302},
		},
		"error page in front of it": {
			web:      fakeweb.Options{Quirks: fakeweb.Quirks{Before: page(500)}},
			facts:    facts{open: true, status: 500},
			statuses: []int{500},
		},
		"page in front of it": {
			web:      fakeweb.Options{Quirks: fakeweb.Quirks{Before: page(200)}},
			facts:    facts{open: true, status: 200},
			statuses: []int{200},
		},

		"challenge is not base64":   {web: challengeWith(fakeweb.BrokenChallenge()...), facts: facts{challenge: unusable}},
		"challenge of 64 KiB":       {web: challengeWith(fakeweb.HugeChallenge(64 << 10)...)},
		"challenge of 66 KiB":       {web: challengeWith(fakeweb.HugeChallenge(67 << 10 * 4 / 3)...), facts: facts{challenge: unusable}},
		"challenge of others":       {web: challengeWith(`Basic realm="x"`, "NTLM"), facts: facts{challenge: unrelated}},
		"challenge with a decoy":    {web: challengeWith(`Basic realm="a, Negotiate b"`), facts: facts{challenge: unrelated}},
		"challenge without a name":  {web: challengeWith(`, ,`, ``), facts: facts{challenge: unrelated}},
		"long body of a challenge":  {web: quirk(fakeweb.Quirks{ChallengeBody: 1 << 20}), facts: facts{costly: true}, sockets: true},
		"short body of a challenge": {web: quirk(fakeweb.Quirks{ChallengeBody: 100 << 10}), upload: 10 << 10},
		"early challenge":           {web: quirk(fakeweb.Quirks{EarlyChallenge: true}), facts: facts{costly: true}, upload: 32 << 10, sockets: true},

		"hangs up":            {web: quirk(fakeweb.Quirks{Hangup: true}), facts: facts{hangup: true}, sockets: true},
		"another leg, MIC":    {web: quirk(fakeweb.Quirks{ExtraLeg: fakeweb.LegMIC}), facts: facts{legs: oneMore}, statuses: everyStatus, upload: 10},
		"another leg":         {web: quirk(fakeweb.Quirks{ExtraLeg: fakeweb.LegIncomplete}), facts: facts{legs: oneMore}, statuses: everyStatus},
		"token wanted again":  {web: quirk(fakeweb.Quirks{ExtraLeg: fakeweb.LegAgain}), facts: facts{legs: startOver}},
		"legs without an end": {web: quirk(fakeweb.Quirks{ExtraLeg: fakeweb.LegForever}), facts: facts{refuses: refusesTwoLegs}},

		"raw":             {web: quirk(fakeweb.Quirks{Raw: true}), statuses: everyStatus},
		"no state":        {web: quirk(fakeweb.Quirks{NoState: true}), statuses: everyStatus},
		"Microsoft's OID": {web: quirk(fakeweb.Quirks{MicrosoftOID: true}), statuses: everyStatus},
		"no subkey":       {web: quirk(fakeweb.Quirks{NoSubkey: true}), statuses: everyStatus},

		"bound":             {web: fakeweb.Options{ConnectionBound: true}, facts: facts{bound: true}, statuses: everyStatus, calls: 3},
		"bound and says so": {web: fakeweb.Options{ConnectionBound: true, SignalPersistent: true}, facts: facts{bound: true}, calls: 3},
		"many calls":        {calls: 3},

		"scheme Kerberos": {web: fakeweb.Options{Schemes: []string{"Kerberos"}}, facts: facts{kerberos: true}, statuses: everyStatus},
		"both schemes":    {web: fakeweb.Options{Schemes: []string{"Kerberos", "Negotiate"}}},
		"proxy":           {web: fakeweb.Options{Proxy: true}, facts: facts{proxy: true, costly: true}, statuses: everyStatus, upload: 10},
		"trusted proxy":   {web: fakeweb.Options{Proxy: true}, facts: facts{proxy: true, costly: true, trusted: true}, statuses: everyStatus, upload: 10},

		"TLS":         {web: fakeweb.Options{Bindings: fakekdc.BindingsRequired}, server: fakeweb.ServerOptions{TLS: true}, facts: facts{tls: true}, statuses: everyStatus},
		"HTTP/2":      {web: fakeweb.Options{Bindings: fakekdc.BindingsRequired}, server: fakeweb.ServerOptions{TLS: true, HTTP2: true}, facts: facts{tls: true}, calls: 2},
		"TLS, upload": {web: fakeweb.Options{Bindings: fakekdc.BindingsRequired}, server: fakeweb.ServerOptions{TLS: true}, facts: facts{tls: true}, upload: 100 << 10, sockets: true},
	}
	for name, lines := range fakeweb.Challenges() {
		all["challenge, "+name] = service{web: challengeWith(lines...), statuses: []int{200}}
	}
	for name, r := range map[string]fakeweb.Rejection{
		"KRB-ERROR": fakeweb.RejectKRBError, "nothing new": fakeweb.RejectPlain, "a state": fakeweb.RejectState,
		"NTLM": fakeweb.RejectNTLM, "no challenge": fakeweb.RejectNothing,
	} {
		f := facts{refuses: refusesWith}
		if r == fakeweb.RejectNothing {
			f.refuses = refusesSilent
		}
		all["rejects with "+name] = service{web: quirk(fakeweb.Quirks{Reject: true, Rejection: r}), facts: f, statuses: []int{200}}
	}
	for name, tc := range map[string]struct {
		token fakeweb.Proof
		proof proof
	}{
		"genuine":    {fakeweb.ProofGenuine, proof{}},
		"none":       {fakeweb.ProofNone, proof{none: true}},
		"state":      {fakeweb.ProofState, proof{hollow: true}},
		"forged":     {fakeweb.ProofForged, proof{reason: middleware.ReasonWrongKey}},
		"foreign":    {fakeweb.ProofForeign, proof{reason: middleware.ReasonWrongKey}},
		"replayed":   {fakeweb.ProofReplayed, proof{reason: middleware.ReasonWrongTime}},
		"KRB-ERROR":  {fakeweb.ProofKRBError, proof{reason: middleware.ReasonKRBError, code: 41}},
		"reject":     {fakeweb.ProofReject, proof{reason: middleware.ReasonRefused}},
		"NTLM":       {fakeweb.ProofNTLM, proof{reason: middleware.ReasonWrongMechanism}},
		"garbage":    {fakeweb.ProofGarbage, proof{reason: middleware.ReasonMalformed}},
		"not base64": {fakeweb.ProofNotBase64, proof{reason: middleware.ReasonMalformed}},
		"empty":      {fakeweb.ProofEmpty, proof{none: true}},
	} {
		q := fakeweb.Quirks{Proof: tc.token}
		all["token "+name] = service{web: quirk(q), facts: facts{proof: tc.proof}, statuses: everyStatus}
		q.ProofOn = fakeweb.OnErrors
		all["token "+name+" on errors"] = service{web: quirk(q), facts: facts{proof: tc.proof, proofOn: fakeweb.OnErrors}}
		q.ProofOn = fakeweb.OnSuccess
		all["token "+name+" on success"] = service{web: quirk(q), facts: facts{proof: tc.proof, proofOn: fakeweb.OnSuccess}}
	}
	all["raw, forged"] = service{
		web:   quirk(fakeweb.Quirks{Raw: true, Proof: fakeweb.ProofForged}),
		facts: facts{proof: proof{reason: middleware.ReasonWrongKey}},
	}
	all["raw, KRB-ERROR"] = service{
		web:   quirk(fakeweb.Quirks{Raw: true, Proof: fakeweb.ProofKRBError}),
		facts: facts{proof: proof{reason: middleware.ReasonKRBError, code: 41}},
	}
	return all
}

func quirk(q fakeweb.Quirks) fakeweb.Options { return fakeweb.Options{Quirks: q} }

func challengeWith(lines ...string) fakeweb.Options {
	return quirk(fakeweb.Quirks{Challenge: lines})
}

// page is what a service has behind its authentication, or in front of it. It
// plants a cookie, and a location where there can be one. Status 0 is that of
// the path. A body that did not come whole is a 418.
func page(status int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := status
		if status == 0 {
			status, _ = strconv.Atoi(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
		}
		want, _ := strconv.ParseInt(r.Header.Get("Upload"), 10, 64)
		if n, err := io.Copy(io.Discard, r.Body); err != nil || n != want {
			status = http.StatusTeapot
		}
		w.Header().Set("Set-Cookie", "planted=1")
		if status >= 300 {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, "page %d", status)
	})
}

// Every subset of the five stages meets every behaviour of the fake service.
// What there is to see is what the oracle says.
func TestMatrix(t *testing.T) {
	t.Parallel()
	realm := start(t)
	o := kinit(t, realm) // a ticket-granting ticket and no other
	cache := o.CCache
	o, err := o.WithSource() // for both initiators
	if err != nil {
		t.Fatal(err)
	}
	m := &matrix{realm: realm, subsets: subsets(), initiators: map[bool]middleware.Initiator{}}
	for without, mode := range map[bool]mutual.Mode{false: mutual.Required, true: mutual.Disabled} {
		o := o
		o.Mutual = mode
		if m.initiators[without], err = client.NewInitiator(signing(t, realm, cache, o)); err != nil {
			t.Fatal(err)
		}
	}
	if len(m.subsets) != 32 {
		t.Fatalf("%d subsets", len(m.subsets))
	}
	t.Run("services", func(t *testing.T) {
		for name, s := range services() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				m.service(t, s)
			})
		}
	})
	t.Logf("%d calls", m.calls.Load())
	if n := realm.Count(fakekdc.TGS, 0); n != 1 {
		t.Errorf("%d tickets were fetched from the KDC for one service", n)
	}
	if n := realm.Count(fakekdc.Any); n != 1 {
		t.Errorf("%d exchanges with the KDC", n)
	}
}

func subsets() []subset {
	var all []subset
	for bits := range 32 {
		has := func(bit int) bool { return bits&(1<<bit) != 0 }
		all = append(all, subset{has(0), has(1), has(2), has(3), has(4)})
	}
	return all
}

type matrix struct {
	realm      *fakekdc.Realm
	subsets    []subset
	initiators map[bool]middleware.Initiator // by NoMutual
	calls      atomic.Int64
}

// service runs all subsets, modes and statuses against one service.
func (m *matrix) service(t *testing.T, s service) {
	s.server.InMemory = !s.sockets
	var all sync.Map // combinations by the first part of the path
	server := fakeweb.Serve(m.realm, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := all.Load(strings.Split(r.URL.Path, "/")[1])
		if !ok {
			http.NotFound(w, r)
			return
		}
		c.(*combination).serve(w, r)
	}), s.server)
	if s.statuses == nil {
		s.statuses = []int{200, 404}
	}
	s.web.Next = page(0)
	number := 0
	for _, sub := range m.subsets {
		modes := []mutual.Mode{mutual.Required, mutual.Optional, mutual.Disabled}
		if !sub.mutual {
			modes = modes[:1]
		}
		for _, mode := range modes {
			for _, status := range s.statuses {
				number++
				name := strconv.Itoa(number)
				for tries := 3; ; {
					tries--
					c := &combination{m: m, s: s, sub: sub, mode: mode, status: status, handler: fakeweb.New(m.realm, spn, s.web),
						url: fmt.Sprintf("%s/%s/%d", server.URL(), name, status)}
					all.Store(name, c)
					diff, late := c.run(t, server)
					all.Delete(name)
					if late && tries > 0 {
						continue
					}
					if diff != "" {
						t.Errorf("%+v, mutual %v, status %d, %s\nthe service saw %v", sub, mode, status, diff, c.handler.Requests())
					}
					break
				}
			}
		}
	}
}

// A combination is one cell of the matrix.
type combination struct {
	m       *matrix
	s       service
	sub     subset
	mode    mutual.Mode
	status  int
	handler *fakeweb.Handler
	url     string

	contexts atomic.Int64
	requests atomic.Int64 // that arrived
	signed   atomic.Int64 // those with credentials
	log      bytes.Buffer
	mu       sync.Mutex
	tokens   []string
}

func (c *combination) serve(w http.ResponseWriter, r *http.Request) {
	c.requests.Add(1)
	if r.Header.Get("Authorization")+r.Header.Get("Proxy-Authorization") != "" {
		c.signed.Add(1)
	}
	c.handler.ServeHTTP(w, r)
}

// run returns where the oracle was wrong. Late says that there were more connections
// than by the oracle. That may not be the stages' doing: net/http gives a connection up
// of which it has not heard within 50 ms that the request was written, as on a machine
// that is busy with other things. Whatever stages do they do again.
func (c *combination) run(t *testing.T, server *fakeweb.Server) (diff string, late bool) {
	var conns meter
	tr := conns.on(server.Transport())
	if c.s.facts.proxy {
		tr.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(server.URL()) }
	}
	rt := c.stack(t, tr).Wrap(kerbchain.Next(func(r *http.Request) (*http.Response, error) {
		c.note(r)
		return tr.RoundTrip(r)
	}))
	used, proved := false, false
	for call := range max(c.s.calls, 1) {
		c.m.calls.Add(1)
		for _, n := range []*atomic.Int64{&c.contexts, &c.requests, &c.signed} {
			n.Store(0)
		}
		c.log.Reset()
		before := conns.total()

		got := c.call(t, rt)
		got.Conns = conns.total() - before
		got.Contexts, got.Requests, got.Tokens = int(c.contexts.Load()), int(c.requests.Load()), int(c.signed.Load())
		want := oracle(c.sub, c.mode, c.s.facts, c.status, used, proved)
		if want != got {
			diff += fmt.Sprintf("call %d (-want +got):\n%s", call+1, cmp.Diff(want, got))
			late = late || got.Conns > want.Conns
		}
		// A response that is refused costs a connection, but for HTTP/2.
		used = c.s.server.HTTP2 || want.Body == "whole" || want.Body == "empty"
		proved = used && c.s.facts.bound && (c.sub.preemptive || c.sub.negotiate)
	}
	conns.drained(t, tr.CloseIdleConnections)
	return diff, late
}

// stack is the standard one, without the stages that the subset does not have.
func (c *combination) stack(t *testing.T, tr *http.Transport) client.Stack {
	signer := c.m.initiators[c.mode == mutual.Disabled]
	o := client.Options{
		Mutual:     c.mode,
		Preemptive: preemptive.Always(),
		Logging:    logging.Options{Handler: slog.NewJSONHandler(&c.log, &slog.HandlerOptions{Level: slog.LevelDebug})},
		Proxy:      tr.Proxy,
		TrustProxy: c.s.facts.trusted && c.mode != mutual.Disabled, // where all is believed
		Initiator: middleware.InitiatorFunc(func(ctx context.Context, target middleware.Target) (middleware.SecurityContext, error) {
			c.contexts.Add(1)
			return signer.Initiate(ctx, target)
		}),
	}
	if o.Proxy == nil {
		o.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	}
	stack, err := client.NewStack(o)
	if err != nil {
		t.Fatal(err)
	}
	if c.mode != mutual.Required {
		stack = stack.Before(client.Mutual, client.Stage{Name: client.Sanitize, Middleware: sanitize.New(sanitize.Options{})})
	}
	if want, got := []string{"logging", "sanitize", "mutual", "preemptive", "negotiate"}, namesOf(stack); !slices.Equal(want, got) {
		t.Fatalf("stages (-want +got):\n%s", cmp.Diff(want, got))
	}
	for name, has := range map[string]bool{
		client.Logging: c.sub.logging, client.Sanitize: c.sub.sanitize, client.Mutual: c.sub.mutual,
		client.Preemptive: c.sub.preemptive, client.Negotiate: c.sub.negotiate,
	} {
		if !has {
			stack = stack.Without(name)
		}
	}
	return stack
}

// note keeps the tokens that are sent, for they must not be seen anywhere else.
func (c *combination) note(r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, field := range []string{"Authorization", "Proxy-Authorization"} {
		if _, token, ok := strings.Cut(r.Header.Get(field), " "); ok {
			c.tokens = append(c.tokens, token)
		}
	}
}

func (c *combination) call(t *testing.T, rt http.RoundTripper) outcome {
	method, body := http.MethodGet, io.Reader(nil)
	if c.s.upload > 0 {
		method, body = http.MethodPost, bytes.NewReader(make([]byte, c.s.upload))
	}
	r, err := http.NewRequestWithContext(t.Context(), method, c.url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Upload", strconv.Itoa(c.s.upload))
	before := r.Header.Clone()
	resp, err := rt.RoundTrip(r)
	if !maps.EqualFunc(before, r.Header, slices.Equal) {
		t.Errorf("the caller's request was changed (-want +got):\n%s", cmp.Diff(before, r.Header))
	}
	var got outcome
	var known *middleware.Error
	switch {
	case err != nil && resp != nil:
		t.Error("both a response and an error")
	case errors.As(err, &known):
		got.Err = describe(known.Kind, known.Reason, known.Code)
	case err != nil:
		got.Err = "transport"
	default:
		got = c.read(t, resp)
	}
	got.Logged = c.summary(t)
	return got
}

// read takes a response apart.
func (c *combination) read(t *testing.T, resp *http.Response) outcome {
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("body: %v", err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	got := outcome{Status: resp.StatusCode, Body: string(b)}
	whole := fmt.Sprintf("page %d", resp.StatusCode)
	if challenged := resp.StatusCode == 401 || resp.StatusCode == 407; challenged {
		whole = http.StatusText(resp.StatusCode) + "\n"
		if n := c.s.web.Quirks.ChallengeBody; n > 0 {
			whole = strings.Repeat("unauthorized ", n/13+1)[:n]
		}
	}
	switch got.Body {
	case whole:
		got.Body = "whole"
	case "":
		got.Body = "empty"
		// What is left when all is emptied.
		challenges := map[int]string{401: "Www-Authenticate", 407: "Proxy-Authenticate"}[resp.StatusCode]
		for field := range resp.Header {
			if field != "Date" && field != "Server" && field != challenges {
				t.Errorf("an emptied response has %s", field)
			}
		}
	}
	got.Planted = len(resp.Cookies()) > 0 && (resp.StatusCode < 300 || resp.Header.Get("Location") != "")
	if !got.Planted && len(resp.Cookies())+len(resp.Header.Values("Location")) > 0 {
		t.Error("some of what was planted is left")
	}
	if resp.Request == nil {
		t.Error("the response names no request")
		return got
	}
	for _, field := range []string{"Authorization", "Proxy-Authorization"} {
		if c.sub.preemptive || c.sub.negotiate {
			if v := resp.Request.Header.Get(field); v != "" {
				t.Errorf("the response's request has %s: %.20s", field, v)
			}
		}
	}
	sc := middleware.SecurityOf(resp.Request)
	got.Verified = sc != nil && sc.Verified() || middleware.Trusted(resp.Request)
	return got
}

// summary returns the log's one line about the call, and looks for what must not
// be in it.
func (c *combination) summary(t *testing.T) string {
	text := c.log.String()
	for _, token := range c.tokens {
		if strings.Contains(text, token) || len(token) > 200 && strings.Contains(text, token[100:140]) {
			t.Error("a token is in the log")
		}
	}
	out := ""
	for line := range strings.Lines(text) {
		var rec struct {
			Logger   string `json:"logger"`
			Status   int    `json:"status"`
			Error    string `json:"error"`
			Verified bool   `json:"verified"`
		}
		if err := json.Unmarshal([]byte(line), &rec); err != nil {
			t.Errorf("log: %v: %s", err, line)
		}
		if rec.Logger != logging.Root {
			continue
		}
		if out != "" {
			t.Errorf("two summaries: %s", text)
		}
		out = fmt.Sprintf("%d, verified %t", rec.Status, rec.Verified)
		if rec.Error != "" {
			out = fmt.Sprintf("error, verified %t", rec.Verified)
		}
	}
	return out
}

// The oracle is of no use if it says what the servers say. It tells a good
// server from a bad one.
func TestOracle(t *testing.T) {
	all := subset{true, true, true, true, true}
	good := oracle(all, mutual.Required, facts{}, 200, false, false)
	if good.Err != "" || !good.Verified || good.Body != "whole" {
		t.Errorf("good server: %+v", good)
	}
	forged := oracle(all, mutual.Required, facts{proof: proof{reason: middleware.ReasonWrongKey}}, 200, false, false)
	if !strings.Contains(forged.Err, "wrong key") {
		t.Errorf("forged: %+v", forged)
	}
	none := oracle(all, mutual.Required, facts{proof: proof{none: true}}, 500, false, false)
	if none.Err != "" || none.Verified || none.Body != "empty" || none.Planted {
		t.Errorf("unverified 500: %+v", none)
	}
	if _, err := base64.StdEncoding.DecodeString(fakeweb.BrokenChallenge()[0]); err == nil {
		t.Error("the broken challenge is base64")
	}
}
