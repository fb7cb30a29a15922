package sanitize_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/sanitize"
)

func TestMain(m *testing.M) { testmain.Run(m) }

func TestConformance(t *testing.T) {
	for name, o := range map[string]sanitize.Options{"zero": {}, "keeping": {Keep: sanitize.KeepWSMan}} {
		t.Run(name, func(t *testing.T) {
			stagetest.Run(t, func() kerbchain.Middleware { return sanitize.New(o) })
		})
	}
}

// A peer's context that has been verified, or not.
type security struct {
	target   middleware.Target
	verified bool
}

func (*security) Step(context.Context, []byte) ([]byte, error) {
	return nil, errors.New("sanitize has no business with tokens")
}
func (s *security) Verified() bool            { return s.verified }
func (s *security) Target() middleware.Target { return s.target }

// carry is what the stages inside do, in short.
func carry(all ...middleware.SecurityContext) kerbchain.Middleware {
	return func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) {
			for _, sc := range all {
				r = middleware.WithSecurity(r, sc)
			}
			return next(r)
		}
	}
}

type closer struct {
	io.Reader
	n *int
}

func (c closer) Close() error { *c.n++; return nil }

// evil is an error response with everything in it that could do harm.
func evil(r *http.Request, status int, closed *int) *http.Response {
	return &http.Response{
		Status: fmt.Sprintf("%d Told You", status), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"Date": {"Thu, 01 Jan 2026 00:00:00 GMT"}, "Server": {"evil/1.0"},
			"Set-Cookie": {"sid=planted"}, "Location": {"https://evil.test/"}, "Content-Type": {"text/html"},
			"Content-Length": {"4"}, "Www-Authenticate": {"Negotiate"}, "Retry-After": {"1000000"},
			"Refresh": {"0;url=https://evil.test/"}, "Trailer": {"X-After"}, "Link": {"<https://evil.test/>"},
		},
		Body: closer{strings.NewReader("evil"), closed}, ContentLength: 4,
		TransferEncoding: []string{"chunked"}, Trailer: http.Header{"X-After": {"evil"}},
		Uncompressed: true, Close: true, Request: r, TLS: &tls.ConnectionState{ServerName: "web.test"},
	}
}

func TestEmptied(t *testing.T) {
	closed := 0
	var below *http.Response
	var events []middleware.Event
	next := sanitize.New(sanitize.Options{})(func(r *http.Request) (*http.Response, error) {
		below = evil(r, http.StatusInternalServerError, &closed)
		return below, nil
	})
	r := httptest.NewRequest(http.MethodGet, "http://[::1]:8080/", nil)
	r = r.WithContext(middleware.WithTrace(r.Context(), func(e middleware.Event) { events = append(events, e) }))
	got, err := next(r)
	if err != nil {
		t.Fatal(err)
	}
	if closed != 1 {
		t.Errorf("body closed %d times, want once", closed)
	}
	if got.Body != http.NoBody || got.Request != below.Request || got.TLS != below.TLS {
		t.Errorf("got body %v, request %v, TLS %v, want no body, and request and TLS state of the response", got.Body, got.Request, got.TLS)
	}
	if len(got.Cookies()) != 0 {
		t.Errorf("got cookies %v", got.Cookies())
	}
	if _, err := got.Location(); err != http.ErrNoLocation {
		t.Errorf("got location error %v, want ErrNoLocation", err)
	}
	got.Body, got.Request, got.TLS = nil, nil, nil
	want := &http.Response{
		Status: "500 Told You", StatusCode: 500, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Close: true,
		Header: http.Header{"Date": {"Thu, 01 Jan 2026 00:00:00 GMT"}, "Server": {"evil/1.0"}},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b io.ReadCloser) bool { return a == nil && b == nil })); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]middleware.Event{middleware.SanitizedEvent{Host: "[::1]:8080", Status: 500}}, events); diff != "" {
		t.Errorf("events, -want +got:\n%s", diff)
	}
	if below.Header.Get("Set-Cookie") == "" || below.ContentLength != 4 {
		t.Error("the response from below was changed")
	}
	got.Header["Server"][0] = "changed"
	if below.Header.Get("Server") != "evil/1.0" {
		t.Error("the header of the response is shared with the one from below")
	}
}

