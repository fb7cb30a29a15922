package fakeweb

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/internal/plainclient"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

// world is a realm with a web service.
func world(tb testing.TB, o Options, so ServerOptions, more ...fakekdc.Option) (*fakekdc.Realm, *Handler, *Server) {
	tb.Helper()
	r := fakekdc.Start(tb, append([]fakekdc.Option{fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost")}, more...)...)
	h := New(r, "HTTP/localhost", o)
	return r, h, Serve(r, h, so)
}

func hello(r *fakekdc.Realm) string { return "hello alice@" + r.Name() + "\n" }

const unauthorized = "Unauthorized\n"

func TestQuirks(t *testing.T) {
	r, h, s := world(t, Options{}, ServerOptions{}, fakekdc.WithEtypes(allEtypes...))
	rc4 := modified(t, r, fakekdc.SessionEtypes(fakekdc.RC4HMAC), fakekdc.SessionEtypes(allEtypes...))
	if got := rc4.Key.Etype(); got != fakekdc.RC4HMAC {
		t.Fatalf("session key of %s", krb.EtypeName(got))
	}
	ok := func(verdict string, statuses ...int) plainclient.Result {
		return plainclient.Result{Statuses: statuses, Verdict: verdict, Body: hello(r)}
	}
	no := func(verdict string, statuses ...int) plainclient.Result {
		return plainclient.Result{Statuses: statuses, Verdict: verdict, Body: unauthorized}
	}
	for name, tc := range map[string]struct {
		q      Quirks
		client func(*plainclient.Client)
		want   plainclient.Result
	}{
		"none":                  {Quirks{}, nil, ok("verified", 401, 200)},
		"one way":               {Quirks{}, func(c *plainclient.Client) { c.OneWay = true }, ok("accept-completed", 401, 200)},
		"one way, raw":          {Quirks{}, func(c *plainclient.Client) { c.OneWay, c.Raw = true, true }, ok("no token", 401, 200)},
		"raw client":            {Quirks{}, func(c *plainclient.Client) { c.Raw = true }, ok("verified", 401, 200)},
		"MS first":              {Quirks{}, func(c *plainclient.Client) { c.Mechs = []spnego.OID{spnego.MSKRB5, spnego.KRB5, spnego.NTLM} }, ok("verified", 401, 200)},
		"NTLM first":            {Quirks{}, func(c *plainclient.Client) { c.Mechs = []spnego.OID{spnego.NTLM, spnego.KRB5} }, ok("verified before", 401, 401, 401, 200)},
		"NTLM first, one way":   {Quirks{}, func(c *plainclient.Client) { c.Mechs, c.OneWay = []spnego.OID{spnego.NTLM, spnego.KRB5}, true }, ok("with MIC", 401, 401, 200)},
		"NTLM first, RC4":       {Quirks{}, func(c *plainclient.Client) { c.Mechs, c.Ticket = []spnego.OID{spnego.NTLM, spnego.KRB5}, rc4 }, ok("verified before", 401, 401, 401, 200)},
		"NTLM alone":            {Quirks{}, func(c *plainclient.Client) { c.Mechs = []spnego.OID{spnego.NTLM} }, no("no token", 401, 401)},
		"raw":                   {Quirks{Raw: true}, nil, ok("verified", 401, 200)},
		"no state":              {Quirks{NoState: true}, nil, ok("verified", 401, 200)},
		"Microsoft's name":      {Quirks{MicrosoftOID: true}, nil, ok("verified", 401, 200)},
		"no subkey":             {Quirks{NoSubkey: true}, nil, ok("verified", 401, 200)},
		"no subkey, extra leg":  {Quirks{NoSubkey: true, ExtraLeg: LegMIC}, nil, ok("verified before", 401, 401, 200)},
		"leg with MIC":          {Quirks{ExtraLeg: LegMIC}, nil, ok("verified before", 401, 401, 200)},
		"leg with MIC, RC4":     {Quirks{ExtraLeg: LegMIC}, func(c *plainclient.Client) { c.Ticket = rc4 }, ok("verified before", 401, 401, 200)},
		"leg again":             {Quirks{ExtraLeg: LegAgain}, nil, ok("verified before", 401, 401, 401, 200)},
		"leg incomplete":        {Quirks{ExtraLeg: LegIncomplete}, nil, ok("verified before", 401, 401, 200)},
		"extra leg, raw":        {Quirks{ExtraLeg: LegMIC}, func(c *plainclient.Client) { c.Raw = true }, ok("verified", 401, 200)},
		"legs for ever":         {Quirks{ExtraLeg: LegForever}, nil, no(", for ever", 401, 401, 401, 401, 401, 401)},
		"no token":              {Quirks{Proof: ProofNone}, nil, ok("no token", 401, 200)},
		"state alone":           {Quirks{Proof: ProofState}, nil, ok("accept-completed", 401, 200)},
		"forged":                {Quirks{Proof: ProofForged}, nil, ok("wrong key", 401, 200)},
		"foreign":               {Quirks{Proof: ProofForeign}, nil, ok("wrong key", 401, 200)},
		"replayed":              {Quirks{Proof: ProofReplayed}, nil, ok("wrong time", 401, 200)},
		"KRB-ERROR":             {Quirks{Proof: ProofKRBError}, nil, ok("KRB_AP_ERR_MODIFIED", 401, 200)},
		"reject and serve":      {Quirks{Proof: ProofReject}, nil, ok("reject", 401, 200)},
		"NTLM":                  {Quirks{Proof: ProofNTLM}, nil, ok("NTLM", 401, 200)},
		"garbage":               {Quirks{Proof: ProofGarbage}, nil, ok("unknown", 401, 200)},
		"not base64":            {Quirks{Proof: ProofNotBase64}, nil, ok("not base64", 401, 200)},
		"empty":                 {Quirks{Proof: ProofEmpty}, nil, ok("no token", 401, 200)},
		"token on errors alone": {Quirks{ProofOn: OnErrors}, nil, ok("no token", 401, 200)},
		"token on success":      {Quirks{ProofOn: OnSuccess}, nil, ok("verified", 401, 200)},
		"401 for ever":          {Quirks{Reject: true}, nil, no("KRB_ERR_GENERIC", 401, 401)},
		"401 with a code":       {Quirks{Reject: true, RejectCode: krb.CodeModified}, nil, no("KRB_AP_ERR_MODIFIED", 401, 401)},
		"401 raw":               {Quirks{Reject: true, Raw: true}, nil, no("KRB_ERR_GENERIC", 401, 401)},
		"401 one way":           {Quirks{Reject: true}, func(c *plainclient.Client) { c.OneWay = true }, no("no token", 401, 401)},
		"401 plain":             {Quirks{Reject: true, Rejection: RejectPlain}, nil, no("no token", 401, 401)},
		"401 with state":        {Quirks{Reject: true, Rejection: RejectState}, nil, no("reject", 401, 401)},
		"401 with NTLM":         {Quirks{Reject: true, Rejection: RejectNTLM}, nil, no("NTLM", 401, 401)},
		"401 without challenge": {Quirks{Reject: true, Rejection: RejectNothing}, nil, no("no token", 401, 401)},
		"hangup":                {Quirks{Hangup: true}, nil, plainclient.Result{Statuses: []int{401}, Verdict: "no response", Body: unauthorized}},
		"early challenge":       {Quirks{EarlyChallenge: true}, nil, ok("verified", 401, 200)},
		"huge challenge":        {Quirks{Challenge: HugeChallenge(64 << 10)}, nil, ok("verified", 401, 200)},
		"broken challenge":      {Quirks{Challenge: BrokenChallenge()}, nil, ok("verified", 401, 200)}, // an offer all the same
		"nothing offered":       {Quirks{Challenge: []string{`Basic realm="x"`}}, nil, plainclient.Result{Statuses: []int{401}, Verdict: "nothing offered", Body: unauthorized}},
		"long body":             {Quirks{ChallengeBody: 5000, Reject: true}, nil, plainclient.Result{Statuses: []int{401, 401}, Verdict: "KRB_ERR_GENERIC", Body: strings.Repeat("unauthorized ", 400)[:5000]}},
		"page before":           {Quirks{Before: http.RedirectHandler("/login", http.StatusFound)}, nil, plainclient.Result{Statuses: []int{302}, Verdict: "not asked", Body: "<a href=\"/login\">Found</a>.\n\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			h.SetQuirks(tc.q)
			h.ResetRequests()
			c := newClient(t, r, s)
			if tc.client != nil {
				tc.client(c)
			}
			got := c.Call(s.URL() + "/")
			if d := cmp.Diff(tc.want, got, cmpopts.IgnoreFields(plainclient.Result{}, "Header")); d != "" {
				t.Error(d)
			}
			if tc.want.Verdict == "no response" {
				return
			}
			if d := cmp.Diff(got.Statuses, h.Statuses()); d != "" {
				t.Errorf("recorded otherwise: %s", d)
			}
		})
	}
}

// TestProved: the record tells genuine proof from all else.
func TestProved(t *testing.T) {
	r, h, s := world(t, Options{}, ServerOptions{})
	for token := ProofGenuine; token <= ProofEmpty; token++ {
		h.SetQuirks(Quirks{Proof: token})
		h.ResetRequests()
		newClient(t, r, s).Call(s.URL())
		got := h.Requests()[1]
		if got.Proved != (token == ProofGenuine) || got.Caller.Name != "alice@"+r.Name() || got.Caller.Service != "HTTP/localhost@"+r.Name() ||
			!got.Caller.Mutual || got.Caller.Etype != fakekdc.AES256SHA1 || got.Scheme != "Negotiate" || got.Token == 0 {
			t.Errorf("token %d: %+v", token, got)
		}
	}
}

// TestReplayedTokenIsReal: the second time there is an older AP-REP to repeat.
func TestReplayedTokenIsReal(t *testing.T) {
	r, h, s := world(t, Options{}, ServerOptions{})
	c := newClient(t, r, s)
	genuine := c.Call(s.URL()).Header.Get("WWW-Authenticate")
	h.SetQuirks(Quirks{Proof: ProofReplayed})
	again := c.Call(s.URL())
	if again.Verdict != "wrong time" || again.Header.Get("WWW-Authenticate") != genuine {
		t.Errorf("%s: %q is not the token of before, %q", again.Verdict, again.Header.Get("WWW-Authenticate"), genuine)
	}
}

func TestLegalChallenges(t *testing.T) {
	r, h, s := world(t, Options{}, ServerOptions{})
	for _, name := range slices.Sorted(maps.Keys(Challenges())) {
		h.SetQuirks(Quirks{Challenge: Challenges()[name]})
		if got := newClient(t, r, s).Call(s.URL()); got.Verdict != "verified" {
			t.Errorf("%s: %s", name, got.Verdict)
		}
	}
}

func TestAcceptorRefuses(t *testing.T) {
	clock := &fakekdc.Clock{}
	r, h, s := world(t, Options{}, ServerOptions{}, fakekdc.WithClock(clock.Now), fakekdc.WithService("HTTP/other"), fakekdc.WithService("HTTP/gone"), fakekdc.WithService("HTTP/rotated"))
	stranger := fakekdc.Start(t, fakekdc.WithRealm(r.Name()), fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	foreign := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	ticket, old := minted(t, r, "alice", "HTTP/localhost"), minted(t, r, "alice", "HTTP/localhost")
	if err := r.Rotate("HTTP/localhost"); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		ticket *krb.Ticket
		spoil  func(*krb.Authenticator)
		move   time.Duration
		code   int32
	}{
		"older kvno":             {ticket: old},
		"other service":          {ticket: minted(t, r, "alice", "HTTP/other"), code: krb.CodeNotUs},
		"ticket-granting ticket": {ticket: minted(t, r, "alice", "krbtgt/"+r.Name()), code: krb.CodeNotUs},
		"other realm":            {ticket: minted(t, foreign, "alice", "HTTP/localhost"), code: krb.CodeNotUs},
		"wrong key":              {ticket: minted(t, stranger, "alice", "HTTP/localhost"), code: krb.CodeBadIntegrity},
		"another's name":         {spoil: func(a *krb.Authenticator) { a.Client.Components = []string{"root"} }, code: krb.CodeBadMatch},
		"another's realm":        {spoil: func(a *krb.Authenticator) { a.Client.Realm = "EVIL.EXAMPLE" }, code: krb.CodeBadMatch},
		"slow clock":             {spoil: func(a *krb.Authenticator) { a.CTime = a.CTime.Add(-6 * time.Minute) }, code: krb.CodeSkew},
		"fast clock":             {spoil: func(a *krb.Authenticator) { a.CTime = a.CTime.Add(6 * time.Minute) }, code: krb.CodeSkew},
		"within the skew":        {spoil: func(a *krb.Authenticator) { a.CTime = a.CTime.Add(4 * time.Minute) }},
		"expired":                {move: 11 * time.Hour, code: krb.CodeTicketExpired},
		"expired within skew":    {move: 10*time.Hour + time.Minute},
		"not yet valid":          {ticket: modified(t, r, fakekdc.TicketFlags(krb.FlagInvalid, 0), fakekdc.TicketFlags(0, 0)), code: krb.CodeTicketNotYet},
		"issued tomorrow":        {move: -time.Hour, code: krb.CodeTicketNotYet},
		"short checksum":         {spoil: func(a *krb.Authenticator) { a.Checksum.Value = a.Checksum.Value[:20] }, code: codeInappChecksum},
		"checksum's length word": {spoil: func(a *krb.Authenticator) { a.Checksum.Value[0] = 17 }, code: codeInappChecksum},
		"unkeyed checksum":       {spoil: func(a *krb.Authenticator) { a.Checksum.Type = 7 }, code: codeInappChecksum},
		"delegation cut":         {spoil: func(a *krb.Authenticator) { a.Checksum.Value[20] |= 1 }, code: codeInappChecksum},
		"no checksum":            {spoil: func(a *krb.Authenticator) { a.Checksum.Value = nil }},
		"checksum of nothing": {spoil: func(a *krb.Authenticator) {
			sum, err := ticket.Key.Checksum(krb.UsageAPReqChecksum)
			if err != nil {
				t.Fatal(err)
			}
			a.Checksum = krb.Checksum{Type: ticket.Key.ChecksumType(), Value: sum}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			clock.Advance(tc.move)
			defer clock.Advance(-tc.move)
			h.ResetRequests()
			c := newClient(t, r, s)
			c.Ticket, c.Spoil = ticket, tc.spoil
			if tc.ticket != nil {
				c.Ticket = tc.ticket
			}
			got := c.Call(s.URL())
			want := "verified"
			if tc.code != 0 {
				want = krb.ErrorName(tc.code)
			}
			if rec := h.Requests()[1]; got.Verdict != want || rec.Code != tc.code || (rec.Caller.Name == "") != (tc.code != 0) {
				t.Errorf("%s, %v (code %d), want %s", got.Verdict, rec, rec.Code, want)
			}
		})
	}
	t.Run("purged", func(t *testing.T) {
		if err := r.Purge("HTTP/localhost"); err != nil {
			t.Fatal(err)
		}
		c := newClient(t, r, s)
		c.Ticket = old
		if got := c.Call(s.URL()); got.Verdict != "KRB_AP_ERR_BADKEYVER" {
			t.Error(got.Verdict)
		}
	})
}

// TestTokensAreUsedOnce: by every service of the realm.
func TestTokensAreUsedOnce(t *testing.T) {
	r, h, s := world(t, Options{}, ServerOptions{})
	second := New(r, "", Options{})
	c := newClient(t, r, s)
	token := "Negotiate " + base64.StdEncoding.EncodeToString(c.First())
	ask := func(h http.Handler) int {
		q := httptest.NewRequest("GET", "/", nil)
		q.Header.Set("Authorization", token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, q)
		return w.Code
	}
	if d := cmp.Diff([]int{200, 401, 401}, []int{ask(h), ask(h), ask(second)}); d != "" {
		t.Error(d)
	}
	if got := h.Requests()[1]; got.Code != krb.CodeRepeat {
		t.Error(got)
	}
}

func TestBadCredentials(t *testing.T) {
	r, h, s := world(t, Options{}, ServerOptions{})
	c := newClient(t, r, s)
	framed := c.APReq()
	for name, tc := range map[string]struct {
		credentials string
		status      int
		reason      string
	}{
		"basic":           {"Basic YTpi", 401, ""},
		"no token":        {"Negotiate", 401, "credentials are not base64"},
		"not base64":      {"Negotiate ***", 401, "credentials are not base64"},
		"NTLM":            {"Negotiate TlRMTVNTUAABAAAA", 401, "token is neither SPNEGO nor Kerberos: NTLM"},
		"bare AP-REQ":     {"Negotiate " + base64.StdEncoding.EncodeToString(framed[17:]), 401, "token is neither SPNEGO nor Kerberos: unknown"},
		"other scheme":    {"Kerberos " + base64.StdEncoding.EncodeToString(framed), 401, ""},
		"truncated":       {"Negotiate " + base64.StdEncoding.EncodeToString(framed[:100]), 401, "token is neither SPNEGO nor Kerberos: unknown"},
		"no context":      {"Negotiate " + base64.StdEncoding.EncodeToString(spnego.Resp{State: spnego.AcceptCompleted}.Append(nil)), 401, "NegTokenResp without a context on this connection"},
		"no AP-REQ":       {"Negotiate " + base64.StdEncoding.EncodeToString(spnego.EncodeInit([]spnego.OID{spnego.KRB5}, []byte("xx"))), 401, "no AP-REQ in the token"},
		"AP-REP":          {"Negotiate " + base64.StdEncoding.EncodeToString(spnego.EncodeInit([]spnego.OID{spnego.KRB5}, spnego.Frame(spnego.TokAPRep, []byte{1}))), 401, "no AP-REQ in the token"},
		"lower case":      {"negotiate " + base64.StdEncoding.EncodeToString(framed), 200, ""},
		"malformed AP":    {"Negotiate " + base64.StdEncoding.EncodeToString(spnego.Frame(spnego.TokAPReq, []byte{0x6e, 0})), 401, "malformed AP-REQ"},
		"malformed offer": {"Negotiate " + base64.StdEncoding.EncodeToString([]byte("\x60\x0a\x06\x06\x2b\x06\x01\x05\x05\x02\xa0\x00")), 401, "malformed NegTokenInit"},
	} {
		h.ResetRequests()
		resp, err := c.Send(s.URL(), tc.credentials)
		if err != nil {
			t.Fatal(err)
		}
		plainclient.ReadAll(t, resp)
		if rec := h.Requests()[0]; resp.StatusCode != tc.status || rec.Reason != tc.reason {
			t.Errorf("%s: %d, %q; want %d, %q", name, resp.StatusCode, rec.Reason, tc.status, tc.reason)
		}
	}
	q := httptest.NewRequest("GET", "/", nil)
	q.Header["Authorization"] = []string{"Negotiate YQ==", "Basic YTpi"}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, q)
	if w.Code != 400 {
		t.Errorf("two lines of credentials: %d, want 400", w.Code)
	}
}

// TestWrongMIC: the client has to hold the key to end the negotiation.
func TestWrongMIC(t *testing.T) {
	r, h, s := world(t, Options{}, ServerOptions{})
	for name, tc := range map[string]struct {
		leg    ExtraLeg
		mechs  []spnego.OID
		oneway bool
	}{
		"mutual":  {LegMIC, nil, false},
		"one way": {NoExtraLeg, []spnego.OID{spnego.NTLM, spnego.KRB5}, true},
	} {
		h.SetQuirks(Quirks{ExtraLeg: tc.leg})
		c := newClient(t, r, s)
		c.Mechs, c.OneWay = tc.mechs, tc.oneway
		send := func(token []byte) *http.Response {
			resp, err := c.Send(s.URL(), "Negotiate "+base64.StdEncoding.EncodeToString(token))
			if err != nil {
				t.Fatal(err)
			}
			plainclient.ReadAll(t, resp)
			return resp
		}
		send(c.First())
		last := spnego.Resp{MechListMIC: []byte("wrong")}
		if tc.oneway {
			last.ResponseToken = c.APReq()
		}
		if got := send(last.Append(nil)).StatusCode; got != 401 {
			t.Errorf("%s: %d, want 401", name, got)
		}
		// Nor is there a second try.
		if got := send(spnego.Resp{MechListMIC: []byte("wrong")}.Append(nil)).StatusCode; got != 401 {
			t.Errorf("%s: second try: %d, want 401", name, got)
		}
	}
}

// TestLegsBelongToConnections: a leg that comes over another connection finds
// no context there.
func TestLegsBelongToConnections(t *testing.T) {
	r, h, s := world(t, Options{Quirks: Quirks{ExtraLeg: LegMIC}}, ServerOptions{})
	c := newClient(t, r, s)
	c.Transport.(*http.Transport).DisableKeepAlives = true
	if got := c.Call(s.URL()); got.Statuses[len(got.Statuses)-1] != 401 {
		t.Errorf("%+v", got)
	}
	last := h.Requests()[2]
	if last.Reason != "NegTokenResp without a context on this connection" || last.Conn != 3 || s.Connections() != 3 {
		t.Errorf("%v over connection %d of %d", last, last.Conn, s.Connections())
	}
}

func TestConnectionBound(t *testing.T) {
	r, h, s := world(t, Options{ConnectionBound: true, SignalPersistent: true}, ServerOptions{})
	c := newClient(t, r, s)
	if got := c.Call(s.URL()); got.Verdict != "verified" || got.Header.Get("Persistent-Auth") != "true" {
		t.Errorf("%+v", got)
	}
	again := c.Call(s.URL())
	want := plainclient.Result{Statuses: []int{200}, Verdict: "not asked", Body: hello(r)}
	if d := cmp.Diff(want, again, cmpopts.IgnoreFields(plainclient.Result{}, "Header")); d != "" || again.Header.Get("WWW-Authenticate") != "" {
		t.Error(d, again.Header)
	}
	s.DropConnections()
	if got := c.Call(s.URL()); got.Verdict != "verified" {
		t.Errorf("on a new connection: %+v", got)
	}
	last := h.Requests()[4]
	if len(h.Requests()) != 5 || last.Conn != 2 {
		t.Errorf("%v", h.Requests())
	}
	// Others' servers can tell connections apart, by address or with our help.
	for name, configure := range map[string]func(*httptest.Server){
		"by address":     func(*httptest.Server) {},
		"by ConnContext": func(s *httptest.Server) { s.Config.ConnContext = ConnContext },
	} {
		hs := httptest.NewUnstartedServer(New(r, "HTTP/localhost", Options{ConnectionBound: true}))
		configure(hs)
		hs.Start()
		c.Transport = hs.Client().Transport
		if first, second := c.Call(hs.URL), c.Call(hs.URL); first.Verdict != "verified" || second.Verdict != "not asked" {
			t.Errorf("%s: %+v, %+v", name, first, second)
		}
		hs.Close()
	}
}

func TestBindings(t *testing.T) {
	right, wrong := "right", "wrong"
	for name, tc := range map[string]struct {
		mode  fakekdc.Bindings
		tls   bool
		send  string
		aware bool
		want  string
		bound bool
	}{
		"supported, right":       {fakekdc.BindingsWhenSupported, true, right, false, "verified", true},
		"supported, wrong":       {fakekdc.BindingsWhenSupported, true, wrong, false, "KRB_ERR_GENERIC", false},
		"supported, none":        {fakekdc.BindingsWhenSupported, true, "", false, "verified", false},
		"supported, none, aware": {fakekdc.BindingsWhenSupported, true, "", true, "KRB_ERR_GENERIC", false},
		"supported, plain":       {fakekdc.BindingsWhenSupported, false, "", true, "verified", false},
		"supported, plain, sent": {fakekdc.BindingsWhenSupported, false, wrong, false, "verified", false},
		"required, right":        {fakekdc.BindingsRequired, true, right, true, "verified", true},
		"required, wrong":        {fakekdc.BindingsRequired, true, wrong, false, "KRB_ERR_GENERIC", false},
		"required, none":         {fakekdc.BindingsRequired, true, "", false, "KRB_ERR_GENERIC", false},
		"required, plain":        {fakekdc.BindingsRequired, false, "", false, "KRB_ERR_GENERIC", false},
		"off, right":             {fakekdc.BindingsOff, true, right, false, "verified", true},
		"off, wrong":             {fakekdc.BindingsOff, true, wrong, true, "verified", false},
		"off, none":              {fakekdc.BindingsOff, true, "", true, "verified", false},
	} {
		t.Run(name, func(t *testing.T) {
			r, h, s := world(t, Options{Bindings: tc.mode}, ServerOptions{TLS: tc.tls})
			c := newClient(t, r, s)
			c.Aware = tc.aware
			switch tc.send {
			case right:
				sum := sha256.Sum256(s.Certificate().Raw)
				c.Bindings = append([]byte("tls-server-end-point:"), sum[:]...)
			case wrong:
				c.Bindings = []byte("tls-server-end-point:another")
			}
			got := c.Call(s.URL())
			if rec := h.Requests()[1]; got.Verdict != tc.want || rec.Caller.Bound != tc.bound {
				t.Errorf("%s, bound %v; want %s, %v", got.Verdict, rec.Caller.Bound, tc.want, tc.bound)
			}
		})
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	sum := func(h string, raw []byte) []byte {
		switch h {
		case "256":
			s := sha256.Sum256(raw)
			return s[:]
		case "384":
			s := sha512.Sum384(raw)
			return s[:]
		}
		s := sha512.Sum512(raw)
		return s[:]
	}
	for alg, hash := range map[x509.SignatureAlgorithm]string{
		x509.ECDSAWithSHA256: "256", x509.ECDSAWithSHA384: "384", x509.ECDSAWithSHA512: "512",
		x509.SHA256WithRSA: "256", x509.SHA384WithRSA: "384", x509.SHA512WithRSAPSS: "512",
		x509.PureEd25519: "",
	} {
		for _, http2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/http2=%v", alg, http2), func(t *testing.T) {
				mode := fakekdc.BindingsRequired
				if hash == "" { // for which RFC 5929 defines no bindings
					mode = fakekdc.BindingsWhenSupported
				}
				r, h, s := world(t, Options{Bindings: mode}, ServerOptions{TLS: true, HTTP2: http2, Signature: alg})
				if got := s.Certificate().SignatureAlgorithm; got != alg {
					t.Errorf("signed with %s", got)
				}
				c := newClient(t, r, s)
				if hash != "" {
					c.Bindings = append([]byte("tls-server-end-point:"), sum(hash, s.Certificate().Raw)...)
				}
				got := c.Call(s.URL())
				rec := h.Requests()[1]
				if got.Verdict != "verified" || rec.Caller.Bound != (hash != "") || (rec.Proto == 2) != http2 {
					t.Errorf("%s over HTTP/%d, caller %+v", got.Verdict, rec.Proto, rec.Caller)
				}
			})
		}
	}
	if _, err := NewServer(nil, ServerOptions{TLS: true, Signature: x509.SHA1WithRSA}); err == nil {
		t.Error("SHA-1: no error")
	}
}

