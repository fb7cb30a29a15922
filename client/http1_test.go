package client_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
)

// parrot answers with the protocol and what came of the request's body.
var parrot = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		b = []byte(err.Error())
	}
	fmt.Fprintf(w, "%s %s", r.Proto, b)
})

// An h2 is a service over TLS and a client that would rather speak HTTP/2.
type h2 struct {
	handler   *fakeweb.Handler
	server    *fakeweb.Server
	client    *http.Client
	conns     *meter
	fallbacks *[]middleware.FallbackEvent
	ctx       context.Context
}

func startH2(t *testing.T, realm *fakekdc.Realm, web fakeweb.Options, so fakeweb.ServerOptions, changes ...change) *h2 {
	t.Helper()
	web.Next = parrot
	web.Bindings = fakekdc.BindingsRequired
	so.TLS, so.HTTP2 = true, true
	h := &h2{handler: fakeweb.New(realm, spn, web), conns: new(meter), fallbacks: new([]middleware.FallbackEvent)}
	h.server = fakeweb.Serve(realm, h.handler, so)
	o := kinit(t, realm)
	tr := h.conns.on(h.server.Transport())
	tr.ExpectContinueTimeout = time.Minute
	o.Transport = tr
	for _, c := range changes {
		c(&o)
	}
	h.client = newClient(t, o)
	h.ctx = middleware.WithTrace(t.Context(), func(e middleware.Event) {
		if e, ok := e.(middleware.FallbackEvent); ok {
			*h.fallbacks = append(*h.fallbacks, e)
		}
	})
	t.Cleanup(func() { h.conns.drained(t, h.client.CloseIdleConnections) })
	return h
}

// seen returns what arrived: the protocol's version, and whether there was a
// token.
func (h *h2) seen() []string {
	var out []string
	for _, rec := range h.handler.Requests() {
		s := fmt.Sprintf("%d %s", rec.Proto, map[bool]string{true: "token", false: "bare"}[rec.Scheme != ""])
		if rec.Method == http.MethodHead {
			s += " HEAD"
		}
		out = append(out, s)
	}
	h.handler.ResetRequests()
	return out
}

func (h *h2) call(t *testing.T, r *http.Request) (int, string, error) {
	t.Helper()
	return do(t, h.client, r.WithContext(h.ctx))
}