// Challenges stay where they are the answer's business, and nowhere else.
func TestChallengesStay(t *testing.T) {
	for status, want := range map[int][2]bool{401: {true, false}, 407: {false, true}, 403: {}} {
		next := sanitize.New(sanitize.Options{})(func(r *http.Request) (*http.Response, error) {
			resp := evil(r, status, new(int))
			resp.Header.Set("Proxy-Authenticate", "Negotiate")
			return resp, nil
		})
		resp, err := next(httptest.NewRequest(http.MethodGet, "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]bool{resp.Header.Get("WWW-Authenticate") != "", resp.Header.Get("Proxy-Authenticate") != ""}; got != want {
			t.Errorf("%d: challenges of server and proxy %v, want %v", status, got, want)
		}
		_ = resp.Body.Close()
	}
}

func TestWhich(t *testing.T) {
	site := func(verified bool) middleware.SecurityContext {
		return &security{target: middleware.Target{Host: "web.test", Port: "80"}, verified: verified}
	}
	proxy := func(verified bool) middleware.SecurityContext {
		return &security{target: middleware.Target{Host: "proxy.test", Port: "3128", Proxy: true}, verified: verified}
	}
	type contexts = []middleware.SecurityContext
	for name, tc := range map[string]struct {
		url      string
		status   int
		contexts contexts
		keep     func(*http.Response) bool
		emptied  bool
	}{
		"switching protocols":      {status: 101},
		"good":                     {status: 200},
		"redirect":                 {status: 302},
		"last before errors":       {status: 399},
		"first error":              {status: 400, emptied: true},
		"401":                      {status: 401, emptied: true},
		"403":                      {status: 403, emptied: true},
		"404":                      {status: 404, emptied: true},
		"407":                      {status: 407, emptied: true},
		"500":                      {status: 500, emptied: true},
		"beyond the registry":      {status: 999, emptied: true},
		"not verified":             {status: 500, contexts: contexts{site(false)}, emptied: true},
		"verified":                 {status: 500, contexts: contexts{site(true)}},
		"by a plain proxy":         {status: 503, contexts: contexts{proxy(true)}, emptied: true},
		"by no proxy":              {status: 503, contexts: contexts{proxy(false)}, emptied: true},
		"TLS, by the proxy":        {url: "https://web.test/", status: 503, contexts: contexts{proxy(true)}, emptied: true},
		"by the proxy alone":       {status: 503, contexts: contexts{proxy(true), site(false)}, emptied: true},
		"by the origin alone":      {status: 503, contexts: contexts{proxy(false), site(true)}},
		"kept":                     {status: 404, keep: func(r *http.Response) bool { return r.StatusCode == 404 }},
		"not kept":                 {status: 403, keep: func(r *http.Response) bool { return r.StatusCode == 404 }, emptied: true},
		"keep is asked no further": {status: 200, keep: func(*http.Response) bool { panic("asked about a good response") }},
	} {
		t.Run(name, func(t *testing.T) {
			closed := 0
			if tc.url == "" {
				tc.url = "http://web.test/"
			}
			next := kerbchain.Chain(sanitize.New(sanitize.Options{Keep: tc.keep}), carry(tc.contexts...))(func(r *http.Request) (*http.Response, error) {
				return evil(r, tc.status, &closed), nil
			})
			got, err := next(httptest.NewRequest(http.MethodGet, tc.url, nil))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(got.Body)
			if err != nil {
				t.Fatal(err)
			}
			emptied := closed == 1 && string(body) == "" && got.Header.Get("Set-Cookie") == ""
			whole := closed == 0 && string(body) == "evil" && got.Header.Get("Set-Cookie") != ""
			if emptied != tc.emptied || whole == tc.emptied {
				t.Errorf("body %q, closed %d times, header %v; want it emptied: %v", body, closed, got.Header, tc.emptied)
			}
		})
	}
}

// What a context verified for an earlier call proves nothing about this one.
func TestRequestOfAnEarlierResponse(t *testing.T) {
	closed := 0
	sc := &security{target: middleware.Target{Host: "web.test", Port: "80"}, verified: true}
	next := sanitize.New(sanitize.Options{})
	reply := func(r *http.Request) (*http.Response, error) { return evil(r, 500, &closed), nil }
	resp, err := kerbchain.Chain(next, carry(sc))(reply)(httptest.NewRequest(http.MethodGet, "http://web.test/", nil))
	if err != nil || closed != 0 {
		t.Fatalf("got error %v, body closed %d times, want neither", err, closed)
	}
	if _, err = next(reply)(resp.Request.Clone(resp.Request.Context())); err != nil || closed != 1 {
		t.Errorf("got error %v, body closed %d times, want it closed once", err, closed)
	}
	anew := &security{target: sc.target, verified: true}
	if _, err = kerbchain.Chain(next, carry(anew))(reply)(resp.Request.Clone(resp.Request.Context())); err != nil || closed != 1 {
		t.Errorf("signed anew: got error %v, body closed %d times, want it kept", err, closed)
	}
}

func TestNoRequestInResponse(t *testing.T) {
	closed := 0
	next := sanitize.New(sanitize.Options{})(func(*http.Request) (*http.Response, error) { return evil(nil, 500, &closed), nil })
	got, err := next(&http.Request{Method: http.MethodGet})
	if err != nil || got.Body != http.NoBody || closed != 1 {
		t.Errorf("got %v, %v, body closed %d times, want an emptied response", got, err, closed)
	}
}

func TestErrorsFromBelow(t *testing.T) {
	below := errors.New("below")
	_, err := sanitize.New(sanitize.Options{})(kerbchain.Next(stagetest.Fail(below)))(httptest.NewRequest(http.MethodGet, "http://web.test/", nil))
	if err != below {
		t.Errorf("got error %v, want the one from below as it is", err)
	}
}

// The cookie jar of a client reads what the transport returns.
func TestCookieJar(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-After")
		http.SetCookie(w, &http.Cookie{Name: "sid", Value: "planted"})
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, strings.Repeat("evil", 1<<10))
		w.Header().Set("X-After", "evil")
	}))
	defer server.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	site, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		stage   kerbchain.Middleware
		cookies int
	}{"without the stage": {nil, 1}, "with it": {sanitize.New(sanitize.Options{}), 0}} {
		t.Run(name, func(t *testing.T) {
			jar, err := cookiejar.New(nil)
			if err != nil {
				t.Fatal(err)
			}
			client := &http.Client{Transport: kerbchain.Wrap(transport, tc.stage), Jar: jar}
			resp, err := client.Get(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if err := errors.Join(err, resp.Body.Close()); err != nil {
				t.Fatal(err)
			}
			if got := len(jar.Cookies(site)); got != tc.cookies || (len(body) == 0) != (tc.cookies == 0) || (len(resp.Trailer) == 0) != (tc.cookies == 0) {
				t.Errorf("got %d cookies, %d bytes of body, trailers %v, want %d cookies", got, len(body), resp.Trailer, tc.cookies)
			}
			if resp.StatusCode != 500 || resp.Header.Get("Date") == "" {
				t.Errorf("got %d, Date %q, want the server's", resp.StatusCode, resp.Header.Get("Date"))
			}
		})
	}
}

