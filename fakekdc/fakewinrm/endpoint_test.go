package fakewinrm

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/fakekdc/internal/plainclient"
	"github.com/kerbchain/kerbchain/internal/gss"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/winrm"
)

// A winRMClient has a connection that is authenticated, and its context.
type winRMClient struct {
	*plainclient.Client
	realm    *fakekdc.Realm
	channel  *gss.Channel
	protocol winrm.Protocol
	url      string
}

func winRMWorld(t *testing.T, o Options, etype int32, scheme string) (*Endpoint, *winRMClient) {
	t.Helper()
	return winRMWorldAt(t, o, etype, scheme, fakeweb.ServerOptions{})
}

func winRMWorldAt(t *testing.T, o Options, etype int32, scheme string, so fakeweb.ServerOptions) (*Endpoint, *winRMClient) {
	t.Helper()
	r := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"), fakekdc.WithEtypes(etype))
	o.Web.Schemes = []string{scheme}
	w := New(r, "HTTP/localhost", o)
	s := fakeweb.Serve(r, w, so)
	tr := s.Transport()
	t.Cleanup(tr.CloseIdleConnections)
	plain := &plainclient.Client{
		TB: t, Now: r.Now, Transport: tr,
		Ticket: plainclient.TicketFrom(t, r.CCache("alice", "HTTP/localhost"), "HTTP/localhost"),
	}
	c := &winRMClient{Client: plain, realm: r, protocol: winrm.ProtocolOf(scheme), url: s.URL() + "/wsman"}
	c.Scheme, c.Raw, c.Method = scheme, scheme == "Kerberos", http.MethodPost
	c.connect()
	return w, c
}

// connect sets up a context with an empty request.
func (c *winRMClient) connect() {
	c.TB.Helper()
	if got := c.Call(c.url); got.Verdict != "verified" || got.Body != "" {
		c.TB.Fatalf("%+v", got)
	}
	var err error
	c.channel, err = gss.NewChannel(gss.Params{
		Session: c.Ticket.Key, Subkey: c.Auth.Subkey, AcceptorSubkey: c.Subkey, SendSeq: uint32(c.SendSeq), RecvSeq: uint32(c.RecvSeq),
	})
	if err != nil {
		c.TB.Fatal(err)
	}
}

func (c *winRMClient) seal(message string) []byte {
	c.TB.Helper()
	b, err := winrm.Seal(nil, c.protocol, c.channel, winrm.SOAP, []byte(message))
	if err != nil {
		c.TB.Fatal(err)
	}
	return b
}

