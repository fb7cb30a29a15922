package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/client/clienttest"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// The host in the SPN is the host that is contacted, whatever a URL looks like:
// the tests of this file generate URLs, watch what net/http dials and what a proxy
// is asked for, and hold that against the principal that the ticket source is
// asked for, the target and the lists of hosts.

// A ticketDesk is a ticket source that has one ticket, for everything, and notes what
// it was asked for.
type ticketDesk struct {
	ticket kerberos.Ticket
	spns   []string
}

func (a *ticketDesk) ServiceTicket(_ context.Context, spn string) (kerberos.Ticket, error) {
	a.spns = append(a.spns, spn)
	return a.ticket, nil
}

// A crossroads is where requests go: every name and address leads to one server, which
// wants a token, and plain http through a proxy too.
type crossroads struct {
	tb     testing.TB
	ticket kerberos.Ticket

	mu     sync.Mutex
	tokens []string // hosts of the request lines, where the peer is a proxy, of requests with a token
	signed int      // requests with a token
	server *httptest.Server
	pipes  pipes
}

// pipes is a listener without a port, of which the tests would use up thousands.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

func newCrossroads(tb testing.TB) *crossroads {
	l := &crossroads{tb: tb, ticket: clienttest.StrayTicket(tb, "alice@A.EXAMPLE", "HTTP/any.example")}
	l.pipes = make(pipes)
	l.server = &httptest.Server{Listener: l.pipes}
	l.server.Config = &http.Server{Handler: (http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if scheme != "Negotiate" {
			if scheme != "" {
				tb.Errorf("credentials of the scheme %q arrived", scheme)
			}
			w.Header().Set("WWW-Authenticate", "Negotiate")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.signed++
		l.tokens = append(l.tokens, r.URL.Host)
	}))}
	l.server.Start()
	tb.Cleanup(func() {
		close(l.pipes)
		l.server.Close()
	})
	return l
}

// A visit is what one request led to.
type visit struct {
	dialed, lines, spns []string
	signed              int
	err                 error
}