// TestForeignCertificate: in a server of others' the certificate is an option.
func TestForeignCertificate(t *testing.T) {
	r := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	hs := httptest.NewUnstartedServer(nil)
	hs.StartTLS()
	defer hs.Close()
	hs.Config.Handler = New(r, "HTTP/localhost", Options{Bindings: fakekdc.BindingsRequired, Certificate: hs.Certificate()})
	sum := sha256.Sum256(hs.Certificate().Raw)
	c := &plainclient.Client{
		TB: t, Now: r.Now, Transport: hs.Client().Transport, Ticket: minted(t, r, "alice", "HTTP/localhost"),
		Bindings: append([]byte("tls-server-end-point:"), sum[:]...),
	}
	if got := c.Call(hs.URL); got.Verdict != "verified" {
		t.Errorf("%+v", got)
	}
}

func TestNextHandler(t *testing.T) {
	release := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/missing", http.NotFound)
	mux.HandleFunc("/nothing", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	mux.HandleFunc("/hints", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(201)
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(w, r.Body); err != nil {
			panic(err)
		}
	})
	mux.HandleFunc("/flush", func(w http.ResponseWriter, _ *http.Request) {
		if err := http.NewResponseController(w).Flush(); err != nil {
			panic(err)
		}
		<-release
	})
	mux.HandleFunc("/cookie", func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		http.Error(w, "sorry", 500)
	})
	r, h, s := world(t, Options{Next: mux}, ServerOptions{})
	close(release)
	for path, want := range map[string]plainclient.Result{
		"/missing": {Statuses: []int{401, 404}, Verdict: "verified", Body: "404 page not found\n"},
		"/nothing": {Statuses: []int{401, 200}, Verdict: "verified"},
		"/status":  {Statuses: []int{401, 503}, Verdict: "verified"},
		"/hints":   {Statuses: []int{401, 201}, Verdict: "verified"},
		"/echo":    {Statuses: []int{401, 200}, Verdict: "verified", Body: "ping"},
		"/flush":   {Statuses: []int{401, 200}, Verdict: "verified"},
		"/cookie":  {Statuses: []int{401, 500}, Verdict: "verified", Body: "sorry\n"},
	} {
		c := newClient(t, r, s)
		c.Method, c.Body = "POST", "ping"
		if d := cmp.Diff(want, c.Call(s.URL()+path), cmpopts.IgnoreFields(plainclient.Result{}, "Header")); d != "" {
			t.Errorf("%s: %s", path, d)
		}
	}
	// A service that proves itself when it fails, and not when it serves.
	h.SetQuirks(Quirks{ProofOn: OnErrors})
	if got := newClient(t, r, s).Call(s.URL() + "/cookie"); got.Verdict != "verified" {
		t.Errorf("%+v", got)
	}
	h.SetQuirks(Quirks{Proof: ProofNone})
	if got := newClient(t, r, s).Call(s.URL() + "/cookie"); got.Verdict != "no token" || got.Header.Get("Set-Cookie") == "" {
		t.Errorf("%+v", got)
	}
}

