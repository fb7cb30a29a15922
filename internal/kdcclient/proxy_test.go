package kdcclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jcmturner/gofork/encoding/asn1"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// wireProxyMessage is KDC-PROXY-MESSAGE for another encoder.
type wireProxyMessage struct {
	KerbMessage   []byte `asn1:"explicit,tag:0"`
	TargetDomain  string `asn1:"generalstring,explicit,optional,tag:1"`
	DCLocatorHint int    `asn1:"explicit,optional,tag:2"`
}

func marshalProxy(tb testing.TB, m wireProxyMessage) []byte {
	tb.Helper()
	b, err := asn1.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestProxyMessage(t *testing.T) {
	for _, n := range []int{1, 100, 127, 128, 300, 70000} {
		msg := bytes.Repeat([]byte{0x6a}, n)
		got, err := proxyMessage(msg, realmA)
		if err != nil {
			t.Fatal(err)
		}
		if want := marshalProxy(t, wireProxyMessage{KerbMessage: framed(msg), TargetDomain: realmA}); !bytes.Equal(got, want) {
			t.Errorf("%d bytes: got %x, want %x", n, got, want)
		}
	}
	msg := []byte("message")
	for name, tc := range map[string]struct {
		in   []byte
		says string // in the error; empty: msg
	}{
		"alone":         {marshalProxy(t, wireProxyMessage{KerbMessage: framed(msg)}), ""},
		"with a domain": {marshalProxy(t, wireProxyMessage{KerbMessage: framed(msg), TargetDomain: realmA}), ""},
		"with it all":   {marshalProxy(t, wireProxyMessage{KerbMessage: framed(msg), TargetDomain: realmA, DCLocatorHint: 1 << 30}), ""},
		"no length":     {marshalProxy(t, wireProxyMessage{KerbMessage: []byte{0, 0, 0}}), "no length"},
		"no message":    {marshalProxy(t, wireProxyMessage{KerbMessage: framed(nil)}), "length of 0"},
		"short":         {marshalProxy(t, wireProxyMessage{KerbMessage: framed(msg)[:10]}), "length of 7 before a message of 6"},
		"long":          {marshalProxy(t, wireProxyMessage{KerbMessage: append(framed(msg), 0)}), "length of 7 before a message of 8"},
		"4 GiB":         {marshalProxy(t, wireProxyMessage{KerbMessage: []byte{0xff, 0xff, 0xff, 0xff, 1}}), "before a message of 1"},
		"too long":      {marshalProxy(t, wireProxyMessage{KerbMessage: framed(make([]byte, maxReply+1))}), "before a message of 1048577"},
		"empty":         {nil, "no sequence"},
		"more behind":   {append(marshalProxy(t, wireProxyMessage{KerbMessage: framed(msg)}), 0), "no sequence"},
		"HTML":          {[]byte("<html>"), "no sequence"},
		"only a domain": {[]byte{0x30, 0x05, 0xa1, 0x03, 0x1b, 0x01, 'A'}, "field 0"},
		"misplaced":     {[]byte{0x30, 0x0b, 0xa0, 0x07, 0x04, 0x05, 0, 0, 0, 1, 'x', 0xa3, 0}, "misplaced"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseProxyMessage(tc.in)
			switch {
			case tc.says == "":
				if err != nil || !bytes.Equal(got, msg) {
					t.Errorf("got %q, %v", got, err)
				}
			case err == nil || !errors.Is(err, errProxyMessage) || !strings.Contains(err.Error(), tc.says):
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// A proxy passes messages on to a KDC, as [MS-KKDCP] section 3.2 says.
type proxy struct {
	*httptest.Server
	kdc    KDC
	before func(http.ResponseWriter, *http.Request) bool // reports whether that was all

	mu    sync.Mutex
	asked []*http.Request
}

func startProxy(t *testing.T, k *scripted) *proxy {
	t.Helper()
	p := new(proxy)
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		p.mu.Lock()
		p.asked = append(p.asked, r)
		before := p.before
		p.mu.Unlock()
		if err != nil || int64(len(body)) != r.ContentLength {
			t.Errorf("%d bytes of %d: %v", len(body), r.ContentLength, err)
		}
		if before != nil && before(w, r) {
			return
		}
		var m wireProxyMessage
		if rest, err := asn1.Unmarshal(body, &m); err != nil || len(rest) > 0 || m.TargetDomain != k.realm {
			t.Errorf("%+v: %v", m, err)
		}
		if n := binary.BigEndian.Uint32(m.KerbMessage); int(n) != len(m.KerbMessage)-4 {
			t.Errorf("a length of %d before %d bytes", n, len(m.KerbMessage)-4)
		}
		replies := k.handle("tcp", m.KerbMessage[4:])
		w.Header().Set("Content-Type", "application/kerberos")
		_, _ = w.Write(marshalProxy(t, wireProxyMessage{KerbMessage: replies[0]}))
	}))
	p.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that hang up
	p.StartTLS()
	t.Cleanup(p.Close)
	host, port, err := net.SplitHostPort(p.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	p.kdc = KDC{Host: host, Port: n, Network: "https", URL: p.URL + "/KdcProxy"}
	return p
}

// taken returns the requests that came since it was last called.
func (p *proxy) taken() []*http.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.asked
	p.asked = nil
	return out
}

// trust returns the TLS settings for p.
func (p *proxy) trust(string) (*tls.Config, error) {
	pool := x509.NewCertPool()
	pool.AddCert(p.Certificate())
	return &tls.Config{RootCAs: pool}, nil
}

func TestProxy(t *testing.T) {
	k := newScripted(t, realmA)
	p := startProxy(t, k)
	for name, tc := range map[string]struct {
		host string // in the URL
		dial bool   // it is for Dial to know the address
	}{
		"address":           {host: p.kdc.Host},
		"name for Lookup":   {host: "example.com"},
		"name for Dial":     {host: "example.com", dial: true},
		"name, dot, Lookup": {host: "example.com."},
	} {
		t.Run(name, func(t *testing.T) {
			kdc := p.kdc
			kdc.Host = tc.host
			kdc.URL = fmt.Sprintf("https://%s/KdcProxy?a=b", net.JoinHostPort(tc.host, strconv.Itoa(kdc.Port)))
			o := Options{Locate: at(kdc), TLS: p.trust, Pacing: oneAtATime}
			if tc.dial {
				o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					if host, _, err := net.SplitHostPort(address); network != "tcp" || err != nil || host != tc.host {
						t.Errorf("dialled %s %s", network, address)
					}
					return new(net.Dialer).DialContext(ctx, network, p.Listener.Addr().String())
				}
			} else {
				o.Lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
					if host != tc.host {
						t.Errorf("looked up %s", host)
					}
					return []netip.Addr{netip.MustParseAddr(p.kdc.Host)}, nil
				}
			}
			c := client(o)
			tgt := login(t, c)
			if _, err := c.TGS(t.Context(), tgt, web, TGSOptions{}); err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(kdc.URL)
			if err != nil {
				t.Fatal(err)
			}
			asked := p.taken()
			for _, r := range asked {
				if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/kerberos" || r.Host != u.Host || r.URL.RequestURI() != "/KdcProxy?a=b" || r.TLS.ServerName == "" != (tc.host == p.kdc.Host) {
					t.Errorf("%s %s, Host %s, %v", r.Method, r.RequestURI, r.Host, r.Header)
				}
			}
			if len(asked) != 3 {
				t.Errorf("%d messages", len(asked))
			}
		})
	}
}

