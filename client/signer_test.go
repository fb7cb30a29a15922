package client_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

func newSigner(tb testing.TB, o client.Options) *client.Signer {
	tb.Helper()
	s, err := client.NewSigner(o)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func sign(tb testing.TB, s *client.Signer, url string) client.Authorization {
	tb.Helper()
	a, err := s.Sign(tb.Context(), url)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// ask sends a GET by hand over a connection, and returns status and header.
func ask(tb testing.TB, conn net.Conn, url string, header http.Header) (int, http.Header) {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, url, nil)
	if err != nil {
		tb.Fatal(err)
	}
	r.Header = header
	if err := r.Write(conn); err != nil {
		tb.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		tb.Fatal(err)
	}
	return resp.StatusCode, resp.Header
}

// dial connects to a server, over TLS if it has any.
func dial(tb testing.TB, s *fakeweb.Server) net.Conn {
	tb.Helper()
	tr := s.Transport()
	defer tr.CloseIdleConnections()
	conn, err := tr.DialContext(tb.Context(), "tcp", s.Addr())
	if err != nil {
		tb.Fatal(err)
	}
	if strings.HasPrefix(s.URL(), "https:") {
		config := tr.TLSClientConfig.Clone()
		config.ServerName = "localhost"
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(tb.Context()); err != nil {
			tb.Fatal(err)
		}
		conn = secure
	}
	tb.Cleanup(func() { conn.Close() })
	return conn
}

// refused checks that err is one of this module around kind, and returns it.
func refused(tb testing.TB, err, kind error) *middleware.Error {
	tb.Helper()
	reads(tb, err)
	e, ok := errors.AsType[*middleware.Error](err)
	if !ok || !errors.Is(err, kind) {
		tb.Fatalf("error %v, want one around %v", err, kind)
	}
	return e
}

// Whatever a server sends in answer, Verify says of it what the standard stack does,
// in every mode: there is one rule.
func TestSignerVerifiesAsTheStackDoes(t *testing.T) {
	realm := start(t)
	tokens := map[string]fakeweb.Proof{
		"genuine": fakeweb.ProofGenuine, "none": fakeweb.ProofNone, "state": fakeweb.ProofState, "forged": fakeweb.ProofForged,
		"foreign": fakeweb.ProofForeign, "replayed": fakeweb.ProofReplayed, "KRB-ERROR": fakeweb.ProofKRBError, "reject": fakeweb.ProofReject,
		"NTLM": fakeweb.ProofNTLM, "garbage": fakeweb.ProofGarbage, "not base64": fakeweb.ProofNotBase64,
	}
	web := fakeweb.New(realm, spn, fakeweb.Options{})
	server := fakeweb.Serve(realm, web, fakeweb.ServerOptions{})
	for _, mode := range []mutual.Mode{mutual.Required, mutual.Optional, mutual.Disabled, 17} {
		o := kinit(t, realm)
		tr := server.Transport()
		tr.DisableKeepAlives = true // of a reused connection the stack says more
		o.Mutual, o.Preemptive, o.Transport = mode, preemptive.Always(), tr
		c, s := newClient(t, o), newSigner(t, o)
		for name, token := range tokens {
			t.Run(fmt.Sprintf("%v %s", mode, name), func(t *testing.T) {
				web.SetQuirks(fakeweb.Quirks{Proof: token})
				status, _, want := get(t, c, server.URL())
				a := sign(t, s, server.URL())
				got, header := ask(t, dial(t, server), server.URL(), a.Header())
				if got != 200 || want == nil && status != 200 {
					t.Fatalf("status %d, and %d of the stack", got, status)
				}
				err := a.Verify(t.Context(), header)
				if (err == nil) != (want == nil) {
					t.Fatalf("Verify says %v, the stack %v", err, want)
				}
				if proved := token == fakeweb.ProofGenuine && mode != mutual.Disabled; a.Verified() != proved {
					t.Errorf("verified %t", a.Verified())
				}
				if err == nil {
					return
				}
				g, w := refused(t, err, middleware.ErrNotVerified), refused(t, want, middleware.ErrNotVerified)
				if g.Reason != w.Reason || g.SPN != w.SPN || g.Host != w.Host || g.Code != w.Code || g.Hint != w.Hint {
					t.Errorf("Verify says\n%v\nand the stack\n%v", g, w)
				}
			})
		}
	}
}

// A header is for one request: the server refuses another one with it, and no answer
// but the first is verified.
func TestSignerHeaderIsUsedOnce(t *testing.T) {
	realm := start(t)
	web := fakeweb.New(realm, spn, fakeweb.Options{})
	server := fakeweb.Serve(realm, web, fakeweb.ServerOptions{})
	s := newSigner(t, kinit(t, realm))

	a := sign(t, s, server.URL())
	_, first := ask(t, dial(t, server), server.URL(), a.Header())
	status, second := ask(t, dial(t, server), server.URL(), a.Header())
	if status != 401 {
		t.Fatalf("the second request with one token: %d", status)
	}
	if err := a.Verify(t.Context(), first); err != nil || !a.Verified() {
		t.Fatal(err)
	}
	for _, answer := range []http.Header{second, first, nil} {
		e := refused(t, a.Verify(t.Context(), answer), middleware.ErrNotVerified)
		if !strings.Contains(e.Error(), "replay") || !strings.Contains(e.Error(), "anew") {
			t.Errorf("%v", e)
		}
	}

	// The same where nobody looked at the first answer.
	a = sign(t, s, server.URL())
	ask(t, dial(t, server), server.URL(), a.Header())
	_, second = ask(t, dial(t, server), server.URL(), a.Header())
	if e := refused(t, a.Verify(t.Context(), second), middleware.ErrNotVerified); e.Code != 34 || !strings.Contains(e.Error(), "seen this token before") {
		t.Errorf("of a replay's answer: %v", e)
	}

	// Another's answer is another's.
	a, b := sign(t, s, server.URL()), sign(t, s, server.URL())
	if a.Value() == b.Value() {
		t.Error("two signatures are the same")
	}
	_, answer := ask(t, dial(t, server), server.URL(), a.Header())
	if e := refused(t, b.Verify(t.Context(), answer), middleware.ErrNotVerified); e.Reason != middleware.ReasonWrongTime && e.Reason != middleware.ReasonWrongKey {
		t.Errorf("of another request's answer: %v", e)
	}

	// In parallel one caller is the first.
	a = sign(t, s, server.URL())
	_, answer = ask(t, dial(t, server), server.URL(), a.Header())
	var wg sync.WaitGroup
	passed := make(chan bool, 8)
	for range cap(passed) {
		wg.Go(func() { passed <- a.Verify(t.Context(), answer) == nil })
	}
	wg.Wait()
	close(passed)
	n := 0
	for ok := range passed {
		if ok {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d calls of Verify passed", n)
	}
}

// Names of fields are read in any case: metadata of gRPC has lower case.
func TestSignerMetadata(t *testing.T) {
	realm := start(t)
	server := fakeweb.Serve(realm, fakeweb.New(realm, spn, fakeweb.Options{}), fakeweb.ServerOptions{})
	s := newSigner(t, kinit(t, realm))
	type metadata map[string][]string
	a := sign(t, s, server.URL())
	_, header := ask(t, dial(t, server), server.URL(), http.Header{"Authorization": {a.Value()}})
	md := metadata{"content-type": {"application/grpc"}, "www-authenticate": header.Values("WWW-Authenticate")}
	if err := a.Verify(t.Context(), md); err != nil {
		t.Error(err)
	}
}

// The host that is signed for is the one that the URL names, by the rules of
// transports; of the URL nothing else matters.
func TestSignerTargets(t *testing.T) {
	for raw, want := range map[string]middleware.Target{
		"http://app.example":                       {Host: "app.example", Port: "80"},
		"ws://app.example/chat?x=%zz":              {Host: "app.example", Port: "80"},
		"https://APP.example./x":                   {Host: "app.example", Port: "443", Secure: true},
		"wss://alice:secret@app.example:8443/chat": {Host: "app.example", Port: "8443", Secure: true},
		"WSS://[fe80::1%25eth0]:1/":                {Host: "fe80::1%eth0", Port: "1", Secure: true},
		"https://bücher.example":                   {Host: "xn--bcher-kva.example", Port: "443", Secure: true},
	} {
		in := new(stagetest.Initiator)
		s := newSigner(t, client.Options{Initiator: in})
		a := sign(t, s, raw)
		want.Scheme = middleware.Negotiate
		if got := in.Targets(); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %+v, want %+v", raw, got, want)
		}
		if a.Field() != "Authorization" || a.Value() != stagetest.Value(middleware.Negotiate, "client-1") || a.SPN() != "" {
			t.Errorf("%s: %s: %s for %q", raw, a.Field(), a.Value(), a.SPN())
		}
		if _, err := s.SignProxy(t.Context(), raw); err != nil && !strings.HasPrefix(strings.ToLower(raw), "ws") {
			t.Errorf("as a proxy: %v", err)
		}
	}
}

// What is no URL of a web service is an error before a token is made, and shows no
// secret.
func TestSignerBadURLs(t *testing.T) {
	in := new(stagetest.Initiator)
	s := newSigner(t, client.Options{Initiator: in})
	for raw, kind := range map[string]error{
		"":                                       middleware.ErrConfiguration,
		"app.example":                            middleware.ErrConfiguration,
		"localhost:8080":                         middleware.ErrConfiguration,
		"grpc://app.example":                     middleware.ErrConfiguration,
		"unix:///run/app.sock":                   middleware.ErrConfiguration,
		"https://":                               middleware.ErrHost,
		"https:///path":                          middleware.ErrHost,
		"https:app.example":                      middleware.ErrHost,
		"https://:8443":                          middleware.ErrHost,
		"https://app.example:99999":              middleware.ErrHost,
		"https://intranet.corp%25.evil.test/":    middleware.ErrHost,
		"https://alice:secret@app.example:port/": middleware.ErrHost,
		"https://alice:secret@a b/":              middleware.ErrHost,
		"https://app.example/?token=secret\x7f":  middleware.ErrHost,
		"https://a..b/secret?secret":             middleware.ErrHost,
		"://secret":                              middleware.ErrHost,
	} {
		_, err := s.Sign(t.Context(), raw)
		e := refused(t, err, kind)
		if strings.Contains(e.Error(), "secret") {
			t.Errorf("%q: the error shows a secret: %v", raw, e)
		}
		if e.Hint == "" && kind == middleware.ErrConfiguration {
			t.Errorf("%q: what to try? %v", raw, e)
		}
		if _, err := s.SignProxy(t.Context(), raw); err == nil {
			t.Errorf("%q is no proxy", raw)
		}
		if _, err := s.SignOver(t.Context(), raw, tls.ConnectionState{HandshakeComplete: true}); err == nil {
			t.Errorf("%q is not signed for over TLS", raw)
		}
	}
	for _, raw := range []string{"wss://proxy.example", "socks5://proxy.example:1080"} {
		_, err := s.SignProxy(t.Context(), raw)
		refused(t, err, middleware.ErrConfiguration)
	}
	if n := len(in.Targets()); n != 0 {
		t.Errorf("%d tokens were made", n)
	}
}

// Lists and overrides hold as in the stack. A host that is not allowed is an error,
// and no KDC is asked.
func TestSignerNames(t *testing.T) {
	realm := start(t, fakekdc.WithService("HTTP/app.example"), fakekdc.WithService("XMPP/chat.example"))
	o := kinit(t, realm)
	o.AllowedHosts = []string{"*.example"}
	o.HostOverrides = map[string]string{"chat.example": "XMPP/chat.example", "alias.example": "app.example"}
	s := newSigner(t, o)
	for raw, want := range map[string]string{
		"https://app.example:8443": "HTTP/app.example", "wss://alias.example": "HTTP/app.example", "wss://chat.example": "XMPP/chat.example",
	} {
		if a := sign(t, s, raw); !strings.HasPrefix(a.SPN(), want+"@") {
			t.Errorf("%s: a token for %s", raw, a.SPN())
		}
	}
	asked := len(realm.Exchanges())
	_, err := s.Sign(t.Context(), "https://app.evil.test")
	if e := refused(t, err, middleware.ErrNotAllowed); e.Host != "app.evil.test:443" {
		t.Errorf("%v", e)
	}
	if n := len(realm.Exchanges()); n != asked {
		t.Errorf("%d requests to the KDC for a host that is not allowed", n-asked)
	}
}

// A token is bound to the connection that it is signed for, and accepted on no other.
func TestSignerBindings(t *testing.T) {
	realm := start(t)
	web := fakeweb.New(realm, spn, fakeweb.Options{Bindings: fakekdc.BindingsRequired})
	server := fakeweb.Serve(realm, web, fakeweb.ServerOptions{TLS: true})
	other := fakeweb.Serve(realm, fakeweb.New(realm, spn, fakeweb.Options{}), fakeweb.ServerOptions{TLS: true})
	state := func(c net.Conn) tls.ConnectionState { return c.(*tls.Conn).ConnectionState() }
	over := func(s *client.Signer, c net.Conn) client.Authorization {
		t.Helper()
		a, err := s.SignOver(t.Context(), strings.Replace(server.URL(), "https:", "wss:", 1), state(c))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	o := kinit(t, realm)
	for name, mode := range map[string]kerberos.Bindings{"auto": kerberos.BindingsAuto, "require": kerberos.BindingsRequired} {
		t.Run(name, func(t *testing.T) {
			o := o
			o.Bindings = mode
			s := newSigner(t, o)
			conn := dial(t, server)
			a := over(s, conn)
			status, header := ask(t, conn, server.URL(), a.Header())
			if err := a.Verify(t.Context(), header); err != nil || status != 200 {
				t.Errorf("status %d, %v", status, err)
			}
			a = over(s, dial(t, other))
			if status, _ := ask(t, dial(t, server), server.URL(), a.Header()); status != 401 {
				t.Errorf("a token that is bound to another connection: %d", status)
			}
			a, err := s.Sign(t.Context(), server.URL())
			if mode == kerberos.BindingsRequired {
				if e := refused(t, err, middleware.ErrNoBindings); !strings.Contains(e.Hint, "SignOver") {
					t.Errorf("%v", e)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			status, header = ask(t, dial(t, server), server.URL(), a.Header())
			if err := a.Verify(t.Context(), header); status != 401 || err == nil {
				t.Errorf("a token without bindings: %d, %v", status, err)
			}
		})
	}
	t.Run("off", func(t *testing.T) {
		o := o
		o.Bindings = kerberos.BindingsOff
		s := newSigner(t, o)
		conn := dial(t, server)
		if status, _ := ask(t, conn, server.URL(), over(s, conn).Header()); status != 401 {
			t.Errorf("a token that should not be bound: %d", status)
		}
	})
	t.Run("nothing to bind to", func(t *testing.T) {
		s := newSigner(t, o)
		_, err := s.SignOver(t.Context(), "https://localhost", tls.ConnectionState{})
		refused(t, err, middleware.ErrConfiguration)
		_, err = s.SignOver(t.Context(), "ws://localhost", state(dial(t, server)))
		refused(t, err, middleware.ErrConfiguration)
	})
}

// A proxy gets a header of its own, with the names that are for proxies, and proves
// itself in fields of its own.
func TestSignerProxy(t *testing.T) {
	h := startHops(t, fakeweb.Options{}, fakeweb.Options{}, fakeweb.ServerOptions{})
	o := kinit(t, h.realm)
	o.HostOverride = "app.example" // is not for proxies
	s := newSigner(t, o)
	a, err := s.SignProxy(t.Context(), "http://proxy.example:3128")
	if err != nil {
		t.Fatal(err)
	}
	if a.Field() != "Proxy-Authorization" || !strings.HasPrefix(a.SPN(), "HTTP/proxy.example@") {
		t.Errorf("%s for %s", a.Field(), a.SPN())
	}
	origin := sign(t, s, "http://app.example")
	header := a.Header()
	header.Set(origin.Field(), origin.Value())
	conn, err := net.Dial("tcp", h.proxy.Server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	u, err := url.Parse(h.origin.URL())
	if err != nil {
		t.Fatal(err)
	}
	r := &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: header}
	if err := r.WriteProxy(conn); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := a.Verify(t.Context(), resp.Header); err != nil {
		t.Errorf("of the proxy: %v", err)
	}
	if err := origin.Verify(t.Context(), resp.Header); err != nil || resp.StatusCode != 200 {
		t.Errorf("of the server: %d, %v", resp.StatusCode, err)
	}
	// Where the proxy takes part in the answer to the request itself, it says so in
	// another field (RFC 9110 section 11.7.3).
	a, err = s.SignProxy(t.Context(), "http://proxy.example:3128")
	if err != nil {
		t.Fatal(err)
	}
	r.Header = a.Header()
	again, err := net.Dial("tcp", h.proxy.Server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := r.WriteProxy(again); err != nil {
		t.Fatal(err)
	}
	resp, err = http.ReadResponse(bufio.NewReader(again), r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := a.Verify(t.Context(), http.Header{"Proxy-Authentication-Info": resp.Header["Proxy-Authenticate"]}); err != nil {
		t.Errorf("of the other field: %v", err)
	}
	// One's proof is not the other's.
	a, err = s.SignProxy(t.Context(), "http://proxy.example:3128")
	if err != nil {
		t.Fatal(err)
	}
	e := refused(t, a.Verify(t.Context(), http.Header{"Www-Authenticate": resp.Header["Www-Authenticate"]}), middleware.ErrNotVerified)
	if e.Reason != middleware.ReasonNoToken {
		t.Errorf("%v", e)
	}
}

// What a 401 says of a token is in the error: a reason of the server's, or that it
// gives none.
func TestSignerRefused(t *testing.T) {
	realm := start(t)
	web := fakeweb.New(realm, spn, fakeweb.Options{})
	server := fakeweb.Serve(realm, web, fakeweb.ServerOptions{})
	o := kinit(t, realm)
	for name, tc := range map[string]struct {
		quirks fakeweb.Quirks
		reason middleware.Reason
		code   int32
	}{
		"with a KRB-ERROR": {fakeweb.Quirks{Reject: true, RejectCode: 37}, middleware.ReasonKRBError, 37},
		"bare":             {fakeweb.Quirks{Reject: true, Rejection: fakeweb.RejectPlain}, middleware.ReasonRefused, 0},
		"rejected":         {fakeweb.Quirks{Reject: true, Rejection: fakeweb.RejectState}, middleware.ReasonRefused, 0},
		"nothing":          {fakeweb.Quirks{Reject: true, Rejection: fakeweb.RejectNothing}, middleware.ReasonNoToken, 0},
	} {
		t.Run(name, func(t *testing.T) {
			web.SetQuirks(tc.quirks)
			a := sign(t, newSigner(t, o), server.URL())
			status, header := ask(t, dial(t, server), server.URL(), a.Header())
			e := refused(t, a.Verify(t.Context(), header), middleware.ErrNotVerified)
			if status != 401 || e.Reason != tc.reason || e.Code != tc.code || a.Verified() {
				t.Errorf("status %d: %v", status, e)
			}
		})
	}
}

// A ticket that the server cannot open is dropped, so that the next signature is made
// with another.
func TestSignerStaleTicket(t *testing.T) {
	realm := start(t)
	web := fakeweb.New(realm, spn, fakeweb.Options{})
	server := fakeweb.Serve(realm, web, fakeweb.ServerOptions{})
	o := kinit(t, realm)
	now := time.Now()
	o.Now = func() time.Time { return now }
	s := newSigner(t, o)
	sign(t, s, server.URL())
	now = now.Add(2 * time.Minute) // a fresh ticket is not fetched again
	var other []middleware.Event
	web.SetQuirks(fakeweb.Quirks{Reject: true, RejectCode: 37}) // clocks, which no ticket mends
	a := sign(t, s, server.URL())
	_, header := ask(t, dial(t, server), server.URL(), a.Header())
	refused(t, a.Verify(middleware.WithTrace(t.Context(), func(e middleware.Event) { other = append(other, e) }), header), middleware.ErrNotVerified)
	if len(other) != 1 {
		t.Errorf("events %+v", other)
	}
	web.SetQuirks(fakeweb.Quirks{})
	if err := realm.Rotate(spn); err != nil {
		t.Fatal(err)
	}
	if err := realm.Purge(spn); err != nil {
		t.Fatal(err)
	}
	var events []middleware.Event
	ctx := middleware.WithTrace(t.Context(), func(e middleware.Event) { events = append(events, e) })
	a = sign(t, s, server.URL())
	status, header := ask(t, dial(t, server), server.URL(), a.Header())
	refused(t, a.Verify(ctx, header), middleware.ErrNotVerified)
	if status != 401 || len(events) != 2 {
		t.Fatalf("status %d, events %+v", status, events)
	}
	if _, ok := events[0].(middleware.DiscardEvent); !ok {
		t.Errorf("%+v", events[0])
	}
	if v, ok := events[1].(middleware.VerdictEvent); !ok || v.Verified || v.Err == nil || v.Mode != "required" || v.Host == "" || v.SPN == "" {
		t.Errorf("%+v", events[1])
	}
	a = sign(t, s, server.URL())
	if status, header = ask(t, dial(t, server), server.URL(), a.Header()); status != 200 || a.Verify(t.Context(), header) != nil {
		t.Errorf("status %d with a new ticket", status)
	}
}

// What is said of an answer without a token, and of one that nobody looked at.
func TestSignerVerdicts(t *testing.T) {
	realm := start(t)
	for mode, want := range map[mutual.Mode]middleware.Reason{
		mutual.Required: middleware.ReasonNoToken, mutual.Optional: middleware.ReasonNoToken, mutual.Disabled: middleware.ReasonNone,
	} {
		o := kinit(t, realm)
		o.Mutual = mode
		a := sign(t, newSigner(t, o), "https://localhost")
		var events []middleware.Event
		err := a.Verify(middleware.WithTrace(t.Context(), func(e middleware.Event) { events = append(events, e) }), nil)
		if (err != nil) != (mode == mutual.Required) || a.Verified() || len(events) != 1 {
			t.Fatalf("%v: %v, events %+v", mode, err, events)
		}
		if v, ok := events[0].(middleware.VerdictEvent); !ok || v.Verified || v.Reason != want || v.Err != err {
			t.Errorf("%v: %+v", mode, events[0])
		}
	}
}

// Nothing that is printed shows a token or a password.
func TestSignerPrintsNoSecret(t *testing.T) {
	realm := start(t)
	o := bare(realm)
	o.Principal, o.Password = "alice", kerberos.NewSecret(password)
	s := newSigner(t, o)
	a := sign(t, s, "https://localhost")
	token := strings.TrimPrefix(a.Value(), "Negotiate ")
	if len(token) < 100 {
		t.Fatalf("token %q", token)
	}
	type holder struct {
		A client.Authorization
		b client.Authorization
		S *client.Signer
	}
	h := holder{a, a, s}
	for _, x := range []any{a, &a, []client.Authorization{a}, h, &h, s, *s, h.b} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			text := fmt.Sprintf(verb, x)
			if strings.Contains(text, token[:20]) || strings.Contains(text, password) || strings.Contains(text, fmt.Sprintf("%x", token[:10])) {
				t.Errorf("%s of %T shows a secret: %s", verb, x, text)
			}
		}
		if b, err := json.Marshal(x); err == nil && strings.Contains(string(b), token[:20]) {
			t.Errorf("JSON of %T: %s", x, b)
		}
	}
	if text := fmt.Sprint(a); !strings.Contains(text, "localhost:443") {
		t.Errorf("%s does not say whom it is for", text)
	}
}

// The zero Authorization is none, and verifies nothing.
func TestSignerZeroAuthorization(t *testing.T) {
	var a client.Authorization
	if a.Field() != "" || a.Value() != "" || len(a.Header()) != 0 || a.SPN() != "" || a.Verified() || fmt.Sprint(a) != "{no authorization}" {
		t.Errorf("%v", a)
	}
	refused(t, a.Verify(t.Context(), http.Header{}), middleware.ErrNotVerified)
}

// No wait outlasts the context, and options that contradict one another are refused.
func TestSignerErrors(t *testing.T) {
	realm := start(t)
	o := kinit(t, realm)
	s := newSigner(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Sign(ctx, "https://localhost"); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
	_, err := s.Sign(t.Context(), "https://unknown.example")
	if e := refused(t, err, middleware.ErrKDC); e.SPN == "" || e.Host != "unknown.example:443" {
		t.Errorf("%v", e)
	}
	//lint:ignore SA1012 as a caller may
	_, err = s.Sign(nil, "https://localhost")
	refused(t, err, middleware.ErrConfiguration)
	o.Password = kerberos.NewSecret("x")
	_, err = client.NewSigner(o)
	refused(t, err, middleware.ErrConfiguration)
}

// A request whose context has ended ends as one of a plain client does.
func TestContextHasEnded(t *testing.T) {
	realm := start(t)
	c := newClient(t, kinit(t, realm))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost:1/", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, want := http.DefaultClient.Do(r)
	if _, err := c.Do(r); err == nil || want == nil || err.Error() != want.Error() || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, want)
	}
}