func put(t *testing.T, url string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPut, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A server that takes tokens over HTTP/2 gets them over it, on one connection.
func TestHTTP2(t *testing.T) {
	h := startH2(t, start(t), fakeweb.Options{}, fakeweb.ServerOptions{})
	for range 2 {
		status, body, err := h.call(t, put(t, h.server.URL(), strings.NewReader("data")))
		if status != 200 || body != "HTTP/2.0 data" || err != nil {
			t.Errorf("%d, %q, %v", status, body, err)
		}
		if d := cmp.Diff([]string{"2 bare", "2 token"}, h.seen()); d != "" {
			t.Errorf("requests (-want +got):\n%s", d)
		}
	}
	if n := h.conns.total(); n != 1 || len(*h.fallbacks) != 0 {
		t.Errorf("%d connections, events %v", n, *h.fallbacks)
	}
}

// A server that demands HTTP/1.1 gets the request over it, whole, and is asked
// over it from then on.
func TestHTTP11Required(t *testing.T) {
	realm := start(t)
	large := strings.Repeat("0123456789abcdef", 200<<10/16)
	for name, tc := range map[string]struct {
		change change
		body   func(t *testing.T) (body io.Reader, change func(*http.Request))
		want   []string
	}{
		"GET": {want: []string{"1 bare", "1 token"}},
		"preemptive": {change: force, body: func(*testing.T) (io.Reader, func(*http.Request)) {
			return strings.NewReader(large), nil
		}, want: []string{"1 token"}},
		"GetBody": {body: func(*testing.T) (io.Reader, func(*http.Request)) {
			return strings.NewReader(large), nil
		}, want: []string{"1 bare", "1 token"}},
		"buffered": {body: func(*testing.T) (io.Reader, func(*http.Request)) {
			return struct{ io.Reader }{strings.NewReader(large)}, nil
		}, want: []string{"1 bare", "1 token"}},
		"spilled": {change: func(o *client.Options) { o.BodyLimit, o.SpillLimit, o.SpillDir = 10, 1<<20, t.TempDir() },
			body: func(*testing.T) (io.Reader, func(*http.Request)) {
				return struct{ io.Reader }{strings.NewReader(large)}, nil
			}, want: []string{"1 bare", "1 token"}},
		"file": {body: func(t *testing.T) (io.Reader, func(*http.Request)) {
			f, err := os.Open(testmain.File(t, "body", []byte(large)))
			if err != nil {
				t.Fatal(err)
			}
			return f, nil
		}, want: []string{"1 bare", "1 token"}},
		"stream with Expect": {change: func(o *client.Options) { o.BodyLimit = -1 },
			body: func(*testing.T) (io.Reader, func(*http.Request)) {
				return struct{ io.Reader }{strings.NewReader(large)}, func(r *http.Request) { r.Header.Set("Expect", "100-continue") }
			}, want: []string{"1 bare", "1 token"}},
		"preemptive, stream with Expect": {change: func(o *client.Options) { o.BodyLimit = -1; force(o) },
			body: func(*testing.T) (io.Reader, func(*http.Request)) {
				return struct{ io.Reader }{strings.NewReader(large)}, func(r *http.Request) { r.Header.Set("Expect", "100-continue") }
			}, want: []string{"1 token"}},
	} {
		t.Run(name, func(t *testing.T) {
			changes := []change{func(o *client.Options) {}}
			if tc.change != nil {
				changes = append(changes, tc.change)
			}
			h := startH2(t, realm, fakeweb.Options{Quirks: fakeweb.Quirks{EarlyChallenge: strings.Contains(name, "Expect")}},
				fakeweb.ServerOptions{HTTP11Required: true}, changes...)
			for i := range 2 {
				want := "HTTP/1.1 "
				var r *http.Request
				if tc.body == nil {
					r = put(t, h.server.URL(), nil)
					r.Method = http.MethodGet
				} else {
					body, change := tc.body(t)
					r = put(t, h.server.URL(), body)
					if change != nil {
						change(r)
					}
					want += large
				}
				status, body, err := h.call(t, r)
				if status != 200 || body != want || err != nil {
					t.Errorf("call %d: %d, %d bytes, %v", i+1, status, len(body), err)
				}
				wanted := tc.want
				if i > 0 {
					wanted = []string{"1 token"} // the server proved itself on the connection
				}
				if d := cmp.Diff(wanted, h.seen()); d != "" {
					t.Errorf("call %d, requests (-want +got):\n%s", i+1, d)
				}
				if len(*h.fallbacks) != 1 || (*h.fallbacks)[0].Err == nil {
					t.Fatalf("events %v", *h.fallbacks)
				}
			}
			// Expect: 100-continue costs a connection where the body is not wanted.
			if n := h.conns.total(); n != 2 && !strings.Contains(name, "Expect") {
				t.Errorf("%d connections, want one for each protocol", n)
			}
		})
	}
}

// A server that says 401 for ever over HTTP/2 is asked over HTTP/1.1, and
// remembered where that helped.
func TestRefusesHTTP2(t *testing.T) {
	realm := start(t)
	refuse := func(over ...int) func(*http.Request) *fakeweb.Quirks {
		return func(r *http.Request) *fakeweb.Quirks {
			for _, major := range over {
				if r.ProtoMajor == major {
					return &fakeweb.Quirks{Reject: true, Rejection: fakeweb.RejectPlain}
				}
			}
			return nil
		}
	}
	for name, tc := range map[string]struct {
		refuse  []int
		changes []change
		status  int
		first   []string
		then    []string
		events  int
	}{
		"over HTTP2 alone": {[]int{2}, nil, 200, []string{"2 bare", "2 token", "1 token"}, []string{"1 token"}, 1},
		"over both":        {[]int{1, 2}, nil, 401, []string{"2 bare", "2 token", "1 token"}, []string{"2 bare", "2 token", "1 token"}, 2},
		"preemptive":       {[]int{2}, []change{force}, 200, []string{"2 token", "2 token", "1 token"}, []string{"1 token"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			h := startH2(t, realm, fakeweb.Options{QuirksFor: refuse(tc.refuse...)}, fakeweb.ServerOptions{}, tc.changes...)
			for i, want := range [][]string{tc.first, tc.then} {
				status, body, err := h.call(t, put(t, h.server.URL(), strings.NewReader("data")))
				if status != tc.status || status == 200 && body != "HTTP/1.1 data" || err != nil {
					t.Errorf("call %d: %d, %q, %v", i+1, status, body, err)
				}
				if d := cmp.Diff(want, h.seen()); d != "" {
					t.Errorf("call %d, requests (-want +got):\n%s", i+1, d)
				}
			}
			if len(*h.fallbacks) != tc.events {
				t.Errorf("events %v", *h.fallbacks)
			}
			if n := h.conns.total(); n != 2 {
				t.Errorf("%d connections, want one for each protocol", n)
			}
		})
	}
}

// Calls that learn of it at once.
func TestHTTP11RequiredParallel(t *testing.T) {
	realm := start(t)
	server := fakeweb.Serve(realm, fakeweb.New(realm, spn, fakeweb.Options{Next: parrot}), fakeweb.ServerOptions{TLS: true, HTTP2: true, HTTP11Required: true})
	o := kinit(t, realm)
	o.Transport = server.Transport()
	c := newClient(t, o)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			want := fmt.Sprintf("HTTP/1.1 data %d", i)
			status, body, err := do(t, c, put(t, server.URL(), strings.NewReader(want[9:])).WithContext(t.Context()))
			if status != 200 || body != want || err != nil {
				t.Errorf("%d, %q, %v", status, body, err)
			}
		})
	}
	wg.Wait()
}