func TestProxyFails(t *testing.T) {
	good := newScripted(t, realmA)
	good.preauth = false
	good.start()
	write := func(b []byte) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool { _, _ = w.Write(b); return true }
	}
	status := func(code int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(code)
			return true
		}
	}
	for name, tc := range map[string]struct {
		before  func(http.ResponseWriter, *http.Request) bool
		trust   func(string) (*tls.Config, error) // instead of the right one
		says    string
		unasked bool
	}{
		"503":           {before: status(503), says: "answered 503 Service Unavailable"},
		"redirect":      {before: status(307), says: "answered 307"},
		"login page":    {before: status(401), says: "answered 401"},
		"no content":    {before: status(204), says: "answered 204"},
		"HTML":          {before: write([]byte("<html>")), says: "no KDC-PROXY-MESSAGE"},
		"nothing":       {before: write(nil), says: "no KDC-PROXY-MESSAGE"},
		"not Kerberos":  {before: write(marshalProxy(t, wireProxyMessage{KerbMessage: framed([]byte("what?"))})), says: "no Kerberos message"},
		"another reply": {before: write(marshalProxy(t, wireProxyMessage{KerbMessage: framed([]byte{0x6d, 0})})), says: "no Kerberos message"},
		"too long":      {before: write(make([]byte, maxProxied+1)), says: "exceeds"},
		"far too long":  {before: write(make([]byte, 4*maxProxied)), says: "exceeds"},
		"a long header": {
			before: func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("X", strings.Repeat("x", 2*maxHTTP))
				return true
			},
			says: "read the answer of the KDC proxy",
		},
		"hangs up": {
			before: func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) },
			says:   "read the answer of the KDC proxy",
		},
		"hangs up in between": {
			before: func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Content-Length", "1000")
				_, _ = w.Write([]byte{0x30})
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			},
			says: "read the answer of the KDC proxy",
		},
		"interim for ever": {
			before: func(w http.ResponseWriter, _ *http.Request) bool {
				for range 2 * maxInterim {
					w.WriteHeader(http.StatusEarlyHints)
				}
				return true
			},
			says: "interim",
		},
		"stranger":   {trust: func(string) (*tls.Config, error) { return nil, nil }, says: "certificate", unasked: true},
		"no anchors": {trust: func(string) (*tls.Config, error) { return nil, errors.New("http_anchors are gone") }, says: "http_anchors are gone", unasked: true},
		"wrong name": {trust: func(string) (*tls.Config, error) { return nil, nil }, says: "TLS with the KDC proxy", unasked: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := startProxy(t, good)
			p.before = tc.before
			o := Options{Locate: at(p.kdc, good.addr), TLS: p.trust, Pacing: oneAtATime}
			if tc.trust != nil {
				o.TLS = tc.trust
			}
			if name == "wrong name" {
				o.TLS = func(realm string) (*tls.Config, error) {
					conf, err := p.trust(realm)
					conf.ServerName = "other.test"
					return conf, err
				}
			}
			c := client(o)
			if _, err := try1(t, c); err != nil { // the KDC after it is asked
				t.Error(err)
			}
			c = client(o)
			c.o.Locate = at(p.kdc)
			_, err := try1(t, c)
			if e := failure(t, err); e.Kind != KindUnreachable || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "/https") {
				t.Error(err)
			}
			if n := len(p.taken()); tc.unasked != (n == 0) {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// An interim response is not the answer, and a KRB-ERROR is one.
func TestProxyAnswers(t *testing.T) {
	k := newScripted(t, realmA)
	k.preauth = false
	p := startProxy(t, k)
	p.before = func(w http.ResponseWriter, _ *http.Request) bool {
		for range maxInterim {
			w.WriteHeader(http.StatusEarlyHints)
		}
		return false
	}
	o := Options{Locate: at(p.kdc), TLS: p.trust, Pacing: oneAtATime}
	if _, err := try1(t, client(o)); err != nil {
		t.Error(err)
	}
	k.before = func(r *request) ([][]byte, bool) {
		return [][]byte{framed(k.refuse(r, krb.CodeClientRevoked, nil))}, true
	}
	_, err := try1(t, client(o))
	if e := failure(t, err); e.Kind != KindRefused || e.Code != krb.CodeClientRevoked {
		t.Error(err)
	}
}

// A proxy that takes a connection and is silent, or does not finish TLS, is
// waited for as a KDC is over TCP, and given up with the context.
func TestProxyContext(t *testing.T) {
	k := newScripted(t, realmA)
	p := startProxy(t, k)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		close(accepted)
		_, _ = io.Copy(io.Discard, conn)
		conn.Close()
	})
	asked, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	p.before = func(http.ResponseWriter, *http.Request) bool {
		close(asked)
		<-release
		return true
	}
	deaf := p.kdc
	deaf.Port = l.Addr().(*net.TCPAddr).Port
	for name, tc := range map[string]struct {
		kdc KDC
		on  <-chan struct{}
	}{"no TLS": {deaf, accepted}, "no answer": {p.kdc, asked}} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			wg.Go(func() {
				<-tc.on
				cancel()
			})
			_, err := client(Options{Locate: at(tc.kdc), TLS: p.trust, Pacing: oneAtATime}).AS(ctx, ASRequest{Client: alice, Keys: Password(alice, "x")})
			if e := failure(t, err); e.Kind != KindUnreachable || !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
}