func (c *winRMClient) post(kind string, body []byte) (status int, got http.Header, answer string) {
	c.TB.Helper()
	r, err := http.NewRequestWithContext(c.TB.Context(), c.Method, c.url, bytes.NewReader(body))
	if err != nil {
		c.TB.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	resp, err := c.Transport.RoundTrip(r)
	if err != nil {
		c.TB.Fatal(err)
	}
	return resp.StatusCode, resp.Header, plainclient.ReadAll(c.TB, resp)
}

// exchange sends a message and returns what it is answered with.
func (c *winRMClient) exchange(message string) (status int, answer string) {
	c.TB.Helper()
	status, header, body := c.post(c.protocol.ContentType(), c.seal(message))
	m, err := winrm.Open(header.Get("Content-Type"), []byte(body), c.channel)
	if err != nil {
		c.TB.Fatalf("status %d: %v", status, err)
	}
	return status, string(m.Plain)
}

func TestWinRM(t *testing.T) {
	for _, etype := range []int32{fakekdc.AES256SHA1, fakekdc.AES128SHA1, fakekdc.AES256SHA384, fakekdc.AES128SHA256, fakekdc.RC4HMAC} {
		for _, scheme := range []string{"Negotiate", "Kerberos"} {
			t.Run(fmt.Sprint(etype, scheme), func(t *testing.T) {
				w, c := winRMWorld(t, Options{Answer: func(who fakekdc.Caller, b []byte) (int, []byte) {
					return 500, fmt.Appendf(nil, "%s: %s", who.Name, b)
				}}, etype, scheme)
				for _, message := range []string{"x", "<Envelope/>", strings.Repeat("x", 100_000)} {
					if status, got := c.exchange(message); status != 500 || got != "alice@"+c.realm.Name()+": "+message {
						t.Errorf("%d %.100q", status, got)
					}
				}
				want := []Message{{Sealed: true, Size: 1, Status: 500}, {Sealed: true, Size: 11, Status: 500}, {Sealed: true, Size: 100_000, Status: 500}}
				if d := cmp.Diff(want, w.Messages(), cmpopts.IgnoreFields(Message{}, "Conn", "Caller")); d != "" {
					t.Errorf("(-want +got):\n%s", d)
				}
			})
		}
	}
}

// The endpoint takes nothing but what Windows would send.
func TestWinRMIsStrict(t *testing.T) {
	type change func(c *winRMClient, body []byte) (string, []byte)
	same := winrm.SPNEGO.ContentType()
	replace := func(from, to string) change {
		return func(_ *winRMClient, body []byte) (string, []byte) {
			if !bytes.Contains(body, []byte(from)) {
				return from + " is not in it", nil
			}
			return same, bytes.Replace(body, []byte(from), []byte(to), 1)
		}
	}
	for name, tc := range map[string]struct {
		change change
		reason string
	}{
		"another content type": {func(_ *winRMClient, b []byte) (string, []byte) { return strings.ToLower(same), b }, "content type"},
		"Kerberos' type":       {func(_ *winRMClient, b []byte) (string, []byte) { return winrm.Kerberos.ContentType(), b }, "content type"},
		"Kerberos' part":       {replace("HTTP-SPNEGO", "HTTP-Kerberos"), "body begins"},
		"a blank before":       {func(_ *winRMClient, b []byte) (string, []byte) { return same, append([]byte("\r\n"), b...) }, "body begins"},
		"no tab":               {replace("\tContent-Type", "Content-Type"), "body begins"},
		"a blank for the tab":  {replace("\tOriginal", " Original"), "body begins"},
		"an empty line":        {replace("octet-stream\r\n", "octet-stream\r\n\r\n"), "signature of"},
		"a line end":           {replace("\r\n", "\n"), "body begins"},
		"lower case":           {replace("UTF-8", "utf-8"), "body begins"},
		"no charset":           {replace(";charset=UTF-8", ""), "body begins"},
		"a blank in it":        {replace(";Length", "; Length"), "body begins"},
		"a sign":               {replace("Length=7", "Length=+7"), "body begins"},
		"a zero":               {replace("Length=7", "Length=07"), "body begins"},
		"a length too small":   {replace("Length=7", "Length=6"), "for a message of 6"},
		"a length too great":   {replace("Length=7", "Length=8"), "for a message of 8"},
		"no length":            {replace("Length=7\r\n", "Length=\r\n"), "body begins"},
		"no end":               {func(_ *winRMClient, b []byte) (string, []byte) { return same, b[:len(b)-2] }, "does not end"},
		"more after it":        {func(_ *winRMClient, b []byte) (string, []byte) { return same, append(b, ' ') }, "does not end"},
		"a line before the end": {func(_ *winRMClient, b []byte) (string, []byte) {
			return same, bytes.Replace(b, []byte("--Encrypted Boundary--"), []byte("\r\n--Encrypted Boundary--"), 1)
		}, "data of 9"},
		"a signature beyond it": {replace("octet-stream\r\n\x3c", "octet-stream\r\n\xff"), "signature of 255"},
		"another cut":           {replace("octet-stream\r\n\x3c", "octet-stream\r\n\x3b"), "signature of 59"},
		"nothing but the frame": {func(_ *winRMClient, b []byte) (string, []byte) { return same, head(string(winrm.SPNEGO), 0) }, "does not end"},
		"changed":               {func(_ *winRMClient, b []byte) (string, []byte) { b[len(b)-30] ^= 1; return same, b }, "integrity"},
		"the next one":          {func(c *winRMClient, _ []byte) (string, []byte) { return same, c.seal("message") }, "gap"},
		"a second time": {func(c *winRMClient, b []byte) (string, []byte) {
			if status, _, _ := c.post(same, b); status != 200 {
				return "the first time it is refused", nil
			}
			return same, b
		}, "replayed"},
	} {
		t.Run(name, func(t *testing.T) {
			w, c := winRMWorld(t, Options{}, fakekdc.AES256SHA1, "Negotiate")
			kind, body := tc.change(c, c.seal("message"))
			if body == nil {
				t.Fatal(kind)
			}
			status, _, answer := c.post(kind, body)
			all := w.Messages()
			m := all[len(all)-1]
			if status != 400 || answer != "" || m.Status != 400 || m.Sealed || !strings.Contains(m.Reason, tc.reason) {
				t.Errorf("%d %q, %+v, want reason %q", status, answer, m, tc.reason)
			}
			// The context is gone.
			if status, _, _ := c.post(same, c.seal("message")); status != 401 {
				t.Errorf("after it: %d", status)
			}
			c.connect()
			if status, _ := c.exchange("message"); status != 200 {
				t.Errorf("with a new context: %d", status)
			}
		})
	}
}

func TestWinRMRequests(t *testing.T) {
	for name, tc := range map[string]struct {
		o      Options
		change func(w *Endpoint, c *winRMClient)
		kind   string
		body   string
		status int
		answer string
	}{
		"empty":                {Options{}, nil, winrm.SOAP, "", 200, ""},
		"in clear":             {Options{}, nil, winrm.SOAP, "message", 500, ""},
		"in clear and allowed": {Options{AllowUnencrypted: true}, nil, winrm.SOAP, "message", 200, "message"},
		"another path":         {Options{}, func(_ *Endpoint, c *winRMClient) { c.url += "/x" }, winrm.SOAP, "message", 404, ""},
		"another method":       {Options{}, func(_ *Endpoint, c *winRMClient) { c.Method = "PUT" }, winrm.SOAP, "message", 405, ""},
		"forgotten":            {Options{}, func(w *Endpoint, _ *winRMClient) { w.Forget() }, winrm.SOAP, "message", 401, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, c := winRMWorld(t, tc.o, fakekdc.AES256SHA1, "Negotiate")
			if tc.change != nil {
				tc.change(w, c)
			}
			status, header, answer := c.post(tc.kind, []byte(tc.body))
			if status != tc.status || answer != tc.answer {
				t.Errorf("%d %q", status, answer)
			}
			if (header.Get("WWW-Authenticate") != "") != (status == 401) {
				t.Errorf("%v", header)
			}
		})
	}
}

