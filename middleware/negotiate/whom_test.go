package negotiate_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
)

// A 407 is answered in the name of the proxy that the transport uses, and of no
// other: not of that which the environment names for others.
func Test407WithoutProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://proxy.example:3128")
	via := func(raw string) func(*http.Request) (*url.URL, error) {
		return func(*http.Request) (*url.URL, error) { return url.Parse(raw) }
	}
	for name, tc := range map[string]struct {
		proxy func(*http.Request) (*url.URL, error)
		signs bool
	}{
		"nil":          {nil, false},
		"none":         {func(*http.Request) (*url.URL, error) { return nil, nil }, false},
		"SOCKS":        {via("socks5://socks.example:1080"), false},
		"SOCKS, names": {via("socks5h://socks.example:1080"), false},
		"own user":     {via("http://u:p@proxy.example:3128"), false},
		"http":         {via("http://proxy.example:3128"), true},
		"https":        {via("https://proxy.example:3128"), true},
	} {
		t.Run(name, func(t *testing.T) {
			in := new(stagetest.Initiator)
			srv := stagetest.NewServer(stagetest.Challenge(407, "Negotiate"))
			var refused []middleware.RefusedEvent
			r := request(t, "GET", "http://origin.example/", "")
			r = r.WithContext(middleware.WithTrace(r.Context(), func(e middleware.Event) {
				if e, ok := e.(middleware.RefusedEvent); ok {
					refused = append(refused, e)
				}
			}))
			resp, err := negotiate.New(in, negotiate.Options{Proxy: tc.proxy})(srv.Next)(r)
			finish(t, resp, err)
			if got := len(in.Contexts()) > 0; got != tc.signs || resp.StatusCode != 407 {
				t.Errorf("tokens for %+v, status %d", in.Targets(), resp.StatusCode)
			}
			if len(refused) != 1 || !tc.signs && refused[0].Err == nil {
				t.Errorf("the trace says %+v", refused)
			}
		})
	}
}

// What http.Client makes of user info in a URL does not keep Kerberos from being
// spoken, and does not go out; what the caller set does.
func TestCredentialsInRequest(t *testing.T) {
	const mine = "Basic bWU6bWU="
	for name, tc := range map[string]struct {
		url    string
		header http.Header
		want   []string // Authorization as it arrives
		says   []middleware.Event
	}{
		"a user and a password": {url: "http://alice:pw@origin.example/", want: []string{"", "Negotiate client-1"}, says: []middleware.Event{dropped}},
		"a user":                {url: "http://alice@origin.example/", want: []string{"", "Negotiate client-1"}, says: []middleware.Event{dropped}},
		"nobody":                {url: "http://:@origin.example/", want: []string{"", "Negotiate client-1"}, says: []middleware.Event{dropped}},
		"escaped":               {url: "http://al%40ice:p%3aw@origin.example/", want: []string{"", "Negotiate client-1"}, says: []middleware.Event{dropped}},
		"both":                  {url: "http://alice:pw@origin.example/", header: http.Header{"Authorization": {mine}}, want: []string{"Basic me:me"}, says: []middleware.Event{ownOrigin}},
		"the caller's":          {url: "http://origin.example/", header: http.Header{"Authorization": {mine}}, want: []string{"Basic me:me"}, says: []middleware.Event{ownOrigin}},
		"in lower case":         {url: "http://origin.example/", header: http.Header{"authorization": {mine}}, want: []string{""}, says: []middleware.Event{ownOrigin}},
		"in lower case, a user": {url: "http://alice:pw@origin.example/", header: http.Header{"authorization": {mine}}, want: []string{""}, says: []middleware.Event{dropped, ownOrigin}},
		"of no value":           {url: "http://origin.example/", header: http.Header{"Authorization": {}}, want: []string{"", "Negotiate client-1"}},
		"for a proxy":           {url: "http://origin.example/", header: http.Header{"proxy-authorization": {mine}}, want: []string{"", "Negotiate client-1"}, says: []middleware.Event{ownProxy}},
	} {
		t.Run(name, func(t *testing.T) {
			srv := stagetest.NewNegotiating()
			var said []middleware.Event
			r := request(t, "GET", tc.url, "")
			for name, values := range tc.header {
				r.Header[name] = values
			}
			r = r.WithContext(middleware.WithTrace(r.Context(), func(e middleware.Event) {
				if e, ok := e.(middleware.CredentialsEvent); ok {
					said = append(said, e)
				}
			}))
			before := r.Header.Clone()
			c := &http.Client{Transport: negotiate.New(new(stagetest.Initiator), negotiate.Options{Proxy: viaProxy})(srv.Next)}
			resp, err := c.Do(r)
			finish(t, resp, err)
			var got []string
			for _, seen := range srv.Requests() {
				got = append(got, seen.Auth)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("sent (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tc.says, said); d != "" {
				t.Errorf("said (-want +got):\n%s", d)
			}
			if d := cmp.Diff(before, r.Header); d != "" {
				t.Errorf("the caller's header was changed:\n%s", d)
			}
			if h := resp.Request.Header.Get("Authorization"); strings.Contains(h, "YWxpY2") {
				t.Errorf("resp.Request shows %q", h)
			}
		})
	}
}

var (
	dropped   = middleware.CredentialsEvent{Stage: "negotiate", Host: "origin.example:80", Field: "Authorization", Dropped: true}
	ownOrigin = middleware.CredentialsEvent{Stage: "negotiate", Host: "origin.example:80", Field: "Authorization"}
	ownProxy  = middleware.CredentialsEvent{Stage: "negotiate", Host: "origin.example:80", Field: "Proxy-Authorization"}
)

// From https to plain http no token goes, and the trace says what to set.
func TestDowngrade(t *testing.T) {
	for name, tc := range map[string]struct {
		from, to string
		allow    bool
		want     int // tokens
	}{
		"down":          {"https://a.example/", "http://a.example/", false, 0},
		"down, allowed": {"https://a.example/", "http://a.example/", true, 1},
		"up":            {"http://a.example/", "https://a.example/", false, 1},
		"neither":       {"http://a.example/", "http://b.example/", false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			in, srv := new(stagetest.Initiator), stagetest.NewNegotiating()
			var why error
			r := httptest.NewRequest("GET", tc.to, nil).WithContext(middleware.WithTrace(t.Context(), func(e middleware.Event) {
				if e, ok := e.(middleware.RefusedEvent); ok {
					why = e.Err
				}
			}))
			r.Response = &http.Response{Request: httptest.NewRequest("GET", tc.from, nil)}
			resp, err := negotiate.New(in, negotiate.Options{AllowDowngrade: tc.allow})(srv.Next)(r)
			finish(t, resp, err)
			if n := len(in.Contexts()); n != tc.want {
				t.Errorf("%d tokens", n)
			}
			if tc.want == 0 && (resp.StatusCode != 401 || !errors.Is(why, middleware.ErrNotAllowed) || !strings.Contains(why.Error(), "AllowDowngrade")) {
				t.Errorf("status %d, the trace says %v", resp.StatusCode, why)
			}
		})
	}
}