func TestProxyNetworks(t *testing.T) {
	k := newScripted(t, realmA)
	k.preauth = false
	p := startProxy(t, k)
	p.before = func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusBadGateway)
		return true
	}
	pacing := oneAtATime
	if runtime.GOOS == "windows" { // where nobody is told that nothing listens at an address of UDP
		pacing.Next = 3 * time.Second
	}
	// In the place that it has among the KDCs, whatever the size of messages.
	for _, limit := range []int{1, DefaultUDPPreferenceLimit} {
		c := client(Options{Locate: at(deadPort(t), p.kdc), TLS: p.trust, Pacing: pacing, UDPPreferenceLimit: limit})
		r, attempts, err := c.send(t.Context(), "AS", krb.MsgASRep, realmA, []byte("message"))
		if r != nil || err == nil {
			t.Fatal("an answer to nothing")
		}
		var got []string
		for _, a := range attempts {
			got = append(got, a.Network)
		}
		want := []string{"udp", "https", "tcp"}
		if limit == 1 {
			want = []string{"tcp", "https", "udp"}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

// seedsProxy are bodies of a proxy's answers.
func seedsProxy(tb testing.TB) [][]byte {
	return [][]byte{
		marshalProxy(tb, wireProxyMessage{KerbMessage: framed([]byte("x"))}),
		marshalProxy(tb, wireProxyMessage{KerbMessage: framed([]byte("x")), TargetDomain: realmA}),
		marshalProxy(tb, wireProxyMessage{KerbMessage: framed(bytes.Repeat([]byte("x"), 300)), TargetDomain: realmA, DCLocatorHint: 7}),
		marshalProxy(tb, wireProxyMessage{KerbMessage: []byte{0xff, 0xff, 0xff, 0xff}}),
		{}, {0x30}, {0x30, 0x80, 0, 0},
	}
}

func FuzzProxyMessage(f *testing.F) {
	if len(seedsProxy(f)) == 0 {
		f.Fatal("nothing to start from")
	}
	for _, b := range seedsProxy(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		msg, err := parseProxyMessage(b)
		if err != nil {
			if msg != nil {
				t.Fatal("a message and an error")
			}
			return
		}
		if len(msg) == 0 || len(msg) > len(b) {
			t.Fatalf("%d bytes of %d", len(msg), len(b))
		}
		again, err := proxyMessage(msg, "R")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseProxyMessage(again); err != nil || !bytes.Equal(got, msg) {
			t.Fatalf("%x, %v", got, err)
		}
	})
}

// Whatever a proxy sends: a body of bounded length or an error.
func FuzzProxyResponse(f *testing.F) {
	body := seedsProxy(f)[0]
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(body))
	for _, b := range [][]byte{
		slices.Concat([]byte(head), body), []byte(head),
		slices.Concat([]byte("HTTP/1.1 100 Continue\r\n\r\n"+head), body),
		[]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
		[]byte("HTTP/1.0 302 Found\r\nLocation: https://evil.test/\r\n\r\n"),
		[]byte(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 10)), []byte("SSH-2.0\r\n"), {},
	} {
		f.Add(b)
	}
	req := httptest.NewRequest(http.MethodPost, "https://proxy.test/", nil)
	f.Fuzz(func(t *testing.T, b []byte) {
		hungUp := 0
		got, err := readResponse(bytes.NewReader(b), req, func() { hungUp++ })
		if len(got) > len(b) || err != nil && got != nil || err == nil && hungUp != 1 {
			t.Fatalf("%d bytes of %d, hung up %d times: %v", len(got), len(b), hungUp, err)
		}
	})
}