// TestEarlyChallenge: the answer is there before the body is.
func TestEarlyChallenge(t *testing.T) {
	t.Parallel()
	r, h, s := world(t, Options{Quirks: Quirks{EarlyChallenge: true}}, ServerOptions{})
	c := newClient(t, r, s)
	pr, pw := io.Pipe()
	q, err := http.NewRequest("POST", s.URL(), pr)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Transport.RoundTrip(q)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 401 || !resp.Close {
		t.Errorf("%s, close %v", resp.Status, resp.Close)
	}
	plainclient.ReadAll(t, resp)
	pw.Close()
	// Without the quirk the body is read to its end, and the connection lives.
	h.SetQuirks(Quirks{})
	before := s.Connections()
	c.Method, c.Body = "POST", strings.Repeat("x", 1<<20)
	if got := c.Call(s.URL()); got.Verdict != "verified" || s.Connections() != before+1 {
		t.Errorf("%+v over %d connections", got.Statuses, s.Connections()-before)
	}
}

func TestKerberosScheme(t *testing.T) {
	r, _, s := world(t, Options{Schemes: []string{"Kerberos"}}, ServerOptions{})
	c := newClient(t, r, s)
	c.Scheme, c.Raw = "Kerberos", true
	got := c.Call(s.URL())
	if got.Verdict != "verified" || !strings.HasPrefix(got.Header.Get("WWW-Authenticate"), "Kerberos ") {
		t.Errorf("%+v", got)
	}
	c = newClient(t, r, s)
	if got := c.Call(s.URL()); got.Verdict != "nothing offered" {
		t.Errorf("Negotiate: %+v", got)
	}
}