// visit sends a request; through a proxy the address that is dialed is the
// proxy's.
func (l *crossroads) visit(r *http.Request, proxied bool, o kerberos.InitiatorOptions, p preemptive.Policy) visit {
	l.tb.Helper()
	source := &ticketDesk{ticket: l.ticket}
	in, err := kerberos.NewInitiator(source, o)
	if err != nil {
		l.tb.Fatal(err)
	}
	var dialed []string // of this visit: a dial of an earlier one may begin late
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
		l.mu.Lock()
		dialed = append(dialed, addr)
		l.mu.Unlock()
		ours, theirs := net.Pipe()
		l.pipes <- theirs
		return ours, nil
	}}
	if proxied {
		tr.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.example:3128"})
	}
	l.mu.Lock()
	l.tokens, l.signed = nil, 0
	l.mu.Unlock()
	c, err := client.New(client.Options{Initiator: in, Transport: tr, Mutual: mutual.Optional, Preemptive: p})
	if err != nil {
		l.tb.Fatal(err)
	}
	resp, err := c.Do(r)
	if err == nil {
		if err := resp.Body.Close(); err != nil {
			l.tb.Error(err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return visit{dialed, l.tokens, source.spns, l.signed, err}
}

// reference is the form of an address host:port in which two of them are
// compared; it shares no code with what is tested.
func reference(tb testing.TB, hostPort string) string {
	tb.Helper()
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		tb.Fatalf("%q: %v", hostPort, err)
	}
	host = strings.TrimSuffix(asciiLower(host), ".")
	if a, err := netip.ParseAddr(host); err == nil {
		host = a.WithZone("").String()
	}
	if n, err := net.LookupPort("tcp", port); err == nil {
		port = fmt.Sprint(n)
	}
	return net.JoinHostPort(host, port)
}

func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// check holds one URL against the rule: with a token, or an error before any. It
// reports whether there was a token.
func (l *crossroads) check(u *url.URL) bool {
	l.tb.Helper()
	request := func() *http.Request {
		return (&http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}}).WithContext(l.tb.Context())
	}
	victim := kerberos.InitiatorOptions{PortInSPN: true}
	v := l.visit(request(), false, victim, nil)
	early := l.visit(request(), false, victim, preemptive.Always())
	if early.signed != v.signed {
		l.tb.Errorf("%q: signed %d times when asked, %d times before: %v, %v", u, v.signed, early.signed, v.err, early.err)
	}
	target := middleware.TargetOfURL(u)
	if v.signed == 0 {
		if len(v.spns) > 0 && len(v.dialed) > 0 {
			l.tb.Errorf("%q: %q were asked for and no token sent: %v", u, v.spns, v.err)
		}
		// net/http has names of its own that it refuses, once it has dialed them. It
		// says so, or that the connection is closed, which it then does.
		refused := request().Write(io.Discard)
		unwritten := refused != nil && strings.Contains(refused.Error(), "idna: ")
		if len(v.dialed) > 0 && v.err == nil || errors.Is(v.err, middleware.ErrHost) != (target.Check() != nil) && len(v.dialed) > 0 && !unwritten {
			l.tb.Errorf("%q: %q was dialed and got no token, error %v", u, v.dialed, v.err)
		}
		if p := l.visit(request(), true, victim, nil); p.signed > 0 {
			l.tb.Errorf("%q: a proxy got a token for %q, of which no other server gets one", u, p.spns)
		}
		return false
	}
	want := reference(l.tb, v.dialed[0])
	host, port, err := net.SplitHostPort(want)
	if err != nil {
		l.tb.Fatal(err)
	}
	spn := "HTTP/" + host
	if port != "80" && port != "443" {
		spn += ":" + port
	}
	for _, got := range []visit{v, early} {
		for _, name := range got.spns {
			if name != spn {
				l.tb.Errorf("%q: dialed %q and signed for %q", u, got.dialed, name)
			}
		}
		for _, addr := range got.dialed {
			if reference(l.tb, addr) != want {
				l.tb.Errorf("%q: dialed %q", u, got.dialed)
			}
		}
	}
	if got := reference(l.tb, target.HostPort()); got != want || target.Check() != nil {
		l.tb.Errorf("%q: dialed %q, and the target is %q (%v)", u, v.dialed, got, target.Check())
	}
	// The lists decide about the host that is dialed, and no other.
	literal := host
	if strings.Contains(host, ":") {
		literal = "[" + host + "]"
	}
	zoned := strings.Contains(u.Hostname(), "%")
	if a := l.visit(request(), false, kerberos.InitiatorOptions{AllowedHosts: []string{literal + ":" + port}}, nil); a.signed != 1 && !zoned {
		l.tb.Errorf("%q: %q is allowed, and was signed for %d times: %v", u, literal, a.signed, a.err)
	}
	for _, other := range victims {
		if other == host {
			continue
		}
		if a := l.visit(request(), false, kerberos.InitiatorOptions{AllowedHosts: []string{other}}, nil); a.signed != 0 || len(a.spns) > 0 {
			l.tb.Errorf("%q: dialed %q with a token, where %q alone is allowed", u, a.dialed, other)
		}
		o := kerberos.InitiatorOptions{HostOverrides: map[string]string{other: "HTTP/secret.example"}, PortInSPN: true}
		if a := l.visit(request(), false, o, nil); len(a.spns) != 1 || a.spns[0] != spn {
			l.tb.Errorf("%q: the override of %q made %q of %q", u, other, a.spns, spn)
		}
		break // one of them each time; the next URL is held against another
	}
	// A proxy is asked for the same host, or gets no token.
	p := l.visit(request(), true, victim, nil)
	for i, line := range p.lines {
		if got := reference(l.tb, middleware.TargetOfURL(&url.URL{Scheme: "http", Host: line}).HostPort()); got != want || p.spns[i] != spn {
			l.tb.Errorf("%q: a proxy is asked for %q with a token for %q", u, line, p.spns[i])
		}
	}
	return true
}

// victims are hosts that an attacker would like to have tokens for.
var victims = []string{"intranet.corp", "localhost", "web.example"}

// A dice makes URLs of parts that are read in more than one way.
type dice struct{ *rand.Rand }

func one[T any](d dice, of ...T) T { return of[d.IntN(len(of))] }