// With RC4, libgssapi pads where Windows does not.
func TestWinRMPadding(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		_, c := winRMWorld(t, Options{Padding: allowed}, fakekdc.RC4HMAC, "Negotiate")
		const message = "message"
		signature, data, err := c.channel.WrapIOV([]byte(message))
		if err != nil {
			t.Fatal(err)
		}
		body := frame(string(winrm.SPNEGO), signature, data, len(message))
		if status, _, _ := c.post(winrm.SPNEGO.ContentType(), body); (status == 200) != allowed {
			t.Errorf("allowed %v: %d", allowed, status)
		}
	}
}

// A context without confidentiality seals nothing.
func TestWinRMWithoutConf(t *testing.T) {
	w, c := winRMWorld(t, Options{}, fakekdc.AES256SHA1, "Negotiate")
	c.Spoil = func(a *krb.Authenticator) { a.Checksum.Value[20] &^= byte(fakekdc.GSSConf) }
	w.Forget()
	c.connect()
	if status, _, _ := c.post(c.protocol.ContentType(), c.seal("message")); status != 400 {
		t.Error(status)
	}
}

// Each forgery changes what is sent.
func TestForgeries(t *testing.T) {
	for _, etype := range []int32{fakekdc.AES256SHA384, fakekdc.RC4HMAC} {
		w, c := winRMWorld(t, Options{}, etype, "Negotiate")
		for name, forge := range Forgeries() {
			if strings.HasPrefix(name, "RC4") != (etype == fakekdc.RC4HMAC) && (strings.HasPrefix(name, "RC4") || strings.HasPrefix(name, "AES")) {
				continue
			}
			w.SetForgery(nil)
			w.Forget()
			c.connect()
			message := strings.Repeat("message ", 20)
			if status, got := c.exchange(message); status != 200 || got != message {
				t.Fatalf("%d %q", status, got)
			}
			w.SetForgery(func(a *SealedAnswer) {
				before := fmt.Sprint(a.Status, a.Header, string(a.Body))
				forge(a)
				if fmt.Sprint(a.Status, a.Header, string(a.Body)) == before {
					t.Errorf("%s changes nothing", name)
				}
				if string(a.Plain()) != message {
					t.Errorf("%s: message %q", name, a.Plain())
				}
				if name == "connection breaks off" {
					delete(a.Header, "Content-Length")
				}
			})
			_, _, _ = c.post(c.protocol.ContentType(), c.seal(message))
		}
	}
}