func TestQuirksForOneRequest(t *testing.T) {
	r, _, s := world(t, Options{QuirksFor: func(r *http.Request) *Quirks {
		if r.URL.Path == "/forged" {
			return &Quirks{Proof: ProofForged}
		}
		return nil
	}}, ServerOptions{})
	c := newClient(t, r, s)
	if a, b := c.Call(s.URL()+"/forged"), c.Call(s.URL()+"/"); a.Verdict != "wrong key" || b.Verdict != "verified" {
		t.Errorf("%s, %s", a.Verdict, b.Verdict)
	}
}

func TestProxy(t *testing.T) {
	r := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	ph := New(r, "HTTP/localhost", Options{Proxy: true, Next: ForwardProxy()})
	ps := Serve(r, ph, ServerOptions{})
	var seen http.Header
	origin := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Clone()
		fmt.Fprint(w, "origin")
	})
	plain, secure := Serve(r, origin, ServerOptions{}), Serve(r, origin, ServerOptions{TLS: true})

	proxyURL, err := url.Parse("http://" + ps.Addr())
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{Proxy: http.ProxyURL(proxyURL)}
	defer tr.CloseIdleConnections()
	c := &plainclient.Client{TB: t, Now: r.Now, Transport: tr, Ticket: minted(t, r, "alice", "HTTP/localhost"), Proxy: true}
	got := c.Call(plain.URL() + "/x")
	want := plainclient.Result{Statuses: []int{407, 200}, Verdict: "verified", Body: "origin"}
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(plainclient.Result{}, "Header")); d != "" {
		t.Error(d)
	}
	if seen.Get("Proxy-Authorization") != "" {
		t.Error("the origin got the proxy's credentials")
	}

	// CONNECT: the transport sends what it is told to.
	tunnel := secure.Transport()
	tunnel.DialContext = nil
	tunnel.Proxy = http.ProxyURL(proxyURL)
	tunnel.ProxyConnectHeader = http.Header{"Proxy-Authorization": {"Negotiate " + base64.StdEncoding.EncodeToString(c.First())}}
	defer tunnel.CloseIdleConnections()
	var proof string
	tunnel.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
		proof = resp.Header.Get("Proxy-Authenticate")
		return nil
	}
	resp, err := (&http.Client{Transport: tunnel}).Get(secure.URL())
	if err != nil {
		t.Fatal(err)
	}
	if body := plainclient.ReadAll(t, resp); body != "origin" {
		t.Errorf("through the tunnel: %q", body)
	}
	token, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(proof, "Negotiate "))
	if err != nil {
		t.Fatal(err)
	}
	if _, verdict := c.Judge(token); verdict != "verified" {
		t.Errorf("CONNECT's answer: %s", verdict)
	}

	// Neither without credentials, nor in origin form, nor to nobody.
	tunnel2 := secure.Transport()
	tunnel2.DialContext, tunnel2.Proxy = nil, http.ProxyURL(proxyURL)
	if _, err := (&http.Client{Transport: tunnel2}).Get(secure.URL()); err == nil || !strings.Contains(err.Error(), "Proxy Authentication Required") {
		t.Errorf("CONNECT without credentials: %v", err)
	}
	dead := Serve(r, origin, ServerOptions{})
	dead.Close()
	if got := c.Call(dead.URL()); got.Statuses[1] != 502 {
		t.Errorf("to nobody: %v", got.Statuses)
	}
	w := httptest.NewRecorder()
	ForwardProxy().ServeHTTP(w, httptest.NewRequest("GET", "/origin-form", nil))
	if w.Code != 400 {
		t.Errorf("origin form: %d, want 400", w.Code)
	}
	w = httptest.NewRecorder()
	ForwardProxy().ServeHTTP(w, httptest.NewRequest("CONNECT", "127.0.0.1:1", nil))
	if w.Code != 502 {
		t.Errorf("CONNECT to nobody: %d, want 502", w.Code)
	}
}

