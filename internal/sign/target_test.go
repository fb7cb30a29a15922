package sign_test

import (
	"cmp"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/internal/sign"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
)

// Whatever the initiator, it is not asked for what nobody is to get.
func TestForWhom(t *testing.T) {
	good := middleware.Target{Host: "a.example", Port: "80"}
	down, secure, proxy := good, good, good
	down.Downgraded = true
	secure.Secure = true
	proxy.Downgraded, proxy.Proxy = true, true
	for name, tc := range map[string]struct {
		target middleware.Target
		allow  bool
		want   error
	}{
		"good":                   {good, false, nil},
		"secure":                 {secure, false, nil},
		"downgraded":             {down, false, middleware.ErrNotAllowed},
		"downgraded, allowed":    {down, true, nil},
		"a proxy on the way":     {proxy, false, nil},
		"no name":                {middleware.Target{Host: "a.example%.evil.test", Port: "80"}, true, middleware.ErrHost},
		"no port":                {middleware.Target{Host: "a.example", Port: "x"}, true, middleware.ErrHost},
		"no host":                {middleware.Target{Port: "80"}, true, middleware.ErrHost},
		"a proxy without a name": {middleware.Target{Host: "a b", Port: "80", Proxy: true}, true, middleware.ErrHost},
	} {
		t.Run(name, func(t *testing.T) {
			in := new(stagetest.Initiator)
			_, err := sign.Signer{Initiator: in, Stage: "test", AllowDowngrade: tc.allow}.First(t.Context(), tc.target)
			if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
			if n := len(in.Contexts()); (n == 1) != (tc.want == nil) {
				t.Errorf("%d contexts", n)
			}
			if e, ok := errors.AsType[*middleware.Error](err); ok && (e.Stage != "test" || e.Host != tc.target.HostPort()) {
				t.Errorf("%#v", e)
			}
			if errors.Is(tc.want, middleware.ErrNotAllowed) && !strings.Contains(err.Error(), "AllowDowngrade") {
				t.Errorf("%v does not name the option", err)
			}
		})
	}
}

// A proxy for plain http goes on to whom the request line names, and that is not
// always the host of the URL.
func TestHostThroughProxy(t *testing.T) {
	asked := make(chan string, 1)
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || r.Header.Get("Proxy-Authorization") != "" {
			asked <- cmp.Or(r.URL.Host, "none")
		}
	}))
	defer proxy.Close()
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{Proxy: http.ProxyURL(at)}
	defer tr.CloseIdleConnections()
	for name, tc := range map[string]struct {
		url          string
		host, opaque string
		proxy        bool
		want         string // host that the proxy is asked for with a token
	}{
		"as in the URL":         {url: "http://a.example/", want: "a.example"},
		"the same host":         {url: "http://a.example/", host: "A.example.:80", want: "A.example.:80"},
		"the same address":      {url: "http://[fe80::1%25eth0]:8080/", want: "[fe80::1]:8080"},
		"another host":          {url: "http://a.example/", host: "evil.example"},
		"another port":          {url: "http://a.example/", host: "a.example:8080"},
		"no host":               {url: "http://a.example/", host: "a.example%.evil.example"},
		"for the proxy":         {url: "http://a.example/", host: "evil.example", proxy: true, want: "evil.example"},
		"an opaque URL":         {url: "http://a.example/", opaque: "//evil.example/"},
		"an opaque URI":         {url: "http://a.example/", opaque: "http://evil.example/"},
		"the same, opaque":      {url: "http://a.example/", opaque: "//a.example/x%2fy", want: "a.example"},
		"an opaque path":        {url: "http://a.example/", opaque: "/x%2fy", want: "none"},
		"a path like a host":    {url: "http://a.example//evil.example/", want: "a.example"},
		"an opaque thing":       {url: "http://a.example/", opaque: "http://%zz/"},
		"not ASCII":             {url: "http://b\u00fccher.example/", want: "xn--bcher-kva.example"},
		"another line for both": {url: "http://stra\u1e9ee.example/"}, // net/http makes another name of it here than where it dials
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, http.MethodGet, tc.url, "")
			r.Host, r.URL.Opaque = tc.host, tc.opaque
			stage := signing(new(stagetest.Initiator), false)
			if tc.proxy {
				stage = signingFor(new(stagetest.Initiator), forProxy(at))
			}
			resp, err := stage(tr.RoundTrip)(r)
			got := ""
			select {
			case got = <-asked:
			default:
			}
			if got != tc.want {
				t.Errorf("the proxy was asked for %q with a token, want %q", got, tc.want)
			}
			switch {
			case err == nil:
				finish(t, resp, nil)
			case tc.want != "":
				t.Error(err)
			case !errors.Is(err, middleware.ErrHost) || !strings.Contains(err.Error(), at.Host):
				t.Errorf("error %v", err)
			}
		})
	}
	// Directly, the Host header is a matter between caller and server.
	r := request(t, http.MethodGet, proxy.URL, "")
	r.Host = "virtual.example"
	direct := new(http.Transport)
	defer direct.CloseIdleConnections()
	resp, err := signing(new(stagetest.Initiator), false)(direct.RoundTrip)(r)
	finish(t, resp, err)
	<-asked
}

// Through a tunnel the proxy sees no request line; and a hook that comes late does
// nothing.
func TestFirstHop(t *testing.T) {
	for name, tc := range map[string]struct {
		url  string
		late bool
	}{
		"https":    {"https://a.example/", false},
		"too late": {"http://a.example/", true},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, http.MethodGet, tc.url, "")
			r.Host = "evil.example"
			var trace *httptrace.ClientTrace
			srv := stagetest.NewServer()
			resp, err := signing(new(stagetest.Initiator), false)(func(r *http.Request) (*http.Response, error) {
				trace = httptrace.ContextClientTrace(r.Context())
				if !tc.late {
					trace.GetConn("proxy.example:3128")
				}
				return srv.Next(r)
			})(r)
			finish(t, resp, err)
			trace.GetConn("proxy.example:3128")
			if got := srv.Requests()[0].Auth; got != "Negotiate client-1" {
				t.Errorf("sent %q", got)
			}
		})
	}
}