func TestKeepWSMan(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		kind   string
		want   bool
	}{
		"fault":           {500, "application/soap+xml;charset=UTF-8", true},
		"no parameters":   {500, "application/soap+xml", true},
		"any case":        {500, " Application/SOAP+XML ; charset=utf-8", true},
		"encrypted":       {500, `multipart/encrypted;protocol="application/HTTP-SPNEGO-session-encrypted";boundary="Encrypted Boundary"`, true},
		"page":            {500, "text/html", false},
		"none":            {500, "", false},
		"longer name":     {500, "application/soap+xml2", false},
		"in a parameter":  {500, "text/html; a=application/soap+xml", false},
		"other status":    {503, "application/soap+xml", false},
		"not found":       {404, "application/soap+xml", false},
		"plain multipart": {500, "multipart/mixed", false},
	} {
		t.Run(name, func(t *testing.T) {
			resp := &http.Response{StatusCode: tc.status, Header: http.Header{"Content-Type": {tc.kind}}}
			if got := sanitize.KeepWSMan(resp); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestParallel(t *testing.T) {
	next := kerbchain.Chain(
		sanitize.New(sanitize.Options{}),
		kerbchain.When(func(r *http.Request) bool { return r.URL.Path == "/verified" }, carry(&security{verified: true})),
	)(kerbchain.Next(stagetest.Respond(500, "text")))
	var wg sync.WaitGroup
	for k := range 64 {
		path := []string{"/verified", "/not"}[k%2]
		wg.Go(func() {
			resp, err := next(httptest.NewRequest(http.MethodGet, "http://web.test"+path, nil))
			if err != nil || (resp.Body == http.NoBody) != (path == "/not") {
				t.Errorf("%s: got %v, %v", path, resp, err)
			}
		})
	}
	wg.Wait()
}