// Transports that do not choose the protocol by themselves are used as they are.
func TestNoFallback(t *testing.T) {
	realm := start(t)
	server := fakeweb.Serve(realm, fakeweb.New(realm, spn, fakeweb.Options{Next: parrot}), fakeweb.ServerOptions{TLS: true, HTTP2: true, HTTP11Required: true})
	for name, tc := range map[string]struct {
		change func(*http.Transport)
		want   string // of the error; empty for none
	}{
		"HTTP/1.1 alone": {func(t *http.Transport) {
			t.Protocols = new(http.Protocols)
			t.Protocols.SetHTTP1(true)
		}, ""},
		"no HTTP/2, as of old": {func(t *http.Transport) {
			t.Protocols = nil
			t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
		}, ""},
		"a TLS dialer": {func(t *http.Transport) {
			c := t.TLSClientConfig.Clone()
			c.NextProtos, c.ServerName = []string{"h2"}, "localhost"
			t.DialTLSContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&tls.Dialer{Config: c}).DialContext(ctx, network, server.Addr())
			}
		}, "HTTP_1_1_REQUIRED"},
	} {
		t.Run(name, func(t *testing.T) {
			o := kinit(t, realm)
			tr := server.Transport()
			tc.change(tr)
			o.Transport = tr
			c := newClient(t, o)
			status, body, err := get(t, c, server.URL())
			if tc.want == "" && (status != 200 || body != "HTTP/1.1 " || err != nil) {
				t.Errorf("%d, %q, %v", status, body, err)
			}
			if tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// A server that gives up the whole connection to be asked over HTTP/1.1.
func TestGoAway(t *testing.T) {
	realm := start(t)
	server := httptest.NewUnstartedServer(fakeweb.New(realm, spn, fakeweb.Options{Next: parrot, Bindings: fakekdc.BindingsOff}))
	server.TLS = &tls.Config{NextProtos: []string{"h2", "http/1.1"}}
	server.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){
		"h2": func(_ *http.Server, c *tls.Conn, _ http.Handler) {
			if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
				t.Error(err)
			}
			f := http2.NewFramer(c, c)
			for err := f.WriteSettings(); err == nil; {
				var frame http2.Frame
				if frame, err = f.ReadFrame(); err != nil {
					return
				}
				if h, ok := frame.(*http2.HeadersFrame); ok {
					if err := f.WriteGoAway(h.StreamID, http2.ErrCodeHTTP11Required, nil); err != nil {
						t.Error(err)
					}
					return
				}
			}
		},
	}
	server.StartTLS()
	defer server.Close()
	o := kinit(t, realm)
	tr := server.Client().Transport.(*http.Transport).Clone()
	tr.TLSClientConfig.ServerName = "example.com"
	tr.Protocols = new(http.Protocols)
	tr.Protocols.SetHTTP1(true)
	tr.Protocols.SetHTTP2(true)
	o.Transport = tr
	c := newClient(t, o)
	url := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	for range 2 {
		status, body, err := do(t, c, put(t, url, strings.NewReader("data")).WithContext(t.Context()))
		if status != 200 || body != "HTTP/1.1 data" || err != nil {
			t.Errorf("%d, %q, %v", status, body, err)
		}
	}
}

// The service got a new key, and the ticket at hand is of the old one: in the
// cache, as kinit's helpers leave it there, or of a source that has been up for
// long. The server's word for it leads to a fresh ticket, once.
func TestStaleTicket(t *testing.T) {
	for name, tc := range map[string]struct {
		changes  []change
		purge    bool
		requests []string
		status   int
		tgs      int
	}{
		"new key":             {nil, true, []string{"bare", "token", "token"}, 200, 1},
		"new key, preemptive": {[]change{force}, true, []string{"token", "token"}, 200, 1},
		"old key is known":    {nil, false, []string{"bare", "token"}, 200, 0},
	} {
		t.Run(name, func(t *testing.T) {
			realm := start(t)
			l := &lab{realm: realm, cache: kinit(t, realm, spn).CCache}
			if err := realm.Rotate(spn); err != nil {
				t.Fatal(err)
			}
			if tc.purge {
				if err := realm.Purge(spn); err != nil {
					t.Fatal(err)
				}
			}
			tr := l.try(t, fakeweb.Options{}, tc.changes...)
			tr.ok()
			tr.requests(tc.requests...)
			if n := realm.Count(fakekdc.TGS); n != tc.tgs {
				t.Errorf("%d tickets were fetched, want %d", n, tc.tgs)
			}
			if n := tr.conns.total(); n != 1 {
				t.Errorf("%d connections", n)
			}
			tr.handler.ResetRequests()
			tr.ok()
			if n := realm.Count(fakekdc.TGS); n != tc.tgs {
				t.Errorf("%d tickets were fetched by the next call", n-tc.tgs)
			}
		})
	}
}

// A server that finds every ticket stale does not send us to the KDC for every
// request.
func TestStaleForEver(t *testing.T) {
	for _, code := range []int32{31, 32, 41, 44} {
		realm := start(t)
		l := &lab{realm: realm, cache: kinit(t, realm, spn).CCache}
		tr := l.try(t, quirk(fakeweb.Quirks{Reject: true, RejectCode: code}))
		for i := range 5 {
			if a := tr.get(200); a.err != nil || a.status != 401 {
				t.Errorf("code %d: %+v", code, a)
			}
			want := []string{"bare", "token"}
			if i == 0 {
				want = append(want, "token")
			}
			tr.requests(want...)
			tr.handler.ResetRequests()
		}
		if n := realm.Count(fakekdc.TGS); n != 1 {
			t.Errorf("code %d: %d tickets were fetched", code, n)
		}
	}
}

// A server that authenticates connections, and whose session ends in the middle
// of one: the next request is signed anew, whole, on the same connection, and
// that is all.
func TestSessionEnds(t *testing.T) {
	over := &fakeweb.Quirks{Before: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusUnauthorized)
	})}
	realm := start(t)
	l := &lab{realm: realm, cache: kinit(t, realm).CCache}
	upload := func(tr *trial) answerSeen {
		return tr.do(put(t, tr.server.URL(), strings.NewReader("data")).WithContext(t.Context()))
	}
	for name, tc := range map[string]struct {
		changes []change
		ends    int // how often, from the third request on
		want    []string
		status  int
	}{
		"challenge": {nil, -1, []string{"bare", "token"}, 200},
		// What answers before the service does not look at tokens.
		"preemptive, no word":  {[]change{force}, 1, []string{"bare", "token"}, 200},
		"preemptive, for ever": {[]change{force}, 99, []string{"bare", "bare"}, 401},
	} {
		t.Run(name, func(t *testing.T) {
			ends := 0
			web := fakeweb.Options{Next: parrot, ConnectionBound: true, QuirksFor: func(*http.Request) *fakeweb.Quirks {
				if ends > 0 {
					ends--
					return over
				}
				return nil
			}}
			tr := l.try(t, web, append(tc.changes, withMode(mutual.Optional))...)
			for range 2 {
				if a := upload(tr); a.status != 200 || a.body != "HTTP/1.1 data" {
					t.Errorf("%+v", a)
				}
			}
			tr.handler.ResetRequests()
			if tc.ends < 0 {
				tr.handler.ForgetConnections()
			} else {
				ends = tc.ends
			}
			a := upload(tr)
			if a.status != tc.status || a.status == 200 && (a.body != "HTTP/1.1 data" || !a.verified) {
				t.Errorf("%+v", a)
			}
			tr.requests(tc.want...)
			if n := tr.conns.total(); n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}