func TestParallelCallers(t *testing.T) {
	r, h, s := world(t, Options{}, ServerOptions{})
	tr := s.Transport()
	defer tr.CloseIdleConnections()
	var wg sync.WaitGroup
	verdicts := make(chan string, 32)
	for range 32 {
		wg.Go(func() {
			c := &plainclient.Client{TB: t, Now: r.Now, Transport: tr, Ticket: minted(t, r, "alice", "HTTP/localhost")}
			verdicts <- c.Call(s.URL()).Verdict
		})
	}
	wg.Wait()
	close(verdicts)
	for v := range verdicts {
		if v != "verified" {
			t.Error(v)
		}
	}
	if n := len(h.Requests()); n != 64 {
		t.Errorf("%d requests, want 64", n)
	}
}

func TestNobody(t *testing.T) {
	if c, ok := CallerOf(t.Context()); ok || c != (fakekdc.Caller{}) {
		t.Errorf("%+v", c)
	}
}

func TestUnknownService(t *testing.T) {
	r, err := fakekdc.New(fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	h := New(r, "HTTP/nowhere", Options{})
	c := &plainclient.Client{TB: t, Now: r.Now, Ticket: minted(t, r, "alice", "HTTP/localhost")}
	q := httptest.NewRequest("GET", "/", nil)
	q.Header.Set("Authorization", "Negotiate "+base64.StdEncoding.EncodeToString(c.First()))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, q)
	if w.Code != 401 || h.Requests()[0].Code != krb.CodeNotUs {
		t.Errorf("%d, %v", w.Code, h.Requests())
	}
	if Serve(r, h, ServerOptions{TLS: true, Signature: x509.SHA1WithRSA}) != nil {
		t.Error("a server with a certificate that cannot be")
	}
}

func TestServer(t *testing.T) {
	s, err := NewServer(http.NotFoundHandler(), ServerOptions{Host: "web.example", TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, port, _ := strings.Cut(s.Addr(), ":"); s.URL() != "https://web.example:"+port {
		t.Errorf("URL %s at %s", s.URL(), s.Addr())
	}
	tr := s.Transport()
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	plainclient.ReadAll(t, resp)
	if s.Connections() != 1 || !bytes.Equal(resp.TLS.PeerCertificates[0].Raw, s.Certificate().Raw) {
		t.Errorf("%d connections", s.Connections())
	}
	plain, err := NewServer(http.NotFoundHandler(), ServerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if plain.Certificate() != nil {
		t.Error("a certificate without TLS")
	}
	plain.Close()
	plain.Close()
}