// FuzzWinRM: whatever a client sends, the endpoint opens what is sealed with its
// context and no more.
func FuzzWinRM(f *testing.F) {
	key, err := krb.GenerateKey(fakekdc.AES256SHA1)
	if err != nil {
		f.Fatal(err)
	}
	p := gss.Params{Session: key, SendSeq: 1, RecvSeq: 1}
	client, err := gss.NewChannel(p)
	if err != nil {
		f.Fatal(err)
	}
	genuine, err := winrm.Seal(nil, winrm.SPNEGO, client, winrm.SOAP, []byte("message"))
	if err != nil {
		f.Fatal(err)
	}
	kind := winrm.SPNEGO.ContentType()
	f.Add(kind, genuine)
	f.Add(kind, genuine[:len(genuine)-30])
	f.Add(kind, head(string(winrm.SPNEGO), 7))
	f.Add(kind, []byte(closing))
	f.Add("multipart/encrypted", []byte{})
	p.Acceptor = true
	f.Fuzz(func(t *testing.T, got string, body []byte) {
		channel, err := gss.NewChannel(p)
		if err != nil {
			t.Fatal(err)
		}
		s := &sealed{params: p, channel: channel, protocol: string(winrm.SPNEGO)}
		whole := got == kind && bytes.Equal(body, genuine)
		plain, err := new(Endpoint).open(s, got, bytes.Clone(body))
		if (err == nil) != whole || whole && string(plain) != "message" {
			t.Errorf("%q, %v", plain, err)
		}
	})
}

// TestNegativeLength: a length below zero is refused as any wrong one, with padding too.
func TestNegativeLength(t *testing.T) {
	for _, padding := range []bool{false, true} {
		w, c := winRMWorld(t, Options{Padding: padding}, fakekdc.RC4HMAC, "Negotiate")
		body := bytes.Replace(c.seal(""), []byte("Length=0\r\n"), []byte("Length=-1\r\n"), 1)
		if status, _, _ := c.post(c.protocol.ContentType(), body); status != http.StatusBadRequest {
			t.Errorf("status %d, want 400", status)
		}
		if m := w.Messages(); len(m) != 1 || !strings.Contains(m[0].Reason, "-1") {
			t.Errorf("messages %+v", m)
		}
	}
}

// TestStrangeStatus: a status that HTTP does not have is no end of the connection.
func TestStrangeStatus(t *testing.T) {
	for _, status := range []int{-1, 0, 100, 199, 600, 1000} {
		w, c := winRMWorld(t, Options{Answer: func(fakekdc.Caller, []byte) (int, []byte) { return status, []byte("answer") }}, fakekdc.AES128SHA1, "Negotiate")
		if got, answer := c.exchange("question"); got != http.StatusInternalServerError || answer != "answer" {
			t.Errorf("%d: %d, %q", status, got, answer)
		}
		if m := w.Messages(); len(m) != 1 || m[0].Status != http.StatusInternalServerError || !strings.Contains(m[0].Reason, fmt.Sprint(status)) {
			t.Errorf("messages %+v", m)
		}
	}
}

// TestStreamsOfOneConnection: over HTTP/2 messages of one context come at the same time.
func TestStreamsOfOneConnection(t *testing.T) {
	w, c := winRMWorldAt(t, Options{}, fakekdc.AES128SHA1, "Negotiate", fakeweb.ServerOptions{TLS: true, HTTP2: true})
	var wg sync.WaitGroup
	for range 8 {
		body := c.seal("question")
		wg.Go(func() {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url, bytes.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			r.Header.Set("Content-Type", c.protocol.ContentType())
			resp, err := c.Transport.RoundTrip(r)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if resp.ProtoMajor != 2 {
				t.Error(resp.Proto)
			}
		})
	}
	wg.Wait()
	for _, m := range w.Messages() { // those that came out of order, after which there is no context
		if m.Status != http.StatusOK && m.Status != http.StatusBadRequest {
			t.Errorf("%+v", m)
		}
	}
}