func (d dice) host() string {
	switch d.IntN(8) {
	case 0:
		return one(d, "[::1]", "[0:0::1]", "[::FFFF:127.0.0.1]", "[fe80::1%25eth0]", "[fe80::1%25intranet.corp]", "[2001:DB8::1]", "[::1%25]", "[::1.evil.test]",
			"[intranet.corp]", "::1", "[::1", "[v1.x]", "[::1%2525x]")
	case 1:
		return one(d, "127.0.0.1", "127.1", "0x7f.1", "127.0.0.1.", "127.0.0.01", "2130706433", "127.0.0.1%25lo", "１２７.0.0.1")
	}
	n := 1 + d.IntN(4)
	var b strings.Builder
	for i := range n {
		if i > 0 || d.IntN(16) == 0 {
			b.WriteString(one(d, ".", ".", ".", ".", "..", "%2e", "%2E", "\u3002", "\uff0e", "\uff61", "%25.", "%25", "%00", "%0a", "%20", "\\", "%5c", "@", "%40", "%2f", ":", "%3a",
				";", ",", "_", "-", "\u200b", "\u200d", "\u2024", "\u00ad", "%ff", "%E3%80%82", "*", "!", "'", "(", "~", "+", "$", "=", "\"", "<", " ", "\t", "%"))
		}
		b.WriteString(one(d, "intranet.corp", "INTRANET.Corp", "evil", "evil.test", "test", "corp", "localhost", "web", "example", "a", "b\u00fccher", "B\u00dcCHER", "stra\u1e9ee",
			"stra\u00dfe", "xn--bcher-kva", "XN--BCHER-KVA", "xn--", "\u0130ntranet", "\u212aerberos", "\u017fecret", "\uff49ntranet", "\u0456ntranet", "-a", "a-", "_ldap", "",
			strings.Repeat("a", 63), strings.Repeat("a", 64), strings.Repeat("a.", 127), "%C3%BCber", "\xff", "\u202eproc.tenartni", "\u05d0", "1", "\u0661"))
	}
	if d.IntN(6) == 0 {
		b.WriteString(one(d, ".", "..", "\u3002", "%25", "%00", "%2e"))
	}
	return b.String()
}

func (d dice) url() string {
	user := one(d, "", "", "", "", "u@", "u:p@", ":@", "intranet.corp@", "intranet.corp%40@", "intranet.corp:80@", "intranet.corp%2f@")
	port := one(d, "", "", "", ":", ":80", ":443", ":8443", ":08443", ":0080", ":65535", ":65536", ":99999999999999999999", ":0", ":+80", ":-1", ":http", ":80%00", ":８０")
	path := one(d, "", "/", "/intranet.corp", "//intranet.corp/", "?intranet.corp", "#@intranet.corp", "/@intranet.corp", "/..//intranet.corp", "?u=http://intranet.corp/")
	return one(d, "http", "http", "HTTP") + "://" + user + d.host() + port + path
}

// known are URLs of which one goes wrong somewhere.
var known = []string{
	"http://intranet.corp%25.evil.test/", "http://intranet.corp%25/", "http://intranet.corp%2525.evil.test/", "http://intranet.corp@evil.test/",
	"http://evil.test\\@intranet.corp/", "http://intranet.corp.:80/", "http://INTRANET.corp/", "http://intranet.corp\u3002/", "http://stra\u1e9ee.example/",
	"http://[fe80::1%25eth0]:8080/", "http://intranet.corp:080/", "http://intranet.corp:99999/", "http://intranet.corp../", "http://.intranet.corp/",
}

// The rule, over many URLs as they are parsed, and as programs put them together.
func TestHostContacted(t *testing.T) {
	t.Parallel()
	l := newCrossroads(t)
	d := dice{rand.New(rand.NewPCG(4559, 4120))}
	signed, refused := 0, 0
	try := func(u *url.URL) {
		if u == nil || u.Host == "" {
			return
		}
		if l.check(u) {
			signed++
		} else {
			refused++
		}
	}
	for _, raw := range known {
		u, _ := url.Parse(raw) // what does not parse is not sent
		try(u)
	}
	n := 2000
	if testing.Short() {
		n = 100
	}
	for i := range n {
		u, _ := url.Parse(d.url())
		try(u)
		// Without a parser between.
		host := d.host()
		if raw, err := url.PathUnescape(host); err == nil && i%2 == 0 {
			host = raw
		}
		try(&url.URL{Scheme: "http", Host: host + one(d, "", ":80", ":8080", ":x"), Path: "/"})
	}
	t.Logf("%d signed, %d refused", signed, refused)
	if signed < n/10 || refused < n/10 {
		t.Errorf("of %d URLs %d were signed for and %d refused: the corpus has lost its point", n, signed, refused)
	}
}

func FuzzHostContacted(f *testing.F) {
	d := dice{rand.New(rand.NewPCG(1, 2))}
	for _, raw := range known {
		f.Add(raw, false)
	}
	f.Add("http://0? ", false)
	for range 100 {
		f.Add(d.url(), false)
		f.Add("http://"+d.host(), true)
	}
	l := newCrossroads(f)
	f.Fuzz(func(t *testing.T, raw string, byHand bool) {
		u, err := url.Parse(raw)
		if byHand {
			u, err = &url.URL{Scheme: "http", Host: strings.TrimPrefix(raw, "http://")}, nil
		}
		if err != nil || u.Scheme != "http" || u.Host == "" {
			return
		}
		u.RawQuery = "" // with a space, of which net/http makes a line that servers refuse
		l.mu.Lock()
		l.tb = t
		l.mu.Unlock()
		l.check(u)
	})
}
